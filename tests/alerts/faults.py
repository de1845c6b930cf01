"""What is broken, in waves of things that do not hide each other, and which alerts that must fire."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import psutil
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient

from services.adapters.kafka import apply_topics
from services.contracts.topics import Topic
from services.local.parts import Part
from services.replay.faults import Drop, Reset
from tests.alerts.world import DISCONNECTED, FEED, HOLED, SIDE_VENUES, World
from tests.e2e.cluster import RELEASE
from tests.e2e.market import PRODUCTS
from tests.support.database import fetch
from tests.support.log import producer, publish
from tests.support.parts import topics_at
from tests.support.polling import eventually
from tests.support.trades import Mix, generate

SLOW_CLIENTS = 20
BACKLOG_TRADES = 200_000
SPARE_CONNECTIONS = 25
"""Those of the services that begin meanwhile, and of who asks how it is."""
TRADES = {"channel": "trades", "exchange": "coinbase", "products": ["*"]}
Broken = Callable[[World], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """``shows`` says, by alert, what one of the commands of its runbook's diagnosis prints while it is so."""

    name: str
    broken: Broken
    shows: dict[str, str]


# ---- feeds


@asynccontextmanager
async def exchange_refuses(world: World) -> AsyncIterator[None]:
    exchange = world.side[DISCONNECTED].exchange
    exchange.refusing = 503
    exchange.inject(Reset())
    try:
        yield
    finally:
        exchange.refusing = None


@asynccontextmanager
async def history_is_away(world: World) -> AsyncIterator[None]:
    """Trades are lost on their way, and the exchange does not tell of them."""
    exchange = world.side[HOLED].exchange
    exchange.history_refusing = 500
    exchange.inject(Drop(frames=3))
    try:
        yield
    finally:
        exchange.history_refusing = None


@asynccontextmanager
async def product_falls_silent(world: World) -> AsyncIterator[None]:
    world.market.trading.remove(PRODUCTS[-1])
    try:
        yield
    finally:
        world.market.trading.append(PRODUCTS[-1])


@asynccontextmanager
async def feed_without_an_image(world: World) -> AsyncIterator[None]:
    endpoint = world.side[DISCONNECTED].exchange.endpoint
    venue = SIDE_VENUES[DISCONNECTED]
    await world.apply_feed("imageless", venue, ["T-USD"], endpoint, image="localhost/no-such-image:1")
    try:
        yield
    finally:
        await world.cluster.delete("marketfeed", "imageless")


# ---- the pipeline


@asynccontextmanager
async def poison(world: World) -> AsyncIterator[None]:
    async with producer(world.parts.kafka.url) as client:
        for value in (b"{", b"null", b"\xff"):
            await client.send_and_wait(Topic.MARKET_TRADES, value, key=b"coinbase:A-USD")
    yield


@asynccontextmanager
async def backlog(world: World) -> AsyncIterator[None]:
    """More trades at once than the indicators, whose batches are small here, take in a minute."""
    trades = generate(BACKLOG_TRADES, Mix(exchange="backlog"))
    await publish(world.parts.kafka.url, trades)
    yield


