"""The matching engine's promise: whatever dies, whenever, each order is matched once, and the book is the same."""

import asyncio
import random
from typing import Any

import pytest

from services.contracts.lab import ClockTick, OrderCommand
from tests.conftest import StartService
from tests.crash import lab_verdict
from tests.crash.dying import run_dying
from tests.support import journal
from tests.support.database import fetch
from tests.support.journal import Flow, funds
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

ORDERS = 50_000
KILLS = 20
ACCOUNTS = 50
SNAPSHOT_COMMANDS = 4_000
SMALL: dict[str, Any] = {
    "TICKPLANE_BATCH_RECORDS_MAX": 1_000,
    "TICKPLANE_SNAPSHOT_COMMANDS": SNAPSHOT_COMMANDS,
}
CATCH_UP_S = 120.0


async def _stored(database_url: str, at_least: int) -> None:
    """Until the engine has stored so many commands of the journal."""

    async def check() -> bool:
        return await lab_verdict.position(database_url) >= at_least

    await eventually(check, CATCH_UP_S, interval_s=0.2)


async def _end_of(bootstrap_servers: str) -> int:
    return int((await journal.read(bootstrap_servers))[-1].offset) + 1


async def _settled(engine: Service, database_url: str, bootstrap_servers: str) -> None:
    """Until everything is stored, with a snapshot of it; then the engine ends, so that nothing moves any more."""
    await _stored(database_url, await _end_of(bootstrap_servers))
    await journal.write(bootstrap_servers, [ClockTick()] * SNAPSHOT_COMMANDS)
    end = await _end_of(bootstrap_servers)
    await _stored(database_url, end)

    async def snapshot() -> bool:
        rows = await fetch(database_url, "SELECT max(next_offset) AS newest FROM matching_snapshots")
        return bool(rows[0]["newest"] > end - SNAPSHOT_COMMANDS)

    await eventually(snapshot)
    assert await engine.terminate() == 0


async def test_sigkill_twenty_times_under_load(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    engine = await service("matching", **SMALL)
    await journal.write(bootstrap_servers, [*journal.listing(), *funds(ACCOUNTS)])
    flow = asyncio.create_task(journal.write(bootstrap_servers, Flow(ACCOUNTS).commands(ORDERS), over_s=15))
    chance = random.Random(1)
    for _ in range(KILLS):
        before = await lab_verdict.position(database_url)
        await _stored(database_url, before + 1)
        await asyncio.sleep(chance.uniform(0, 0.2))
        await engine.kill()
        await engine.start()
    await flow
    await _settled(engine, database_url, bootstrap_servers)
    assert await lab_verdict.differences(database_url, bootstrap_servers, redis_url) == []
    snapshots = await fetch(database_url, "SELECT FROM matching_snapshots")
    assert len(snapshots) == 2, "hashes were compared"


async def _flow(commands: list[OrderCommand], bootstrap_servers: str) -> None:
    await journal.write(bootstrap_servers, [*journal.listing(), *funds(ACCOUNTS)])
    await journal.write(bootstrap_servers, commands, over_s=6)


async def test_a_death_between_any_two_steps_changes_nothing(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    commands = Flow(ACCOUNTS).commands(10_000, seed=2)
    flow = asyncio.create_task(_flow(commands, bootstrap_servers))
    engine = await service("matching", start=False, **SMALL)

    async def has_read_all() -> bool:
        return await lab_verdict.position(database_url) >= len(commands)

    assert await run_dying(engine, "whole", flow, has_read_all) >= 3
    assert await lab_verdict.stored_differences(database_url, bootstrap_servers) == []
    engine.module = ("tests.crash.controls", "matching", "none")
    await engine.start()
    await _settled(engine, database_url, bootstrap_servers)
    assert await lab_verdict.differences(database_url, bootstrap_servers, redis_url) == []


async def test_control_a_position_outside_the_transaction_loses_executions(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    flow = asyncio.create_task(_flow(Flow(ACCOUNTS).commands(10_000, seed=3), bootstrap_servers))
    # Of so many batches it dies in the middle of some.
    engine = await service("matching", start=False, **SMALL | {"TICKPLANE_BATCH_RECORDS_MAX": 100})

    async def has_lost() -> bool:
        """What is lost it may need to begin again: it does not always come to the end."""
        return bool(await lab_verdict.stored_differences(database_url, bootstrap_servers))

    assert await run_dying(engine, "position-outside", flow, has_lost) >= 1


async def _two_engines(
    service: StartService, variant: str, database_url: str, bootstrap_servers: str
) -> tuple[Service, Service]:
    """The older one stands still, the newer one takes the partition and does the rest, the older one goes on."""
    commands = Flow(ACCOUNTS).commands(8_000, seed=4)
    older = await service("matching", start=False, **SMALL)
    older.module = ("tests.crash.controls", "matching", variant)
    await older.start()
    await journal.write(bootstrap_servers, [*journal.listing(), *funds(ACCOUNTS), *commands[:4_000]])
    await _stored(database_url, await _end_of(bootstrap_servers))
    older.pause()
    newer = await service("matching", **SMALL)
    await journal.write(bootstrap_servers, commands[4_000:])
    await _stored(database_url, await _end_of(bootstrap_servers))
    older.resume()
    return older, newer


async def _has_given_way(engine: Service) -> bool:
    return "partition_taken_by_another" in engine.log.read_text()


async def test_of_two_engines_the_older_commits_nothing_and_waits_before_it_takes_the_partition_back(
    service: StartService, database_url: str, bootstrap_servers: str, redis_url: str
) -> None:
    older, newer = await _two_engines(service, "none", database_url, bootstrap_servers)
    await eventually(lambda: _has_given_way(older))
    document = await older.ready()
    assert not document["dependencies"]["owner:orders/0"]["up"]
    await newer.wait_ready()
    assert not await _has_given_way(newer)
    await eventually(lambda: _has_given_way(newer), 20)
    assert await newer.terminate() == 0
    await _settled(older, database_url, bootstrap_servers)
    assert await lab_verdict.differences(database_url, bootstrap_servers, redis_url) == []


async def test_control_without_the_fence_only_the_primary_keys_stop_the_older(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    older, _newer = await _two_engines(service, "no-fence", database_url, bootstrap_servers)
    assert await older.wait() == 1
    assert "UniqueViolationError" in older.log.read_text()
    assert not await _has_given_way(older)
