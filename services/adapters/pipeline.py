"""Exactly once without Kafka transactions: the six steps that every service with derived state goes through.

1. ``take``: on assignment, raise ``owner_epoch`` in the position row, load state, seek to its ``next_offset``.
2. ``collect``: fetch a batch.
3. ``engine.fold``: fold it in memory.
4. ``publish``: publish what follows from it, and wait for every ack.
5. ``store``: in one transaction, write the output and advance ``next_offset``, where ``owner_epoch`` is mine and
   ``next_offset`` is what I read.
6. ``commit``: commit the group offset, for lag metrics only.

A crash between any two repeats work: what is stored does not change, and what is published again carries the same
``input_sequence``, which every reader drops. Partitions with the same number of all the inputs go together (equal
partition counts and keys, the range assignor), so that one owner has everything of a product.

A pipeline that is given its partition by hand has no group to take it away: whoever took it last is its owner. The one
before commits nothing more, and waits longer each time before it takes it back.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from pydantic import Field

from services.adapters import kafka, postgres
from services.adapters.kafka import Producer, read_log_id
from services.adapters.postgres import Connection, Postgres, sql
from services.contracts.errors import ConfigError, InfraError, PeerError
from services.contracts.metrics import Metric
from services.contracts.topics import Group
from services.domain import dead_letters
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_MS
from services.runtime.health import Health
from services.runtime.metrics import counter, gauge, histogram
from services.runtime.settings import KafkaSettings, PostgresSettings, TracingSettings
from services.runtime.tracing import Place, RecordHeaders

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.runtime.spans import Tracing

BEGIN_AGAIN: tuple[type[Exception], ...] = (
    InfraError,
    *kafka.AWAY,
    *postgres.AWAY,
    asyncpg.DeadlockDetectedError,
)
"""What ends a session, to be begun again from what is stored."""
LOSSES_MAX = 3
"""Rolled-back commits in a row, without a rebalance between, after which the process gives up (exit 1)."""
SILENT_BROKER_S = 5.0
"""No answer from the broker on any partition for this long is reported as Kafka being away."""
ANSWER_PATIENCE_S = 3.0
"""How long a broker that is asked whether it is there may take."""
REBALANCE_LOOK_S = 1.0
"""How long a look may wait beyond its time for a rebalance, before we look whether there is a broker."""
LEAVE_PATIENCE_S = 5.0
"""How long leaving the group, or telling it how far we are, may take; a broker that hangs finds out by itself."""
STOPPED_RECHECK_S = 5.0
"""How often a stopped partition looks whether somebody reset its position."""
LOOK_INTERVAL_MS = 100
"""How long one look into the fetch buffer may wait, and so how quickly a stop or an idle bar is noticed."""
RIVAL_PATIENCE_S = 5.0
"""Who loses a partition that was assigned by hand waits at least so long before it takes it back,"""
RIVAL_PATIENCE_MAX_S = 300.0
"""and each time longer, up to about this."""
RIVAL_GONE_S = 600.0
"""Who has kept it so long has no rival any more."""
LINGER_S = 0.003
"""The first records of a batch were fetched while the one before was stored: so long a fetch of newer ones may take."""
COMMIT_INTERVAL_S = 1.0
"""How often the group is told where a partition assigned by hand is: there may be hundreds of batches a second."""


class PipelineSettings(KafkaSettings, PostgresSettings, TracingSettings):
    """What every service that reads a topic as a group has."""

    flush_interval_ms: int = Field(250, ge=10, le=60_000)
    """How long a record may wait until it is stored. Shorter costs transactions, longer costs freshness."""

    batch_records_max: int = Field(20_000, ge=1, le=1_000_000)
    """Records of one batch: it bounds memory, and the time the event loop is away from heartbeats."""

    group_instance_id: str = Field("", max_length=200)
    """Static membership, for a process restarted under the same name: it need not wait for the session to time out.
    Leave it empty where replicas come and go."""

    session_timeout_ms: int = Field(10_000, ge=1_000, le=300_000)
    """How long the group waits for a silent member before it gives its partitions to others."""


class ConsumerSettings(PipelineSettings):
    """What every service has that stores what it folds."""

    retention_days: int = Field(365, ge=0, le=100_000)
    """How long trades and bars are kept in Postgres; an older trade is counted and left out. 0 keeps them for ever."""


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One record to publish, where its key puts it or in the ``partition`` that is named. ``exchange`` is for the
    metric, ``parent`` the span of what it follows from, where that is traced. It is nothing for the garbage collector,
    which would look through everything once in so many of them."""

    topic: str
    key: bytes
    value: bytes
    exchange: str
    partition: int | None = None
    parent: "Span | None" = None


