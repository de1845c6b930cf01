"""No secret is in a log, an answer, a metric, a dead letter or an error frame, and every line of a log is well.

Services are given canaries as passwords, keys and tokens, their dependencies refuse those or are away, and clients
put keys where none belong. Then everything that was said is searched, in every spelling.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
import redis.asyncio as redis
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from services.adapters.api_keys import create_key
from services.contracts.access import ACCESS, Store
from services.contracts.topics import Topic
from services.local.ports import LOOPBACK, free_port
from tests.conftest import StartService
from tests.support.canaries import Canary, leaks
from tests.support.log import records
from tests.support.log_lines import misshapen
from tests.support.polling import eventually
from tests.support.secure import SERVER, SecureKafka
from tests.support.services import Service

pytestmark = pytest.mark.parts

SERVICES = ("feed", "recorder", "candles", "indicators", "gateway", "api", "validator", "orders", "matching")
ON_POSTGRES = tuple(name for name in SERVICES if Store.POSTGRES in ACCESS[name].stores)
ON_REDIS = tuple(name for name in SERVICES if Store.REDIS in ACCESS[name].stores)

IN_URL = Canary('canary-in-url/7f "3"@+%', "postgres")
APART = Canary("canary apart=9c&2", "postgres")
SASL = Canary("canary-sasl/51#d8", "canary-user")
TOKEN = Canary("canary-token-e27a")
ALL = (IN_URL, APART, SASL, TOKEN)

OPS_PATHS = ("/health", "/ready", "/ready?scope=self", "/metrics", "/status", "/none?token=canary-token-e27a")
PUBLIC_PATHS = ("/health", "/ready", "/v1/status", "/v1/symbols", "/markets", "/openapi.json")


def env_of(**changed: object) -> dict[str, Any]:
    """Everything at its most talkative, on ports of its own."""
    ports = ("TICKPLANE_GATEWAY_PORT", "TICKPLANE_API_PORT", "TICKPLANE_ORDERS_PORT")
    return {
        **{name: free_port() for name in ports},
        "GRPC_SERVER_ADDRESS": f"{LOOPBACK}:{free_port()}",
        "TICKPLANE_LOG_LEVEL": "DEBUG",
        "TICKPLANE_DEPENDENCY_CHECK_INTERVAL_S": 0.2,
        "TICKPLANE_GRACE_S": 3,
        **changed,
    }


class Suspect:
    """One service, and everything that it has said."""

    def __init__(self, service: Service, env: dict[str, Any]) -> None:
        self.service = service
        self.env = env
        self._said: list[str] = []

    async def ask(self) -> None:
        """Its ops port's paths, and those of its public one."""
        public = self.env.get(f"TICKPLANE_{self.service.name.upper()}_PORT")
        urls = [self.service.ops_url + path for path in OPS_PATHS]
        urls += [f"http://{LOOPBACK}:{public}{path}" for path in PUBLIC_PATHS if public]
        async with httpx.AsyncClient(timeout=10) as client:
            for answer in await asyncio.gather(*map(client.get, urls), return_exceptions=True):
                if isinstance(answer, httpx.Response):
                    self._said.append(f"{answer.headers}\n{answer.text}")

    async def end(self) -> None:
        await self.ask()
        if self.service.running:
            await self.service.terminate()

    @property
    def log(self) -> str:
        return self.service.log.read_text()

    def leaks(self, canaries: Iterable[Canary] = ALL) -> list[str]:
        canaries = list(canaries)
        return [leak for text in (self.log, *self._said) for leak in leaks(text, canaries)]


StartAll = Callable[..., Awaitable[list[Suspect]]]


@pytest.fixture
def start_all(service: StartService) -> StartAll:
    async def start(names: Iterable[str], **changed: object) -> list[Suspect]:
        suspects = []
        for name in names:
            env = env_of(**changed)
            suspects.append(Suspect(await service(name, **env), env))
        return suspects

    return start


async def _is_down(suspect: Suspect, dependency: str) -> bool:
    state = (await suspect.service.ready())["dependencies"].get(dependency)
    assert state is not None, f"it does not know of {dependency} yet"
    return not state["up"]


