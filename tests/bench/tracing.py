"""What traces cost each record: off, on without one in the sample, and with every one in it.

The services' own hot loops, in this process, without Kafka and Postgres: a trade on its way through a feed from the
parsed frame to the producer's buffer, and one folded by the candle builder. The thread's own CPU time is taken, and the
cases take turns, so that what else runs on the machine disturbs all alike. Spans are exported to nowhere, by another
thread, as in a service.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any, cast

import msgspec
from aiokafka import ConsumerRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from services.adapters.pipeline import Batch
from services.adapters.retention import Retention
from services.candles.engine import CandleEngine
from services.contracts.events import Trade, product_key
from services.contracts.topics import Topic
from services.feed.intake import Intake
from services.feed.product import Product
from services.feed.publisher import Publisher
from services.runtime.clock import NS_PER_MS, SystemClock
from services.runtime.spans import Tracing
from tests.bench.backlog import EXCHANGE, market, product_names
from tests.bench.report import Figure, median

BENCH = "tracing"
ROUNDS = 5
TRADES = 40_000
QUICK_TRADES = 2_000
UNSAMPLED_MAX = 1.05
GRACE_AFTER_BAR_MS = 2_000
FUTURE_NS = 10**18

Loop = Callable[[Sequence[Any], Tracing | None], Awaitable[None]]


class Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def run(*, quick: bool) -> list[Figure]:
    count, rounds = (QUICK_TRADES, 1) if quick else (TRADES, ROUNDS)
    trades = list(market(count))
    every = Tracing("bench", 1, Nowhere())
    none = Tracing("bench", 0, Nowhere())
    plain = [_record(offset, trade, ()) for offset, trade in enumerate(trades)]
    traced = [_record(offset, trade, _creation(every)) for offset, trade in enumerate(trades)]
    feed = [(trades, None), (trades, none), (trades, every)]
    candles = [(plain, None), (plain, none), (traced, every)]
    figures = [
        *_figures("feed", await _measure(_feed, feed, rounds)),
        *_figures("candles", await _measure(_candles, candles, rounds)),
    ]
    await every.stop()
    await none.stop()
    return figures


async def _measure(loop: Loop, cases: Sequence[tuple[Sequence[Any], Tracing | None]], rounds: int) -> list[list[float]]:
    """Microseconds of CPU a record: of each round, each case."""
    return [[await _taken_us(loop, *case) for case in cases] for _ in range(rounds)]


async def _taken_us(loop: Loop, records: Sequence[Any], tracing: Tracing | None) -> float:
    gc.collect()
    began = time.thread_time()
    await loop(records, tracing)
    return (time.thread_time() - began) / len(records) * 1e6


def _figures(what: str, rounds: Sequence[Sequence[float]]) -> list[Figure]:
    """The median of the rounds' ratios: what disturbed a round disturbed both of its sides."""
    off_us, unsampled_us, sampled_us = (median(case) for case in zip(*rounds, strict=True))
    unsampled, sampled = (median([cases[n] / cases[0] for cases in rounds]) for n in (1, 2))
    note = f"{off_us:.2f} µs of CPU a record off, {unsampled_us:.2f} on, {sampled_us:.2f} sampled; "
    note += f"median of {len(rounds)}"
    return [
        Figure(BENCH, f"{what}: on, none sampled", "× off", unsampled, UNSAMPLED_MAX, "at most", note=note),
        Figure(BENCH, f"{what}: every record sampled", "× off", sampled, note=note),
    ]


# ---- a trade through a feed


class _Producer:
    """Acknowledges at once."""

    def __init__(self) -> None:
        self._ack: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ack.set_result(None)

    async def send(self, *_: object, headers: object = None) -> asyncio.Future[None]:
        return self._ack

    def report(self, *_: object) -> None:
        return None

    published = report


async def _feed(trades: Sequence[Trade], tracing: Tracing | None) -> None:
    clock = SystemClock()
    products = {name: Product(EXCHANGE, name, EXCHANGE) for name in product_names()}
    publisher = Publisher(cast(Any, _Producer()), EXCHANGE, len(trades) + 1, clock, tracing)
    intake = Intake(products, publisher, EXCHANGE, EXCHANGE, FUTURE_NS, clock)
    acknowledging = asyncio.create_task(publisher.run())
    await intake.publish(trades, b"", clock.now_ns())
    await publisher.stop()
    await acknowledging


# ---- a trade folded by the candle builder


class _Nothing:
    """A database in which there is nothing yet."""

    async def fetch(self, *_: object) -> list[object]:
        return []


async def _candles(records: Sequence[ConsumerRecord], tracing: Tracing | None) -> None:
    """As the pipeline does it: go on with what is traced, fold, end it."""
    engine = CandleEngine(GRACE_AFTER_BAR_MS, 1, Retention(0, SystemClock()))
    connection = cast(Any, _Nothing())
    await engine.load(connection, [0])
    batch = Batch({0: {Topic.MARKET_TRADES: list(records)}}, {0: 0}, {0: len(records)})
    if tracing is not None:
        batch.spans = tracing.process_all(records, engine.group)
    with nullcontext() if tracing is None else tracing.ending(batch.spans.values()):
        await engine.fold(batch, connection)


def _record(offset: int, trade: Trade, headers: Sequence[tuple[str, bytes]]) -> ConsumerRecord:
    key, value = product_key(trade.exchange, trade.product_id), msgspec.json.encode(trade)
    time_ms = trade.received_time // NS_PER_MS + 1
    return ConsumerRecord(Topic.MARKET_TRADES, 0, offset, time_ms, 1, key, value, None, len(key), len(value), headers)


def _creation(tracing: Tracing) -> list[tuple[str, bytes]]:
    span = tracing.send(Topic.MARKET_TRADES, "bench")
    span.end()
    return tracing.record_headers(span)
