"""What Postgres, Redis and Kafka said when last asked, so that ``/ready`` and ``/v1/status`` need not wait for them."""

import asyncio
from collections.abc import Mapping

from aiokafka import TopicPartition

from services.adapters.kafka import LogEnds
from services.adapters.redis import Memory
from services.api.probe import asked, show
from services.api.store import DatabaseFigures, Store
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.runtime.metrics import gauge, withdraw


class Monitor:
    """``check`` asks all three; each says in ``/ready`` how it is, and more in the metrics."""

    def __init__(self, store: Store, log_ends: LogEnds) -> None:
        self._store = store
        self._log_ends = log_ends
        self._ends: Mapping[TopicPartition, int] = {}

    def end(self, topic: str, partition: int) -> int | None:
        """Where the partition ended when last asked; None while Kafka is away."""
        return self._ends.get(TopicPartition(topic, partition))

    async def check(self) -> None:
        await asyncio.gather(self._check_database(), self._check_cache(), self._check_log())

    async def _check_database(self) -> None:
        found = await asked("postgres", self._store.database_figures()) or DatabaseFigures()
        show(Metric.POSTGRES_DATABASE_SIZE, found.size_bytes)
        show(Metric.POSTGRES_CONNECTIONS, found.connections)
        show(Metric.POSTGRES_CONNECTIONS_MAX, found.connections_max)

    async def _check_cache(self) -> None:
        found = await asked("redis", self._store.cache_memory()) or Memory()
        show(Metric.REDIS_MEMORY_USED, found.used_bytes)
        show(Metric.REDIS_MEMORY_MAX, found.max_bytes)

    async def _check_log(self) -> None:
        topics = await asked("kafka", self._log_ends.topics_healthy(Topic))
        if topics is None:
            withdraw(Metric.KAFKA_TOPIC_HEALTHY)
            self._ends = {}
            return
        for topic, healthy in topics.items():
            gauge(Metric.KAFKA_TOPIC_HEALTHY).labels(topic).set(int(healthy))
        try:
            self._ends = await self._log_ends.ask()
        except InfraError:
            self._ends = {}