async def _none_leaks(suspects: list[Suspect], *, down: str = "") -> None:
    for suspect in suspects:
        if down:
            await eventually(lambda suspect=suspect: _is_down(suspect, down))  # type: ignore[misc]
        await suspect.ask()
    await asyncio.gather(*(suspect.end() for suspect in suspects))
    for suspect in suspects:
        assert suspect.log, "it said something"
        assert suspect.leaks() == [], suspect.service.name
        assert misshapen(suspect.log, suspect.service.name) == []


# ---- dependencies that refuse


def _with_password(url: str, canary: Canary) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{canary.user}:{canary.quoted}@{parts.hostname}:{parts.port}{parts.path}"


async def test_postgres_refuses_the_password_in_the_url(start_all: StartAll, database_url: str) -> None:
    suspects = await start_all(ON_POSTGRES, DATABASE_URL=_with_password(database_url, IN_URL))
    await _none_leaks(suspects, down="postgres")


async def test_postgres_refuses_the_password_that_came_apart(start_all: StartAll, database_url: str) -> None:
    wrong: dict[str, Any] = {"DATABASE_URL": _with_password(database_url, IN_URL), "DATABASE_PASSWORD": APART.secret}
    await _none_leaks(await start_all(["api", "matching"], **wrong), down="postgres")


@pytest.fixture
async def closed_redis(redis_url: str) -> AsyncIterator[str]:
    async with redis.Redis.from_url(redis_url, single_connection_client=True) as admin:
        await admin.config_set("requirepass", "another")
        yield redis_url
        await admin.config_set("requirepass", "")


async def test_redis_refuses_the_password(start_all: StartAll, closed_redis: str) -> None:
    parts = urlsplit(closed_redis)
    url = f"redis://default:{IN_URL.quoted}@{parts.hostname}:{parts.port}/0"
    suspects = await start_all(ON_REDIS, REDIS_URL=url)
    suspects += await start_all(["gateway"], REDIS_URL=url, REDIS_PASSWORD=APART.secret)
    await _none_leaks(suspects, down="redis")


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecureKafka]:
    kafka = SecureKafka(tmp_path_factory.mktemp("secure") / "kafka", [SASL.user])
    await kafka.start()
    yield kafka
    await kafka.stop()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_kafka_refuses_the_password(start_all: StartAll, kafka: SecureKafka, mechanism: str) -> None:
    client = kafka.client(SASL.user, KAFKA_SASL_PASSWORD=SASL.secret, KAFKA_SASL_MECHANISM=mechanism)
    names = SERVICES if mechanism == "PLAIN" else ("candles", "api")
    suspects = await start_all(names, **client)
    await _none_leaks(suspects, down="kafka")
    assert all("SaslAuthenticationFailed" in suspect.log for suspect in suspects)


# ---- dependencies that are away


async def test_every_dependency_is_away(start_all: StartAll) -> None:
    away: dict[str, Any] = {
        "REDIS_URL": f"redis://default:{IN_URL.quoted}@{LOOPBACK}:{free_port()}/0",
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{free_port()}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": SASL.user,
        "KAFKA_SASL_PASSWORD": SASL.secret,
    }
    await _none_leaks(await start_all(["gateway", "feed"], **away), down="kafka")
    away["DATABASE_URL"] = f"postgresql://{IN_URL.user}:{IN_URL.quoted}@{LOOPBACK}:{free_port()}/none"
    away["DATABASE_PASSWORD"] = APART.secret
    await _none_leaks(await start_all(["recorder", "api"], **away), down="postgres")


async def test_the_collector_of_traces_is_away(start_all: StartAll) -> None:
    gateway, validator = await start_all(
        ["gateway", "validator"],
        GRPC_SERVER_ADDRESS=f"{LOOPBACK}:{free_port()}",
        TICKPLANE_TRACES_SAMPLE_RATIO=1,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://me:{TOKEN.secret}@{LOOPBACK}:{free_port()}",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{TOKEN.secret}",
        OTEL_BSP_SCHEDULE_DELAY=100,
    )
    await asyncio.gather(gateway.service.wait_ready(), validator.service.wait_ready())
    port = gateway.env["TICKPLANE_GATEWAY_PORT"]
    async with connect(f"ws://{LOOPBACK}:{port}/ws/marketdata", proxy=None) as socket:
        await socket.send(json.dumps({"instrumentId": "BTCUSD", "price": 1.5, "volume": 1}))
        await socket.recv()
    await eventually(lambda: "opentelemetry" in gateway.log)
    await eventually(lambda: "opentelemetry" in validator.log)
    await _none_leaks([gateway, validator])


