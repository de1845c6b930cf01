"""Trades to Kafka, in order, each until it is acknowledged. Nothing is dropped: a slow broker slows the caller."""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from services.adapters.kafka import AWAY, Producer
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import counter, histogram
from services.runtime.tracing import RecordHeaders

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.runtime.spans import Tracing

STALLED_S = 5.0
"""The oldest record not acknowledged for this long is reported as Kafka being away."""


@dataclass(slots=True)
class _Sent:
    topic: str
    key: bytes
    value: bytes
    received_ns: int
    ack: "asyncio.Future[Any]"
    trace: "_Trace | None" = None


class _Trace(NamedTuple):
    """Of a trade that is one of the sample: from its frame's arrival to its acknowledgement."""

    span: "Span"
    headers: RecordHeaders


class Publisher:
    """A component. ``publish`` returns once the record is in the producer's buffer; ``settled`` waits for its ack."""

    def __init__(
        self, producer: Producer, exchange: str, in_flight_max: int, clock: Clock, tracing: "Tracing | None" = None
    ) -> None:
        self._producer = producer
        self._exchange = exchange
        self._in_flight_max = in_flight_max
        self._clock = clock
        self._tracing = tracing
        self._in_flight: deque[_Sent] = deque()
        self._sending = asyncio.Lock()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._acknowledged = 0
        self._published = 0
        self._progress = asyncio.Condition()
        self._stopping = False
        self._latency = histogram(Metric.FEED_FRAME_TO_KAFKA).labels(exchange)

    async def publish(self, topic: str, key: bytes, value: bytes, received_ns: int = 0) -> None:
        """Hand a record over; waits while too many are not acknowledged. ``received_ns`` 0: no latency to count."""
        await self._room.wait()
        trace = None if self._tracing is None else self._begin_trace(self._tracing, topic, key, received_ns)
        headers = None if trace is None else trace.headers
        async with self._sending:
            while True:
                try:
                    ack = await self._producer.send(topic, key, value, headers=headers)
                    break
                except InfraError:
                    await self._begin_again()
            self._in_flight.append(_Sent(topic, key, value, received_ns, ack, trace))
        self._published += 1
        self._arrived.set()
        if len(self._in_flight) >= self._in_flight_max:
            self._room.clear()

    def _begin_trace(self, tracing: "Tracing", topic: str, key: bytes, received_ns: int) -> _Trace | None:
        if topic != Topic.MARKET_TRADES or not tracing.samples():
            return None
        span = tracing.send(topic, key.decode(), began_ns=received_ns)
        return _Trace(span, tracing.record_headers(span))

    async def settled(self) -> None:
        """Wait until everything published so far is acknowledged."""
        target = self._published
        async with self._progress:
            await self._progress.wait_for(lambda: self._acknowledged >= target)

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        woken = None
        while not (self._stopping and not self._in_flight):
            if not self._in_flight:
                self._arrived.clear()
                await self._arrived.wait()
                woken = time.perf_counter()
                continue
            await self._take_acks(woken)
            woken = None

    async def stop(self) -> None:
        """Everything handed over is acknowledged before this returns."""
        await self.settled()
        self._stopping = True
        self._arrived.set()

    async def _take_acks(self, woken: float | None) -> None:
        """Wait for the oldest ack, then take all that are there. ``woken`` is when that record came, where it came
        alone: how long its ack takes is how long Kafka takes to answer."""
        oldest = self._in_flight[0].ack
        await asyncio.wait([oldest], timeout=STALLED_S)
        if not oldest.done():
            self._producer.report(TimeoutError(f"no acknowledgement for {STALLED_S:.0f} s"))
            return
        error = oldest.exception() if not oldest.cancelled() else asyncio.CancelledError()
        if error is not None:
            if not isinstance(error, AWAY):
                raise error
            self._producer.away(error)
            async with self._sending:
                await self._begin_again()
            return
        now_ns = self._clock.now_ns()
        counts, trades = Counter[str](), Counter[bytes]()
        while self._in_flight and _is_acknowledged(self._in_flight[0].ack):
            sent = self._in_flight.popleft()
            counts[sent.topic] += 1
            if sent.topic == Topic.MARKET_TRADES:
                trades[sent.key] += 1
            if sent.received_ns:
                self._latency.observe((now_ns - sent.received_ns) / NS_PER_S)
            if sent.trace is not None:
                sent.trace.span.end()
        self._producer.report(None, None if woken is None else time.perf_counter() - woken)
        for topic, count in counts.items():
            self._producer.published(self._exchange, topic, count)
        for key, count in trades.items():
            counter(Metric.FEED_TRADES).labels(self._exchange, key.decode().partition(":")[2]).inc(count)
        if len(self._in_flight) < self._in_flight_max:
            self._room.set()
        async with self._progress:
            self._acknowledged += counts.total()
            self._progress.notify_all()

    async def _begin_again(self) -> None:
        """Send all that is not acknowledged, in order, by a new producer; what did arrive is a repeat: readers drop it.

        The caller holds ``_sending``.
        """
        backoff = Backoff(0.1, 5)
        while True:
            for sent in self._in_flight:
                sent.ack.cancel()
            await self._producer.stop()
            await self._producer.start()
            try:
                for sent in self._in_flight:
                    headers = None if sent.trace is None else sent.trace.headers
                    sent.ack = await self._producer.send(sent.topic, sent.key, sent.value, headers=headers)
                return
            except InfraError:
                await asyncio.sleep(backoff.next_s())


def _is_acknowledged(ack: "asyncio.Future[Any]") -> bool:
    return ack.done() and not ack.cancelled() and ack.exception() is None
