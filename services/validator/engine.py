"""Answers ``raw_ticks``, each tick exactly once: ``trade_id`` and ``input_sequence`` are those of its place there."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiokafka import ConsumerRecord

from services.adapters.pipeline import Batch, Outcome, Publication, dead_letter
from services.adapters.postgres import Connection
from services.adapters.records import partition_of
from services.contracts.errors import PeerError
from services.contracts.events import RawTick, ValidatedTrade, input_sequence
from services.contracts.metrics import Metric
from services.contracts.topics import Group, Topic
from services.domain.decoding import decoded
from services.runtime.clock import NS_PER_MS, Clock
from services.runtime.metrics import counter
from services.validator.judge import INSTRUMENT_ID_PUBLISHED_MAX, Judge
from services.validator.publisher import ANY_EXCHANGE
from services.validator.sharing import Repeats, SharedTicks

TICKS_PER_TURN = 200
"""After so many ticks the event loop gets a turn, so that a batch does not hold up the streams."""
VALUE_BYTES_MAX = 4_096
"""A tick is some 100 bytes. What is larger is not looked into."""

_decode = msgspec.json.Decoder(RawTick).decode


class RawTickEngine:
    """Its state is the window, which it shares with the streams; of its own it stores none.

    A tick's age is taken from when the broker got it, so that it is the same however often the tick is read.
    """

    group = Group.VALIDATOR
    topics = (Topic.RAW_TICKS,)

    def __init__(
        self,
        judge: Judge,
        shared: SharedTicks,
        repeats: Repeats,
        read_log_id: Callable[[], Awaitable[str | None]],
        partitions: int,
        clock: Clock,
    ) -> None:
        self._judge = judge
        self._shared = shared
        self._repeats = repeats
        self._read_log_id = read_log_id
        self._log_id: str | None = None
        self._partitions = partitions
        self._clock = clock

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        """What the owner before answered has to be in the window before we go on behind it."""
        log_id = await self._read_log_id()
        if self._log_id not in (None, log_id):
            # The topics were made anew: their offsets begin again.
            self._repeats.clear()
        self._log_id = log_id
        await self._shared.catch_up()

    def forget(self) -> None:
        return None

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        publications: list[Publication] = []
        refused: list[tuple[ConsumerRecord, PeerError]] = []
        statuses: Counter[str] = Counter()
        records = [record for topics in batch.records.values() for record in topics.get(Topic.RAW_TICKS, ())]
        for begin in range(0, len(records), TICKS_PER_TURN):
            for record in records[begin : begin + TICKS_PER_TURN]:
                try:
                    event = self._answer(record)
                except PeerError as error:
                    refused.append((record, error))
                    publications.append(self._dead_letter(record, error))
                    continue
                statuses[event.status] += 1
                key = event.instrument_id.encode()
                value = msgspec.json.encode(event)
                cause = batch.span_of(record.topic, record.partition, record.offset)
                publications.append(Publication(Topic.VALIDATED_TRADES, key, value, ANY_EXCHANGE, parent=cause))
            await asyncio.sleep(0)

        async def stored() -> None:
            for status, count in statuses.items():
                counter(Metric.VALIDATOR_TICKS).labels("topic", status).inc(count)
            counter(Metric.MESSAGES_CONSUMED).labels(self.group, Topic.RAW_TICKS, ANY_EXCHANGE).inc(statuses.total())
            for record, error in refused:
                counter(Metric.DLQ_MESSAGES).labels(self.group, record.topic, error.error_type, ANY_EXCHANGE).inc()

        return Outcome(publications, None, stored)

    def _answer(self, record: ConsumerRecord) -> ValidatedTrade:
        """Raises PeerError for what is no tick."""
        tick = decoded(_decode, record.value, VALUE_BYTES_MAX)
        sequence = input_sequence(record.offset)
        home = partition_of(tick.instrument_id[:INSTRUMENT_ID_PUBLISHED_MAX].encode(), self._partitions)
        is_repeat = not self._repeats.is_new((home, record.partition), sequence)
        verdict, vwap = self._judge.verdict(tick, record.timestamp * NS_PER_MS, is_repeat=is_repeat)
        trade_id = f"{self._log_id}-{record.partition}-{record.offset}"
        return self._judge.event(
            trade_id, tick, verdict, vwap, self._clock.now_ns(), "topic", sequence, record.partition
        )

    def _dead_letter(self, record: ConsumerRecord, error: PeerError) -> Publication:
        return dead_letter(Topic.RAW_TICKS_DLQ, record, error, ANY_EXCHANGE, self._clock.now_ns())
