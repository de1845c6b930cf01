"""The ``gateway`` as a process: records produced to the topics on one side, WebSocket clients on the other."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
import redis.asyncio as redis
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.adapters.redis import indicator_key, price_key
from services.contracts.events import FeedState, Indicators, Trade, product_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.runtime.clock import rfc3339
from tests.conftest import StartService
from tests.support.log import producer
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

START_NS = 1_767_225_600_000_000_000
PRODUCT = ("coinbase", "BTC-USD")


def trade(number: int, price: int, *, ordered: bool = True) -> Trade:
    """Without ``ordered`` the exchange gives no number, and all have the same time: only the id tells them apart."""
    time_ns = START_NS + number if ordered else START_NS
    return Trade(
        *PRODUCT, str(number), number if ordered else None, Decimal(price), Decimal(1), "BUY",
        time_ns, time.time_ns(), "live", "coinbase",
    )  # fmt: skip


class Log:
    """Writes to the topics."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client

    async def trades(self, *trades: Trade) -> list[int]:
        """Returns their offsets."""
        return [await self._put(Topic.MARKET_TRADES, trade) for trade in trades]

    async def indicators(self, values: dict[str, float], sequence: int) -> int:
        return await self._put(Topic.INDICATORS, Indicators(*PRODUCT, "trade", START_NS, values, sequence))

    async def feed_state(self, exchange: str, product_id: str) -> None:
        state = FeedState(exchange, product_id, exchange, None, None, None)
        await self._client.send_and_wait(
            Topic.FEED_STATE, msgspec.json.encode(state), key=product_key(exchange, product_id)
        )

    async def raw(self, value: bytes | None) -> None:
        await self._client.send_and_wait(Topic.MARKET_TRADES, value, key=product_key(*PRODUCT))

    async def many(self, trades: list[Trade]) -> None:
        key = product_key(*PRODUCT)
        sends = [await self._client.send(Topic.MARKET_TRADES, msgspec.json.encode(one), key=key) for one in trades]
        await asyncio.gather(*sends)

    async def _put(self, topic: Topic, event: Trade | Indicators) -> int:
        key = product_key(event.exchange, event.product_id)
        written = await self._client.send_and_wait(topic, msgspec.json.encode(event), key=key)
        return int(written.offset)


class Gateway:
    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.http = f"http://127.0.0.1:{port}"
        self.port = port

    def follow(self, path: str = "/crypto/BTC-USD", **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, **options)

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{self.service.ops_url}/metrics")).text


