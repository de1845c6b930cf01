"""Indicators on the real Kafka, Postgres and Valkey, with the real candle builder before them."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import msgspec
import pytest
import redis.asyncio as redis

from services.adapters.redis import LATEST_TTL_S
from services.contracts.events import Indicators, Trade, product_key
from services.contracts.topics import Group, Topic
from tests import oracle
from tests.conftest import StartService
from tests.crash.verdict import caught_up
from tests.support.database import fetch
from tests.support.log import producer, publish, records, without_repeats
from tests.support.polling import eventually
from tests.support.services import Service
from tests.support.trades import Mix, generate

pytestmark = pytest.mark.parts

PER_TRADE = ("sma_5", "ema_12", "rsi_14", "vwap_5m", "vwap_60m")
PER_BAR = ("sma_20@1m", "ema_12@1m", "rsi_14@1m", "ema_5@5m", "rsi_3@15m", "sma_2@1h")
SETTINGS: dict[str, Any] = {
    "TICKPLANE_INDICATORS": ",".join((*PER_TRADE, *PER_BAR)),
    "TICKPLANE_BATCH_RECORDS_MAX": 2_000,
    "TICKPLANE_GROUP_INSTANCE_ID": "indicators-0",
}
CATCH_UP_S = 60.0
NEVER_A_BAR = (
    b'{"exchange":"test","product_id":"P0-USD","resolution":"1m","timestamp":1700000040000000000,"open":"1","high":"1",'
    b'"low":"1","close":"1","volume":"1","quote_volume":"1","trade_count":1,"first_trade_id":"1","last_trade_id":"1",'
    b'"closed":true,"complete":true,"revision":1,"input_sequence":9223372036854775808}'
)
"""Only its ``input_sequence`` is wrong: one more than the stores have."""
BOTH: set[str] = {Group.CANDLES, Group.INDICATORS}
MIX = Mix(products=4, late=0.002)

Values = dict[str, float]
Key = tuple[str, str, str]
"""Exchange, product and source."""


async def _rows(database_url: str, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database_url)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def _expected(database_url: str, trades: Sequence[Trade], names: Sequence[str]) -> dict[Key, Values]:
    """By the oracle; only which bars are closed is taken from what is stored."""
    rows = await _rows(database_url, "SELECT exchange, product_id, resolution, timestamp FROM candles WHERE closed")
    bars = oracle.candles(trades)
    closed = [bars[row["exchange"], row["product_id"], row["resolution"], row["timestamp"]] for row in rows]
    per_bar = oracle.bar_indicators(closed, [name for name in names if "@" in name])
    per_trade = oracle.trade_indicators(trades, [name for name in names if "@" not in name])
    return {**{(*key, "trade"): values for key, values in per_trade.items()}, **per_bar}


async def _published(bootstrap_servers: str) -> dict[Key, Values]:
    """The newest of each product and source on the topic, for a reader that drops repeats."""
    found = await records(bootstrap_servers, Topic.INDICATORS)
    events = [msgspec.json.decode(record.value, type=Indicators) for record in found]
    return {(event.exchange, event.product_id, event.source): event.values for event in without_repeats(events)}


async def _shown(redis_url: str) -> dict[tuple[str, str], Values]:
    """What Redis has of each product."""
    async with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = [str(key) async for key in client.scan_iter("indicator:*")]
        hashes: dict[str, Any] = {key: await client.hgetall(key) for key in keys}
        assert all([0 < await client.ttl(key) <= LATEST_TTL_S for key in keys])
    return {
        (key.split(":")[1], key.split(":")[2]): {n: float(v) for n, v in values.items() if n != "time"}
        for key, values in hashes.items()
    }


async def _counts(indicators: Service, expected: dict[str, int], **labels: str) -> bool:
    """Whether the counters stand there: a batch is counted a moment after it is stored."""
    metrics = await indicators.metrics()
    found = {name: metrics.total(name, consumer_group=Group.INDICATORS, **labels) for name in expected}
    assert found == expected
    return True


def _differences(found: dict[Key, Values], expected: dict[Key, Values]) -> list[str]:
    """Of every source that the oracle has a value of."""
    return [
        f"{key}: {found.get(key)} is not {values}"
        for key, values in expected.items()
        if values and found.get(key) != pytest.approx(values, rel=1e-9)
    ]


def _by_product(expected: dict[Key, Values]) -> dict[tuple[str, str], Values]:
    merged: dict[tuple[str, str], Values] = {}
    for (exchange, product_id, _), values in expected.items():
        merged.setdefault((exchange, product_id), {}).update(values)
    return merged


async def _caught_up(database_url: str, bootstrap_servers: str, groups: set[str]) -> None:
    """Until these groups are at the end of what they read; bars that the clock closes are published after that."""

    async def at_the_end() -> bool:
        known = await _rows(database_url, "SELECT DISTINCT consumer_group FROM positions")
        return {row["consumer_group"] for row in known} >= groups and await caught_up(database_url, bootstrap_servers)

    await eventually(at_the_end, CATCH_UP_S, interval_s=0.3)


async def _equal_the_oracles(
    database_url: str, bootstrap_servers: str, trades: Sequence[Trade], names: Sequence[str]
) -> dict[Key, Values]:
    """Wait until everything published equals the oracle's; raises AssertionError with what differs."""

    async def check() -> dict[Key, Values]:
        expected = await _expected(database_url, trades, names)
        assert _differences(await _published(bootstrap_servers), expected) == []
        return expected

    return await eventually(check, CATCH_UP_S, interval_s=0.5)


