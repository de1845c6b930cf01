"""What the matching engine stored and published, held against one uninterrupted run of its journal in the pure core."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import redis.asyncio as redis

from services.adapters.lab_trades import Trade, trade_key
from services.adapters.postgres import sql
from services.adapters.redis import book_key
from services.contracts.topics import Group
from services.domain.lab_records import OrderRow, balances_of
from tests import oracle
from tests.support import journal
from tests.support.database import fetch
from tests.support.journal import GROUP, Replay

FOLLOWED = ("quantity", "remaining", "filled", "filled_quote", "fee", "state", "reason", "price", "stop_price")
"""Columns of an order that follow it through its life."""


async def position(database_url: str) -> int:
    rows = await fetch(database_url, sql("position_show"), Group.MATCHING)
    return int(rows[0]["next_offset"]) if rows else 0


async def differences(database_url: str, bootstrap_servers: str, redis_url: str) -> list[str]:
    """Everything up to the stored position: the tables, the topics, Redis, the snapshots' hashes, the sums."""
    snapshots = await fetch(database_url, "SELECT next_offset, state_hash FROM matching_snapshots")
    whole = await _replayed(database_url, bootstrap_servers, [row["next_offset"] for row in snapshots])
    found = [
        f"the hash of the snapshot at {row['next_offset']} is another"
        for row in snapshots
        if whole.hashes.get(row["next_offset"]) != row["state_hash"]
    ]
    found += await _table_differences(database_url, whole)
    found += await _topic_differences(bootstrap_servers, whole)
    found += await _redis_differences(redis_url, whole)
    return found + [f"{asset}: the sum is {units}" for asset, units in whole.market.ledger.totals().items() if units]


async def stored_differences(database_url: str, bootstrap_servers: str) -> list[str]:
    """Of the tables alone, which have to be as the position says at any moment."""
    return await _table_differences(database_url, await _replayed(database_url, bootstrap_servers))


async def _replayed(database_url: str, bootstrap_servers: str, hashes_at: Sequence[int] = ()) -> Replay:
    end = await position(database_url)
    return journal.replay([it for it in await journal.read(bootstrap_servers) if it.offset < end], hashes_at)


async def _table_differences(database_url: str, whole: Replay) -> list[str]:
    orders = {(row.number,): _followed(row) for row in whole.results.created.values()}
    found = oracle.compare(await _rows(database_url, "orders"), orders, ("number",))
    step_key = ("number", "input_offset", "ordinal")
    found += oracle.compare(await _rows(database_url, "order_steps"), _by(whole.results.steps, step_key), step_key)
    executions = {
        (trade.execution.sequence,): {
            "price": trade.execution.price,
            "quantity": trade.execution.quantity,
            "maker_number": trade.maker_number,
            "taker_number": trade.taker_number,
            "maker_fee": trade.execution.maker_fee,
            "taker_fee": trade.execution.taker_fee,
        }
        for trade in whole.results.trades
    }
    found += oracle.compare(await _rows(database_url, "executions"), executions, ("sequence",))
    transfers = _by(whole.results.transfers, ("sequence",))
    found += oracle.compare(await _rows(database_url, "transfers"), transfers, ("sequence",))
    balances = {
        (account.name, asset): {"available": available, "held": held}
        for account in whole.market.ledger.everyone()
        for asset, available, held in balances_of(account)
    }
    return found + oracle.compare(await _rows(database_url, "balances"), balances, ("account", "asset"))


async def _topic_differences(bootstrap_servers: str, whole: Replay) -> list[str]:
    """As a reader has them that drops repeats."""
    found = []
    executions = await journal.executions(bootstrap_servers)
    if executions != [trade.execution for trade in whole.results.trades]:
        found.append(f"{len(executions)} executions on the topic, expected {len(whole.results.trades)}")
    updates = await journal.updates(bootstrap_servers)
    if updates != whole.results.updates:
        found.append(f"{len(updates)} book updates on the topic, expected {len(whole.results.updates)}")
    return found


async def _redis_differences(redis_url: str, whole: Replay) -> list[str]:
    """A trade may be missing, never another than it is; the book is there."""
    found = []
    async with redis.Redis.from_url(redis_url) as client:
        trades = whole.trades()
        keys = list(trades)
        values = await client.mget([trade_key(*key) for key in keys])
        for key, value in zip(keys, values, strict=True):
            if value is not None and msgspec.json.decode(value, type=Trade) != trades[key]:
                found.append(f"{key}: Redis has another trade")
        book: dict[str, Any] = msgspec.json.decode(await client.get(book_key("DEMO-USD")) or b"{}")
    expected = whole.market.books["DEMO-USD"]
    if (book.get("sequence"), book.get("checksum")) != (expected.sequence, expected.checksum()):
        found.append(f"the book in Redis is at {book.get('sequence')}, expected {expected.sequence}")
    return found


async def _rows(database_url: str, table: str) -> list[Mapping[str, Any]]:
    return [dict(row) for row in await fetch(database_url, f"SELECT * FROM {table} WHERE market_group = {GROUP}")]


def _followed(row: OrderRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FOLLOWED}


def _by(structs: Sequence[Any], key: tuple[str, ...]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    rows = map(msgspec.structs.asdict, structs)
    return {tuple(row[name] for name in key): row for row in rows}