async def test_the_api_server_is_away(start_all: StartAll, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "only",
                "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
                "clusters": [{"name": "only", "cluster": {"server": f"http://{LOOPBACK}:{free_port()}"}}],
                "users": [{"name": "only", "user": {"token": TOKEN.secret}}],
            }
        )
    )
    await _none_leaks(await start_all(["operator"], KUBECONFIG=kubeconfig), down="kubernetes")


async def test_strangers_at_the_validator_leave_no_line_of_text(start_all: StartAll) -> None:
    """gRPC's core writes of failed handshakes by itself."""
    (validator,) = await start_all(
        ["validator"],
        TICKPLANE_GRPC_TLS="true",
        TICKPLANE_GRPC_CERTIFICATE_FILE=SERVER,
        TICKPLANE_GRPC_KEY_FILE=SERVER,
        TICKPLANE_CONSUME_RAW_TICKS="false",
    )
    await validator.service.wait_ready()
    reader, writer = await asyncio.open_connection(*str(validator.env["GRPC_SERVER_ADDRESS"]).split(":"))
    writer.write(b"this is no handshake" * 10)
    assert await reader.read() == b"", "it is sent away"
    writer.close()
    await _none_leaks([validator])


# ---- settings that cannot be


WRONG: dict[str, Any] = {
    "DATABASE_URL": f"postgresql://postgres:{IN_URL.secret}@localhost/x",
    "REDIS_URL": f"redis://:{TOKEN.secret}/{TOKEN.secret}@localhost/0",
    "OTEL_EXPORTER_OTLP_HEADERS": TOKEN.secret,
    "TICKPLANE_VENUE_SETTINGS": f'{{"token": {TOKEN.secret}}}',
}
READERS = {"DATABASE_URL": "api", "REDIS_URL": "orders", "OTEL_EXPORTER_OTLP_HEADERS": "gateway"}


@pytest.mark.parametrize("variable", WRONG)
async def test_a_setting_that_cannot_be_read_is_named_and_not_quoted(service: StartService, variable: str) -> None:
    wrong = await service(READERS.get(variable, "feed"), **{variable: WRONG[variable]})
    assert await wrong.wait() == 2
    log = wrong.log.read_text()
    assert variable in log
    assert leaks(log, ALL) == []
    assert misshapen(log, wrong.name) == []


async def test_the_migration_tells_none(service: StartService, database_url: str) -> None:
    job = await service(
        "migrate", start=False, DATABASE_URL=_with_password(database_url, IN_URL), TICKPLANE_MIGRATE_TIMEOUT_S=1
    )
    await job.start()
    assert await job.wait() == 1
    assert "password authentication failed" in job.log.read_text()
    assert leaks(job.log.read_text(), ALL) == []


# ---- keys of clients, where they belong and where not


async def test_keys_of_clients_are_nowhere(
    start_all: StartAll, database_url: str, bootstrap_servers: str, free_port: Callable[[], int]
) -> None:
    database = await asyncpg.connect(database_url)
    key = Canary(await create_key(database, "alice", ["read", "trade"]))
    await database.close()
    (matching,) = await start_all(["matching"])
    await matching.service.wait_ready()
    suspects = [matching, *await start_all(["orders", "api", "gateway", "recorder"])]
    await asyncio.gather(*(suspect.service.wait_ready() for suspect in suspects))
    ports = {each.service.name: each.env.get(f"TICKPLANE_{each.service.name.upper()}_PORT") for each in suspects}
    said = await _at_orders(f"http://{LOOPBACK}:{ports['orders']}", key.secret)
    said += await _at_the_gateway(f"{LOOPBACK}:{ports['gateway']}", key.secret)
    assert [leak for text in said for leak in leaks(text, [key])] == []
    for topic in Topic:
        for record in await records(bootstrap_servers, topic):
            assert leaks(str((record.key, record.value, record.headers)), [key]) == [], topic
    for suspect in suspects:
        await suspect.end()
        assert suspect.leaks([key]) == [], suspect.service.name
        assert misshapen(suspect.log, suspect.service.name) == []


