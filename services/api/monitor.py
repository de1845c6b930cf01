"""What Postgres, Redis and Kafka said when last asked, so that ``/ready`` and ``/v1/status`` need not wait for them."""

import asyncio
import contextlib
from collections.abc import Mapping

from aiokafka import TopicPartition

from services.adapters.kafka import LogEnds
from services.api.store import Store
from services.contracts.errors import InfraError


class Monitor:
    """``check`` asks all three; each says in ``/ready`` how it is."""

    def __init__(self, store: Store, log_ends: LogEnds) -> None:
        self._store = store
        self._log_ends = log_ends
        self._ends: Mapping[TopicPartition, int] = {}

    def end(self, topic: str, partition: int) -> int | None:
        """Where the partition ended when last asked; None while Kafka is away."""
        return self._ends.get(TopicPartition(topic, partition))

    async def check(self) -> None:
        await asyncio.gather(self._check_database(), self._store.check_cache(), self._check_log())

    async def _check_database(self) -> None:
        with contextlib.suppress(InfraError):
            await self._store.check_database()

    async def _check_log(self) -> None:
        try:
            self._ends = await self._log_ends.ask()
        except InfraError:
            self._ends = {}
