"""What is stored and published, held against the oracle."""

from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio as redis

from services.adapters.kafka import log_bounds
from services.adapters.redis import price_key
from services.contracts.events import Candle, Indicators, Trade
from services.contracts.topics import Group, Topic
from services.domain import money
from services.runtime.settings import KafkaSettings
from tests import oracle
from tests.support.database import fetch
from tests.support.log import candles as published_candles
from tests.support.log import records, without_repeats
from tests.support.services import Service

CANDLE_KEY = ("exchange", "product_id", "resolution", "timestamp")
TRADE_KEY = ("exchange", "product_id", "trade_id")
STEPS_FREE = ("closed", "revision")
"""What may differ between runs: the moment an idle bar closes."""
RELATIVE = 1e-9


async def caught_up(database_url: str, bootstrap_servers: str) -> bool:
    """Whether every stored position of ``market_trades`` is at the end of the log, and of ``candles`` behind it."""
    rows = await fetch(database_url, "SELECT * FROM positions")
    if not rows:
        return False
    bounds = await log_bounds(
        KafkaSettings.load(kafka_bootstrap_servers=bootstrap_servers), sorted({row["topic"] for row in rows})
    )
    return all(row["next_offset"] == bounds[row["topic"], row["partition"]][1] for row in rows)


async def any_progress(database_url: str, group: Group) -> bool:
    rows = await fetch(database_url, "SELECT sum(next_offset) AS sum FROM positions WHERE consumer_group = $1", group)
    return bool(rows[0]["sum"])


async def differences(
    database_url: str,
    bootstrap_servers: str,
    trades: Sequence[Trade],
    *,
    recorder: bool = True,
    indicators: bool = True,
) -> list[str]:
    """Everything stored against the oracle, and everything published against what is stored."""
    found = await candle_differences(database_url, trades) + await unpublished(database_url, bootstrap_servers)
    if recorder:
        rows = await fetch(database_url, "SELECT * FROM trades")
        found += oracle.compare(map(dict, rows), oracle.trades(trades), TRADE_KEY)
    if indicators:
        found += await indicator_differences(bootstrap_servers, trades)
    return found


async def candle_differences(database_url: str, trades: Sequence[Trade]) -> list[str]:
    rows = await fetch(database_url, "SELECT * FROM candles")
    return oracle.compare(map(dict, rows), oracle.candles(trades), CANDLE_KEY)


async def unpublished(database_url: str, bootstrap_servers: str) -> list[str]:
    """Bars whose newest state on the topic, repeats dropped, is not what is stored."""
    columns = [name for name in Candle.__struct_fields__ if name not in (*STEPS_FREE, "input_sequence")]
    rows = await fetch(database_url, "SELECT * FROM candles")
    stored = {tuple(row[name] for name in CANDLE_KEY): {name: row[name] for name in columns} for row in rows}
    topic = await published_candles(bootstrap_servers)
    return oracle.compare(map(msgspec.structs.asdict, topic.values()), stored, CANDLE_KEY)


async def indicator_differences(bootstrap_servers: str, trades: Sequence[Trade]) -> list[str]:
    """The newest values per trade of each product on the topic."""
    decoded = [
        msgspec.json.decode(r.value, type=Indicators) for r in await records(bootstrap_servers, Topic.INDICATORS)
    ]
    newest = {(i.exchange, i.product_id): i.values for i in without_repeats(decoded) if i.source == "trade"}
    expected = oracle.trade_indicators(trades, ["sma_5", "ema_12", "rsi_14"])
    found = [f"{key}: not expected" for key in newest if key not in expected]
    for key, values in expected.items():
        found += [
            f"{key}: {name} is {newest.get(key, {}).get(name)}, expected {value}"
            for name, value in values.items()
            if not _close(newest.get(key, {}).get(name), value)
        ]
    return found


async def rows_with_revisions(database_url: str) -> list[dict[str, Any]]:
    rows = await fetch(database_url, "SELECT * FROM candles ORDER BY exchange, product_id, resolution, timestamp")
    return [dict(row) for row in rows]


async def assigned_again(consumer: Service) -> bool:
    """Whether a consumer that was away has joined its group again."""
    takes = [line for line in consumer.log.read_text().splitlines() if "partitions_taken" in line]
    return len(takes) >= 2


async def redis_prices(redis_url: str) -> dict[str, str]:
    async with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        return {key: await client.hget(key, "price") async for key in client.scan_iter("crypto:*")}  # type: ignore[misc]


def newest_prices(trades: Sequence[Trade]) -> dict[str, str]:
    newest: dict[str, Trade] = {}
    for trade in trades:
        key = price_key(trade.exchange, trade.product_id)
        known = newest.get(key)
        if known is None or (trade.time, trade.trade_number or 0) > (known.time, known.trade_number or 0):
            newest[key] = trade
    return {key: money.plain(trade.price) for key, trade in newest.items()}


def _close(found: float | None, expected: float) -> bool:
    return found is not None and abs(found - expected) <= RELATIVE * max(1.0, abs(expected))
