"""What a cluster counts on: who is not ready yet waits and says why, and a rolling restart loses nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from websockets.asyncio.client import connect

from services.adapters.kafka import apply_topics
from services.adapters.migrate import migrate
from services.adapters.postgres import Connection, migrations
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.runtime.clock import SystemClock, parse_rfc3339
from services.runtime.settings import MigrationSettings
from tests.conftest import StartService
from tests.integration.test_pipeline import KEY, STATE, send
from tests.support.balancer import Backend, Balancer
from tests.support.database import fetch
from tests.support.log import records
from tests.support.parts import Parts, topics_at
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts


async def _asked(service: Service, path: str) -> int:
    async with httpx.AsyncClient(timeout=5) as client:
        return (await client.get(f"{service.ops_url}{path}")).status_code


async def _waits_saying(service: Service, dependency: str, said: str) -> bool:
    """Alive, not ready, and the reason is told."""
    assert await _asked(service, "/health") == 200
    assert await _asked(service, "/ready?scope=self") == 503
    detail = (await service.ready())["dependencies"].get(dependency)
    return detail is not None and said in detail["detail"] and not detail["up"]


async def _is_ready(service: Service) -> bool:
    return await _asked(service, "/ready?scope=self") == 200


# ---- waiting


@pytest.mark.parametrize("name", ["recorder", "candles", "indicators", "api", "orders", "matching"])
async def test_a_service_waits_while_the_schema_is_older_than_its_own(
    service: StartService, parts: Parts, bootstrap_servers: str, free_port: Callable[[], int], name: str
) -> None:
    url = await parts.empty_database()

    async def start() -> Service:
        return await service(name, DATABASE_URL=url, TICKPLANE_API_PORT=free_port(), TICKPLANE_ORDERS_PORT=free_port())

    waiting = await start()
    await eventually(lambda: _waits_saying(waiting, "postgres", "there is no schema yet"))
    await migrate(MigrationSettings.load(database_url=url))
    newest = migrations()[-1][0]
    await fetch(url, "DELETE FROM schema_version WHERE version = $1", newest)
    older = await start()
    await eventually(lambda: _waits_saying(older, "postgres", f"the schema is at {newest - 1}, this needs {newest}"))
    await fetch(url, "INSERT INTO schema_version VALUES ($1)", newest)
    await eventually(lambda: _is_ready(older))
    assert await older.terminate() == 0
    await waiting.terminate()
    await parts.drop_database(url)


@pytest.mark.parametrize("name", ["feed", "recorder", "candles", "indicators", "gateway"])
async def test_a_service_waits_for_its_topics_and_makes_none(
    service: StartService, bootstrap_servers: str, free_port: Callable[[], int], name: str
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_topics([Topic.MARKET_TRADES])
    waiting = await service(name, TICKPLANE_GATEWAY_PORT=free_port())
    await eventually(lambda: _waits_saying(waiting, "kafka", "no topic market_trades"))
    assert Topic.MARKET_TRADES not in await admin.list_topics()
    await admin.close()
    await apply_topics(topics_at(bootstrap_servers))
    await eventually(lambda: _is_ready(waiting))


async def test_a_stop_while_it_waits_is_clean(service: StartService, parts: Parts) -> None:
    url = await parts.empty_database()
    waiting = await service("recorder", DATABASE_URL=url)
    await eventually(lambda: _waits_saying(waiting, "postgres", "there is no schema yet"))
    assert await waiting.terminate() == 0
    await parts.drop_database(url)


STORES = {
    "feed": {"kafka", "demo"},
    "recorder": {"kafka", "postgres", "redis"},
    "candles": {"kafka", "postgres"},
    "indicators": {"kafka", "postgres", "redis"},
    "gateway": {"kafka", "redis"},
    "api": {"kafka", "postgres", "redis"},
    "validator": {"kafka", "postgres"},
    "orders": {"kafka", "postgres", "redis"},
    "matching": {"kafka", "postgres", "redis"},
}


@pytest.mark.parametrize("name", STORES)
async def test_each_dependency_says_since_when_and_how_long_it_took_to_answer(
    service: StartService, free_port: Callable[[], int], name: str
) -> None:
    own_port = {f"TICKPLANE_{name.upper()}_PORT": free_port()} if name in ("gateway", "api", "orders") else {}
    env: dict[str, Any] = {"GRPC_SERVER_ADDRESS": "127.0.0.1:0", **own_port}
    started = await service(name, **env)
    await started.wait_ready()
    dependencies = (await started.ready())["dependencies"]
    assert dependencies.keys() == STORES[name]
    for state in dependencies.values():
        assert state["up"]
        assert parse_rfc3339(state["since"]) <= SystemClock().now_ns()
        assert 0 < state["latency_ms"] < 10_000


async def test_a_stuck_process_answers_no_probe(service: StartService) -> None:
    consumer = await service("recorder")
    await consumer.wait_ready()
    consumer.pause()
    async with httpx.AsyncClient(timeout=0.5) as client:
        with pytest.raises(httpx.TimeoutException):
            await client.get(f"{consumer.ops_url}/health")
    consumer.resume()
    assert await _asked(consumer, "/health") == 200


# ---- migrating as a Job


async def _migrate(service: StartService, *words: str, **env: Any) -> Service:
    tool = await service("migrate", start=False, **env)
    tool.module = ("services", "migrate", *words)
    await tool.start()
    return tool


async def test_migrate_waits_for_a_database_that_is_not_there_yet(service: StartService, parts: Parts) -> None:
    url = await parts.empty_database()
    await parts.drop_database(url)
    job = await _migrate(service, DATABASE_URL=url)
    await eventually(lambda: "waiting: " in job.last_output())
    await fetch(parts.postgres.url, f"CREATE DATABASE {url.rpartition('/')[2]}")
    assert await job.wait() == 0, job.last_output()
    assert f"the schema was at version 0 and is at {migrations()[-1][0]}" in job.last_output()
    await parts.drop_database(url)


async def test_migrate_gives_up_after_its_time(service: StartService, free_port: Callable[[], int]) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere"
    job = await _migrate(service, DATABASE_URL=nowhere, TICKPLANE_MIGRATE_TIMEOUT_S=0.5)
    assert await job.wait() == 1
    assert "gave up waiting" in job.last_output()


async def test_migrate_makes_topics_or_waits_for_them(service: StartService, bootstrap_servers: str) -> None:
    """Two that make them and two that wait, at once: each topic is made once, and the log has one identity."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_topics([str(topic) for topic in Topic])
    await admin.close()
    waiting = [await _migrate(service, "--wait-for-topics") for _ in range(2)]
    await eventually(lambda: all("waiting: kafka: no topic" in job.last_output() for job in waiting))
    making = [await _migrate(service, "--topics") for _ in range(2)]
    assert [await job.wait() for job in (*waiting, *making)] == [0, 0, 0, 0]
    made = [line for job in making for line in job.last_output().splitlines() if line.startswith("topics made: ")]
    assert len(made) == 1
    assert all(str(topic) in made[0] for topic in Topic)
    identities = [r for r in await records(bootstrap_servers, Topic.FEED_STATE) if r.key == LOG_IDENTITY_KEY]
    assert len(identities) == 1


