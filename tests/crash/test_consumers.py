"""The promise of the pipeline: whatever dies, whenever, each trade counts once and nothing is missing."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pytest

from services.contracts.events import Trade
from services.contracts.topics import Group
from tests.conftest import StartService
from tests.crash import verdict
from tests.crash.dying import run_dying
from tests.support.log import publish
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.services import Service
from tests.support.trades import Mix, generate

pytestmark = pytest.mark.parts

CONSUMERS = ("recorder", "candles", "indicators")
TRADES = 200_000
KILLS = 20
SMALL_BATCHES: dict[str, Any] = {"TICKPLANE_BATCH_RECORDS_MAX": 2_000, "TICKPLANE_RETENTION_DAYS": 0}
MANY_BATCHES: dict[str, Any] = {"TICKPLANE_BATCH_RECORDS_MAX": 60}
"""Of so many it dies in some, however fast it is."""
CATCH_UP_S = 180.0


def _static(name: str) -> dict[str, Any]:
    """A process restarted under the same name need not wait for its session to time out."""
    return {**SMALL_BATCHES, "TICKPLANE_GROUP_INSTANCE_ID": f"{name}-0"}


async def _caught_up(database_url: str, bootstrap_servers: str) -> None:
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers), CATCH_UP_S, interval_s=0.5)


async def test_sigkill_twenty_times_each_under_load(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(TRADES, seed=1)
    running = {name: await service(name, **_static(name)) for name in CONSUMERS}
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=40))
    chance = random.Random(1)
    for _ in range(KILLS):
        for consumer in running.values():
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            await consumer.kill()
            await consumer.start()
    await flow
    await _caught_up(database_url, bootstrap_servers)
    assert await verdict.differences(database_url, bootstrap_servers, trades) == []
    assert [await consumer.terminate() for consumer in running.values()] == [0, 0, 0]


async def _run_dying(
    consumer: Service, variant: str, flow: "asyncio.Task[None]", database_url: str, bootstrap_servers: str
) -> int:
    """Run a dying consumer until it has caught up, and then what is left with one that lives. How often it died."""
    deaths = await run_dying(consumer, variant, flow, lambda: verdict.caught_up(database_url, bootstrap_servers))
    consumer.module = ("tests.crash.controls", consumer.name, "none")
    await consumer.start()
    await _caught_up(database_url, bootstrap_servers)
    await consumer.terminate()
    return deaths


@pytest.mark.parametrize("name", ["candles", "indicators"])
async def test_a_death_between_any_two_steps_changes_nothing(
    service: StartService, database_url: str, bootstrap_servers: str, name: str
) -> None:
    trades = generate(30_000, seed=2)
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=12))
    consumer = await service(name, start=False, **_static(name))
    assert await _run_dying(consumer, "whole", flow, database_url, bootstrap_servers) >= 3
    if name == "indicators":
        found = await verdict.indicator_differences(bootstrap_servers, trades)
    else:
        found = await verdict.candle_differences(database_url, trades)
        found += await verdict.unpublished(database_url, bootstrap_servers)
    assert found == []


async def test_control_a_position_outside_the_transaction_loses_trades(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(6_000, seed=3)
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=12))
    consumer = await service("candles", start=False, **_static("candles") | MANY_BATCHES)
    assert await _run_dying(consumer, "position-outside", flow, database_url, bootstrap_servers) >= 1
    assert await verdict.candle_differences(database_url, trades) != []


async def test_control_publishing_after_the_commit_leaves_changes_unpublished(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    # Long silences, so that a bar whose last change was not published is not soon changed again.
    trades = generate(6_000, Mix(span_s=3_000_000), seed=4)
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=12))
    consumer = await service("candles", start=False, **_static("candles") | MANY_BATCHES)
    assert await _run_dying(consumer, "publish-last", flow, database_url, bootstrap_servers) >= 1
    assert await verdict.candle_differences(database_url, trades) == [], "what is stored is right"
    assert await verdict.unpublished(database_url, bootstrap_servers) != []


async def test_replicas_come_and_go_under_load(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(TRADES, seed=5)
    chance = random.Random(5)
    replicas: dict[str, list[Service]] = {
        name: [await service(name, **SMALL_BATCHES) for _ in range(3)] for name in CONSUMERS
    }
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=120))
    codes: list[int] = []
    while not flow.done():
        await asyncio.sleep(5)
        await _change_one(service, replicas, chance, codes)
    await flow
    await _caught_up(database_url, bootstrap_servers)
    assert await verdict.differences(database_url, bootstrap_servers, trades) == []
    survivors = [consumer for group in replicas.values() for consumer in group]
    assert all(consumer.running for consumer in survivors), "a replica gave up"
    codes += [await consumer.terminate() for consumer in survivors]
    assert set(codes) == {0}


async def _change_one(
    service: StartService, replicas: dict[str, list[Service]], chance: random.Random, codes: list[int]
) -> None:
    name = chance.choice(CONSUMERS)
    if len(replicas[name]) > 3 or (len(replicas[name]) > 2 and chance.random() < 0.5):
        leaving = replicas[name].pop(chance.randrange(len(replicas[name])))
        # Before it is there, a signal ends it as the system has it.
        await leaving.wait_ready()
        codes.append(await leaving.terminate())
    else:
        replicas[name].append(await service(name, **SMALL_BATCHES))


async def test_an_owner_paused_over_a_rebalance_commits_nothing_when_it_wakes(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(60_000, seed=6)
    fast = {**SMALL_BATCHES, "TICKPLANE_SESSION_TIMEOUT_MS": 6_000, "TICKPLANE_BATCH_RECORDS_MAX": 500}
    old = await service("candles", **fast)
    await old.wait_ready()
    flow = asyncio.create_task(publish(bootstrap_servers, trades, over_s=12))
    await eventually(lambda: verdict.any_progress(database_url, Group.CANDLES))
    old.pause()
    new = await service("candles", **fast)
    await flow
    await _caught_up(database_url, bootstrap_servers)
    settled = await verdict.rows_with_revisions(database_url)
    old.resume()
    await eventually(lambda: verdict.assigned_again(old))
    assert await verdict.candle_differences(database_url, trades) == []
    assert await verdict.unpublished(database_url, bootstrap_servers) == []
    assert await verdict.rows_with_revisions(database_url) == settled, "the old owner changed what was stored"
    assert [await consumer.terminate() for consumer in (new, old)] == [0, 0]


async def test_postgres_valkey_and_kafka_go_and_come_back(
    service: StartService, database_url: str, bootstrap_servers: str, parts: Parts
) -> None:
    trades = generate(60_000, seed=7)
    consumers = {name: await service(name, **_static(name)) for name in CONSUMERS}
    for consumer in consumers.values():
        await consumer.wait_ready()
    flow = asyncio.create_task(publish(bootstrap_servers, trades[:40_000], over_s=25))

    parts.postgres.kill()
    await _all_say(consumers.values(), "postgres", up=False)
    await parts.postgres.start()
    await _all_say(consumers.values(), "postgres", up=True)

    parts.valkey.kill()
    await _all_say([consumers["recorder"], consumers["indicators"]], "redis", up=False)
    await parts.valkey.start()
    await _all_say([consumers["recorder"], consumers["indicators"]], "redis", up=True, timeout_s=40)
    await flow

    await parts.kafka.stop()
    await _all_say(consumers.values(), "kafka", up=False)
    await asyncio.sleep(20)
    await parts.kafka.start()
    await publish(bootstrap_servers, trades[40_000:])
    await _all_say(consumers.values(), "kafka", up=True)
    await _caught_up(database_url, bootstrap_servers)
    assert await verdict.differences(database_url, bootstrap_servers, trades) == []
    assert await verdict.redis_prices(parts.valkey.url) == verdict.newest_prices(trades)


async def _all_say(consumers: Iterable[Service], dependency: str, *, up: bool, timeout_s: float = 30) -> None:
    async def said(consumer: Service) -> bool:
        document = await consumer.ready()
        return bool(document["dependencies"][dependency]["up"]) is up and (up or not document["ready"])

    for consumer in consumers:
        await eventually(partial(said, consumer), timeout_s)


async def test_a_backlog_of_two_hundred_minutes_is_caught_up_exactly(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades: Sequence[Trade] = generate(TRADES, seed=8)
    await publish(bootstrap_servers, trades)
    consumers = [await service(name, TICKPLANE_RETENTION_DAYS=0) for name in CONSUMERS]
    await _caught_up(database_url, bootstrap_servers)
    assert await verdict.differences(database_url, bootstrap_servers, trades) == []
    assert [await consumer.terminate() for consumer in consumers] == [0, 0, 0]