async def frame(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        document: dict[str, Any] = json.loads(await client.recv())
        return document


async def frames_until(client: ClientConnection, price: str) -> list[dict[str, Any]]:
    frames = [await frame(client)]
    while frames[-1]["price"] != price:
        frames.append(await frame(client))
    return frames


StartGateway = Callable[..., Any]


@pytest.fixture
async def log(bootstrap_servers: str) -> AsyncIterator[Log]:
    async with producer(bootstrap_servers) as client:
        yield Log(client)


@pytest.fixture
async def start_gateway(service: StartService, free_port: Callable[[], int]) -> StartGateway:
    async def start(**env: object) -> Gateway:
        port = free_port()
        usual: dict[str, Any] = {"TICKPLANE_DEPENDENCY_CHECK_INTERVAL_S": 0.3}
        process = await service("gateway", **(usual | env), TICKPLANE_GATEWAY_PORT=port)
        await process.wait_ready()
        return Gateway(process, port)

    return start


async def test_a_client_gets_the_current_values_and_then_each_change(start_gateway: StartGateway, log: Log) -> None:
    (first,) = await log.trades(trade(1, 100))
    await log.indicators({"ema_12": 99.5}, 10)
    gateway = await start_gateway()
    async with gateway.follow() as client, gateway.follow("/indicators/BTC-USD?exchange=coinbase") as other:
        assert await frame(client) == {
            "exchange": "coinbase", "product_id": "BTC-USD", "price": "100", "last_size": "1", "ema_12": 99.5,
            "time": rfc3339(START_NS + 1), "sequence": first, "previous": None,
        }  # fmt: skip
        now = await frame(other)
        assert now == {
            "exchange": "coinbase", "product_id": "BTC-USD", "ema_12": 99.5, "time": rfc3339(START_NS),
            "sequence": 0, "previous": None,
        }  # fmt: skip
        _same, changed, _late = await log.trades(trade(2, 100), trade(3, 101), trade(1, 55))
        moved = await frame(client)
        assert (moved["price"], moved["sequence"], moved["previous"]) == ("101", changed, first)
        await log.indicators({"ema_12": 1.0}, 9)
        offset = await log.indicators({"ema_12": 99.75}, 11)
        assert (await frame(other))["sequence"] == offset
        both = await frame(client)
        assert (both["price"], both["ema_12"], both["sequence"]) == ("101", 99.75, changed)


@pytest.mark.parametrize("path", ["/crypto/NONE-USD", "/indicators/*", "/crypto/BTC-*", "/crypto/BTC-USD?exchange=x"])
async def test_a_product_that_nobody_has_is_an_error_and_4504(path: str, gateway: Gateway) -> None:
    async with gateway.follow(path) as client:
        assert (await frame(client))["error"] == "unknown_product"
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4504


async def test_a_product_that_only_a_feed_has_is_followed(start_gateway: StartGateway, log: Log) -> None:
    gateway = await start_gateway()
    await log.feed_state(*PRODUCT)

    async def accepted() -> bool:
        async with gateway.follow() as client:
            try:
                await asyncio.wait_for(client.recv(), 0.3)
            except TimeoutError:
                return True
            return False

    await eventually(accepted)
    async with gateway.follow() as client:
        await log.trades(trade(1, 100))
        assert (await frame(client))["price"] == "100"


async def test_redis_gives_what_the_log_does_not(start_gateway: StartGateway, log: Log, redis_url: str) -> None:
    await log.feed_state(*PRODUCT)
    price: dict[Any, Any] = {"price": "42.5", "size": "2", "side": "BUY", "time": str(START_NS), "trade_id": "1"}
    values: dict[Any, Any] = {"rsi_14": "50.5", "time": str(START_NS)}
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.hset(price_key(*PRODUCT), mapping=price)
        await cache.hset(indicator_key(*PRODUCT), mapping=values)
    gateway = await start_gateway()
    async with gateway.follow() as client:
        filled = await frame(client)
        assert (filled["price"], filled["rsi_14"], filled["sequence"]) == ("42.5", 50.5, None)


@pytest.mark.parametrize(("window", "prices"), [(1_000, ["101", "102"]), (0, ["101", "102", "101", "102"])])
async def test_a_repeat_is_not_delivered_twice_and_with_no_window_it_is(
    start_gateway: StartGateway, log: Log, window: int, prices: list[str]
) -> None:
    gateway = await start_gateway(TICKPLANE_DEDUP_WINDOW=window)
    await log.feed_state(*PRODUCT)
    await log.trades(trade(0, 100, ordered=False))

    async def known() -> bool:
        async with gateway.follow() as client:
            return "price" in await frame(client)

    await eventually(known)
    async with gateway.follow() as client:
        await frame(client)
        again = [trade(1, 101, ordered=False), trade(2, 102, ordered=False)]
        await log.trades(*again, *again, trade(9, 999, ordered=False))
        frames = await frames_until(client, "999")
    assert [one["price"] for one in frames] == [*prices, "999"]


async def test_a_gateway_started_later_knows_repeats_of_before(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(*(trade(number, 100 + number, ordered=False) for number in range(5)))
    gateway = await start_gateway()
    async with gateway.follow() as client:
        assert (await frame(client))["price"] == "104"
        await log.trades(trade(2, 102, ordered=False), trade(9, 999, ordered=False))
        assert (await frame(client))["price"] == "999"


async def test_sequences_are_the_same_on_every_gateway(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(0, 1))
    first, second = await start_gateway(), await start_gateway()
    async with first.follow() as one, second.follow() as other:
        await log.many([trade(number, 100 + number // 2) for number in range(1, 200)])
        seen = [await frames_until(client, "199") for client in (one, other)]
    places = [[(at["sequence"], at["previous"]) for at in frames] for frames in seen]
    assert places[0] == places[1]
    assert all(later[1] == earlier[0] for earlier, later in zip(places[0], places[0][1:], strict=False))


@pytest.mark.parametrize(("buffer_bytes_max", "closed"), [(65_536, True), (64 << 20, False)])
async def test_a_client_that_does_not_read_is_closed_and_the_others_are_unharmed(
    start_gateway: StartGateway, log: Log, buffer_bytes_max: int, closed: bool
) -> None:
    await log.trades(trade(0, 1))
    gateway = await start_gateway(TICKPLANE_CLIENT_BUFFER_BYTES_MAX=buffer_bytes_max, TICKPLANE_CLOSE_TIMEOUT_S=1)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    slow.connect(("127.0.0.1", gateway.port))
    slow.sendall(
        b"GET /crypto/BTC-USD HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    count = 40_000
    async with gateway.follow(max_queue=None) as client:
        await log.many([trade(number, 100 + number) for number in range(1, count + 1)])
        frames = await frames_until(client, str(100 + count))
        assert len(frames) == count + 1
        closes = f'{Metric.GATEWAY_SLOW_CLIENT_CLOSES.value.name}{{channel="crypto"}} 1.0'
        connections = f'{Metric.GATEWAY_CONNECTIONS.value.name}{{channel="crypto"}} 1.0'

        async def only_the_slow_one_is_gone() -> bool:
            metrics = await gateway.metrics()
            return (closes in metrics and connections in metrics) is closed

        await eventually(only_the_slow_one_is_gone)
        await log.trades(trade(count + 1, 7))
        assert (await frame(client))["price"] == "7"
    slow.close()


async def test_poison_is_passed_over_and_counted(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(0, 1))
    gateway = await start_gateway()
    async with gateway.follow() as client:
        await frame(client)
        for value in (b'{"exchange":', b"[1]", b"5", b'"x"', b"null", b"", None, b"\xff\xfe", b'{"price":"NaN"}'):
            await log.raw(value)
        await log.trades(trade(1, 100))
        assert (await frame(client))["price"] == "100"
    refused = [
        line for line in (await gateway.metrics()).splitlines() if line.startswith(Metric.DLQ_MESSAGES.value.name + "{")
    ]
    assert sum(float(line.rpartition(" ")[2]) for line in refused) == 9


async def test_connections_beyond_the_limit_are_told_to_come_back(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(0, 1))
    gateway = await start_gateway(TICKPLANE_GATEWAY_CONNECTIONS_MAX=1)
    async with gateway.follow() as client:
        await frame(client)
        with pytest.raises(InvalidStatus) as refused:
            await gateway.follow()
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0


async def test_plain_http_and_request_ids(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.http) as client:
        statuses = {path: (await client.get(path)).status_code for path in ("/", "/health", "/crypto/X", "/metrics")}
        assert statuses == {"/": 200, "/health": 200, "/crypto/X": 426, "/metrics": 404}
        assert "/markets" in (await client.get("/")).text
    async with gateway.follow("/crypto/X", additional_headers={"X-Request-ID": "mine-2"}) as socket_:
        assert socket_.response is not None
        assert socket_.response.headers["X-Request-ID"] == "mine-2"
    await eventually(lambda: '"request_id": "mine-2"' in gateway.service.log.read_text())


async def test_sigterm_tells_clients_to_come_back_and_exits_0(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(0, 1))
    gateway = await start_gateway()
    async with gateway.follow() as client:
        await frame(client)
        ended = asyncio.create_task(gateway.service.terminate())
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert await ended == 0


async def test_kafka_away_is_said_and_its_return_noticed(
    start_gateway: StartGateway, log: Log, parts: Parts, bootstrap_servers: str
) -> None:
    await log.trades(trade(0, 1))
    gateway = await start_gateway()
    async with gateway.follow() as client:
        await frame(client)
        await parts.kafka.stop()

        async def kafka_is(up: bool) -> bool:
            return bool((await gateway.service.ready())["dependencies"]["kafka"]["up"] is up)

        await eventually(lambda: kafka_is(False))
        await parts.kafka.start()
        await eventually(lambda: kafka_is(True))
        async with producer(bootstrap_servers) as again:
            await Log(again).trades(trade(1, 100))
        assert (await frame(client))["price"] == "100"


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    one: Gateway = await start_gateway()
    return one
