"""Asks Postgres, Redis and Kafka now and then, so that ``/ready`` and ``/v1/status`` know without waiting for them."""

import asyncio
import contextlib
from collections.abc import Mapping

from aiokafka import TopicPartition

from services.adapters.kafka import LogEnds
from services.api.store import Store
from services.contracts.errors import InfraError
from services.runtime.serve import Resource


class Monitor(Resource):
    def __init__(self, store: Store, log_ends: LogEnds, interval_s: float) -> None:
        self._ends: Mapping[TopicPartition, int] = {}
        self._store = store
        self._log_ends = log_ends
        self._interval_s = interval_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            await asyncio.gather(self._check_database(), self._store.check_cache(), self._check_log())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval_s)

    async def stop(self) -> None:
        self._stopping.set()

    def end(self, topic: str, partition: int) -> int | None:
        """Where the partition ended when last asked; None while Kafka is away."""
        return self._ends.get(TopicPartition(topic, partition))

    async def _check_database(self) -> None:
        with contextlib.suppress(InfraError):
            await self._store.check_database()

    async def _check_log(self) -> None:
        try:
            self._ends = await self._log_ends.ask()
        except InfraError:
            self._ends = {}
