"""How long rows are kept in Postgres, and how those that are older go."""

from services.adapters.postgres import AWAY, Postgres, sql
from services.contracts.topics import Group
from services.domain.candles import RESOLUTIONS
from services.runtime import logging
from services.runtime.clock import NS_PER_S, Clock

DAY_NS = 86_400 * NS_PER_S
UPKEEP_INTERVAL_S = 600.0
ROWS_PER_STATEMENT = 10_000
"""Rows that one statement deletes: so many are locked at once, and so much is to do again when it is cut off."""


class Retention:
    """Today and the ``days`` before it are kept: whole UTC days, which the bars of every resolution fit into. 0 days
    keeps everything."""

    def __init__(self, days: int, clock: Clock) -> None:
        self.days = days
        self._clock = clock

    def oldest_day(self) -> int | None:
        """The first day that is kept, counted since 1970-01-01 UTC; None where all are."""
        return self._clock.now_ns() // DAY_NS - self.days if self.days else None

    def oldest_ns(self) -> int:
        """The first instant that is kept; 0 where all are."""
        return (self.oldest_day() or 0) * DAY_NS


class OldRows:
    """Deletes what is too old from a table of series: ``statement`` is one of ``*_prune.sql``."""

    def __init__(self, statement: str, group: Group, retention: Retention, database: Postgres) -> None:
        self._statement = sql(statement)
        self._name = statement
        self._group = group
        self._retention = retention
        self._database = database

    async def prune(self) -> None:
        """Delete all there are, some at a time. While Postgres is away that is left to the next time."""
        pruned = 0
        try:
            while oldest_ns := self._retention.oldest_ns():
                rows = await self._database.pool.fetchval(
                    self._statement, self._group, list(RESOLUTIONS), oldest_ns, ROWS_PER_STATEMENT
                )
                pruned += rows
                if rows < ROWS_PER_STATEMENT:
                    break
        except AWAY as error:
            self._database.report(error)
        if pruned:
            logging.logger().info(self._name, rows=pruned, retention_days=self._retention.days)
