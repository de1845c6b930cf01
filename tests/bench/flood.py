"""Feed and gateway under all the trades they can take: two million, with a client to each product reading along."""

import asyncio
import time

import psutil

from tests.bench.backlog import MILLION
from tests.bench.consumers import Sample, cpu_us, memory, rate
from tests.bench.edge import Edge, edge
from tests.bench.report import Figure

BENCH = "flood"
PRODUCTS = 20
QUICK_TRADES = 100_000
SAMPLE_S = 0.25
STALLED_S = 120.0


async def run(*, quick: bool) -> list[Figure]:
    count = QUICK_TRADES if quick else 2 * MILLION
    async with edge(PRODUCTS, 0, lambda _now_ns, _time: None) as running:
        feed, gateway = await _watch(running, count)
    company = "exchange, Kafka, gateway and clients on the same cores"
    note = f"{count:,} trades from the socket to Kafka, {company}; {cpu_us(feed):.1f} µs of its CPU each"
    return [
        Figure(BENCH, "feed", "trades/s", rate(feed), note=note),
        Figure(BENCH, "gateway", "trades/s", rate(gateway), note=f"the same, {cpu_us(gateway):.1f} µs of its CPU each"),
        *memory(BENCH, "feed", feed, count),
        *memory(BENCH, "gateway", gateway, count),
    ]


async def _watch(running: Edge, count: int) -> tuple[list[Sample], list[Sample]]:
    """Of the feed and of the gateway, until both have had so many trades. Raises TimeoutError where one stands."""
    feed_process, gateway_process = psutil.Process(running.feed.pid), psutil.Process(running.gateway.pid)
    feed: list[Sample] = []
    gateway: list[Sample] = []
    moved_s = time.monotonic()
    while not feed or min(feed[-1].folded, gateway[-1].folded) < count:
        await asyncio.sleep(SAMPLE_S)
        published, read = await running.published(), await running.read()
        now_s = time.monotonic()
        if not feed or read > gateway[-1].folded:
            moved_s = now_s
        elif now_s - moved_s > STALLED_S:
            raise TimeoutError(f"the gateway stands at {read} of {count}, the feed at {published}")
        feed.append(Sample.of(feed_process, published))
        gateway.append(Sample.of(gateway_process, read))
    return feed, gateway
