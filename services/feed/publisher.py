"""Trades to Kafka, in order, each until it is acknowledged. Nothing is dropped: a slow broker slows the caller."""

import asyncio
import contextlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from services.adapters.kafka import AWAY, Producer
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import histogram


@dataclass(slots=True)
class _Sent:
    topic: str
    key: bytes
    value: bytes
    received_ns: int
    ack: "asyncio.Future[Any]"


class Publisher:
    """A component. ``publish`` returns once the record is in the producer's buffer; ``settled`` waits for its ack."""

    def __init__(self, producer: Producer, exchange: str, in_flight_max: int, clock: Clock) -> None:
        self._producer = producer
        self._exchange = exchange
        self._in_flight_max = in_flight_max
        self._clock = clock
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
        async with self._sending:
            ack = await self._send(topic, key, value)
            self._in_flight.append(_Sent(topic, key, value, received_ns, ack))
        self._published += 1
        self._arrived.set()
        if len(self._in_flight) >= self._in_flight_max:
            self._room.clear()

    async def settled(self) -> None:
        """Wait until everything published so far is acknowledged."""
        target = self._published
        async with self._progress:
            await self._progress.wait_for(lambda: self._acknowledged >= target)

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        while not (self._stopping and not self._in_flight):
            if not self._in_flight:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._take_acks()

    async def stop(self) -> None:
        """Everything handed over is acknowledged before this returns."""
        await self.settled()
        self._stopping = True
        self._arrived.set()

    async def _take_acks(self) -> None:
        """Wait for the oldest ack, then take all that are there."""
        try:
            await self._in_flight[0].ack
        except AWAY as error:
            self._producer.away(error)
            await self._send_again()
            return
        now_ns = self._clock.now_ns()
        counts = Counter[str]()
        while self._in_flight and self._in_flight[0].ack.done() and self._in_flight[0].ack.exception() is None:
            sent = self._in_flight.popleft()
            counts[sent.topic] += 1
            if sent.received_ns:
                self._latency.observe((now_ns - sent.received_ns) / NS_PER_S)
        self._producer.report(None)
        for topic, count in counts.items():
            self._producer.published(self._exchange, topic, count)
        if len(self._in_flight) < self._in_flight_max:
            self._room.set()
        async with self._progress:
            self._acknowledged += counts.total()
            self._progress.notify_all()

    async def _send_again(self) -> None:
        """All that is not acknowledged, in order, by a new producer. What did arrive is a repeat that readers drop."""
        async with self._sending:
            for sent in self._in_flight:
                sent.ack.cancel()
                with contextlib.suppress(asyncio.CancelledError, *AWAY):
                    await sent.ack
            await self._producer.stop()
            await self._producer.start()
            for sent in self._in_flight:
                sent.ack = await self._send(sent.topic, sent.key, sent.value)

    async def _send(self, topic: str, key: bytes, value: bytes) -> "asyncio.Future[Any]":
        backoff = Backoff(0.1, 5)
        while True:
            try:
                return await self._producer.send(topic, key, value)
            except InfraError:
                await asyncio.sleep(backoff.next_s())
