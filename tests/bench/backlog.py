"""A market of any length as records of ``market_trades``, made as they are sent: millions never stand in memory."""

import asyncio
import random
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import batched

import msgspec

from services.contracts.events import Trade, product_key
from services.contracts.topics import Topic
from services.runtime.clock import NS_PER_S
from tests.support.log import producer

EXCHANGE = "bench"
PRODUCTS = 50
MILLION = 1_000_000
SPAN_NS = 12_000 * NS_PER_S
"""Event time of a backlog that is not told another: 200 minutes a million trades."""
STEP_NS = SPAN_NS // MILLION
CHUNK = 2_000
DAYS_AGO = 1
"""The newest is older than now and the oldest far inside every retention."""


def product_names() -> list[str]:
    return [f"P{index}-USD" for index in range(PRODUCTS)]


def market(count: int, step_ns: int = STEP_NS) -> Iterator[Trade]:
    """Trades in the order of their time, contiguous ids from 1; the first products trade most, as in real markets."""
    chance = random.Random(0)
    names = product_names()
    weights = [1 / (index + 1) for index in range(PRODUCTS)]
    numbers = dict.fromkeys(names, 0)
    cents = {name: 10_000 + 997 * index for index, name in enumerate(names)}
    start_ns = time.time_ns() // NS_PER_S * NS_PER_S - DAYS_AGO * 86_400 * NS_PER_S
    for first in range(0, count, CHUNK):
        for index, name in enumerate(chance.choices(names, weights, k=min(CHUNK, count - first)), first):
            numbers[name] += 1
            cents[name] = max(1, cents[name] + chance.randrange(-25, 26))
            now_ns = start_ns + index * step_ns
            yield Trade(
                EXCHANGE,
                name,
                str(numbers[name]),
                numbers[name],
                Decimal(cents[name]).scaleb(-2),
                Decimal(chance.randrange(1, 10**9)).scaleb(-8),
                "BUY" if index & 1 else "SELL",
                now_ns,
                now_ns,
                "live",
                EXCHANGE,
            )


async def publish(kafka_url: str, count: int, step_ns: int = STEP_NS) -> None:
    """Write so many trades to the log, as fast as they can be made."""
    keys = {name: product_key(EXCHANGE, name) for name in product_names()}
    encode = msgspec.json.Encoder().encode
    async with producer(kafka_url) as client:
        for chunk in batched(market(count, step_ns), CHUNK, strict=False):
            sends = [
                await client.send(Topic.MARKET_TRADES, encode(trade), key=keys[trade.product_id]) for trade in chunk
            ]
            await asyncio.gather(*sends)