def dead_letter(topic: str, record: ConsumerRecord, error: PeerError, exchange: str, now_ns: int) -> Publication:
    """A record that was refused, on its way to the ``topic`` of such."""
    key, letter = dead_letters.of_record(
        record.topic, record.partition, record.offset, record.key, record.value, error, exchange, now_ns
    )
    return Publication(topic, key, msgspec.json.encode(letter), exchange)


@dataclass
class Batch:
    """Records of the owned partitions, by partition number and topic, in log order within each topic.

    Of the engine's first topic, for each owned partition: ``clock_ns`` is the broker's time up to which it is known to
    be read (the newest record's timestamp, or the time of the fetch that found the partition's end), ``heads`` the
    offset behind this batch.
    """

    records: dict[int, dict[str, list[ConsumerRecord]]] = field(default_factory=dict)
    clock_ns: dict[int, int] = field(default_factory=dict)
    heads: dict[int, int] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    spans: "dict[Place, Span]" = field(default_factory=dict)
    """Of the records that are traced."""

    def span_of(self, topic: str, partition: int, offset: int) -> "Span | None":
        """Of one record; None where it is not traced, as nearly all."""
        return self.spans.get((topic, partition, offset)) if self.spans else None

    def count(self) -> int:
        return sum(len(records) for topics in self.records.values() for records in topics.values())


@dataclass
class Outcome:
    """What follows from a batch. ``store`` runs inside the transaction, ``stored`` after its commit (must not fail)."""

    publications: list[Publication] = field(default_factory=list)
    store: Callable[[Connection], Awaitable[None]] | None = None
    stored: Callable[[], Awaitable[None]] | None = None

    def nothing(self) -> bool:
        return not self.publications and self.store is None


class Engine(Protocol):
    """What a service supplies: its fold, and the state of each partition number it owns."""

    @property
    def group(self) -> Group: ...
    @property
    def topics(self) -> Sequence[str]:
        """The inputs; the first drives: its clock closes what is idle, its offsets number the output."""

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        """Read the state of these partition numbers, newly owned."""

    def forget(self) -> None:
        """Drop all state: the partitions are no longer ours, or will be loaded again."""

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        """Fold a batch; an empty one says that the clock moved. ``connection`` is for reading what is not in memory."""


@dataclass(slots=True)
class _Position:
    epoch: int
    next_offset: int


class _Lost(Exception):
    """The transaction was rolled back: a newer owner has some of the partitions."""


class _Superseded(Exception):
    """Another process has taken the partition that we were given by hand."""


