"""What has traded of an order, as Redis has it: written by ``matching``, and by who finds it missing, the same way.

The keys are ``trade:<account>:<id>``, and ``trade:<id>`` of the account that is let in without a key.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from services.adapters.postgres import Connection, sql
from services.adapters.redis import AWAY, Redis
from services.contracts.lab import execution_id
from services.domain.money import plain, vwap
from services.runtime.clock import rfc3339

TRADE_TTL_S = 86_400
"""How long a key stays after the order's last fill; later it is read from Postgres again."""
FILLS_MAX = 100
"""The newest fills of an order that are told one by one."""


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution, from one order's side. ``ts`` is RFC 3339."""

    price: str
    qty: str
    ts: str
    execution_id: str


class Trade(msgspec.Struct, frozen=True, gc=False):
    """``price`` is the average over all fills, ``qty`` what is filled in all, ``ts`` the time of the last fill.

    ``fills`` are the newest, oldest first.
    """

    price: str
    qty: str
    ts: str
    fills: tuple[Fill, ...]


def trade_key(account: str, order_id: str) -> str:
    """JSON of ``Trade``. No account has a colon in its name, so that no two orders share a key."""
    return f"trade:{account}:{order_id}"


def anonymous_trade_key(order_id: str) -> str | None:
    """The same under the id alone; None where that would look like another account's key."""
    return None if ":" in order_id else f"trade:{order_id}"


def trade_keys(account: str, order_id: str, anonymous_account: str) -> list[str]:
    """Every key that an order's trade is written under."""
    plain_key = anonymous_trade_key(order_id) if account == anonymous_account else None
    return [trade_key(account, order_id)] + ([] if plain_key is None else [plain_key])


def fill(price: Decimal, quantity: Decimal, time_ns: int, market_group: int, sequence: int) -> Fill:
    return Fill(plain(price), plain(quantity), rfc3339(time_ns), execution_id(market_group, sequence))


def trade(filled: Decimal, filled_quote: Decimal, fills: Iterable[Fill]) -> Trade:
    """Of an order that has at least one fill; ``fills`` oldest first."""
    newest = tuple(fills)[-FILLS_MAX:]
    return Trade(plain(vwap(filled_quote, filled)), plain(filled), newest[-1].ts, newest)


async def read_trade(connection: Connection, account: str, order_id: str) -> Trade | None:
    """What has traded of the newest order of that id, from Postgres; None where nothing has."""
    rows = await connection.fetch(sql("lab_trade"), account, order_id, FILLS_MAX)
    if not rows:
        return None
    fills = [
        fill(row["price"], row["quantity"], row["time"], row["market_group"], row["execution_sequence"])
        for row in reversed(rows)
    ]
    return trade(rows[0]["filled"], rows[0]["filled_quote"], fills)


async def fill_miss(redis: Redis, keys: Iterable[str], found: Trade) -> None:
    """Put what was missing into Redis, unless ``matching`` has meanwhile. Redis being away is reported, not raised."""
    value = msgspec.json.encode(found)
    pipeline = redis.client.pipeline(transaction=False)
    for key in keys:
        pipeline.set(key, value, ex=TRADE_TTL_S, nx=True)
    try:
        await pipeline.execute()
    except AWAY as error:
        redis.report(error)
