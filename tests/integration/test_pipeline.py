"""Candles and recorder on the real Kafka, Postgres and Valkey: poison, late trades, positions outside the log."""

import base64
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import cast

import msgspec
import pytest
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.adapters.kafka import apply_topics
from services.contracts.events import DeadLetter, FeedState, Gap, Trade, product_key
from services.contracts.topics import Group, Topic
from services.domain.dead_letters import VALUE_BYTES_MAX
from services.runtime.clock import NS_PER_S, SystemClock
from tests.conftest import StartService
from tests.support.database import fetch
from tests.support.log import producer, publish, records
from tests.support.parts import PARTITIONS, topics_at
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

NOW = SystemClock().now_ns()
MINUTE_NS = 60 * NS_PER_S
KEY = b"test:A-B"


def trade(number: int, *, age_s: float = 0, price: str = "10", product: str = "A-B") -> Trade:
    time = NOW - int(age_s * NS_PER_S)
    return Trade("test", product, str(number), number, Decimal(price), Decimal("0.5"), "BUY", time, NOW, "live", "test")


def _changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(msgspec.json.encode(trade(7))), **fields}).encode()


TRUNCATED = msgspec.json.encode(trade(7))[:-20]
POISON: dict[str, tuple[bytes | None, bytes | None, str]] = {
    "truncated": (KEY, TRUNCATED, "json"),
    "list": (KEY, b"[1]", "type"),
    "number": (KEY, b"5", "type"),
    "string": (KEY, b'"x"', "type"),
    "null": (KEY, b"null", "type"),
    "empty": (KEY, b"", "empty"),
    "tombstone": (KEY, None, "empty"),
    "price as a number of the wrong type": (KEY, _changed(price=["1"]), "type"),
    "NaN": (KEY, _changed(price="NaN"), "price"),
    "infinite": (KEY, _changed(size="Infinity"), "size"),
    "zero": (KEY, _changed(size="0"), "size"),
    "huge exponent": (KEY, _changed(price="1e400000"), "price"),
    "invalid UTF-8": (KEY, b'{"exchange": "\xff\xfe"}', ""),
    "wrong key": (b"test:C-D", _changed(), "key"),
    "no key": (None, _changed(), "key"),
    "before 2009": (KEY, _changed(time=1_000_000_000), "time_early"),
    "side unknown": (KEY, _changed(side="HOLD"), "type"),
    "NUL in the product": (b"test:A\x00B", _changed(product_id="A\x00B"), "product"),
}


