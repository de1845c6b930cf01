"""The topics, from a test's side: write trades, read what came of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord

from services.adapters.kafka import read_all
from services.contracts.events import Candle, Indicators, Trade, product_key
from services.contracts.topics import Topic
from services.runtime.settings import KafkaSettings

CHUNK = 500


@asynccontextmanager
async def producer(bootstrap_servers: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    usual: dict[str, Any] = {"enable_idempotence": True, "compression_type": "snappy", "max_batch_size": 1 << 18}
    client = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **{**usual, **options})
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def publish(bootstrap_servers: str, trades: Sequence[Trade], *, over_s: float = 0) -> None:
    """Write trades to ``market_trades`` in this order, spread evenly over ``over_s`` seconds."""
    started = time.monotonic()
    async with producer(bootstrap_servers) as client:
        for first in range(0, len(trades), CHUNK):
            chunk = trades[first : first + CHUNK]
            sends = [
                await client.send(
                    Topic.MARKET_TRADES, msgspec.json.encode(trade), key=product_key(trade.exchange, trade.product_id)
                )
                for trade in chunk
            ]
            await asyncio.gather(*sends)
            due = started + over_s * (first + len(chunk)) / len(trades)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def records(bootstrap_servers: str, topic: Topic) -> list[ConsumerRecord]:
    """Every record of a topic, in order within each partition."""
    return [record async for record in read_all(KafkaSettings.load(kafka_bootstrap_servers=bootstrap_servers), topic)]


def without_repeats[T: Candle | Indicators](events: Iterable[T]) -> list[T]:
    """What a reader keeps: per key, only what is above the highest ``input_sequence`` seen."""
    highest: dict[tuple[str, ...], int] = {}
    kept = []
    for event in events:
        part = event.source if isinstance(event, Indicators) else f"{event.resolution}@{event.timestamp}"
        key = (event.exchange, event.product_id, part)
        if event.input_sequence > highest.get(key, -1):
            highest[key] = event.input_sequence
            kept.append(event)
    return kept


async def candles(bootstrap_servers: str) -> dict[tuple[str, str, str, int], Candle]:
    """The newest state of each bar on the topic, for a reader that drops repeats by ``input_sequence``."""
    decoded = [
        msgspec.json.decode(record.value, type=Candle) for record in await records(bootstrap_servers, Topic.CANDLES)
    ]
    return {(c.exchange, c.product_id, c.resolution, c.timestamp): c for c in without_repeats(decoded)}
