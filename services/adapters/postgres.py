"""Postgres: how we connect, the pool, and SQL kept in ``contracts/sql``."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.contracts.errors import InfraError
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.serve import Resource
from services.runtime.settings import PostgresSettings

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
    asyncpg.InvalidAuthorizationSpecificationError,
)
"""What asyncpg raises while Postgres is away, as opposed to refusing what we asked. Refusing our password is among it:
while passwords change, the server may have the new one before us."""
NOT_READY: tuple[type[Exception], ...] = (
    *AWAY,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
)
"""What asyncpg raises before the database, its schema and our role's grants are made, too."""

CONNECT_TIMEOUT_S = 10.0


@cache
def sql(name: str) -> str:
    """The statement in ``contracts/sql/<name>.sql``."""
    return (files("services.contracts") / "sql" / f"{name}.sql").read_text()


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, in order. They only add: the version before runs on the schema after."""
    folder = files("services.contracts") / "sql" / "migrations"
    return sorted((int(f.name.split("_")[0]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql"))


async def connect(settings: PostgresSettings) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection of one's own, for tools."""
    return await asyncpg.connect(**_where(settings))


def _where(settings: PostgresSettings) -> dict[str, Any]:
    """asyncpg's arguments. TLS is in the URL: https://magicstack.github.io/asyncpg/current/api/index.html#connection"""
    password = settings.database_password.get_secret_value()
    url = settings.database_url.get_secret_value()
    return {"dsn": url, "password": password or None, "timeout": CONNECT_TIMEOUT_S}


async def _as_it_is(_connection: object) -> None:
    """Give a connection back without asyncpg's RESET ALL: no service changes its session, and it is a round trip."""


async def _plan_anew(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Plan each statement for the tables as they are. A plan that is kept was made when they were as good as empty, and
    reads the whole of one that has grown, until autovacuum has counted its rows a minute or two later."""
    await connection.execute("SET plan_cache_mode = force_custom_plan")


class Postgres(Resource):
    """The pool of one process. ``start`` waits until the schema is at least this version's own."""

    def __init__(self, settings: PostgresSettings, health: Health) -> None:
        self._settings = settings
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
                        **_where(self._settings),
                        min_size=1,
                        max_size=self._settings.database_pool_max,
                        command_timeout=60,
                        init=_plan_anew,
                        reset=_as_it_is,
                    )
                began = time.perf_counter()
                version = await self._pool.fetchval("SELECT max(version) FROM schema_version")
                if (version or 0) >= needed:
                    self.report(None, time.perf_counter() - began)
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

    async def fetch(self, statement: str, *arguments: object, timeout_s: float) -> list[asyncpg.Record]:
        """The rows of one statement. Raises InfraError while Postgres is away, or does not answer in time."""
        return await self.ask(lambda connection: connection.fetch(statement, *arguments), timeout_s=timeout_s)

    async def ask[T](self, work: Callable[[Connection], Awaitable[T]], *, timeout_s: float) -> T:
        """What the work makes of a connection of the pool. Raises InfraError as ``fetch`` does."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s), self.pool.acquire() as connection:
                answer = await work(connection)
        except AWAY as error:
            raise self.away(error) from error
        self.report(None, time.perf_counter() - began)
        return answer

    def report(self, error: Exception | None, latency_s: float | None = None) -> None:
        """Say in ``/ready`` how Postgres is, and how long it took to answer."""
        detail = "" if error is None else f"{type(error).__name__}: {error}"
        self._health.report("postgres", error is None, detail, latency_s)

    def away(self, error: Exception) -> InfraError:
        """The error to raise when Postgres is away."""
        self.report(error)
        logging.logger().warning("postgres_away", error=str(error), error_type=type(error).__name__)
        return InfraError("postgres", str(error) or type(error).__name__)
