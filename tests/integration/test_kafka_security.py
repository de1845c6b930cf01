"""All our clients on a Kafka with TLS, passwords and ACLs: each works with exactly what ``contracts.access`` says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from websockets.asyncio.client import connect

from services.adapters.redis import indicator_key
from services.contracts.access import ACCESS, Access
from services.contracts.events import RawTick
from services.contracts.topics import Group, Topic
from services.local.ports import LOOPBACK
from services.runtime.certificates import expiry_time_s
from services.runtime.clock import SystemClock
from tests.conftest import StartService
from tests.support.database import fetch
from tests.support.polling import eventually
from tests.support.secure import CA, OTHER_CA, SecureKafka
from tests.support.services import Service

pytestmark = pytest.mark.parts

SERVICES = {service: access for service, access in ACCESS.items() if access.topics}
CONSUMERS = ("recorder", "candles", "indicators")


def _without(access: Access, **changed: object) -> Access:
    return replace(access, **changed)  # type: ignore[arg-type]


REFUSED: dict[str, tuple[str, Access, str]] = {
    "no group": ("recorder", _without(ACCESS["recorder"], group=None), "GroupAuthorizationFailed"),
    "no input": ("candles", _without(ACCESS["candles"], reads={Topic.FEED_STATE}), "no topic market_trades"),
    "no output": (
        "feed",
        _without(ACCESS["feed"], writes=ACCESS["feed"].writes - {Topic.MARKET_TRADES}),
        "no topic market_trades",
    ),
    "nothing to write": ("candles", _without(ACCESS["candles"], writes=frozenset()), "ClusterAuthorizationFailed"),
    "only the name of the input": (
        "indicators",
        _without(ACCESS["indicators"], reads={Topic.CANDLES, Topic.FEED_STATE}, describes={Topic.MARKET_TRADES}),
        "TopicAuthorizationFailed",
    ),
    "only the name of the output": (
        "feed",
        _without(ACCESS["feed"], writes=ACCESS["feed"].writes - {Topic.MARKET_TRADES}, describes={Topic.MARKET_TRADES}),
        "TopicAuthorizationFailed",
    ),
    "no ends": ("api", _without(ACCESS["api"], describes={Topic.CANDLES, Topic.FEED_STATE}), "no topic market_trades"),
    "nothing to fan out": ("gateway", _without(ACCESS["gateway"], reads={Topic.FEED_STATE}), "no topic market_trades"),
}
"""Each with one permission less than it needs, and what it says then."""


def _user(name: str) -> str:
    return name.replace(" ", "-")


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecureKafka]:
    """Everybody has the permissions of the table, or one less; the topics are made by the migration's own user."""
    users = {**SERVICES, **{_user(name): access for name, (_, access, _) in REFUSED.items()}}
    kafka = SecureKafka(tmp_path_factory.mktemp("secure") / "kafka", users)
    await kafka.start()
    try:
        for user, access in users.items():
            await kafka.allow(user, access.acls())
        yield kafka
    finally:
        await kafka.stop()


@pytest.fixture
async def migrated(kafka: SecureKafka, service: StartService) -> SecureKafka:
    """``tickplane migrate --topics`` as the user `migrate`, once a test: what is there is left alone."""
    tool = await service("migrate", start=False, **kafka.client("migrate"))
    tool.module = ("services", "migrate", "--topics")
    await tool.start()
    assert await tool.wait() == 0, tool.last_output()
    return kafka