async def test_killed_at_any_moment_the_indicators_equal_the_oracles(
    service: StartService, database_url: str, redis_url: str, bootstrap_servers: str
) -> None:
    trades = generate(40_000, MIX, seed=11)
    await service("candles", TICKPLANE_BATCH_RECORDS_MAX=2_000)
    indicators = await service("indicators", **SETTINGS)
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=12))
    chance = random.Random(11)
    while not flow.done():
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        await indicators.kill()
        await indicators.start()
    await flow
    await _caught_up(database_url, bootstrap_servers, BOTH)
    expected = await _equal_the_oracles(database_url, bootstrap_servers, trades, (*PER_TRADE, *PER_BAR))
    assert {source for _, _, source in expected} >= {"trade", "1m", "5m", "15m", "1h"}
    shown = {(*key, ""): values for key, values in (await _shown(redis_url)).items()}
    assert _differences(shown, {(*key, ""): values for key, values in _by_product(expected).items()}) == []
    assert await indicators.terminate() == 0


async def test_an_indicator_added_later_has_its_bars_at_once_and_one_that_is_removed_is_gone(
    service: StartService, database_url: str, redis_url: str, bootstrap_servers: str
) -> None:
    trades = generate(20_000, MIX, seed=12)
    candles = await service("candles")
    before = await service("indicators", TICKPLANE_INDICATORS="sma_5, ema_5@5m")
    await publish(bootstrap_servers, trades)
    await _caught_up(database_url, bootstrap_servers, BOTH)
    await _equal_the_oracles(database_url, bootstrap_servers, trades, ("sma_5", "ema_5@5m"))
    await before.terminate()
    await candles.terminate()
    await service("indicators", TICKPLANE_INDICATORS="sma_3,ema_5@5m,rsi_3@5m,ema_12@1m")
    expected = _by_product(await _expected(database_url, trades, ("sma_3", "ema_5@5m", "rsi_3@5m", "ema_12@1m")))

    async def shown() -> bool:
        return await _shown(redis_url) == {key: pytest.approx(values, rel=1e-9) for key, values in expected.items()}

    await eventually(shown, interval_s=0.5)


async def test_a_state_that_cannot_be_read_is_rebuilt_from_the_stored_trades(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(6_000, replace(MIX, late=0, delayed=0), seed=17)
    await service("recorder")
    await service("candles")
    indicators = await service("indicators", **SETTINGS)
    everything = {Group.RECORDER, *BOTH}
    await publish(bootstrap_servers, trades[:4_000])
    await _caught_up(database_url, bootstrap_servers, everything)
    await indicators.terminate()
    unreadable = "UPDATE product_states SET state = decode('81a776657273696f6e63', 'hex') WHERE consumer_group = $1"
    await fetch(database_url, unreadable, Group.INDICATORS)
    await indicators.start()
    await indicators.wait_ready()
    await publish(bootstrap_servers, trades[3_900:])
    await _caught_up(database_url, bootstrap_servers, everything)
    await _equal_the_oracles(database_url, bootstrap_servers, trades, (*PER_TRADE, *PER_BAR))


async def test_poison_on_the_candles_topic_is_counted_and_what_is_behind_it_goes_on(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(2_000, MIX, seed=13)
    key = product_key("test", "P0-USD")
    indicators = await service("indicators", **SETTINGS)
    await service("candles")
    async with producer(bootstrap_servers) as client:
        for value in (b"", b"5", b"null", b'{"exchange": "\xff"}', b"[" * 5_000, NEVER_A_BAR):
            await client.send_and_wait(Topic.CANDLES, value, key=key)
    await publish(bootstrap_servers, trades)
    await _caught_up(database_url, bootstrap_servers, BOTH)
    await _equal_the_oracles(database_url, bootstrap_servers, trades, PER_BAR)
    await eventually(lambda: _counts(indicators, {"dlq_messages_total": 6}, topic=Topic.CANDLES))


async def test_late_trades_and_repeats_are_counted(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(5_000, MIX, seed=14)
    indicators = await service("indicators")
    await publish(bootstrap_servers, trades)
    await _caught_up(database_url, bootstrap_servers, {Group.INDICATORS})
    highest: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    late = repeated = 0
    for trade in trades:
        assert trade.trade_number is not None
        known = (trade.product_id, trade.trade_id) in seen
        repeated += known
        late += not known and trade.trade_number < highest.get(trade.product_id, 0)
        seen.add((trade.product_id, trade.trade_id))
        highest[trade.product_id] = max(trade.trade_number, highest.get(trade.product_id, 0))
    assert (late > 0, repeated > 0) == (True, True)
    await eventually(lambda: _counts(indicators, {"late_trades_total": late, "messages_repeated_total": repeated}))


@pytest.mark.parametrize("value", ["sma_0", "sma_5,macd", "", "vwap_5m@1m"])
async def test_a_bad_indicator_is_one_clear_line(service: StartService, value: str) -> None:
    indicators = await service("indicators", TICKPLANE_INDICATORS=value)
    assert await indicators.wait() == 2
    assert "TICKPLANE_INDICATORS" in indicators.last_output()
