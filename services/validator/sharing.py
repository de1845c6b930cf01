"""What other replicas answered, and this one before its start, into the window, from ``validated_trades``."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from services.adapters.kafka import AWAY, NOT_READY, Reader, offsets_since
from services.contracts.errors import InfraError
from services.contracts.events import VerdictStatus
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.domain.vwap import WINDOW_NS, TooManyInstruments, Windows
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_MS, Clock
from services.runtime.health import Health
from services.runtime.metrics import counter
from services.runtime.serve import Resource
from services.runtime.settings import KafkaSettings

RECORDS_PER_TURN = 200
"""After so many records the event loop gets a turn, so that a burst does not hold up the streams."""
STOP_NOTICED_MS = 500
"""How long one look for records may last, and so how soon a stop is noticed. New records end it at once."""
CATCH_UP_PATIENCE_S = 15.0
"""How long it may take to read what was answered until a moment ago."""
SOURCES_MAX = 100_000
"""Sources whose newest tick is remembered, the newest of them: one for every process and partition seen."""


class SharedTick(msgspec.Struct, frozen=True, gc=False):
    """What of a ``ValidatedTrade`` it takes: to read no more than this is half the work of a start."""

    instrument_id: str
    price: float | None
    volume: int
    timestamp_ns: int
    status: VerdictStatus
    instance_id: str
    input_sequence: int
    input_partition: int | None = None


_decode = msgspec.json.Decoder(SharedTick).decode

Source = tuple[int, str | int]
"""A partition of ``validated_trades``, and who answered: a process, or the owner of a partition of ``raw_ticks``."""


class Repeats:
    """The highest ``input_sequence`` of each source: what is not above it was published before."""

    def __init__(self) -> None:
        self._highest: dict[Source, int] = {}

    def is_new(self, source: Source, sequence: int) -> bool:
        """Remembers it. A source without news for long is forgotten first."""
        highest = self._highest.pop(source, -1)
        self._highest[source] = max(highest, sequence)
        if len(self._highest) > SOURCES_MAX:
            del self._highest[next(iter(self._highest))]
        return sequence > highest

    def clear(self) -> None:
        self._highest.clear()


class SharedTicks(Resource):
    """``start`` returns once the window has what was answered before. ``reach_ns`` is how far back that goes beyond the
    window itself."""

    def __init__(
        self,
        settings: KafkaSettings,
        windows: Windows,
        repeats: Repeats,
        instance_id: str,
        reach_ns: int,
        health: Health,
    ) -> None:
        self._settings = settings
        self._windows = windows
        self._repeats = repeats
        self._own = f'"instance_id":"{instance_id}"'.encode()
        """In every record of ours, and in no string of another's: there the quotes are escaped."""
        self._reach_ns = reach_ns
        self._clock: Clock = health.clock
        self._begins: Mapping[TopicPartition, int] = {}
        self._reader = Reader(settings, [Topic.VALIDATED_TRADES], health, self._start_offsets)
        self._read: Mapping[TopicPartition, int] = {}
        self._absorbed = asyncio.Event()
        self._stopping = False
        self._ended = asyncio.Event()

    async def start(self) -> None:
        backoff = Backoff(0.2, 5)
        self._begins = await self._until_there(self._ask_begins, backoff)
        await self._reader.start()
        ends = await self._until_there(self._reader.ends, backoff)
        while not self._has_read(ends):
            await self._absorb_next(backoff)

    async def run(self) -> None:
        backoff = Backoff(0.2, 5)
        try:
            while not self._stopping:
                await self._absorb_next(backoff)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._stopping = True
        await self._ended.wait()
        await self._reader.stop()

    async def catch_up(self) -> None:
        """Returns once what is in the topic now is in the window. Raises InfraError where that takes too long."""
        try:
            async with asyncio.timeout(CATCH_UP_PATIENCE_S):
                ends = await self._reader.ends()
                while not self._has_read(ends):
                    self._absorbed.clear()
                    await self._absorbed.wait()
        except AWAY as error:
            raise InfraError("kafka", f"{Topic.VALIDATED_TRADES} cannot be read to its end: {error!r}") from error

    async def _ask_begins(self) -> Mapping[TopicPartition, int]:
        since_ns = self._clock.now_ns() - WINDOW_NS - self._reach_ns
        return await offsets_since(self._settings, Topic.VALIDATED_TRADES, since_ns // NS_PER_MS)

    async def _until_there(
        self, ask: Callable[[], Awaitable[Mapping[TopicPartition, int]]], backoff: Backoff
    ) -> Mapping[TopicPartition, int]:
        while True:
            try:
                return await ask()
            except NOT_READY:
                await asyncio.sleep(backoff.next_s())

    def _start_offsets(self, spans: Mapping[TopicPartition, tuple[int, int]]) -> Mapping[TopicPartition, int]:
        return {tp: max(begin, min(self._begins.get(tp, begin), end)) for tp, (begin, end) in spans.items()}

    def _has_read(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all(self._read.get(tp, -1) >= end for tp, end in ends.items())

    async def _absorb_next(self, backoff: Backoff) -> None:
        try:
            records = await self._reader.fetch(STOP_NOTICED_MS)
            positions = await self._reader.positions()
        except NOT_READY:
            await asyncio.sleep(backoff.next_s())
            return
        backoff.reset()
        for begin in range(0, len(records), RECORDS_PER_TURN):
            self._absorb(records[begin : begin + RECORDS_PER_TURN])
            await asyncio.sleep(0)
        self._read = positions
        self._absorbed.set()

    def _absorb(self, records: Sequence[ConsumerRecord]) -> None:
        added = 0
        for record in records:
            if record.value and self._own not in record.value:
                added += self._add(record)
        if added:
            counter(Metric.VALIDATOR_SHARED_TICKS).inc(added)

    def _add(self, record: ConsumerRecord) -> bool:
        """Whether it counts: it is valid, no repeat, and there is room for its instrument."""
        try:
            trade = _decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            counter(Metric.DLQ_MESSAGES).labels("validator", record.topic, "json", "unknown").inc()
            return False
        answered_by = trade.instance_id if trade.input_partition is None else trade.input_partition
        is_new = self._repeats.is_new((record.partition, answered_by), trade.input_sequence)
        if not is_new or trade.status != "VALID" or not trade.price or trade.volume <= 0:
            return False
        try:
            window = self._windows.of(trade.instrument_id, self._clock.now_ns())
        except TooManyInstruments:
            counter(Metric.VALIDATOR_INSTRUMENTS_REFUSED).inc()
            return False
        window.add(trade.timestamp_ns, trade.price, trade.volume)
        return True
