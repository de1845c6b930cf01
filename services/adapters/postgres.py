"""Postgres: the pool, the migrations, and SQL kept in ``contracts/sql``."""

import asyncio
from functools import cache
from importlib.resources import files

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.contracts.errors import InfraError
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.serve import Resource

type Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

AWAY: tuple[type[Exception], ...] = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises while Postgres is away, as opposed to refusing what we asked."""
NOT_READY: tuple[type[Exception], ...] = (*AWAY, asyncpg.InvalidCatalogNameError)

MIGRATION_LOCK = 7_201_954
"""The advisory lock that lets one migrator in at a time."""


@cache
def sql(name: str) -> str:
    """The statement in ``contracts/sql/<name>.sql``."""
    return (files("services.contracts") / "sql" / f"{name}.sql").read_text()


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, in order. They only add: the version before runs on the schema after."""
    folder = files("services.contracts") / "sql" / "migrations"
    return sorted((int(f.name.split("_")[0]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql"))


async def migrate(database_url: str) -> int:
    """Apply what is missing, under a lock. Returns the schema's version."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY)")
            present = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_version")
            for version, statements in migrations():
                if version > present:
                    await connection.execute(statements)
                    await connection.execute("INSERT INTO schema_version VALUES ($1)", version)
        return int(await connection.fetchval("SELECT max(version) FROM schema_version"))
    finally:
        await connection.close()


async def _as_it_is(_connection: object) -> None:
    """Give a connection back without asyncpg's RESET ALL: no service changes its session, and it is a round trip."""


class Postgres(Resource):
    """The pool of one process. ``start`` waits until the schema is at least this version's own."""

    def __init__(self, database_url: str, pool_max: int, health: Health) -> None:
        self._url = database_url
        self._pool_max = pool_max
        self._health = health
        self._pool: asyncpg.Pool | None = None

    @property
    def pool(self) -> asyncpg.Pool:
        assert self._pool is not None, "used before start"
        return self._pool

    async def start(self) -> None:
        backoff = Backoff(0.2, 5)
        needed = migrations()[-1][0]
        while True:
            try:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url, min_size=1, max_size=self._pool_max, command_timeout=60, timeout=10, reset=_as_it_is
                    )
                version = await self._pool.fetchval("SELECT max(version) FROM schema_version")
                if (version or 0) >= needed:
                    self.report(None)
                    return
                self._health.report("postgres", False, f"the schema is at {version}, this needs {needed}: run migrate")
            except asyncpg.UndefinedTableError:
                self._health.report("postgres", False, "there is no schema yet: run migrate")
            except NOT_READY as error:
                self.report(error)
            await asyncio.sleep(backoff.next_s())

    async def stop(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    def report(self, error: Exception | None) -> None:
        """Say in ``/ready`` how Postgres is."""
        self._health.report("postgres", error is None, "" if error is None else f"{type(error).__name__}: {error}")

    def away(self, error: Exception) -> InfraError:
        """The error to raise when Postgres is away."""
        self.report(error)
        logging.logger().warning("postgres_away", error=str(error), error_type=type(error).__name__)
        return InfraError("postgres", str(error) or type(error).__name__)
