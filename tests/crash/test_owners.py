"""Ends and owners: a stop is clean whatever is going on, and who lost a partition changes nothing in it."""

import asyncio
import random
import time
from decimal import Decimal
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.contracts.events import Trade, product_key
from tests.conftest import StartService
from tests.crash import verdict
from tests.support.database import fetch
from tests.support.log import producer, publish
from tests.support.parts import PARTITIONS, Parts
from tests.support.polling import eventually
from tests.support.trades import generate

pytestmark = pytest.mark.parts

STOP_WITHIN_S = 30.0
"""The grace and some room: what hangs is ended when the grace is over."""


def _partition(client: AIOKafkaProducer, product: str) -> int:
    everything = list(range(PARTITIONS))
    return int(client._partitioner(product_key("test", product), everything, everything))


def _trade(product: str, number: int) -> Trade:
    now = time.time_ns()
    return Trade("test", product, str(number), number, Decimal(10), Decimal(1), "BUY", now, now, "live", "test")


async def test_who_lost_a_partition_closes_no_bar_in_it_by_the_clock(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    """The old owner gets records of another partition only, and the clock moves past the end of the lost one's bar."""
    async with producer(bootstrap_servers) as client:
        products = {_partition(client, f"P{n}-USD"): f"P{n}-USD" for n in range(60)}
    busy, lost = products[0], products[1]
    left_s = 60 - time.time() % 60
    await asyncio.sleep(left_s if left_s < 12 else 0)
    candles = await service("candles", TICKPLANE_GRACE_AFTER_BAR_MS=500)
    await candles.wait_ready()
    await publish(bootstrap_servers, [_trade(lost, 1), _trade(busy, 1)])
    await eventually(lambda: fetch(database_url, "SELECT FROM candles WHERE product_id = $1", lost))
    await fetch(
        database_url,
        "UPDATE positions SET owner_epoch = owner_epoch + 1 WHERE consumer_group = 'candle_builder' AND partition = 1",
    )
    await fetch(database_url, "UPDATE candles SET trade_count = 2 WHERE product_id = $1", lost)
    for number in range(2, 10):
        await publish(bootstrap_servers, [_trade(busy, number)])
        await asyncio.sleep(0.3)
    assert "ownership_lost" in candles.log.read_text()
    rows = await fetch(database_url, "SELECT trade_count FROM candles WHERE product_id = $1", lost)
    assert {row["trade_count"] for row in rows} == {2}, "the old owner wrote over the new one's bar"


async def test_a_stop_under_load_is_clean_and_loses_nothing(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(150_000, seed=21)
    await publish(bootstrap_servers, trades)
    chance = random.Random(21)
    for name in ("candles", "indicators", "recorder") * 2:
        settings: dict[str, Any] = {"TICKPLANE_RETENTION_DAYS": 0, "TICKPLANE_GROUP_INSTANCE_ID": name}
        consumer = await service(name, **settings)
        await consumer.wait_ready()
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        assert await consumer.terminate() == 0, consumer.last_output()
    for name in ("candles", "indicators", "recorder"):
        await service(name, TICKPLANE_RETENTION_DAYS=0, TICKPLANE_GROUP_INSTANCE_ID=name)
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers), 90, interval_s=0.5)
    assert await verdict.differences(database_url, bootstrap_servers, trades) == []


async def test_a_stop_while_kafka_hangs_ends_all_the_same(
    service: StartService, bootstrap_servers: str, parts: Parts
) -> None:
    candles = await service("candles")
    await candles.wait_ready()
    flow = asyncio.create_task(publish(bootstrap_servers, generate(20_000, seed=22), over_s=6))
    await asyncio.sleep(3)
    parts.kafka.pause()
    try:
        await eventually(lambda: _kafka_is_away(candles), 30)
        stopping = asyncio.create_task(candles.terminate())
        async with asyncio.timeout(STOP_WITHIN_S):
            assert await stopping in (0, 1)
    finally:
        parts.kafka.resume()
        await flow


async def _kafka_is_away(consumer: Any) -> bool:
    return not (await consumer.ready())["dependencies"]["kafka"]["up"]
