"""Kafka: the idempotent producer, a reader without a group, and the topics' administration."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from services.contracts.errors import ConfigError, InfraError
from services.contracts.events import LogIdentity
from services.contracts.metrics import Metric
from services.contracts.topics import LOG_IDENTITY_KEY, TOPICS, Topic
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.metrics import counter
from services.runtime.serve import Resource

AWAY: tuple[type[Exception], ...] = (KafkaError, OSError, asyncio.TimeoutError)
NOT_READY: tuple[type[Exception], ...] = (*AWAY, InfraError)

STOP_PATIENCE_S = 5.0
"""How long a producer may flush when it is stopped: whoever needs the acks has waited for them before."""
TOPICS_APPEAR_S = 30.0
"""How long topics just made may take to be known everywhere."""


class Producer(Resource):
    """Idempotent, ``acks=all``, lz4. ``send`` waits while the buffer is full; ``flush`` waits for every ack."""

    def __init__(self, bootstrap_servers: str, health: Health, *, request_timeout_ms: int = 30_000) -> None:
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap_servers,
            "enable_idempotence": True,
            "acks": "all",
            "compression_type": "lz4",
            "linger_ms": 0,
            "max_batch_size": 256 * 1024,
            "request_timeout_ms": request_timeout_ms,
        }
        self._health = health
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        backoff = Backoff(0.2, 5)
        while True:
            producer = AIOKafkaProducer(**self._options)
            try:
                await producer.start()
            except AWAY as error:
                await producer.stop()
                self.report(error)
                await asyncio.sleep(backoff.next_s())
                continue
            self._producer = producer
            self.report(None)
            return

    async def stop(self) -> None:
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._producer.stop(), STOP_PATIENCE_S)
            self._producer = None

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Any]:
        """Put one record into the buffer. The future is the broker's ack. Raises InfraError."""
        assert self._producer is not None, "used before start"
        try:
            return await self._producer.send(topic, value, key=key, partition=partition, headers=headers)  # type: ignore[no-any-return]
        except AWAY as error:
            raise self.away(error) from error

    async def acknowledged(self, sends: Iterable[asyncio.Future[Any]]) -> None:
        """Wait for the acks. Raises InfraError for the first that failed, once all have ended."""
        pending = list(sends)
        if not pending:
            return
        results = await asyncio.gather(*pending, return_exceptions=True)
        for result in results:
            if isinstance(result, AWAY):
                raise self.away(result) from result
            if isinstance(result, BaseException):
                raise result
        self.report(None)

    def published(self, exchange: str, topic: str, count: int = 1) -> None:
        counter(Metric.MESSAGES_PUBLISHED).labels(exchange, topic).inc(count)

    async def partitions(self, topic: str) -> int:
        assert self._producer is not None, "used before start"
        return len(await self._producer.partitions_for(topic))

    def report(self, error: BaseException | None) -> None:
        self._health.report("kafka", error is None, "" if error is None else f"{type(error).__name__}: {error}")

    def away(self, error: BaseException) -> InfraError:
        self.report(error)
        logging.logger().warning("kafka_away", error=str(error), error_type=type(error).__name__)
        return InfraError("kafka", str(error) or type(error).__name__)


class Reader:
    """Reads every partition of some topics without a group, from an offset the caller chooses per partition.

    ``start_offsets`` is given (beginning, end) of each partition and says where to begin. A lost broker is waited for.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Sequence[str],
        health: Health,
        start_offsets: Callable[[Mapping[TopicPartition, tuple[int, int]]], Mapping[TopicPartition, int]],
        *,
        max_wait_ms: int = 500,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._health = health
        self._start_offsets = start_offsets
        self._max_wait_ms = max_wait_ms
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        backoff = Backoff(0.2, 5)
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap_servers,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=self._max_wait_ms,
                max_partition_fetch_bytes=4 << 20,
            )
            try:
                await consumer.start()
                await self._assign(consumer)
            except NOT_READY as error:
                await consumer.stop()
                self._report(error)
                await asyncio.sleep(backoff.next_s())
                continue
            self._consumer = consumer
            self._report(None)
            return

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def fetch(self, timeout_ms: int = 1_000) -> list[ConsumerRecord]:
        """The next records, in order within each partition; empty when there are none in time. Raises InfraError."""
        assert self._consumer is not None, "used before start"
        try:
            batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=5_000)
        except AWAY as error:
            self._report(error)
            raise InfraError("kafka", str(error) or type(error).__name__) from error
        return [record for batch in batches.values() for record in batch]

    async def positions(self) -> Mapping[TopicPartition, int]:
        """The offset at which each partition goes on."""
        assert self._consumer is not None, "used before start"
        return {tp: await self._consumer.position(tp) for tp in self._consumer.assignment()}

    async def ends(self) -> Mapping[TopicPartition, int]:
        """The end offset of every partition read."""
        assert self._consumer is not None, "used before start"
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return ends

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        partitions = []
        for topic in self._topics:
            numbers = await partitions_of(consumer, topic)
            partitions += [TopicPartition(topic, number) for number in numbers]
        consumer.assign(partitions)
        beginnings = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        offsets = self._start_offsets({tp: (beginnings[tp], ends[tp]) for tp in partitions})
        for partition in partitions:
            consumer.seek(partition, offsets[partition])

    def _report(self, error: BaseException | None) -> None:
        self._health.report("kafka", error is None, "" if error is None else f"{type(error).__name__}: {error}")


class LogEnds(Resource):
    """Asks where the partitions of some topics end, without reading them: for lag, and whether Kafka answers at all."""

    def __init__(
        self, bootstrap_servers: str, topics: Sequence[str], health: Health, *, timeout_s: float = 5.0
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._health = health
        self._timeout_s = timeout_s
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        self._health.report("kafka", False, "not asked yet")

    async def ask(self) -> Mapping[TopicPartition, int]:
        """The end offset of every partition. Raises InfraError; the first call connects."""
        try:
            async with asyncio.timeout(self._timeout_s):
                ends = await self._ask()
        except (KafkaError, OSError, InfraError) as error:
            detail = str(error) or type(error).__name__
            self._health.report("kafka", False, detail)
            raise InfraError("kafka", detail) from error
        self._health.report("kafka", True)
        return ends

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _ask(self) -> Mapping[TopicPartition, int]:
        consumer = await self._connected()
        partitions = [
            TopicPartition(topic, number) for topic in self._topics for number in await partitions_of(consumer, topic)
        ]
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers, enable_auto_commit=False)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions, asked of the broker. Raises InfraError where the topic is not there."""
    # The public `partitions_for_topic` answers from memory, and a topic just made is not there yet.
    cluster = await consumer._client.fetch_all_metadata()
    numbers = cluster.partitions_for_topic(topic)
    if not numbers:
        raise InfraError("kafka", f"the topic {topic} is not there: run `tickplane topics apply`")
    return sorted(numbers)


