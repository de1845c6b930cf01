"""Publishes verdicts in the order they were given, again until Kafka has them, with a bound on what it has not."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.adapters.kafka import Producer
from services.adapters.records import partition_of
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.runtime.backoff import Backoff
from services.runtime.metrics import counter, gauge
from services.runtime.serve import Resource

if TYPE_CHECKING:
    from opentelemetry.trace import Span

ANY_EXCHANGE = "*"
"""The label of metrics by exchange: an instrument is of none."""


Headers = Sequence[tuple[str, bytes]]
Record = tuple[bytes, bytes, Headers]
"""Key, value, headers."""


class Publisher(Resource):
    """``add`` never waits: who adds asks ``has_room`` before it takes on more, and is told by ``when_room``.

    A partition's records are sent together, and the next only once those are acknowledged: so that what is sent again
    stays in order, and a reader can drop repeats by one comparison.
    """

    def __init__(self, producer: Producer, partitions: int, in_flight_max: int, interval_ms: int) -> None:
        self.when_room: list[Callable[[], None]] = []
        self._producer = producer
        self._partitions = partitions
        self._in_flight_max = in_flight_max
        self._interval_s = interval_ms / 1_000
        self._pending: defaultdict[int, list[Record]] = defaultdict(list)
        self._spans: defaultdict[int, list[Span]] = defaultdict(list)
        self._in_flight = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._ended = asyncio.Event()

    def add(self, key: bytes, value: bytes, headers: Headers = (), span: "Span | None" = None) -> None:
        """The span is ended once Kafka has the record."""
        partition = partition_of(key, self._partitions)
        self._pending[partition].append((key, value, headers))
        if span is not None:
            self._spans[partition].append(span)
        self._in_flight += 1
        self._wake.set()

    def has_room(self) -> bool:
        return self._in_flight < self._in_flight_max

    async def run(self) -> None:
        try:
            while not self._stopping or self._pending:
                await self._wake.wait()
                self._wake.clear()
                if not self._stopping:
                    await asyncio.sleep(self._interval_s)
                await self._flush()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Returns once Kafka has everything."""
        self._stopping = True
        self._wake.set()
        await self._ended.wait()

    async def _flush(self) -> None:
        pending, self._pending = self._pending, defaultdict(list)
        gauge(Metric.VALIDATOR_IN_FLIGHT).set(self._in_flight)
        await asyncio.gather(*(self._publish(partition, records) for partition, records in pending.items()))
        gauge(Metric.VALIDATOR_IN_FLIGHT).set(self._in_flight)

    async def _publish(self, partition: int, records: list[Record]) -> None:
        backoff = Backoff(0.2, 5)
        spans = self._spans.pop(partition, [])
        while True:
            try:
                sends = await self._producer.send_all(Topic.VALIDATED_TRADES, partition, records)
                await self._producer.acknowledged(sends)
                break
            except InfraError:
                counter(Metric.VALIDATOR_PUBLISH_RETRIES).inc(len(records))
                await asyncio.sleep(backoff.next_s())
        self._producer.published(ANY_EXCHANGE, Topic.VALIDATED_TRADES, len(records))
        for span in spans:
            span.end()
        had_room = self.has_room()
        self._in_flight -= len(records)
        if not had_room and self.has_room():
            for callback in self.when_room:
                callback()
