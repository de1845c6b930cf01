"""``tickplane migrate``: what has to be done once before this version's services start. On a cluster it is a Job."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from services.adapters import postgres
from services.adapters.kafka import apply_topics, check_topics
from services.adapters.migrate import migrate as migrate_database
from services.adapters.migrate import one_at_a_time
from services.cli.settings import CliSettings
from services.contracts.errors import ConfigError, InfraError
from services.runtime.backoff import Backoff

NOT_READY: tuple[type[Exception], ...] = (*postgres.NOT_READY, InfraError)


def migrate(
    topics: Annotated[bool, typer.Option("--topics", help="Make the topics that are missing, too.")] = False,
    wait_for_topics: Annotated[
        bool, typer.Option("--wait-for-topics", help="Wait until somebody else has made the topics, too.")
    ] = False,
) -> None:
    """Bring the database's schema, roles and grants to this version, and the topics if asked to.

    Waits for Postgres and Kafka as long as TICKPLANE_MIGRATE_TIMEOUT_S says. What is there is left alone, and several
    at once are as good as one. Exits 0 when everything is there, 1 when something was away for too long, 2 when a
    setting is wrong or the user may not do it.
    """
    if topics and wait_for_topics:
        raise ConfigError("--topics makes what --wait-for-topics leaves to somebody else: give one of them")
    asyncio.run(_migrate(CliSettings.load(), topics, wait_for_topics))


async def _migrate(settings: CliSettings, topics: bool, wait_for_topics: bool) -> None:
    deadline = time.monotonic() + settings.migrate_timeout_s
    done = await _patiently(lambda: migrate_database(settings), deadline)
    print(f"the schema was at version {done.before} and is at {done.version}")
    print(f"roles made: {', '.join(done.roles_made) or 'none'}; given a password: {', '.join(done.logins) or 'none'}")
    if topics or wait_for_topics:
        made = await _patiently(lambda: _topics(settings, make=topics), deadline)
        print(f"topics made: {', '.join(made)}" if made else "every topic is there")


async def _topics(settings: CliSettings, *, make: bool) -> list[str]:
    """One at a time too: two that give a new log its identity at once would give it two."""
    connection = await postgres.connect(settings)
    try:
        async with one_at_a_time(connection):
            if make:
                return await apply_topics(settings)
            await check_topics(settings)
            return []
    finally:
        await connection.close()


async def _patiently[T](work: Callable[[], Awaitable[T]], deadline: float) -> T:
    """Try until it is done. Raises InfraError with the last reason after the deadline."""
    backoff, said = Backoff(0.2, 5), ""
    while True:
        try:
            return await work()
        except NOT_READY as error:
            reason = str(error) or type(error).__name__
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise InfraError("migrate", f"gave up waiting: {reason}") from error
        if reason != said:
            print(f"waiting: {reason}", flush=True)
            said = reason
        await asyncio.sleep(min(backoff.next_s(), left_s))
