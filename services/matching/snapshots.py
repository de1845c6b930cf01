"""Snapshots of the engine's state in Postgres, so that it need not begin with the journal's first command."""

import asyncio
import hashlib
import zlib
from dataclasses import dataclass

import asyncpg

from services.adapters.postgres import AWAY, Connection, Postgres, sql
from services.contracts.metrics import Metric
from services.domain.market_state import VERSION, dump, load
from services.domain.matching import Market
from services.runtime import logging
from services.runtime.metrics import counter
from services.runtime.serve import Resource

KEPT = 2
COMPRESSION_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Beginning:
    """A market up to before ``next_offset``; ``clock_time`` is its journal's time at the last clock command."""

    market: Market
    next_offset: int = 0
    clock_time: int = 0


class Snapshots(Resource):
    """A state follows from the journal alone, so that whoever writes a snapshot of a position, it is the same: nothing
    keeps an owner before from writing one."""

    def __init__(self, database: Postgres, market_group: int) -> None:
        self._database = database
        self._group = market_group
        self._writing: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        if self._writing is not None:
            await self._writing

    async def newest(self, connection: Connection, log_id: str, next_offset: int) -> Beginning:
        """The newest readable snapshot of a log that is not beyond a position; an empty market where there is none."""
        rows = await connection.fetch(sql("matching_snapshots_load"), self._group, log_id, VERSION, next_offset)
        for row in rows:
            try:
                state = await asyncio.to_thread(_unpacked, row["state"], row["state_hash"])
                return Beginning(load(state), row["next_offset"], row["clock_time"])
            except ValueError as error:
                logging.logger().warning("snapshot_unreadable", next_offset=row["next_offset"], error=str(error))
                counter(Metric.MATCHING_SNAPSHOTS).labels("unreadable").inc()
        return Beginning(Market(str(self._group)))

    def take(self, market: Market, log_id: str, next_offset: int, clock_time: int) -> bool:
        """Begin to write a snapshot. False, and nothing done, while the one before is not written yet.

        Matching stands still while the state is copied, and goes on while it is packed and stored.
        """
        if self._writing is not None and not self._writing.done():
            return False
        state = dump(market)
        self._writing = asyncio.create_task(self._write(state, log_id, next_offset, clock_time))
        return True

    async def _write(self, state: bytes, log_id: str, next_offset: int, clock_time: int) -> None:
        state_hash, packed = await asyncio.to_thread(_packed, state)
        try:
            async with self._database.pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    sql("matching_snapshot_store"),
                    self._group,
                    next_offset,
                    log_id,
                    VERSION,
                    state_hash,
                    packed,
                    clock_time,
                )
                await connection.execute(sql("matching_snapshots_prune"), self._group, log_id, KEPT)
        except AWAY as error:
            self._database.report(error)
            counter(Metric.MATCHING_SNAPSHOTS).labels("failed").inc()
            return
        except asyncpg.PostgresError as error:
            # As one that is too large: the engine goes on without, and begins again from an older one.
            logging.logger().error("snapshot_refused", size=len(packed), error=str(error))
            counter(Metric.MATCHING_SNAPSHOTS).labels("failed").inc()
            return
        counter(Metric.MATCHING_SNAPSHOTS).labels("written").inc()
        logging.logger().info("snapshot_written", next_offset=next_offset, state_hash=state_hash, size=len(packed))


def _packed(state: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(state).hexdigest(), zlib.compress(state, COMPRESSION_LEVEL)


def _unpacked(packed: bytes, state_hash: str) -> bytes:
    """Raises ValueError for what is not what was packed."""
    try:
        state = zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if hashlib.sha256(state).hexdigest() != state_hash:
        raise ValueError("the state is not what its hash says")
    return state
