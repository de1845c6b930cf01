"""Reads every partition of what clients follow, and hands it to those who follow it."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from services.adapters.kafka import Reader
from services.adapters.records import Counts, feed_states
from services.contracts.errors import InfraError
from services.contracts.events import Indicators, LogIdentity, Trade, ValidatedTrade
from services.contracts.metrics import Metric
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.gateway.hub import Delivery, Hub, Product
from services.gateway.marketdata.broadcast import Broadcast
from services.gateway.records import READERS
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import histogram
from services.runtime.serve import Resource

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.runtime.spans import Tracing

TOPICS = (*READERS, Topic.FEED_STATE)
GROUP = "gateway"
"""Under this name the gateway counts what it read; it has no consumer group."""
RECORDS_PER_TURN = 200
"""After so many records the event loop gets a turn, so that a burst does not starve pings and new clients."""
STOP_NOTICED_MS = 500
"""How long one look for records may last, and so how soon a stop is noticed. New records end it at once."""


def start_offsets(
    spans: Mapping[TopicPartition, tuple[int, int]], records: int, book_records: int = 0
) -> dict[TopicPartition, int]:
    """Where to begin, given where each partition begins and ends: the last ``records``, of ``book`` the last
    ``book_records`` at least, and the whole of ``feed_state``, which names the products."""
    found = {}
    for tp, (beginning, end) in spans.items():
        newest = max(records, book_records) if tp.topic == Topic.BOOK else records
        found[tp] = beginning if tp.topic == Topic.FEED_STATE else max(beginning, end - newest)
    return found


def begin(
    market: Market, spans: Mapping[TopicPartition, tuple[int, int]], book_records: int = 0
) -> dict[TopicPartition, int]:
    """Where to begin, which the market is told: two windows before the end. Of the records of the first it is not known
    what they repeat; of those of the second it is. The last snapshot of a quiet book may be further back."""
    offsets = start_offsets(spans, 2 * market.window, book_records)
    for tp, (_beginning, end) in spans.items():
        market.begin(tp.topic, tp.partition, offsets[tp], end)
    return offsets


class Fanout[S: Hashable](Resource):
    """``start`` returns once the market has all there was in the log: nobody follows it by then, nothing is delivered.

    Updates that come within ``coalesce_s`` are written together.
    """

    def __init__(
        self,
        reader: Reader,
        market: Market,
        hub: Hub[S],
        outbox: Outbox,
        deliver: Callable[[Iterable[Delivery[S]]], None],
        broadcast: Broadcast,
        tracing: "Tracing | None",
        clock: Clock,
        *,
        partitions: int,
        coalesce_s: float,
    ) -> None:
        self._reader = reader
        self._market = market
        self._hub = hub
        self._outbox = outbox
        self._deliver = deliver
        self._broadcast = broadcast
        self._tracing = tracing
        self._clock = clock
        self._partitions = partitions
        self._coalesce_s = coalesce_s
        self._received: list[tuple[str, int]] = []
        """(exchange, time of receipt) of the trades of this turn that somebody follows."""
        self._spans: list[Span] = []
        """Of the records of this turn that are traced."""
        self._caught_up = False
        self._stopping = False
        self._ended = asyncio.Event()

    async def start(self) -> None:
        await self._reader.start()
        backoff = Backoff(0.2, 5)
        while True:
            try:
                await self._catch_up()
                self._caught_up = True
                return
            except InfraError:
                await asyncio.sleep(backoff.next_s())

    async def run(self) -> None:
        backoff = Backoff(0.2, 5)
        try:
            while not self._stopping:
                try:
                    await self._absorb(await self._next())
                    backoff.reset()
                except InfraError:
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._stopping = True
        await self._ended.wait()
        await self._reader.stop()

    async def _next(self) -> list[ConsumerRecord]:
        records = await self._reader.fetch(STOP_NOTICED_MS)
        if records and self._coalesce_s:
            await asyncio.sleep(self._coalesce_s)
            records += await self._reader.fetch(0)
        return records

    async def _catch_up(self) -> None:
        ends = await self._reader.ends()
        while any(position < ends[tp] for tp, position in (await self._reader.positions()).items()):
            await self._absorb(await self._reader.fetch(STOP_NOTICED_MS))

    async def _absorb(self, records: Sequence[ConsumerRecord]) -> None:
        for first in range(0, len(records), RECORDS_PER_TURN):
            counts = Counts(GROUP, self._partitions)
            turn = records[first : first + RECORDS_PER_TURN]
            for (topic, partition), group in groupby(turn, key=lambda record: (record.topic, record.partition)):
                self._absorb_partition(topic, partition, list(group), counts)
            counts.report()
            await self._outbox.flush()
            await self._broadcast.flush()
            self._observe()
            await asyncio.sleep(0)

    def _absorb_partition(self, topic: str, partition: int, records: Sequence[ConsumerRecord], counts: Counts) -> None:
        if topic == Topic.FEED_STATE:
            self._learn(records, counts)
            return
        place = self._market.partition(topic, partition)
        if records[0].offset < place.position:
            raise RuntimeError(f"{topic}:{partition} begins anew at {records[0].offset}: the topics were made anew")
        # Not of those of before the start: their traces have ended.
        if self._tracing is not None and self._caught_up:
            self._spans += self._tracing.process_all(records).values()
        for offset, event in READERS[topic](records, counts):
            updates = self._market.absorb(topic, partition, offset, event)
            followed = False
            for update in updates or ():
                followed |= self._outbox.publish(update)
            if updates is not None:
                followed |= self._absorb_flat(offset, event)
            if followed and isinstance(event, Trade):
                self._received.append((event.exchange, event.received_time))
        place.reached(records[-1].offset + 1)

    def _absorb_flat(self, offset: int, event: object) -> bool:
        """For those who follow one product by its own path. Whether there is anything for them."""
        if isinstance(event, Trade):
            deliveries = self._hub.on_trade(offset, event)
        elif isinstance(event, Indicators):
            deliveries = self._hub.on_indicators(offset, event)
        else:
            return isinstance(event, ValidatedTrade) and self._broadcast.publish(event)
        self._deliver(deliveries)
        return bool(deliveries)

    def _learn(self, records: Sequence[ConsumerRecord], counts: Counts) -> None:
        for record in records:
            if record.key == LOG_IDENTITY_KEY and record.value:
                self._market.log_id = msgspec.json.decode(record.value, type=LogIdentity).log_id
        for state in feed_states(records, counts):
            product = Product(state.exchange, state.product_id)
            self._hub.learn(product)
            self._market.learn(product)

    def _observe(self) -> None:
        now_ns = self._clock.now_ns()
        for exchange, received_ns in self._received:
            _frame_to_client(exchange).observe((now_ns - received_ns) / NS_PER_S)
        self._received.clear()
        for span in self._spans:
            span.end()
        self._spans.clear()


@lru_cache(1_000)
def _frame_to_client(exchange: str) -> Any:
    return histogram(Metric.FRAME_TO_CLIENT).labels(exchange)