@asynccontextmanager
async def locked(world: World, statement: str) -> AsyncIterator[None]:
    """A transaction that somebody forgot to end."""
    connection = await asyncpg.connect(world.parts.postgres.url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(statement)
        yield
        await transaction.rollback()
    finally:
        await connection.close()


def position_locked(group: str) -> Broken:
    return lambda world: locked(world, f"SELECT FROM positions WHERE consumer_group = '{group}' FOR UPDATE")


def candles_locked(world: World) -> AbstractAsyncContextManager[None]:
    return locked(world, "LOCK TABLE candles IN ACCESS EXCLUSIVE MODE")


@asynccontextmanager
async def position_outside_log(world: World) -> AsyncIterator[None]:
    url, where = world.parts.postgres.url, "WHERE consumer_group = 'indicator_engine' AND topic = 'market_trades'"
    before = {row["partition"]: row["next_offset"] for row in await fetch(url, f"SELECT * FROM positions {where}")}
    await world.cluster.kubectl("scale", f"deployment/{RELEASE}-indicators", "--replicas=0")
    await eventually(lambda: _gone(world, "indicators"), 60)
    await fetch(url, f"UPDATE positions SET next_offset = 1000000000 {where} AND partition = 0")
    await world.cluster.kubectl("scale", f"deployment/{RELEASE}-indicators", "--replicas=1")
    try:
        yield
    finally:
        await fetch(
            url,
            f"UPDATE positions SET next_offset = $1, owner_epoch = owner_epoch + 1 {where} AND partition = 0",
            before[0],
        )


async def _gone(world: World, service: str) -> bool:
    return not await world.cluster.pods(service)


@asynccontextmanager
async def killed_again_and_again(world: World) -> AsyncIterator[None]:
    """Where the node is this machine, its pods' processes are this machine's."""
    (pod,) = await world.cluster.pods("recorder")

    async def kill() -> bool:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[-1:] == ["recorder"] and process.environ().get("HOSTNAME") == pod:
                    process.send_signal(signal.SIGKILL)
                    return True
        return False

    async def again() -> None:
        for _ in range(3):
            await eventually(kill, 60, interval_s=0.5)
            await asyncio.sleep(15)

    killing = asyncio.create_task(again())
    try:
        yield
    finally:
        killing.cancel()


# ---- the edge


@asynccontextmanager
async def slow_clients(world: World) -> AsyncIterator[None]:
    """They follow everything and read nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(SLOW_CLIENTS):
            client = await stack.enter_async_context(await world.websocket("/v1/stream", unreading=True))
            await client.send(json.dumps({"op": "subscribe", "id": 1, **TRADES}))
        yield


@asynccontextmanager
async def one_client_goes_wild(world: World) -> AsyncIterator[None]:
    async def ask() -> None:
        while True:
            with contextlib.suppress(Exception):
                await world.request("api", "/markets")
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()


# ---- whole services


def scaled_to_nothing(workload: str, replicas: int) -> Broken:
    @asynccontextmanager
    async def broken(world: World) -> AsyncIterator[None]:
        await world.cluster.kubectl("scale", workload, "--replicas=0")
        try:
            yield
        finally:
            await world.cluster.kubectl("scale", workload, f"--replicas={replicas}")

    return broken


def stopped(part: Callable[[World], Part]) -> Broken:
    """A store of the release, killed; the same data is there again at the end."""

    @asynccontextmanager
    async def broken(world: World) -> AsyncIterator[None]:
        await part(world).stop()
        try:
            yield
        finally:
            await part(world).start()

    return broken


@asynccontextmanager
async def redis_is_full(world: World) -> AsyncIterator[None]:
    async with redis.Redis.from_url(world.parts.valkey.url) as client:
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", str(int(used * 1.05)))
        try:
            yield
        finally:
            await client.config_set("maxmemory", "0")


@asynccontextmanager
async def connections_taken(world: World) -> AsyncIterator[None]:
    """By somebody who does not give them back."""
    url = world.parts.postgres.url
    (row,) = await fetch(url, "SELECT current_setting('max_connections')::int - count(*) AS free FROM pg_stat_activity")
    taken = await asyncio.gather(*(asyncpg.connect(url) for _ in range(row["free"] - SPARE_CONNECTIONS)))
    try:
        yield
    finally:
        await asyncio.gather(*(connection.close() for connection in taken))


@asynccontextmanager
async def topic_deleted(world: World) -> AsyncIterator[None]:
    """One that nobody writes while its setting is off."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.parts.kafka.url)
    await admin.start()
    try:
        await admin.delete_topics([str(Topic.RAW_FRAMES)])
    finally:
        await admin.close()
    try:
        yield
    finally:
        await apply_topics(topics_at(world.parts.kafka.url))


@asynccontextmanager
async def operator_without_rights(world: World) -> AsyncIterator[None]:
    kind, name = "rolebinding", f"{RELEASE}-operator"
    binding = await world.cluster.get(kind, name)
    await world.cluster.delete(kind, name)
    await world.cluster.patch("marketfeed", FEED, {"spec": {"logLevel": "WARNING"}})
    try:
        yield
    finally:
        kept = {key: binding["metadata"].get(key, {}) for key in ("name", "labels", "annotations")}
        await world.cluster.apply({**binding, "metadata": kept})


WAVES: tuple[tuple[Fault, ...], ...] = (
    (
        Fault("200,000 trades at once", backlog, {"ConsumerLagHigh": "indicator_engine"}),
        Fault("`recorder` killed again and again", killed_again_and_again, {"ServiceCrashLooping": "137"}),
        Fault("Redis is full", redis_is_full, {"RedisMemoryHigh": "redis_memory_max_bytes"}),
        Fault("connections that nobody gives back", connections_taken, {"PostgresConnectionsHigh": "idle"}),
        Fault("a topic is deleted", topic_deleted, {"KafkaTopicUnhealthy": 'topic="raw_frames"} 0.0'}),
        Fault("the operator loses its rights", operator_without_rights, {"OperatorReconcileErrors": 'code="403"'}),
        Fault(
            "somebody locks the table `candles`",
            candles_locked,
            {"ApiLatencyHigh": "LOCK TABLE candles", "ApiErrorRatioHigh": 'status="503"'},
        ),
    ),
    (
        Fault("an exchange refuses", exchange_refuses, {"FeedDisconnected": "503"}),
        Fault("trades are lost, and the history is away", history_is_away, {"FeedGapsOpen": '"open"'}),
        Fault("a MarketFeed whose image is nowhere", feed_without_an_image, {"FeedWithoutPods": "no-such-image"}),
        Fault("records that are no trades", poison, {"DlqNonZero": 'error_type="json"'}),
        Fault(
            "a transaction holds the position of `candles`",
            position_locked("candle_builder"),
            {"ConsumerStuck": "candle_builder' FOR UPDATE", "CandlesLate": "candle_builder"},
        ),
        Fault(
            "a transaction holds the position of `matching`",
            position_locked("matching"),
            {"MatchingStuck": "matching' FOR UPDATE"},
        ),
        Fault(
            "clients that do not read", slow_clients, {"GatewaySlowClientCloses": "gateway_slow_client_closes_total"}
        ),
        Fault("a client gone wild", one_client_goes_wild, {"RateLimitSpike": "429"}),
        Fault(
            "`validator` scaled to nothing",
            scaled_to_nothing("deployment/tickplane-validator", 2),
            {"ValidatorBreakerOpen": "No resources found", "ServiceDown": "No resources found"},
        ),
    ),
    (
        Fault("a position beyond the log", position_outside_log, {"PositionOutsideLog": "outside the log"}),
        Fault(
            "Redis is stopped",
            stopped(lambda world: world.parts.valkey),
            {"RedisUnreachable": '"redis":{"up":false', "RateLimiterWithoutRedis": '"redis":{"up":false'},
        ),
    ),
    (
        Fault(
            "Postgres is stopped",
            stopped(lambda world: world.parts.postgres),
            {"PostgresUnreachable": '"postgres":{"up":false', "DependencyDown": '"postgres":{"up":false'},
        ),
    ),
    (
        Fault(
            "Kafka is stopped",
            stopped(lambda world: world.parts.kafka),
            {"KafkaUnreachable": '"kafka":{"up":false', "OrdersUnavailable": '"kafka":{"up":false'},
        ),
    ),
    (
        Fault(
            "`api` scaled to nothing",
            scaled_to_nothing("deployment/tickplane-api", 2),
            {"ApiDown": "No resources found"},
        ),
    ),
    (
        # At the end: how long a silence is normal is known of a product that has been trading for a while.
        Fault("a product falls silent", product_falls_silent, {"FeedStale": PRODUCTS[-1]}),
    ),
)