class Pipeline:
    """Runs an ``Engine`` through the six steps until it is stopped. A component of ``serve``.

    With a ``partition`` it has that one of the engine's topics and no other, and a batch is what is there: its engine
    answers somebody.
    """

    def __init__(
        self,
        engine: Engine,
        settings: PipelineSettings,
        database: Postgres,
        producer: Producer,
        health: Health,
        tracing: "Tracing | None" = None,
        *,
        partition: int | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._database = database
        self._producer = producer
        self._health = health
        self._tracing = tracing
        self._group = str(engine.group)
        self._log = logging.logger()
        self._stopping = asyncio.Event()
        self._in_hand = asyncio.Lock()
        self._owned: dict[TopicPartition, _Position] = {}
        self._outside: dict[TopicPartition, int] = {}
        self._lost: set[int] = set()
        self._recheck_at = 0.0
        self._ask_at = 0.0
        self._assigned: set[TopicPartition] | None = None
        self._generation = 0
        self._losses = 0
        self._log_id = ""
        self._partition = partition
        self._rivalry = Backoff(RIVAL_PATIENCE_S, RIVAL_PATIENCE_MAX_S)
        self._taken_at = 0.0
        self._commit_at = 0.0

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        backoff = Backoff(0.2, 5)
        while not self._stopping.is_set():
            try:
                await self._session(backoff)
            except BEGIN_AGAIN as error:
                self._say_away(error)
                self._log.warning("session_ended", error=str(error), error_type=type(error).__name__)
                await self._rest(backoff.next_s())
            except _Superseded:
                await self._stand_back()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _stand_back(self) -> None:
        """Leave the partition to who has it now, for longer each time: of two that want it, one shall get to work."""
        if time.monotonic() - self._taken_at > RIVAL_GONE_S:
            self._rivalry.reset()
        wait_s = RIVAL_PATIENCE_S + self._rivalry.next_s()
        name = f"owner:{self._engine.topics[0]}/{self._partition}"
        self._log.warning("partition_taken_by_another", group=self._group, partition=self._partition, wait_s=wait_s)
        self._health.report(name, False, f"another process has taken it; trying again in {wait_s:.0f} s")
        await self._rest(wait_s)
        self._health.forget(name)

    async def stop(self) -> None:
        """End the batch in hand, store it, and leave."""
        self._stopping.set()

    async def _session(self, backoff: Backoff) -> None:
        self._forget()
        self._log_id = await self._read_log_id()
        consumer = AIOKafkaConsumer(
            **kafka.connection(self._settings),
            group_id=self._group,
            group_instance_id=self._settings.group_instance_id or None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self._settings.session_timeout_ms,
            heartbeat_interval_ms=max(300, self._settings.session_timeout_ms // 4),
            max_partition_fetch_bytes=2 << 20,
        )
        try:
            await consumer.start()
            await self._check_partitions(consumer)
            self._ask_for_partitions(consumer)
            while not self._stopping.is_set():
                await self._turn(consumer)
                backoff.reset()
        finally:
            self._forget()
            await _leave(consumer)

    def _ask_for_partitions(self, consumer: AIOKafkaConsumer) -> None:
        if self._partition is None:
            consumer.subscribe([str(topic) for topic in self._engine.topics], listener=_Listener(self))
            return
        partitions = {TopicPartition(str(topic), self._partition) for topic in self._engine.topics}
        consumer.assign(partitions)
        self.assigned(partitions)

    async def _check_partitions(self, consumer: AIOKafkaConsumer) -> None:
        """A number other than the topics' own would make good records look misplaced. Raises ConfigError."""
        name = "partitions" if self._partition is None else "market_groups"
        wanted = getattr(self._settings, name)
        for topic in self._engine.topics:
            found = len(await kafka.partitions_of(consumer, topic))
            if found != wanted:
                raise ConfigError(f"TICKPLANE_{name.upper()} is {wanted}, but {topic} has {found}")

    def _say_away(self, error: Exception) -> None:
        """In ``/ready``. What talks to Kafka here raises InfraError or Kafka's own errors."""
        if isinstance(error, postgres.AWAY):
            self._database.report(error)
        elif isinstance(error, KafkaError) or (isinstance(error, InfraError) and error.dependency == "kafka"):
            self._producer.report(error)

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        async with self._in_hand:
            await self._take(consumer)
        generation = self._generation
        batch = await self._collect(consumer)
        async with self._in_hand:
            if generation == self._generation and self._owned:
                await self._traced(consumer, batch)
        await self._report(consumer)
        if (self._outside or self._lost) and not self._stopping.is_set():
            await self._recheck()

    # ---- 1. take

    def assigned(self, partitions: set[TopicPartition]) -> None:
        self._assigned = partitions
        self._losses = 0

    async def revoked(self) -> None:
        """Wait for the batch in hand, then forget."""
        async with self._in_hand:
            self._forget()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        partitions = self._assigned
        self._assigned = None
        if not partitions:
            return
        ordered = sorted(partitions)
        self._forget()
        beginnings = await consumer.beginning_offsets(ordered)
        async with self._database.pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                sql("position_take"),
                self._group,
                [tp.topic for tp in ordered],
                [tp.partition for tp in ordered],
                [beginnings[tp] for tp in ordered],
                self._log_id,
            )
            # Asked once the rows are ours: what the owner before stored until then is not beyond these.
            ends = await consumer.end_offsets(ordered)
            positions = {TopicPartition(row["topic"], row["partition"]): row for row in rows}
            for tp, row in positions.items():
                self._check(tp, row, beginnings[tp], ends[tp])
            stopped = {tp.partition for tp in self._outside}
            self._owned = {
                tp: _Position(row["owner_epoch"], row["next_offset"])
                for tp, row in positions.items()
                if tp.partition not in stopped
            }
            await self._engine.load(connection, sorted({tp.partition for tp in self._owned}))
        for tp in ordered:
            if tp in self._owned:
                consumer.seek(tp, self._owned[tp].next_offset)
            else:
                consumer.pause(tp)
        self._database.report(None)
        self._taken_at = time.monotonic()
        self._log.info("partitions_taken", group=self._group, partitions=sorted({tp.partition for tp in ordered}))

    def _check(self, tp: TopicPartition, row: asyncpg.Record, beginning: int, end: int) -> None:
        """Stop the partition where its stored position cannot be in this log."""
        reason = ""
        if row["log_id"] != self._log_id:
            reason = "the topics were made anew: the position belongs to another log"
        elif not beginning <= row["next_offset"] <= end:
            reason = f"the position {row['next_offset']} is outside the log, which has {beginning} to {end}"
        gauge(Metric.POSITION_OUTSIDE_LOG).labels(self._group, tp.topic, tp.partition).set(int(bool(reason)))
        if not reason:
            return
        self._outside[tp] = row["owner_epoch"]
        self._log.error(
            "position_outside_log", group=self._group, topic=tp.topic, partition=tp.partition, reason=reason
        )
        self._health.report(
            f"position:{tp.topic}/{tp.partition}", False, f"{reason}; see `tickplane positions show` and `reset`"
        )

    async def _recheck(self) -> None:
        """Begin again once somebody reset a stopped position, or when partitions lost are still assigned to us (a tool
        took them for a moment): there is no recovery path that is not the start path."""
        if time.monotonic() < self._recheck_at:
            return
        self._recheck_at = time.monotonic() + STOPPED_RECHECK_S
        if self._lost:
            raise InfraError("postgres", f"partitions {sorted(self._lost)} were taken and not claimed: beginning again")
        async with self._database.pool.acquire() as connection:
            rows = await connection.fetch(sql("position_show"), self._group)
        epochs = {TopicPartition(row["topic"], row["partition"]): row["owner_epoch"] for row in rows}
        if any(epochs.get(tp) != epoch for tp, epoch in self._outside.items()):
            raise InfraError("postgres", "a stopped position was reset: beginning again")

    # ---- 2. collect

    async def _collect(self, consumer: AIOKafkaConsumer) -> Batch:
        """Records until the flush interval is over or the batch is full; at least one look.

        With a partition assigned by hand, no longer than it takes to ask for what came since the first were fetched.
        """
        deadline = time.monotonic() + self._settings.flush_interval_ms / 1000
        batch = Batch()
        room = self._settings.batch_records_max
        generation = self._generation
        while room > 0 and generation == self._generation and not self._stopping.is_set():
            left_ms = int((deadline - time.monotonic()) * 1000)
            if left_ms <= 0:
                break
            is_first = not batch.records
            room -= self._add(batch, await self._look(consumer, min(left_ms, LOOK_INTERVAL_MS), room))
            if self._partition is not None and is_first and batch.records:
                deadline = min(deadline, time.monotonic() + LINGER_S)
        for tp, position in self._owned.items():
            if tp.topic == self._engine.topics[0]:
                head = batch.next_offsets.get(tp, position.next_offset)
                batch.heads[tp.partition] = head
                batch.clock_ns[tp.partition] = max(
                    batch.clock_ns.get(tp.partition, 0), _end_time_ns(consumer, tp, head)
                )
        return batch

    async def _look(
        self, consumer: AIOKafkaConsumer, timeout_ms: int, room: int
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        try:
            # During a rebalance getmany waits beyond its timeout, and for ever while there is no broker.
            fetch = asyncio.ensure_future(consumer.getmany(timeout_ms=timeout_ms, max_records=room))
            stopping = asyncio.ensure_future(self._stopping.wait())
            patience_s = timeout_ms / 1000 + REBALANCE_LOOK_S
            await asyncio.wait([fetch, stopping], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not fetch.done():
                fetch.cancel()
                return {}
            return fetch.result()  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            return {}
        except OffsetOutOfRangeError as error:
            raise InfraError("kafka", f"retention overtook a position: {error}") from error

    def _add(self, batch: Batch, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> int:
        count = 0
        for tp, records in fetched.items():
            if tp not in self._owned or not records:
                continue
            batch.records.setdefault(tp.partition, {}).setdefault(tp.topic, []).extend(records)
            batch.next_offsets[tp] = records[-1].offset + 1
            if tp.topic == self._engine.topics[0]:
                newest = max(record.timestamp for record in records) * NS_PER_MS
                batch.clock_ns[tp.partition] = max(batch.clock_ns.get(tp.partition, 0), newest)
            count += len(records)
        return count

    # ---- 3. to 6.

    async def _traced(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        """Process the batch, with a span for each of its records that is traced."""
        if self._tracing is None:
            await self._process(consumer, batch)
            return
        for topics in batch.records.values():
            for records in topics.values():
                batch.spans |= self._tracing.process_all(records, self._group)
        with self._tracing.ending(batch.spans.values()):
            await self._process(consumer, batch)

    async def _process(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        started = time.monotonic()
        async with self._database.pool.acquire() as connection:
            outcome = await self._engine.fold(batch, connection)
            if outcome.nothing() and not batch.next_offsets:
                return
            await self._publish(outcome.publications)
            asked = time.perf_counter()
            try:
                await self._store(connection, batch, outcome)
            except _Lost:
                if self._partition is not None:
                    counter(Metric.OWNERSHIP_LOST).labels(self._group).inc()
                    raise _Superseded from None
                await self._give_way(consumer, connection)
                return
        self._database.report(None, time.perf_counter() - asked)
        self._losses = 0
        for tp, next_offset in batch.next_offsets.items():
            self._owned[tp].next_offset = next_offset
        histogram(Metric.BATCH_SECONDS).labels(self._group).observe(time.monotonic() - started)
        histogram(Metric.BATCH_RECORDS).labels(self._group).observe(batch.count())
        if outcome.stored is not None:
            await outcome.stored()
        await self._commit(consumer, batch)

    async def _publish(self, publications: Iterable[Publication]) -> None:
        """Raises InfraError where Kafka does not acknowledge before a stop: what was sent goes out again."""
        spans: list[Span] = []
        with contextlib.nullcontext() if self._tracing is None else self._tracing.ending(spans):
            await self._send(publications, spans)

    async def _send(self, publications: Iterable[Publication], spans: "list[Span]") -> None:
        """``spans`` gets those that are begun."""
        sends = []
        counts: dict[tuple[str, str], int] = {}
        together: dict[tuple[str, int], list[tuple[bytes, bytes, RecordHeaders]]] = {}
        for item in publications:
            headers: RecordHeaders = ()
            if self._tracing is not None and item.parent is not None:
                spans.append(self._tracing.send(item.topic, item.key.decode(), item.parent))
                headers = self._tracing.record_headers(spans[-1])
            if item.partition is None:
                sends.append(await self._producer.send(item.topic, item.key, item.value, headers=headers))
            else:
                together.setdefault((item.topic, item.partition), []).append((item.key, item.value, headers))
            counts[item.exchange, item.topic] = counts.get((item.exchange, item.topic), 0) + 1
        for (topic, partition), records in together.items():
            sends += await self._producer.send_all(topic, partition, records)
        acks = asyncio.ensure_future(self._producer.acknowledged(sends))
        while not (await asyncio.wait([acks], timeout=SILENT_BROKER_S))[0]:
            self._producer.report(TimeoutError(f"no acknowledgement for {SILENT_BROKER_S:.0f} s"))
            if self._stopping.is_set():
                acks.cancel()
                raise InfraError("kafka", "no acknowledgement before the stop")
        acks.result()
        for (exchange, topic), count in counts.items():
            self._producer.published(exchange, topic, count)

    async def _store(self, connection: Connection, batch: Batch, outcome: Outcome) -> None:
        """One transaction. The positions come first: they lock out a newer owner, or tell us of it, before we write."""
        # All of them: the clock, or the other input, may have changed a partition that has no new record.
        ordered = sorted(self._owned)
        async with connection.transaction():
            advanced = await connection.fetch(
                sql("position_advance"),
                self._group,
                [tp.topic for tp in ordered],
                [tp.partition for tp in ordered],
                [self._owned[tp].epoch for tp in ordered],
                [self._owned[tp].next_offset for tp in ordered],
                [batch.next_offsets.get(tp, self._owned[tp].next_offset) for tp in ordered],
            )
            if len(advanced) != len(ordered):
                raise _Lost
            if outcome.store is not None:
                await outcome.store(connection)

    async def _give_way(self, consumer: AIOKafkaConsumer, connection: Connection) -> None:
        """A newer owner wins: forget what it has, and begin again with the rest from what is stored."""
        self._losses += 1
        counter(Metric.OWNERSHIP_LOST).labels(self._group).inc()
        if self._losses >= LOSSES_MAX:
            raise RuntimeError(f"{self._group}: {LOSSES_MAX} commits rolled back without a rebalance between")
        rows = await connection.fetch(sql("position_show"), self._group)
        stored = {TopicPartition(row["topic"], row["partition"]): row for row in rows}
        lost = {tp.partition for tp, mine in self._owned.items() if stored[tp]["owner_epoch"] != mine.epoch}
        self._lost |= lost
        self._recheck_at = time.monotonic() + STOPPED_RECHECK_S
        self._log.warning("ownership_lost", group=self._group, partitions=sorted(lost))
        self._engine.forget()
        self._generation += 1
        for tp in list(self._owned):
            if tp.partition in lost:
                del self._owned[tp]
                consumer.pause(tp)
            else:
                self._owned[tp].next_offset = stored[tp]["next_offset"]
                consumer.seek(tp, stored[tp]["next_offset"])
        await self._engine.load(connection, sorted({tp.partition for tp in self._owned}))

    async def _commit(self, consumer: AIOKafkaConsumer, batch: Batch) -> None:
        if not batch.next_offsets or (self._partition is not None and time.monotonic() < self._commit_at):
            return
        self._commit_at = time.monotonic() + COMMIT_INTERVAL_S
        with contextlib.suppress(CommitFailedError, IllegalStateError, *kafka.AWAY):
            async with asyncio.timeout(LEAVE_PATIENCE_S):
                await consumer.commit(batch.next_offsets)

    # ---- bookkeeping

    def _forget(self) -> None:
        self._generation += 1
        self._engine.forget()
        for tp in self._outside:
            self._health.forget(f"position:{tp.topic}/{tp.partition}")
        for tp in (*self._owned, *self._outside):
            for metric in (Metric.CONSUMER_LAG, Metric.POSITION_OUTSIDE_LOG):
                with contextlib.suppress(KeyError):
                    gauge(metric).remove(self._group, tp.topic, str(tp.partition))
        self._owned.clear()
        self._outside.clear()
        self._lost.clear()

    async def _report(self, consumer: AIOKafkaConsumer) -> None:
        """Lag of each partition, and whether the broker still answers."""
        newest_answer_ms = 0
        for tp, position in self._owned.items():
            with contextlib.suppress(AssertionError, IllegalStateError):
                highwater = consumer.highwater(tp)
                if highwater is None:
                    continue
                gauge(Metric.CONSUMER_LAG).labels(self._group, tp.topic, tp.partition).set(
                    max(0, highwater - position.next_offset)
                )
                newest_answer_ms = max(newest_answer_ms, consumer.last_poll_timestamp(tp))
        if time.time() - newest_answer_ms / 1000 < SILENT_BROKER_S:
            self._producer.report(None)
        elif time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + SILENT_BROKER_S
            await self._ask(consumer)

    async def _ask(self, consumer: AIOKafkaConsumer) -> None:
        """Whether the broker is there, where no fetch tells: who owns no partition has none, nor who waits to join."""
        try:
            began = time.perf_counter()
            async with asyncio.timeout(ANSWER_PATIENCE_S):
                await kafka.partitions_of(consumer, self._engine.topics[0])
            self._producer.report(None, time.perf_counter() - began)
        except kafka.NOT_READY as error:
            self._producer.report(error)

    async def _read_log_id(self) -> str:
        log_id = await read_log_id(self._settings)
        if log_id is None:
            raise InfraError("kafka", "the log has no identity yet: run `tickplane topics apply`")
        return log_id


async def _leave(consumer: AIOKafkaConsumer) -> None:
    """Stop it. While the broker is away aiokafka's own tasks may end it as cancelled, though nobody cancelled us."""
    leaving = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([leaving], timeout=LEAVE_PATIENCE_S)
    if not leaving.done():
        leaving.cancel()
    elif not leaving.cancelled() and (error := leaving.exception()) is not None:
        raise error


def _end_time_ns(consumer: AIOKafkaConsumer, tp: TopicPartition, head: int) -> int:
    """When the partition was last seen read to its end, or 0: the wall clock counts only there."""
    with contextlib.suppress(AssertionError, IllegalStateError):
        highwater = consumer.highwater(tp)
        if highwater is not None and head >= highwater:
            return int(consumer.last_poll_timestamp(tp)) * NS_PER_MS
    return 0


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._pipeline.revoked()

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._pipeline.assigned(set(assigned))
