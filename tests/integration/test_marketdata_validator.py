"""``/ws/marketdata`` through the gateway and the real validator, both as processes, with Kafka behind them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from services.contracts.metrics import Metric
from services.contracts.proto import PROCESS_STREAM
from services.contracts.topics import Topic
from services.local.ports import LOOPBACK
from tests.conftest import StartService
from tests.support.collector import Collector, collector
from tests.support.log import records
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

METHOD = PROCESS_STREAM.removeprefix("/")
TOPIC = str(Topic.VALIDATED_TRADES)


class Pair:
    """A gateway and the validator that it calls."""

    def __init__(self, gateway: Service, validator: Service, port: int) -> None:
        self.gateway = gateway
        self.validator = validator
        self._port = port

    def connect(self, query: str = "") -> connect:
        return connect(f"ws://{LOOPBACK}:{self._port}/ws/marketdata{query}", proxy=None, max_queue=None)

    async def streams(self) -> float:
        return (await self.validator.metrics()).total(Metric.VALIDATOR_STREAMS.value.name, method=PROCESS_STREAM)


StartPair = Callable[..., Awaitable[Pair]]


@pytest.fixture
async def start_pair(service: StartService, free_port: Callable[[], int]) -> StartPair:
    async def start(**env: object) -> Pair:
        address, port = f"{LOOPBACK}:{free_port()}", free_port()
        usual: dict[str, Any] = {"GRPC_SERVER_ADDRESS": address, "TICKPLANE_CONSUME_RAW_TICKS": "false"}
        validator = await service("validator", **(usual | env))
        gateway = await service("gateway", **(usual | env), TICKPLANE_GATEWAY_PORT=port)
        await asyncio.gather(validator.wait_ready(), gateway.wait_ready())
        return Pair(gateway, validator, port)

    return start


@pytest.fixture
async def pair(start_pair: StartPair) -> Pair:
    return await start_pair()


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def tick(number: int, **changed: Any) -> str:
    return json.dumps({"instrumentId": "BTCUSD", "price": 100.5, "volume": number} | changed)


async def frame(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        document: dict[str, Any] = json.loads(await client.recv())
        return document


async def test_ticks_are_judged_and_priced(pair: Pair) -> None:
    async with pair.connect() as client:
        await client.send(tick(1, price=100))
        await client.send(tick(3, price=200))
        first, second = await frame(client), await frame(client)
        assert (first["status"], first["vwap20m"]) == ("VALID", 100)
        assert (second["status"], second["vwap20m"]) == ("VALID", 175)
        assert first["tradeId"] != second["tradeId"]
        await client.send(tick(1, price=1e9))
        breach = await frame(client)
        assert (breach["status"], breach["vwap20m"]) == ("INVALID", 0)
        assert breach["reason"].startswith("Price out of acceptable range")
        await client.send(tick(1, instrumentId="?"))
        assert (await frame(client))["status"] == "INVALID"


async def test_the_streams_of_clients_that_left_are_closed(pair: Pair) -> None:
    clients = [await pair.connect() for _ in range(20)]

    async def all_are_open() -> bool:
        return await pair.streams() == 20

    async def none_is_open() -> bool:
        return await pair.streams() == 0

    await eventually(all_are_open)
    for client in clients[:10]:
        await client.close()
    for client in clients[10:]:
        client.transport.abort()
    await eventually(none_is_open)


async def test_streams_are_spread_over_all_validators_of_a_name(
    service: StartService, free_port: Callable[[], int]
) -> None:
    addresses, port = [f"{LOOPBACK}:{free_port()}" for _ in range(2)], free_port()
    quiet: dict[str, Any] = {"TICKPLANE_CONSUME_RAW_TICKS": "false"}
    validators = [await service("validator", **quiet, GRPC_SERVER_ADDRESS=address) for address in addresses]
    everyone = f"ipv4:{','.join(addresses)}"
    gateway = await service("gateway", GRPC_SERVER_ADDRESS=everyone, TICKPLANE_GATEWAY_PORT=port)
    await asyncio.gather(*(process.wait_ready() for process in (*validators, gateway)))
    pairs = [Pair(gateway, validator, port) for validator in validators]
    clients: list[ClientConnection] = []

    async def each_has_some() -> bool:
        clients.append(await pairs[0].connect())
        return all([await pair.streams() > 0 for pair in pairs])

    await eventually(each_has_some)
    for client in clients:
        await client.send(tick(1))
        assert (await frame(client))["status"] == "VALID"
        await client.close()


async def test_with_broadcast_a_client_receives_everybodys_trades(pair: Pair) -> None:
    count = 100
    async with pair.connect("?broadcast=true") as follower, pair.connect() as other, pair.connect() as third:
        for number in range(count):
            await other.send(tick(number + 1))
            await third.send(tick(number + 1, instrumentId="ETHUSD", price=-1))
        answers = [await frame(client) for client in (other, third) for _ in range(count)]
        trades = [await frame(follower) for _ in range(2 * count)]
        assert {trade.pop("broadcast") for trade in trades} == {True}

        def by_id(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return sorted(frames, key=lambda one: str(one["tradeId"]))

        assert by_id(trades) == by_id(answers)
        await follower.send(tick(7))
        own = [await frame(follower), await frame(follower)]
        assert sorted(one.get("broadcast", False) for one in own) == [False, True]
        assert len({one["tradeId"] for one in own}) == 1


async def test_of_many_clients_no_tick_is_lost(pair: Pair, bootstrap_servers: str) -> None:
    clients, count = 100, 50

    async def converse(number: int) -> list[int]:
        async with pair.connect() as client:
            for step in range(count):
                await client.send(tick(number * count + step + 1))
            return [int((await frame(client))["volume"]) for _ in range(count)]

    volumes = await asyncio.gather(*(converse(number) for number in range(clients)))
    assert volumes == [list(range(number * count + 1, (number + 1) * count + 1)) for number in range(clients)]

    async def each_is_published_once() -> bool:
        published = [json.loads(record.value)["volume"] for record in await records(bootstrap_servers, Topic(TOPIC))]
        return sorted(published) == list(range(1, clients * count + 1))

    await eventually(each_is_published_once)


async def test_a_validator_that_restarts_under_load_loses_no_tick_and_takes_none_twice(
    pair: Pair, bootstrap_servers: str
) -> None:
    """SIGTERM, and up again: each tick is answered; none is published twice."""
    stopped = asyncio.Event()

    async def send(client: ClientConnection) -> int:
        number = 0
        while not stopped.is_set():
            number += 1
            await client.send(tick(number))
            await asyncio.sleep(0.002)
        return number

    async with pair.connect() as client:
        sending = asyncio.create_task(send(client))
        assert (await frame(client))["volume"] == "1"
        assert await pair.validator.terminate() == 0
        await pair.validator.start()
        await pair.validator.wait_ready()
        stopped.set()
        count = await sending
        assert [(await frame(client)).get("volume") for _ in range(count - 1)] == [
            str(number) for number in range(2, count + 1)
        ]

    async def each_is_published_once() -> bool:
        published = [json.loads(record.value)["volume"] for record in await records(bootstrap_servers, Topic(TOPIC))]
        return sorted(published) == list(range(1, count + 1))

    await eventually(each_is_published_once)


async def test_a_validator_that_is_killed_leaves_each_tick_answered_or_named(pair: Pair) -> None:
    async with pair.connect() as client:
        await client.send(tick(1))
        await frame(client)
        sent = 300
        for number in range(2, sent + 2):
            await client.send(tick(number))
        await pair.validator.kill()
        await pair.validator.start()
        frames = [await frame(client) for _ in range(sent)]
    volumes = [int((one if "volume" in one else one["tick"])["volume"]) for one in frames]
    assert volumes == list(range(2, sent + 2))
    assert {one["code"] for one in frames if "type" in one} <= {"unanswered"}


async def test_a_traced_tick_is_one_trace_from_the_socket_through_kafka_and_back(
    start_pair: StartPair, traces: Collector
) -> None:
    pair = await start_pair(
        TICKPLANE_TRACES_SAMPLE_RATIO=1, OTEL_EXPORTER_OTLP_ENDPOINT=traces.endpoint, OTEL_BSP_SCHEDULE_DELAY=100
    )
    async with pair.connect("?broadcast=true") as client:
        for number in (1, 2):
            await client.send(tick(number))
            await frame(client)

        def all_spans_of_both() -> bool:
            return sorted(len(trace) for trace in traces.traces.values()) == [5, 5]

        await eventually(all_spans_of_both)
    for trace in traces.traces.values():
        by_id = {seen.span.span_id: seen for seen in trace}
        way: list[tuple[str, str, str]] = []
        last = next(seen for seen in trace if seen.kind == "consumer")
        assert [link.span_id for link in last.span.links] == [last.span.parent_span_id]
        while True:
            way.append((last.service, last.kind, last.name))
            if not last.span.parent_span_id:
                break
            last = by_id[last.span.parent_span_id]
        assert way == [
            ("gateway", "consumer", f"process {TOPIC}"),
            ("validator", "producer", f"send {TOPIC}"),
            ("validator", "server", METHOD),
            ("gateway", "client", METHOD),
            ("gateway", "server", "message /ws/marketdata"),
        ]


async def test_a_tick_that_is_not_traced_carries_nothing(pair: Pair, bootstrap_servers: str) -> None:
    async with pair.connect() as client:
        await client.send(tick(1))
        await frame(client)

    async def is_published_without_headers() -> bool:
        published = await records(bootstrap_servers, Topic(TOPIC))
        return [list(record.headers) for record in published] == [[]]

    await eventually(is_published_without_headers)