async def test_every_service_works_with_exactly_its_permissions(
    migrated: SecureKafka,
    service: StartService,
    database_url: str,
    redis_url: str,
    free_port: Callable[[], int],
) -> None:
    for name in CONSUMERS:
        await service(name, **migrated.client(name))
    api_port, gateway_port = free_port(), free_port()
    api = await service("api", **migrated.client("api"), TICKPLANE_API_PORT=api_port)
    grpc: dict[str, Any] = {"GRPC_SERVER_ADDRESS": f"{LOOPBACK}:{free_port()}"}
    validator = await service("validator", **migrated.client("validator"), **grpc)
    gateway = await service("gateway", **migrated.client("gateway"), **grpc, TICKPLANE_GATEWAY_PORT=gateway_port)
    await service("feed", **migrated.client("feed"), TICKPLANE_RAW_FRAMES="true")
    await service("matching", **migrated.client("matching"))
    orders = await service("orders", **migrated.client("orders"), TICKPLANE_ORDERS_PORT=free_port())
    await orders.wait_ready()
    await api.wait_ready()
    await gateway.wait_ready()
    await validator.wait_ready()

    await eventually(_rows(database_url, "trades"))
    await eventually(_rows(database_url, "candles"))
    await eventually(_rows(database_url, "feed_products"))
    async with redis.Redis.from_url(redis_url) as client:
        await eventually(lambda: client.hget(indicator_key("demo", "BTC-USD"), "sma_5"))
    async with connect(f"ws://127.0.0.1:{gateway_port}/crypto/BTC-USD?exchange=demo", proxy=None) as socket:
        assert "price" in json.loads(await socket.recv())
    await _publish_tick(migrated)
    async with connect(f"ws://127.0.0.1:{gateway_port}/ws/marketdata", proxy=None) as socket:
        await socket.send(json.dumps({"instrumentId": "BTC-USD", "price": 1.5, "volume": 1}))
        assert json.loads(await socket.recv())["status"] == "VALID"

    async def lag_is_known() -> bool:
        async with httpx.AsyncClient() as client:
            status = (await client.get(f"http://127.0.0.1:{api_port}/v1/status")).json()
        return bool(status.get("lag")) and all(row["lag"] is not None for row in status["lag"])

    await eventually(lag_is_known)
    metrics = await api.metrics()
    assert metrics.by("kafka_topic_healthy", "topic") == dict.fromkeys(Topic, 1)
    assert metrics.by("tls_certificate_expiry_time_seconds", "certificate") == {"kafka_ca_file": expiry_time_s(CA)}
    for group in Group:
        await eventually(_committed(migrated, group))


async def _publish_tick(kafka: SecureKafka) -> None:
    """As somebody else's producer does."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.url) as producer:
        tick = RawTick("ETH-USD", 2.5, 1, SystemClock().now_ns())
        await producer.send_and_wait(Topic.RAW_TICKS, msgspec.json.encode(tick))


def _rows(database_url: str, table: str) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool((await fetch(database_url, f"SELECT count(*) FROM {table}"))[0][0])

    return check


def _committed(kafka: SecureKafka, group: Group) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.url)
        await admin.start()
        try:
            return bool(await admin.list_consumer_group_offsets(group))
        finally:
            await admin.close()

    return check


@pytest.mark.parametrize("name", REFUSED)
async def test_control_with_one_permission_less_it_says_what_is_refused(
    migrated: SecureKafka, service: StartService, free_port: Callable[[], int], name: str
) -> None:
    which, _access, said = REFUSED[name]
    ports: dict[str, Any] = {"TICKPLANE_API_PORT": free_port(), "TICKPLANE_GATEWAY_PORT": free_port()}
    process = await service(which, **migrated.client(_user(name)), **ports, TICKPLANE_GRACE_S=1)
    await eventually(lambda: _kafka_says(process, said))
    assert process.running


async def _kafka_says(process: Service, said: str) -> bool:
    dependencies = (await process.ready())["dependencies"]
    assert "kafka" in dependencies
    assert said in dependencies["kafka"]["detail"], dependencies["kafka"]
    return not dependencies["kafka"]["up"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"KAFKA_SASL_PASSWORD": "another"}, "SaslAuthenticationFailed"),
        ({"KAFKA_SASL_USERNAME": "nobody"}, "SaslAuthenticationFailed"),
        ({"KAFKA_CA_FILE": OTHER_CA}, "CERTIFICATE_VERIFY_FAILED"),
        ({"KAFKA_CA_FILE": ""}, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_a_wrong_password_and_a_stranger_are_refused_and_named(
    migrated: SecureKafka, service: StartService, changed: dict[str, Any], said: str
) -> None:
    process = await service("candles", **migrated.client("candles", **changed))
    await eventually(lambda: _kafka_says(process, "Unable to bootstrap"))
    await eventually(lambda: said in process.log.read_text())


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
async def test_the_other_mechanisms_work_and_a_stop_waits_for_no_goodbye(
    migrated: SecureKafka, service: StartService, mechanism: str
) -> None:
    env = {"KAFKA_SASL_MECHANISM": mechanism, "TICKPLANE_GRACE_S": 5}
    process = await service("candles", **migrated.client("candles", **env))
    await process.wait_ready()
    assert await process.terminate() == 0


async def test_who_may_not_make_topics_says_so(
    migrated: SecureKafka, service: StartService, tmp_path: Path, database_url: str
) -> None:
    """Somebody who may see and write everything: the topics are there, and one more is missing."""
    admin = AIOKafkaAdminClient(bootstrap_servers=migrated.url)
    await admin.start()
    await admin.delete_topics([Topic.RAW_FRAMES])
    await admin.close()
    tool = await service("migrate", start=False, **migrated.client("feed"), TICKPLANE_MIGRATE_TIMEOUT_S=1)
    tool.module = ("services", "migrate", "--topics")
    await tool.start()
    assert await tool.wait() == 1
    assert "TopicAuthorizationFailed" in tool.last_output()