async def test_migrate_takes_one_of_the_two(service: StartService) -> None:
    job = await _migrate(service, "--topics", "--wait-for-topics")
    assert await job.wait() == 2


# ---- draining


@dataclass
class Load:
    """Requests one after the other from several clients, half of them with a new connection each."""

    url: str
    clients: int = 6
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._client(keep=n % 2 == 0)) for n in range(self.clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, *, keep: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if keep else 0)
        async with httpx.AsyncClient(limits=limits, timeout=10) as client:
            while True:
                try:
                    answer = await client.get(self.url)
                    self.answers += 1
                    if answer.status_code != 200:
                        self.failures.append(f"{answer.status_code}: {answer.text}")
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                await asyncio.sleep(0.002)


LOOK_INTERVAL_S = 0.2


@dataclass(frozen=True)
class Replica:
    service: Service
    backend: Backend


async def _replicas(service: StartService, free_port: Callable[[], int], name: str, drain_s: float) -> list[Replica]:
    replicas = []
    for _ in range(2):
        port = free_port()
        env: dict[str, Any] = {f"TICKPLANE_{name.upper()}_PORT": port, "TICKPLANE_DRAIN_S": drain_s}
        started = await service(name, **env, RATE_LIMIT_PER_MINUTE=10_000_000)
        await started.wait_ready()
        replicas.append(Replica(started, Backend(port, started.ops_url)))
    return replicas


