"""The day partitions of the table ``trades``: made ahead and on demand, dropped when their time is over."""

import asyncio
import contextlib

from services.adapters.postgres import AWAY, Connection, Postgres, sql
from services.adapters.retention import DAY_NS, UPKEEP_INTERVAL_S, Retention
from services.runtime import logging
from services.runtime.clock import Clock


class DayPartitions:
    """A component: ``run`` keeps the days ahead made and drops those beyond the retention."""

    def __init__(self, retention: Retention, ahead_days: int, database: Postgres, clock: Clock) -> None:
        self._retention = retention
        self._ahead_days = ahead_days
        self._database = database
        self._clock = clock
        self._made: set[int] = set()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with self._database.pool.acquire() as connection:
                    await self.upkeep(connection)
            except AWAY as error:
                self._database.report(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), UPKEEP_INTERVAL_S)

    async def stop(self) -> None:
        self._stopping.set()

    async def upkeep(self, connection: Connection) -> None:
        today = self._clock.now_ns() // DAY_NS
        await self.make(connection, set(range(today, today + self._ahead_days + 1)))
        oldest = self._retention.oldest_day()
        if oldest is not None:
            dropped = await connection.fetchval(sql("trades_partitions_drop"), oldest)
            if dropped:
                logging.logger().info("trades_dropped", days=dropped, retention_days=self._retention.days)
            self._made = {day for day in self._made if day >= oldest}

    async def make(self, connection: Connection, days: set[int]) -> None:
        """Make the days that are not there. Outside the batch's transaction: it locks the whole table for a moment."""
        for day in sorted(days - self._made):
            await connection.execute(sql("trades_partition_make"), day)
            self._made.add(day)
