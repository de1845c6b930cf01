"""Reconciles the names of the work queue, a few at a time."""

import asyncio
import time

from market_operator.api import RefusedError
from market_operator.feeds import Key
from market_operator.reconcile import Reconciler, TryAgainError
from market_operator.work_queue import WorkQueue
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.health import Health
from services.runtime.metrics import counter, gauge, histogram
from services.runtime.serve import Resource


class Workers(Resource):
    """A component. What it was doing when it is stopped is left undone: the next start makes it so."""

    def __init__(self, count: int, queue: WorkQueue[Key], reconciler: Reconciler, health: Health) -> None:
        self._count = count
        self._queue = queue
        self._reconciler = reconciler
        self._health = health
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._log = logging.logger()

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._work()) for _ in range(self._count)]
        waiter = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (waiter, *tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended.set()

    async def stop(self) -> None:
        self._stopping.set()
        await self._ended.wait()

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            gauge(Metric.OPERATOR_QUEUE_DEPTH).set(len(self._queue))
            began = time.perf_counter()
            result = await self._reconcile(key)
            counter(Metric.OPERATOR_RECONCILES).labels(result).inc()
            histogram(Metric.OPERATOR_RECONCILE_SECONDS).observe(time.perf_counter() - began)

    async def _reconcile(self, key: Key) -> str:
        """What is wrong with one MarketFeed, even our own mistake, does not keep the others waiting."""
        try:
            again_in_s = await self._reconciler.reconcile(key)
        except Exception as error:
            delay_s = self._queue.failed(key)
            expected = isinstance(error, InfraError | RefusedError | TryAgainError)
            say = self._log.warning if expected else self._log.exception
            say("reconcile_failed", feed=str(key), error=str(error), again_in_s=round(delay_s, 1))
            if isinstance(error, InfraError):
                self._health.report("kubernetes", False, str(error))
            return "error"
        self._health.report("kubernetes", True)
        self._queue.done(key, again_in_s)
        return "ok"
