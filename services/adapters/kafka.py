"""Kafka: how we connect, the idempotent producer, a reader without a group, and the topics' administration."""

import asyncio
import contextlib
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code
from aiokafka.helpers import create_ssl_context

from services.contracts.errors import ConfigError, InfraError
from services.contracts.events import LogIdentity
from services.contracts.metrics import Metric
from services.contracts.topics import LOG_IDENTITY_KEY, TOPICS, Topic, TopicSpec
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.metrics import counter
from services.runtime.serve import Resource
from services.runtime.settings import KafkaSettings, TopicsSettings

AWAY: tuple[type[Exception], ...] = (KafkaError, OSError, asyncio.TimeoutError)
NOT_READY: tuple[type[Exception], ...] = (*AWAY, InfraError)

STOP_PATIENCE_S = 5.0
"""How long a producer may flush when it is stopped: whoever needs the acks has waited for them before."""
TOPICS_APPEAR_S = 30.0
"""How long topics just made may take to be known everywhere."""
TOPICS_LOOK_INTERVAL_S = 0.05


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """How every client of ours connects, as aiokafka's arguments."""
    protocol = settings.kafka_security_protocol
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL_"):
        arguments |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings.kafka_ca_file)
    return arguments


def _ssl_context(ca_file: str) -> ssl.SSLContext:
    """The chain and the name are checked, but not RFC 5280 to the letter, as Python 3.13 does: Strimzi's certificates
    have no authority key identifier (https://github.com/strimzi/strimzi-kafka-operator/issues/11375)."""
    context: ssl.SSLContext = create_ssl_context(cafile=ca_file or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslobject_class = _Parting
    return context


class _Parting(ssl.SSLObject):
    """Says goodbye without waiting for the broker's, as RFC 8446 allows: uvloop would wait 30 s for it whenever a
    connection is closed with a request under way (https://github.com/MagicStack/uvloop/issues/471)."""

    def unwrap(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


class Producer(Resource):
    """Idempotent, ``acks=all``, compressed. ``send`` waits while the buffer is full; ``flush`` waits for every ack.

    ``start`` waits for a broker, and for these ``topics``: services never make them.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        health: Health,
        *,
        topics: Iterable[str] = (),
        request_timeout_ms: int = 30_000,
    ) -> None:
        self._topics = sorted(topics)
        self._options: dict[str, Any] = {
            **connection(settings),
            "enable_idempotence": True,
            "acks": "all",
            # A nineteenth of the CPU of lz4, for which aiokafka always takes level 9, and a sixth more bytes.
            "compression_type": "snappy",
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
                began = time.perf_counter()
                await _cluster_with(producer.client, self._topics)
            except NOT_READY as error:
                await producer.stop()
                self.report(error)
                await asyncio.sleep(backoff.next_s())
                continue
            self._producer = producer
            self.report(None, time.perf_counter() - began)
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

    async def send_all(
        self, topic: str, partition: int, records: Iterable[tuple[bytes, bytes, Sequence[tuple[str, bytes]]]]
    ) -> list[asyncio.Future[Any]]:
        """The same for many (key, value, headers), an eighth of the cost each. The futures are those of their batches.
        Raises InfraError."""
        assert self._producer is not None, "used before start"
        sends = []
        batch = self._producer.create_batch()
        try:
            for key, value, headers in records:
                if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                    sends.append(await self._producer.send_batch(batch, topic, partition=partition))
                    batch = self._producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            if batch.record_count():
                sends.append(await self._producer.send_batch(batch, topic, partition=partition))
        except AWAY as error:
            raise self.away(error) from error
        return sends

    async def acknowledged(self, sends: Iterable[asyncio.Future[Any]]) -> None:
        """Wait for the acks. Raises InfraError for the first that failed, once all have ended."""
        pending = list(sends)
        if not pending:
            return
        began = time.perf_counter()
        results = await asyncio.gather(*pending, return_exceptions=True)
        for result in results:
            if isinstance(result, AWAY):
                raise self.away(result) from result
            if isinstance(result, BaseException):
                raise result
        self.report(None, time.perf_counter() - began)

    def published(self, exchange: str, topic: str, count: int = 1) -> None:
        counter(Metric.MESSAGES_PUBLISHED).labels(exchange, topic).inc(count)

    def report(self, error: BaseException | None, latency_s: float | None = None) -> None:
        """Say in ``/ready`` how Kafka is, and how long it took to answer."""
        _report(self._health, error, latency_s)

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
        settings: KafkaSettings,
        topics: Sequence[str],
        health: Health,
        start_offsets: Callable[[Mapping[TopicPartition, tuple[int, int]]], Mapping[TopicPartition, int]],
        *,
        max_wait_ms: int = 500,
    ) -> None:
        self._connection = connection(settings)
        self._topics = topics
        self._health = health
        self._start_offsets = start_offsets
        self._max_wait_ms = max_wait_ms
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        backoff = Backoff(0.2, 5)
        while True:
            consumer = AIOKafkaConsumer(
                **self._connection,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=self._max_wait_ms,
                max_partition_fetch_bytes=4 << 20,
            )
            try:
                await consumer.start()
                began = time.perf_counter()
                await self._assign(consumer)
            except NOT_READY as error:
                await consumer.stop()
                _report(self._health, error)
                await asyncio.sleep(backoff.next_s())
                continue
            self._consumer = consumer
            _report(self._health, None, time.perf_counter() - began)
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
            _report(self._health, error)
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


class LogEnds(Resource):
    """Asks where the partitions of some topics end, without reading them: for lag, and whether Kafka answers at all."""

    def __init__(
        self, settings: KafkaSettings, topics: Sequence[str], health: Health, *, timeout_s: float = 5.0
    ) -> None:
        self._connection = connection(settings)
        self._topics = topics
        self._health = health
        self._timeout_s = timeout_s
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        self._health.report("kafka", False, "not asked yet")

    async def ask(self) -> Mapping[TopicPartition, int]:
        """The end offset of every partition. Raises InfraError; the first call connects."""
        ends, latency_s = await self._asked(self._ends)
        _report(self._health, None, latency_s)
        return ends

    async def topics_healthy(self, topics: Iterable[str]) -> Mapping[str, bool]:
        """Whether each is there, with a leader for every partition. Raises InfraError; the first call connects."""

        async def look(consumer: AIOKafkaConsumer) -> Mapping[str, bool]:
            cluster = await _cluster_with(consumer._client, [])
            return {topic: is_healthy(cluster, topic) for topic in topics}

        healthy, _latency_s = await self._asked(look)
        return healthy

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _asked[T](self, question: Callable[[AIOKafkaConsumer], Awaitable[T]]) -> tuple[T, float]:
        """The answer, and how long it took in seconds."""
        try:
            async with asyncio.timeout(self._timeout_s):
                consumer = await self._connected()
                began = time.perf_counter()
                return await question(consumer), time.perf_counter() - began
        except (KafkaError, OSError, InfraError) as error:
            detail = str(error) or type(error).__name__
            self._health.report("kafka", False, detail)
            raise InfraError("kafka", detail) from error

    async def _ends(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int]:
        cluster = await _cluster_with(consumer._client, self._topics)
        partitions = [
            TopicPartition(topic, number) for topic in self._topics for number in cluster.partitions_for_topic(topic)
        ]
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer


def _report(health: Health, error: BaseException | None, latency_s: float | None = None) -> None:
    health.report("kafka", error is None, "" if error is None else f"{type(error).__name__}: {error}", latency_s)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions, asked of the broker. Raises InfraError where the topic is not there."""
    # The public `partitions_for_topic` answers from memory, and a topic just made is not there yet.
    cluster = await _cluster_with(consumer._client, [topic])
    return sorted(cluster.partitions_for_topic(topic))


async def _cluster_with(client: AIOKafkaClient, topics: Iterable[str]) -> ClusterMetadata:
    """What the brokers say there is. Raises InfraError naming the topics that are not among it: Kafka does not tell
    those that are missing from those that the user may not see."""
    cluster = await client.fetch_all_metadata()
    missing = [str(topic) for topic in topics if not cluster.partitions_for_topic(topic)]
    if missing:
        raise InfraError(
            "kafka",
            f"no topic {', '.join(missing)}, or none that this user may see: run `tickplane topics apply`, or allow it",
        )
    return cluster


def is_healthy(cluster: ClusterMetadata, topic: str) -> bool:
    """Whether the topic is there, with a leader for each partition."""
    partitions = cluster.partitions_for_topic(topic)
    return bool(partitions) and partitions == cluster.available_partitions_for_topic(topic)


async def apply_topics(settings: TopicsSettings) -> list[str]:
    """Make the topics that are missing, and give a log made anew its identity. Returns the names of those made.

    Raises ConfigError where a topic is there with another number of partitions: products would move between them.
    Raises InfraError where Kafka is away or refuses.
    """
    async with _admin(settings) as admin:
        made = await _make_missing(admin, settings)
        await _wait_for_topics(admin)
    await ensure_log_id(settings)
    return made


async def check_topics(settings: TopicsSettings) -> None:
    """Give a log that somebody else makes its identity. Raises as ``apply_topics``, and while a topic is missing."""
    async with _admin(settings) as admin:
        present = await _partition_counts(admin)
    missing = [spec.topic for spec in TOPICS if not _is_as_wanted(spec, present, settings)]
    if missing:
        raise InfraError("kafka", f"no topic {', '.join(missing)}, or none that this user may see")
    await ensure_log_id(settings)


@contextlib.asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        yield admin
    except AWAY as error:
        raise InfraError("kafka", str(error) or type(error).__name__) from error
    finally:
        await admin.close()


async def _make_missing(admin: AIOKafkaAdminClient, settings: TopicsSettings) -> list[str]:
    present = await _partition_counts(admin)
    made = []
    for spec in TOPICS:
        if _is_as_wanted(spec, present, settings):
            continue
        wanted = _partitions(spec, settings)
        config = spec.config(partitions=wanted, retention_bytes=settings.topics_retention_bytes)
        topic = NewTopic(spec.topic, wanted, settings.topics_replication, topic_configs=config)
        if await _make(admin, topic):
            made.append(str(spec.topic))
    return made


async def _make(admin: AIOKafkaAdminClient, topic: NewTopic) -> bool:
    """Whether it was made: somebody else may have been faster. Raises InfraError where Kafka refuses."""
    ((_name, code, *message),) = (await admin.create_topics([topic])).topic_errors
    if code not in (NoError.errno, TopicAlreadyExistsError.errno):
        said = " ".join([for_code(code).__name__, *filter(None, message)])
        raise InfraError("kafka", f"the topic {topic.name} cannot be made: {said}")
    return bool(code == NoError.errno)


def _partitions(spec: TopicSpec, settings: TopicsSettings) -> int:
    return {"product": settings.partitions, "market_group": settings.market_groups, None: 1}[spec.partitioned_by]


def _is_as_wanted(spec: TopicSpec, present: Mapping[str, int], settings: TopicsSettings) -> bool:
    """Whether the topic is there. Raises ConfigError where it has another number of partitions."""
    found, wanted = present.get(spec.topic), _partitions(spec, settings)
    if found not in (None, wanted):
        setting = "TICKPLANE_MARKET_GROUPS" if spec.partitioned_by == "market_group" else "TICKPLANE_PARTITIONS"
        raise ConfigError(f"{setting} is {wanted}, but the topic {spec.topic} has {found}; it is fixed at install")
    return found is not None


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has."""
    return {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics() if t["error_code"] == 0}


async def _wait_for_topics(admin: AIOKafkaAdminClient) -> None:
    """Brokers answer a creation before every one of them knows of the topic."""
    wanted = {str(spec.topic) for spec in TOPICS}
    async with asyncio.timeout(TOPICS_APPEAR_S):
        while not wanted <= set(await _partition_counts(admin)):
            await asyncio.sleep(TOPICS_LOOK_INTERVAL_S)


async def ensure_log_id(settings: KafkaSettings) -> str:
    """Write the log's identity if it has none, and return it. When two write at once, the later counts: it is what
    compaction keeps."""
    known = await read_log_id(settings)
    if known is not None:
        return known
    producer = AIOKafkaProducer(**connection(settings), enable_idempotence=True)
    await producer.start()
    try:
        identity = LogIdentity(log_id=secrets.token_hex(8))
        await producer.send_and_wait(Topic.FEED_STATE, msgspec.json.encode(identity), key=LOG_IDENTITY_KEY, partition=0)
    finally:
        await producer.stop()
    written = await read_log_id(settings)
    assert written is not None
    return written


async def read_log_id(settings: KafkaSettings) -> str | None:
    """The log's identity, or None where there is none yet."""
    log_id = None
    async for record in read_all(settings, Topic.FEED_STATE, partitions=[0]):
        if record.key == LOG_IDENTITY_KEY and record.value:
            log_id = msgspec.json.decode(record.value, type=LogIdentity).log_id
    return log_id


async def read_all(
    settings: KafkaSettings, topic: str, *, partitions: Sequence[int] | None = None
) -> AsyncGenerator[ConsumerRecord]:
    """Every record of a topic (or of some of its partitions) up to where it ends now."""
    async with _anonymous_consumer(settings) as consumer:
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


async def log_bounds(settings: KafkaSettings, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(first offset, end offset) of each (topic, partition)."""
    async with _anonymous_consumer(settings) as consumer:
        wanted = [TopicPartition(topic, number) for topic in topics for number in await partitions_of(consumer, topic)]
        beginnings, ends = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (beginnings[tp], ends[tp]) for tp in wanted}


async def offsets_since(settings: KafkaSettings, topic: str, time_ms: int) -> dict[TopicPartition, int]:
    """Where to begin in each partition to read what was appended since; its end where there is nothing."""
    async with _anonymous_consumer(settings) as consumer:
        wanted = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        ends = await consumer.end_offsets(wanted)
        found = await consumer.offsets_for_times(dict.fromkeys(wanted, time_ms))
        return {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in wanted}


@contextlib.asynccontextmanager
async def _anonymous_consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        yield consumer
    except AWAY as error:
        raise InfraError("kafka", str(error) or type(error).__name__) from error
    finally:
        await consumer.stop()