def _count(database_url: str, table: str, expected: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool((await fetch(database_url, f"SELECT count(*) FROM {table}"))[0][0] == expected)

    return check


async def send(
    bootstrap_servers: str, key: bytes | None, value: bytes | None, topic: Topic = Topic.MARKET_TRADES
) -> None:
    async with producer(bootstrap_servers) as client:
        await client.send_and_wait(topic, value, key=key)


async def _letters(bootstrap_servers: str) -> dict[str, DeadLetter]:
    found = await records(bootstrap_servers, Topic.MARKET_TRADES_DLQ)
    return {(r.key or b"").decode(): msgspec.json.decode(r.value, type=DeadLetter) for r in found}


async def test_poison_is_dead_lettered_and_what_is_behind_it_goes_on(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    recorder, candles = await service("recorder"), await service("candles")
    await publish(bootstrap_servers, [trade(1)])
    for key, value, _ in POISON.values():
        await send(bootstrap_servers, key, value)
    await publish(bootstrap_servers, [trade(2, price="12")])

    await eventually(_count(database_url, "trades", 2))
    await eventually(_count(database_url, "candles WHERE resolution = '1m' AND trade_count = 2", 1))
    letters = list((await _letters(bootstrap_servers)).values())
    assert len(letters) == len(POISON)
    for name, (key, value, error_type) in POISON.items():
        same = [x for x in letters if _original(x) == (value or b"") and x.original_key == (key and key.decode())]
        assert same, name
        assert error_type in ("", same[0].error_type), (name, same[0])
        assert same[0].original_topic == Topic.MARKET_TRADES
        assert same[0].original_size == len(value or b"")
    for consumer, group in ((recorder, Group.RECORDER), (candles, Group.CANDLES)):
        refused = (await consumer.metrics()).total("dlq_messages_total", consumer_group=group)
        assert refused == len(POISON), "every group counts what it skips"


GAP = Gap(first=3, last=9, missing=7, status="open", opened_time=NOW)
STATE = FeedState("test", "A-B", "test", 2, NOW, NOW, open_gaps=(GAP,), voids=((3, 4),), written_time=NOW)


def _state(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(STATE) | fields)


def _gap(**fields: object) -> dict[str, object]:
    return {**msgspec.to_builtins(GAP), **fields}


FEED_STATE_POISON: dict[str, tuple[bytes, bytes, str]] = {
    "truncated": (KEY, _state()[:-20], "json"),
    "list": (KEY, b"[1]", "type"),
    "deep": (KEY, b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "type"),
    "invalid UTF-8": (KEY, b'{"exchange":"\xff\xfe"}', "utf8"),
    "number beyond the stores": (KEY, _state(contiguous_number=2**63), "number"),
    "time beyond the stores": (KEY, _state(last_trade_time=-1), "time"),
    "void reversed": (KEY, _state(voids=[[9, 3]]), "void"),
    "void beyond the stores": (KEY, _state(voids=[[0, 2**63]]), "void"),
    "gap beyond the stores": (KEY, _state(open_gaps=[_gap(last=2**63)]), "gap"),
    "gap twice": (KEY, _state(open_gaps=[_gap()], closed_gaps=[_gap(status="lost")]), "gap"),
    "NUL in a reason": (KEY, _state(open_gaps=[_gap(reason="a\x00b")]), "gap"),
    "NUL in the venue": (KEY, _state(venue="a\x00b"), "venue"),
    "NUL in the product": (b"test:A\x00B", _state(product_id="A\x00B"), "product"),
    "another product's key": (b"test:C-D", _state(), "key"),
    "a long word": (KEY, _state(open_gaps=[_gap(status="x" * 900_000)]), "type"),
}


async def test_poison_in_feed_state_is_dead_lettered_and_what_is_behind_it_goes_on(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    recorder, candles = await service("recorder"), await service("candles")
    await publish(bootstrap_servers, [trade(1), trade(2)])
    for key, value, _ in FEED_STATE_POISON.values():
        await send(bootstrap_servers, key, value, Topic.FEED_STATE)
    await send(bootstrap_servers, KEY, _state(), Topic.FEED_STATE)
    await eventually(_count(database_url, "gaps WHERE first = 3 AND last = 9", 1))
    await publish(bootstrap_servers, [trade(5)])
    await eventually(_count(database_url, "trades", 3))
    await eventually(_count(database_url, "candles WHERE resolution = '1m' AND trade_count = 3", 1))

    letters = list((await _letters(bootstrap_servers)).values())
    assert {letter.original_topic for letter in letters} == {Topic.FEED_STATE}
    assert sorted(x.error_type for x in letters) == sorted(error_type for *_, error_type in FEED_STATE_POISON.values())

    async def both_count() -> bool:
        for consumer, group in ((recorder, Group.RECORDER), (candles, Group.CANDLES)):
            metrics = await consumer.metrics()
            refused = metrics.total("dlq_messages_total", consumer_group=group, topic=Topic.FEED_STATE)
            assert refused == len(FEED_STATE_POISON)
        return True

    await eventually(both_count)


async def test_a_record_in_another_partition_than_its_keys_is_refused(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    recorder, candles = await service("recorder"), await service("candles")
    await publish(bootstrap_servers, [trade(1)])
    await eventually(_count(database_url, "trades", 1))
    async with producer(bootstrap_servers) as client:
        home = (await client.send_and_wait(Topic.MARKET_TRADES, msgspec.json.encode(trade(1)), key=KEY)).partition
        elsewhere = (home + 1) % PARTITIONS
        for topic, value in ((Topic.MARKET_TRADES, msgspec.json.encode(trade(2))), (Topic.FEED_STATE, _state())):
            await client.send_and_wait(topic, value, key=KEY, partition=elsewhere)

    async def both_refuse() -> bool:
        for consumer, group in ((recorder, Group.RECORDER), (candles, Group.CANDLES)):
            metrics = await consumer.metrics()
            assert metrics.total("dlq_messages_total", consumer_group=group, error_type="partition") == 2
        return True

    await eventually(both_refuse)
    assert await _count(database_url, "trades", 1)()
    assert await _count(database_url, "gaps", 0)()
    assert await _count(database_url, f"product_states WHERE partition <> {home}", 0)()


def _original(letter: DeadLetter) -> bytes:
    encoded = letter.original_value_encoding == "base64"
    return base64.b64decode(letter.original_value) if encoded else letter.original_value.encode()


async def test_ten_megabytes_are_skipped_and_kept_in_part(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    limit = {"max.message.bytes": str(20 << 20), "message.timestamp.type": "LogAppendTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, Topic.MARKET_TRADES, configs=limit)])
    await admin.close()
    big = b'{"exchange": "' + bytes(range(97, 123)) * 400_000 + b'"}'
    async with producer(bootstrap_servers, max_request_size=20 << 20, compression_type=None) as client:
        await client.send_and_wait(Topic.MARKET_TRADES, big, key=KEY)
    await publish(bootstrap_servers, [trade(1)])
    await service("recorder")
    await eventually(_count(database_url, "trades", 1))
    (letter,) = (await _letters(bootstrap_servers)).values()
    assert (letter.error_type, letter.original_size) == ("too_big", len(big))
    assert letter.original_value == big[:VALUE_BYTES_MAX].decode()


async def test_a_repeat_after_a_crash_has_the_same_key(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await send(bootstrap_servers, KEY, TRUNCATED)
    recorder = await service("recorder")
    await eventually(lambda: _letters(bootstrap_servers))
    await recorder.kill()
    await fetch(database_url, "UPDATE positions SET next_offset = 0")
    again = await service("recorder")
    await again.wait_ready()
    await publish(bootstrap_servers, [trade(1)])
    await eventually(_count(database_url, "trades", 1))
    found = await records(bootstrap_servers, Topic.MARKET_TRADES_DLQ)
    assert len(found) == 2
    assert len({record.key for record in found}) == 1


async def test_out_of_order_and_late_trades_are_exact(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await service("candles")
    ages = {1: 172_800.0, 2: 700.0, 3: 600.0, 4: 2.0, 5: 0.0}
    await publish(bootstrap_servers, [trade(n, age_s=ages[n]) for n in (5, 4)])
    await eventually(_count(database_url, "candles WHERE resolution = '1d'", 1))
    await publish(bootstrap_servers, [trade(n, age_s=ages[n], price=str(n)) for n in (3, 1, 2)])
    await eventually(_count(database_url, "candles WHERE resolution = '1d' AND closed", 1))

    async def all_counted() -> bool:
        rows = await fetch(database_url, "SELECT resolution, sum(trade_count) AS n FROM candles GROUP BY resolution")
        return {row["resolution"]: row["n"] for row in rows} == dict.fromkeys(["1m", "5m", "15m", "1h", "4h", "1d"], 5)

    await eventually(all_counted)


async def test_the_builder_says_how_new_and_how_complete_its_bars_are(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    # The last bar is still open: its trade is of this moment, not of when the tests began.
    since_began_s = (SystemClock().now_ns() - NOW) / NS_PER_S
    trades = [trade(number, age_s=(4 - number) * 100 - since_began_s) for number in (1, 2, 3, 4)]
    candles = await service("candles")
    await publish(bootstrap_servers, trades)
    await eventually(_count(database_url, "candles WHERE resolution = '1m' AND closed", 3))

    async def says(newest_s: float, closed: dict[str, float]) -> bool:
        metrics = await candles.metrics()
        assert metrics.total("candles_newest_trade_time_seconds") == pytest.approx(newest_s, abs=0.01)
        assert metrics.by("candles_closed_total", "complete") == closed
        return True

    await eventually(lambda: says(trades[-1].time / 1e9, {"true": 2, "false": 1}))
    await candles.terminate()
    await candles.start()
    await candles.wait_ready()
    await eventually(lambda: says(trades[-1].time / 1e9, {"true": 0, "false": 0}))


async def test_an_idle_bar_closes_by_the_clock(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await publish(bootstrap_servers, [trade(1, age_s=61)])
    await service("candles", TICKPLANE_GRACE_AFTER_BAR_MS=500)
    await eventually(
        _count(database_url, "candles WHERE resolution = '1m' AND closed AND revision = 1", 1), timeout_s=75
    )


async def test_the_latest_price_and_gaps_are_shown_and_heal_after_a_flush(
    service: StartService, database_url: str, redis_url: str, bootstrap_servers: str
) -> None:
    await service("recorder")
    await publish(bootstrap_servers, [trade(2, price="12.50"), trade(1, price="11", age_s=5)])
    gap = Gap(first=3, last=9, missing=7, status="open", opened_time=NOW)
    state = FeedState("test", "A-B", "test", 2, NOW, NOW, open_gaps=(gap,), written_time=NOW)
    async with producer(bootstrap_servers) as client:
        await client.send_and_wait(Topic.FEED_STATE, msgspec.json.encode(state), key=product_key("test", "A-B"))
    await eventually(_count(database_url, "gaps WHERE status = 'open' AND missing = 7", 1))

    async with redis.Redis.from_url(redis_url, decode_responses=True) as client:

        async def price() -> str | None:
            return cast("str | None", await client.hget("crypto:test:A-B", "price"))

        assert await eventually(price) == "12.5", "the older trade came later"
        await client.flushall()
        assert await eventually(price, timeout_s=40) == "12.5"


async def test_trades_beyond_the_retention_are_counted_and_not_stored(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    recorder = await service("recorder", TICKPLANE_RETENTION_DAYS=30)
    await publish(bootstrap_servers, [trade(1, age_s=40 * 86_400), trade(2, age_s=20 * 86_400)])
    await eventually(_count(database_url, "trades", 1))
    assert (await recorder.metrics()).total("trades_beyond_retention_total") == 1


async def _outside(consumer: Service) -> bool:
    document = await consumer.ready()
    return any(name.startswith("position:") and not state["up"] for name, state in document["dependencies"].items())


async def test_a_position_outside_the_log_stops_its_partition_until_it_is_reset(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await publish(bootstrap_servers, [trade(1)])
    first = await service("recorder")
    await eventually(_count(database_url, "trades", 1))
    await first.terminate()
    await fetch(database_url, "UPDATE positions SET next_offset = next_offset + 1000 WHERE topic = 'market_trades'")
    recorder = await service("recorder")
    await eventually(lambda: _outside(recorder))
    await publish(bootstrap_servers, [trade(2)])
    reset = await service("positions", start=False)
    reset.module = ("services", "positions", "reset", Group.RECORDER, "beginning")
    await reset.start()
    assert await reset.wait() == 0, reset.last_output()
    await eventually(_count(database_url, "trades", 2))


async def test_topics_made_anew_are_noticed(service: StartService, database_url: str, bootstrap_servers: str) -> None:
    await publish(bootstrap_servers, [trade(1)])
    recorder = await service("recorder")
    await eventually(_count(database_url, "trades", 1))
    await recorder.terminate()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_topics([str(topic) for topic in Topic])
    await admin.close()
    await apply_topics(topics_at(bootstrap_servers))
    await publish(bootstrap_servers, [trade(2)])
    await recorder.start()
    await eventually(lambda: _outside(recorder))
    assert (await fetch(database_url, "SELECT count(*) FROM trades"))[0][0] == 1


async def test_a_stop_loses_and_repeats_nothing(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    for start in range(0, 500, 100):
        recorder = await service("recorder")
        await recorder.wait_ready()
        await publish(bootstrap_servers, [trade(n) for n in range(start + 1, start + 101)])
        assert await recorder.terminate() == 0
    await service("recorder")
    await eventually(_count(database_url, "trades", 500))
