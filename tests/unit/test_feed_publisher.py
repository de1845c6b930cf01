"""The feed's way to Kafka: what counts as published is what was acknowledged."""

import asyncio
from typing import Any, cast

from services.adapters.kafka import Producer
from services.contracts.events import product_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.feed.publisher import Publisher
from services.runtime.clock import FakeClock
from tests.support.metrics import value


class FakeProducer:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.acks: list[asyncio.Future[Any]] = []

    async def send(self, _topic: str, _key: bytes, _value: bytes, *, headers: object) -> asyncio.Future[Any]:
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]

    def acknowledge(self) -> None:
        for ack in self.acks:
            ack.set_result(None)

    def report(self, error: BaseException | None, _latency_s: float | None = None) -> None:
        assert error is None

    def published(self, exchange: str, topic: str, count: int) -> None:
        pass


async def test_trades_are_counted_by_product_once_they_are_acknowledged() -> None:
    exchange, producer = "counted", FakeProducer()
    publisher = Publisher(cast(Producer, producer), exchange, 100, FakeClock())
    running = asyncio.create_task(publisher.run())
    for product, count in {"A-USD": 3, "B-USD": 1}.items():
        for _ in range(count):
            await publisher.publish(Topic.MARKET_TRADES, product_key(exchange, product), b"{}")
    await publisher.publish(Topic.FEED_STATE, product_key(exchange, "A-USD"), b"{}")
    await publisher.publish(Topic.MARKET_TRADES_DLQ, b"of a frame", b"{}")
    assert value(Metric.FEED_TRADES, exchange, "A-USD") is None, "not acknowledged"
    producer.acknowledge()
    await publisher.stop()
    await running
    assert value(Metric.FEED_TRADES, exchange, "A-USD") == 3
    assert value(Metric.FEED_TRADES, exchange, "B-USD") == 1