async def _at_orders(url: str, key: str) -> list[str]:
    """What is answered to good and bad requests, all with the key."""
    good = {"id": "a-1", "symbol": "DEMO-USD", "price": 100.5, "qty": 2}
    headers = {"X-API-Key": key}
    async with httpx.AsyncClient(base_url=url, timeout=15) as client:
        placed = await client.post("/place_order", json=good, headers=headers)
        assert placed.status_code == 202, placed.text
        answers = [
            placed,
            await client.post("/place_order", json=good | {"symbol": key}, headers=headers),
            await client.post("/place_order", json=good | {"price": key}, headers=headers),
            await client.post("/place_order", json=good | {"api_key": key}, headers=headers),
            await client.post("/place_order", content=f'{{"key": {key}}}', headers=headers),
            await client.post("/place_order", json=good, headers={"Authorization": f"Bearer {key}"}),
            await client.post("/place_order", json=good, headers={"X-API-Key": f"{key}x"}),
            await client.get(f"/v1/orders?api_key={key}", headers=headers),
            await client.get(f"/v1/orders/{key}", headers=headers),
            await client.get(f"/v1/book/{key}", headers=headers),
            await client.get(f"/v1/accounts/{key}", headers=headers),
            await client.get(f"/{key}", headers=headers),
            await client.get("/whoami", headers=headers | {"X-Request-ID": key}),
        ]
    # A request's id is the client's own, and comes back to it.
    del answers[-1].headers["x-request-id"]
    return [f"{answer.headers}\n{answer.text}" for answer in answers]


async def _at_the_gateway(address: str, key: str) -> list[str]:
    said = []
    for path, frame in (
        ("/v1/stream", {"op": key, "id": 1}),
        ("/v1/stream", {"op": "subscribe", "channel": key, "id": 1}),
        ("/v1/stream", {"op": "subscribe", "channel": "trades", "exchange": key, "products": [key], "id": 1}),
        ("/v1/stream", key),
        ("/ws/marketdata", {"instrumentId": "BTCUSD", "price": key, "volume": 1}),
        ("/ws/marketdata", key),
        (f"/crypto/{key}?exchange={key}", None),
        (f"/{key}", None),
    ):
        said.append(await _told(f"ws://{address}{path}", frame, {"X-API-Key": key, "Authorization": f"Bearer {key}"}))
    return said


async def _told(url: str, frame: object, headers: dict[str, str]) -> str:
    """What comes until an error does, or the socket is closed."""
    told = []
    try:
        async with connect(url, proxy=None, additional_headers=headers) as socket, asyncio.timeout(10):
            if frame is not None:
                await socket.send(frame if isinstance(frame, str) else json.dumps(frame))
            async for message in socket:
                told.append(str(message))
                if '"error"' in told[-1]:
                    break
    except (WebSocketException, TimeoutError) as error:
        told.append(str(error))
    return "\n".join(told)


# ---- controls


async def test_control_a_secret_in_a_log_or_an_answer_is_found(tmp_path: Path) -> None:
    service = Service("control", {}, tmp_path / "control.jsonl")
    suspect = Suspect(service, {})
    for spelling in (
        IN_URL.secret,
        IN_URL.quoted,
        json.dumps(IN_URL.secret)[1:-1],
        "cG9zdGdyZXM6Y2FuYXJ5LWluLXVybC83ZiAiMyJAKyU=",
    ):
        service.log.write_text(f'{{"event": "postgres_away", "error": "refused: {spelling}"}}\n')
        assert suspect.leaks() != [], spelling
    service.log.write_text('{"event": "postgres_away", "error": "refused"}\n')
    assert suspect.leaks() == []
    suspect._said.append(f'{{"detail": "{TOKEN.secret}"}}')
    assert suspect.leaks() != []


def test_control_a_line_that_is_not_well_is_found() -> None:
    good = {"event": "started", "level": "info", "time": "2026-01-02T03:04:05Z", "service": "api"}
    assert misshapen(json.dumps(good), "api") == []
    bad: list[Any] = [
        "Traceback (most recent call last):",
        json.dumps(good | {"event": "Not a name"}),
        json.dumps(good | {"service": "another"}),
        json.dumps(good | {"level": "loud"}),
        json.dumps(good | {"time": "noon"}),
        json.dumps({"event": "started"}),
        "[]",
    ]
    assert misshapen("\n".join(bad), "api") == bad
