"""``/ws/marketdata`` of the gateway as a process, before a validator that does what the test wants of it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.contracts.metrics import Metric
from services.local.ports import LOOPBACK
from tests.conftest import StartService
from tests.support.polling import eventually
from tests.support.scripted_validator import ScriptedValidator, scripted_validator
from tests.support.services import Service

pytestmark = pytest.mark.parts

INT64_MAX = (1 << 63) - 1


class Gateway:
    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.port = port

    def connect(self, query: str = "", **options: Any) -> connect:
        return connect(f"ws://{LOOPBACK}:{self.port}/ws/marketdata{query}", proxy=None, **options)

    async def total(self, metric: Metric, **labels: str) -> float:
        return (await self.service.metrics()).total(metric.value.name, **labels)


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def validator() -> AsyncIterator[ScriptedValidator]:
    async with scripted_validator() as running:
        yield running


@pytest.fixture
async def start_gateway(
    service: StartService, free_port: Callable[[], int], validator: ScriptedValidator
) -> StartGateway:
    async def start(**env: object) -> Gateway:
        port = free_port()
        usual: dict[str, Any] = {"GRPC_SERVER_ADDRESS": validator.address, "TICKPLANE_VALIDATOR_PATIENCE_S": 5}
        process = await service("gateway", **(usual | env), TICKPLANE_GATEWAY_PORT=port)
        await process.wait_ready()
        return Gateway(process, port)

    return start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    return await start_gateway()


def tick(number: int = 1, **changed: Any) -> str:
    return json.dumps({"instrumentId": "BTCUSD", "price": 100.5, "volume": number} | changed)


async def frame(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(20):
        document: dict[str, Any] = json.loads(await client.recv())
        return document


async def close_code(client: ClientConnection) -> tuple[int, str]:
    """How the server closes; frames before it are passed over."""
    try:
        while True:
            await frame(client)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "cut off"  # noqa: PT017
        return closed.rcvd.code, closed.rcvd.reason


async def test_a_tick_is_stamped_and_answered(gateway: Gateway, validator: ScriptedValidator) -> None:
    async with gateway.connect() as client:
        before_ns = time.time_ns()
        await client.send(tick(INT64_MAX))
        answer = await frame(client)
        assert before_ns <= int(answer.pop("timestampNs")) <= time.time_ns()
        assert answer == {
            "tradeId": "t-1", "instrumentId": "BTCUSD", "price": 100.5, "volume": str(INT64_MAX), "status": "VALID",
            "vwap20m": 0.0,
        }  # fmt: skip
        await client.send(tick(price=-1))
        breach = await frame(client)
        assert (breach["status"], breach["reason"]) == ("INVALID", "Price out of acceptable range")
    assert validator.streams_seen == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("hello", "not_json"),
        ('{"instrumentId":"BTCUSD","price":NaN,"volume":1}', "not_json"),
        ("[1]", "not_an_object"),
        ('{"instrumentId":"BTCUSD","price":1}', "bad_request"),
        (tick(price="1"), "bad_request"),
        (tick(INT64_MAX + 1), "bad_request"),
        (tick(volume=1.5), "bad_request"),
        (tick(instrumentId="x" * 2_000), "too_long"),
        (tick().encode(), "binary_frame"),
    ],
)
async def test_a_wrong_shape_gets_an_error_frame_and_the_socket_stays(
    gateway: Gateway, validator: ScriptedValidator, message: str | bytes, code: str
) -> None:
    async with gateway.connect() as client:
        await client.send(message)
        refused = await frame(client)
        assert (refused["type"], refused["code"]) == ("error", code)
        assert refused["detail"]
        await client.send(tick(7))
        assert (await frame(client))["volume"] == "7"
    assert len(validator.taken) == 1


async def test_a_message_in_fragments_is_one_tick(gateway: Gateway) -> None:
    text = tick(7)
    async with gateway.connect() as client:
        await client.send([text[:10], text[10:20], text[20:]])
        assert (await frame(client))["volume"] == "7"


async def test_a_frame_beyond_the_servers_limit_closes_1009(gateway: Gateway) -> None:
    async with gateway.connect() as client:
        await client.send("x" * (1 << 20))
        assert (await close_code(client))[0] == 1009
    async with gateway.connect() as client:
        await client.send(tick(7))
        assert (await frame(client))["volume"] == "7"


async def test_answers_come_in_order_and_one_each(gateway: Gateway, validator: ScriptedValidator) -> None:
    count = 2_000
    async with gateway.connect(max_queue=None) as client:
        sending = asyncio.create_task(send_all(client, count))
        volumes = [int((await frame(client))["volume"]) for _ in range(count)]
        await sending
    assert volumes == list(range(count))
    assert validator.streams_seen == 1


async def send_all(client: ClientConnection, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await client.send(tick(number))


async def test_a_client_that_leaves_half_closes_its_stream(gateway: Gateway, validator: ScriptedValidator) -> None:
    async with gateway.connect() as client, gateway.connect() as other:
        await eventually(lambda: validator.streams_open == 2)
        await send_all(client, 50)
        await client.close()
        await eventually(lambda: validator.streams_open == 1)
        await other.send(tick(3))
        assert (await frame(other))["volume"] == "3"
    await eventually(lambda: validator.streams_open == 0)
    assert validator.half_closed == 2
    assert len(validator.taken) == 51


async def test_a_client_that_is_cut_off_half_closes_its_stream(gateway: Gateway, validator: ScriptedValidator) -> None:
    async with gateway.connect() as client:
        await eventually(lambda: validator.streams_open == 1)
        client.transport.abort()
        await eventually(lambda: validator.streams_open == 0)
    assert validator.half_closed == 1


async def test_ticks_beyond_the_bound_wait_in_the_socket_and_none_is_lost(
    start_gateway: StartGateway, validator: ScriptedValidator
) -> None:
    gateway = await start_gateway(TICKPLANE_TICKS_IN_FLIGHT_MAX=10)
    validator.answers.clear()
    count = 1_000
    async with gateway.connect(max_queue=None) as client:
        sending = asyncio.create_task(send_all(client, count))

        async def is_paused() -> bool:
            return await gateway.total(Metric.GATEWAY_READ_PAUSES, reason="in_flight") == 1

        await eventually(is_paused)
        validator.answers.set()
        assert [int((await frame(client))["volume"]) for _ in range(count)] == list(range(count))
        await sending


async def test_a_client_that_sends_too_fast_is_slowed_and_none_is_lost(start_gateway: StartGateway) -> None:
    per_second, count = 100, 1_000
    gateway = await start_gateway(TICKPLANE_TICKS_PER_SECOND_MAX=per_second)
    async with gateway.connect(max_queue=None) as client:
        began_s = time.monotonic()
        await send_all(client, count)
        assert [int((await frame(client))["volume"]) for _ in range(count)] == list(range(count))
        # What is in the buffer when the socket is paused is heard at once.
        assert time.monotonic() - began_s >= (count - per_second) / per_second / 2
    assert await gateway.total(Metric.GATEWAY_READ_PAUSES, reason="rate") > 0


async def test_a_client_that_does_not_read_holds_up_nobody_else(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_CLIENT_BUFFER_BYTES_MAX=1_024, TICKPLANE_TICKS_PER_SECOND_MAX=1_000_000)
    async with gateway.connect(max_queue=1) as slow, gateway.connect() as other:
        sending = asyncio.create_task(send_all(slow, 60_000))

        async def is_paused() -> bool:
            return await gateway.total(Metric.GATEWAY_READ_PAUSES, reason="slow_client") >= 1

        await eventually(is_paused)
        await other.send(tick(7))
        assert (await frame(other))["volume"] == "7"
        assert [int((await frame(slow))["volume"]) for _ in range(60_000)] == list(range(60_000))
        await sending


async def test_a_validator_that_comes_back_in_time_is_not_noticed_by_ticks_sent_meanwhile(
    gateway: Gateway, validator: ScriptedValidator
) -> None:
    async with gateway.connect() as client:
        await client.send(tick(1))
        assert (await frame(client))["volume"] == "1"
        await validator.vanish()

        async def is_known() -> bool:
            return await gateway.total(Metric.VALIDATOR_STREAM_FAILURES) > 0

        await eventually(is_known)
        await send_all(client, 20, first=2)
        await validator.start()
        assert [int((await frame(client))["volume"]) for _ in range(20)] == list(range(2, 22))
        assert validator.streams_seen == 2


async def test_ticks_under_way_when_the_stream_breaks_are_named_and_the_socket_stays(
    gateway: Gateway, validator: ScriptedValidator
) -> None:
    async with gateway.connect() as client:
        validator.answers.clear()
        await send_all(client, 5, first=1)
        await eventually(lambda: len(validator.taken) >= 1)

        async def all_are_written() -> bool:
            return await gateway.total(Metric.GATEWAY_CONNECTIONS, channel="marketdata") == 1

        await eventually(all_are_written)
        await validator.vanish()
        told = [await frame(client) for _ in range(5)]
        assert [(one["type"], one["code"], one["tick"]["volume"]) for one in told] == [
            ("error", "unanswered", str(number)) for number in range(1, 6)
        ]
        validator.answers.set()
        await validator.start()
        await client.send(tick(6))
        assert (await frame(client))["volume"] == "6"
    assert await gateway.total(Metric.GATEWAY_TICKS, result="unanswered") == 5


async def test_a_validator_that_leaves_in_order_loses_nothing_and_answers_nothing_twice(
    gateway: Gateway, validator: ScriptedValidator
) -> None:
    validator.leaves_after = 7
    count = 500
    async with gateway.connect(max_queue=None) as client:
        await send_all(client, count)
        frames = [await frame(client) for _ in range(count)]
    assert [one.get("volume") for one in frames] == [str(number) for number in range(count)]
    assert [one.volume for one in validator.taken] == list(range(count))
    assert validator.streams_seen > 1


async def test_a_validator_that_is_gone_closes_1011_behind_the_breaker(
    start_gateway: StartGateway, validator: ScriptedValidator
) -> None:
    gateway = await start_gateway(
        TICKPLANE_VALIDATOR_PATIENCE_S=2, TICKPLANE_VALIDATOR_FAILURES_MAX=2, TICKPLANE_VALIDATOR_BREAKER_OPEN_S=5
    )
    await validator.vanish()
    began_s = time.monotonic()
    async with gateway.connect() as client, gateway.connect() as idle:
        await client.send(tick())
        assert await close_code(client) == (1011, "Backend processing error")
        assert await close_code(idle) == (1011, "Backend processing error")
    assert 1 <= time.monotonic() - began_s <= 6
    assert await gateway.total(Metric.VALIDATOR_BREAKER_STATE) == 2
    assert not (await gateway.service.ready())["ready"]
    await validator.start()

    async def answers_again() -> bool:
        async with gateway.connect() as client:
            await client.send(tick(9))
            with contextlib.suppress(ConnectionClosed):
                return (await frame(client)).get("volume") == "9"
            return False

    await eventually(answers_again)

    async def is_closed() -> bool:
        return await gateway.total(Metric.VALIDATOR_BREAKER_STATE) == 0

    await eventually(is_closed)


async def test_the_breaker_closes_though_no_client_comes_back(
    start_gateway: StartGateway, validator: ScriptedValidator
) -> None:
    gateway = await start_gateway(
        TICKPLANE_VALIDATOR_PATIENCE_S=1, TICKPLANE_VALIDATOR_FAILURES_MAX=2, TICKPLANE_VALIDATOR_BREAKER_OPEN_S=5
    )
    await validator.vanish()
    async with gateway.connect() as client:
        await client.send(tick())
        assert await close_code(client) == (1011, "Backend processing error")
    assert await gateway.total(Metric.VALIDATOR_BREAKER_STATE) == 2
    await validator.start()

    async def is_ready() -> bool:
        return bool((await gateway.service.ready())["ready"])

    await eventually(is_ready)
    assert await gateway.total(Metric.VALIDATOR_BREAKER_STATE) == 0


async def test_the_breaker_keeps_many_sockets_from_trying(
    start_gateway: StartGateway, validator: ScriptedValidator
) -> None:
    gateway = await start_gateway(
        TICKPLANE_VALIDATOR_PATIENCE_S=3, TICKPLANE_VALIDATOR_FAILURES_MAX=3, TICKPLANE_VALIDATOR_BREAKER_OPEN_S=60
    )
    await validator.vanish()
    clients = [await gateway.connect() for _ in range(30)]
    codes = await asyncio.gather(*(close_code(client) for client in clients))
    assert {code for code, _reason in codes} == {1011}
    assert await gateway.total(Metric.VALIDATOR_STREAM_FAILURES) <= 30 + 3


async def test_a_validator_that_hangs_is_given_up(start_gateway: StartGateway, validator: ScriptedValidator) -> None:
    gateway = await start_gateway(TICKPLANE_VALIDATOR_ANSWER_TIMEOUT_S=0.5)
    validator.answers.clear()
    async with gateway.connect() as client:
        await client.send(tick(1))
        told = await frame(client)
        assert (told["code"], told["tick"]["volume"]) == ("unanswered", "1")
        validator.answers.set()
        await client.send(tick(2))
        assert (await frame(client))["volume"] == "2"
    assert await gateway.total(Metric.VALIDATOR_STREAM_FAILURES, code="DEADLINE_EXCEEDED") == 1


async def test_an_answer_to_no_tick_is_passed_on_to_nobody(gateway: Gateway, validator: ScriptedValidator) -> None:
    async with gateway.connect() as client:
        validator.says_twice = True
        await client.send(tick(1))
        assert (await frame(client))["volume"] == "1"
        await eventually(lambda: validator.streams_seen == 2)
        validator.says_twice = False
        await client.send(tick(2))
        assert (await frame(client))["volume"] == "2"


async def test_a_gateway_that_stops_answers_what_it_heard_and_closes_1001(
    gateway: Gateway, validator: ScriptedValidator
) -> None:
    validator.answers.clear()
    async with gateway.connect() as client:
        await send_all(client, 20)
        await eventually(lambda: len(validator.taken) >= 1)
        stopping = asyncio.create_task(gateway.service.terminate())
        async with asyncio.timeout(20):

            async def is_draining() -> bool:
                return bool((await gateway.service.ready())["draining"])

            await eventually(is_draining)
        validator.answers.set()
        assert [int((await frame(client))["volume"]) for _ in range(20)] == list(range(20))
        assert (await close_code(client))[0] == 1001
        assert await stopping == 0
    await eventually(lambda: validator.streams_open == 0)


async def test_another_origin_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_WEBSOCKET_ORIGINS="https://ours.example")
    with pytest.raises(InvalidStatus) as refused:
        await gateway.connect(origin="https://theirs.example").__aenter__()
    assert refused.value.response.status_code == 403
    async with gateway.connect(origin="https://ours.example") as client:
        await client.send(tick(7))
        assert (await frame(client))["volume"] == "7"