async def apply_topics(
    bootstrap_servers: str, *, partitions: int, retention_bytes: int, replication: int = 1
) -> list[str]:
    """Make the topics that are missing, and give a log made anew its identity. Returns the names of those made.

    Raises ConfigError where a topic is there with another number of partitions: products would move between them.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        present = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if t["error_code"] == 0}
        made = []
        for spec in TOPICS:
            wanted = partitions if spec.partitioned else 1
            if spec.topic in present:
                if present[spec.topic] != wanted:
                    raise ConfigError(
                        f"TICKPLANE_PARTITIONS is {partitions}, but the topic {spec.topic} has {present[spec.topic]}; "
                        "it is fixed at install"
                    )
                continue
            config = spec.config(partitions=wanted, retention_bytes=retention_bytes)
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics([NewTopic(spec.topic, wanted, replication, topic_configs=config)])
                made.append(str(spec.topic))
        await _wait_for_topics(admin)
    finally:
        await admin.close()
    await ensure_log_id(bootstrap_servers)
    return made


async def _wait_for_topics(admin: AIOKafkaAdminClient) -> None:
    """Brokers answer a creation before every one of them knows of the topic."""
    wanted = {str(spec.topic) for spec in TOPICS}
    async with asyncio.timeout(TOPICS_APPEAR_S):
        while not wanted <= {t["topic"] for t in await admin.describe_topics() if t["error_code"] == 0}:
            await asyncio.sleep(0.05)


async def ensure_log_id(bootstrap_servers: str) -> str:
    """Write the log's identity if it has none, and return it. When two write at once, the later counts: it is what
    compaction keeps."""
    known = await read_log_id(bootstrap_servers)
    if known is not None:
        return known
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
    await producer.start()
    try:
        identity = LogIdentity(log_id=secrets.token_hex(8))
        await producer.send_and_wait(Topic.FEED_STATE, msgspec.json.encode(identity), key=LOG_IDENTITY_KEY, partition=0)
    finally:
        await producer.stop()
    written = await read_log_id(bootstrap_servers)
    assert written is not None
    return written


async def read_log_id(bootstrap_servers: str) -> str | None:
    """The log's identity, or None where there is none yet."""
    log_id = None
    async for record in read_all(bootstrap_servers, Topic.FEED_STATE, partitions=[0]):
        if record.key == LOG_IDENTITY_KEY and record.value:
            log_id = msgspec.json.decode(record.value, type=LogIdentity).log_id
    return log_id


async def read_all(
    bootstrap_servers: str, topic: str, *, partitions: Sequence[int] | None = None
) -> AsyncGenerator[ConsumerRecord]:
    """Every record of a topic (or of some of its partitions) up to where it ends now."""
    async with _anonymous_consumer(bootstrap_servers) as consumer:
        numbers = await partitions_of(consumer, topic)
        wanted = [TopicPartition(topic, number) for number in numbers if partitions is None or number in partitions]
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        for partition, offset in (await consumer.beginning_offsets(wanted)).items():
            consumer.seek(partition, offset)
        while any([await consumer.position(partition) < ends[partition] for partition in wanted]):
            for batch in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in batch:
                    yield record


async def log_bounds(bootstrap_servers: str, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(first offset, end offset) of each (topic, partition)."""
    async with _anonymous_consumer(bootstrap_servers) as consumer:
        wanted = [TopicPartition(topic, number) for topic in topics for number in await partitions_of(consumer, topic)]
        beginnings, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (beginnings[tp], ends[tp]) for tp in wanted}


@contextlib.asynccontextmanager
async def _anonymous_consumer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        yield consumer
    except AWAY as error:
        raise InfraError("kafka", str(error) or type(error).__name__) from error
    finally:
        await consumer.stop()