async def _restart_all(replicas: list[Replica], balancer: Balancer) -> None:
    """One after the other, as a Deployment does: the next only when the one before is sent requests again."""
    for replica in replicas:
        assert await replica.service.terminate() == 0
        await replica.service.start()
        await replica.service.wait_ready()
        await eventually(partial(balancer.sends_to, replica.backend))


async def _roll_the_api(service: StartService, free_port: Callable[[], int], drain_s: float) -> Load:
    replicas = await _replicas(service, free_port, "api", drain_s)
    balancer = Balancer([replica.backend for replica in replicas], LOOK_INTERVAL_S)
    async with balancer.running():
        await eventually(lambda: all(balancer.sends_to(replica.backend) for replica in replicas))
        async with Load(f"http://127.0.0.1:{balancer.port}/v1/gaps") as load:
            await eventually(lambda: load.answers > 200)
            await _restart_all(replicas, balancer)
            before = load.answers
            await eventually(lambda: load.answers > before + 200)
    return load


async def test_a_rolling_restart_of_the_api_loses_no_request(
    service: StartService, free_port: Callable[[], int]
) -> None:
    load = await _roll_the_api(service, free_port, drain_s=3 * LOOK_INTERVAL_S)
    assert load.failures == []


async def test_control_without_a_drain_requests_are_lost(service: StartService, free_port: Callable[[], int]) -> None:
    load = await _roll_the_api(service, free_port, drain_s=0)
    assert load.failures != []


async def test_while_draining_the_api_says_so_and_serves_on(
    service: StartService, free_port: Callable[[], int]
) -> None:
    port = free_port()
    api = await service("api", TICKPLANE_API_PORT=port, TICKPLANE_DRAIN_S=2)
    await api.wait_ready()
    ending = asyncio.create_task(api.terminate())
    await eventually(lambda: _is_draining(api))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/v1/gaps")
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close", "the next request goes elsewhere"
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ready?scope=self")).status_code == 503
    assert await ending == 0


async def test_a_request_in_hand_is_answered_after_the_stop(
    service: StartService, database_url: str, free_port: Callable[[], int]
) -> None:
    port = free_port()
    api = await service("api", TICKPLANE_API_PORT=port)
    await api.wait_ready()
    connection = await asyncpg.connect(database_url)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        async with connection.transaction():
            await connection.execute("LOCK gaps IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.create_task(client.get("/v1/gaps"))
            await eventually(lambda: _waits_for_a_lock(connection))
            ending = asyncio.create_task(api.terminate())
            await eventually(lambda: "stopping" in api.log.read_text())
        assert (await asked).status_code == 200
    assert await ending == 0
    await connection.close()


async def _waits_for_a_lock(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def _is_draining(service: Service) -> bool:
    return await _asked(service, "/ready?scope=self") == 503 and bool((await service.ready())["draining"])


async def test_a_rolling_restart_of_the_gateway_sends_everyone_elsewhere(
    service: StartService, bootstrap_servers: str, free_port: Callable[[], int]
) -> None:
    """Clients are told 1001 and come back at once: never is there nobody who takes them."""
    await send(bootstrap_servers, KEY, msgspec.json.encode(STATE), Topic.FEED_STATE)
    replicas = await _replicas(service, free_port, "gateway", 3 * LOOK_INTERVAL_S)
    balancer = Balancer([replica.backend for replica in replicas], LOOK_INTERVAL_S)
    closes: list[int | None] = []

    async def follow() -> None:
        while True:
            async with connect(f"ws://127.0.0.1:{balancer.port}/crypto/A-B?exchange=test", proxy=None) as socket:
                await socket.wait_closed()
                closes.append(socket.close_code)

    async with balancer.running():
        await eventually(lambda: all(balancer.sends_to(replica.backend) for replica in replicas))
        followers = [asyncio.create_task(follow()) for _ in range(10)]
        await eventually(lambda: _connections(replicas, 10))
        await _restart_all(replicas, balancer)
        await eventually(lambda: _connections(replicas, 10))
        refused = [follower.exception() for follower in followers if follower.done()]
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    assert refused == []
    assert len(closes) >= 10
    assert set(closes) == {1001}


async def _connections(replicas: list[Replica], count: int) -> bool:
    found = [(await replica.service.metrics()).total("gateway_connections") for replica in replicas]
    return sum(found) == count
