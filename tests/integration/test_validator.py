"""The validator as a process, with the real Kafka and Postgres: streams, batches, raw ticks, replicas, restarts."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import msgspec
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.contracts.events import DeadLetter, RawTick
from services.contracts.proto import SERVICE
from services.contracts.proto.market_data_pb2 import RawMarketTick, RawMarketTickBatch, ValidatedTrade
from services.contracts.topics import Topic
from services.runtime.clock import NS_PER_S
from tests.conftest import StartService
from tests.oracle.vwap import WindowedAverage
from tests.support.log import producer, records
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.secure import CA, CLIENT, OTHER_CA, SERVER
from tests.support.services import Service
from tests.support.validator import NOW_NS, ask, batches, connected, ids, stream, tick, verdicts

pytestmark = pytest.mark.parts

VALID, INVALID = ValidatedTrade.VALID, ValidatedTrade.INVALID


@pytest.fixture
def address(free_port: Callable[[], int]) -> str:
    return f"localhost:{free_port()}"


async def start(service: StartService, address: str, **env: Any) -> Service:
    validator = await service("validator", GRPC_SERVER_ADDRESS=address, **env)
    await validator.wait_ready()
    return validator


async def test_each_tick_is_answered_in_order_and_published_once(
    service: StartService, bootstrap_servers: str, address: str
) -> None:
    validator = await start(service, address)
    ticks: list[RawMarketTick | bytes] = [
        tick(price=10 + number % 7, volume=1 + number % 5, timestamp_ns=NOW_NS - number % 3 * NS_PER_S)
        for number in range(500)
    ]
    ticks[100] = tick(price=20_000)
    ticks[200] = tick(price=math.nan)
    ticks[300] = b"\xff\xff\xff"
    answers = await ask(address, ticks)
    oracle = WindowedAverage()
    for sent, answer in zip(ticks, answers, strict=True):
        if isinstance(sent, bytes):
            assert (answer.status, answer.instrument_id) == (INVALID, "")
            assert answer.reason.startswith("Processing error: ")
            continue
        assert (answer.instrument_id, answer.volume, answer.timestamp_ns) == ("BTC-USD", sent.volume, sent.timestamp_ns)
        if sent.price == 20_000:
            assert (answer.status, answer.vwap_20m) == (INVALID, 0)
            assert answer.reason.startswith("Price out of acceptable range")
        elif math.isnan(sent.price):
            assert answer.status == INVALID
        else:
            oracle.add(sent.timestamp_ns, sent.price, sent.volume)
            assert (answer.status, answer.HasField("reason")) == (VALID, False)
            assert answer.vwap_20m == oracle.vwap(sent.timestamp_ns)
    assert await validator.terminate() == 0
    published = await verdicts(bootstrap_servers)
    assert sorted(ids(published)) == sorted(set(ids(answers)))
    assert {trade.trade_id: trade.vwap_20m for trade in published} == {a.trade_id: a.vwap_20m for a in answers}
    assert {trade.instance_id for trade in published} == {published[0].instance_id}


async def test_batches_are_answered_as_their_ticks_would_be(service: StartService, address: str) -> None:
    await start(service, address, TICKPLANE_BATCH_TICKS_MAX=10)
    async with connected(address) as channel:
        call = batches(channel)
        await call.write(RawMarketTickBatch(ticks=[tick(price=10), tick(price=-1), tick(price=20)]))
        await call.write(RawMarketTickBatch())
        first, second = await call.read(), await call.read()
        assert [(a.status, a.vwap_20m) for a in first.trades] == [(VALID, 10), (INVALID, 0), (VALID, 15)]
        assert len(second.trades) == 0
        await call.write(RawMarketTickBatch(ticks=[tick()] * 11))
        with pytest.raises(grpc.aio.AioRpcError, match="a batch of 11 ticks, of which there may be 10"):
            await call.read()
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_health_and_reflection_are_the_standard_ones(service: StartService, address: str) -> None:
    validator = await start(service, address, TICKPLANE_DRAIN_S=2)
    async with connected(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == 1
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await health.Check(health_pb2.HealthCheckRequest(service="typo"))
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await asyncio.to_thread(_reflect, address)
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await channel.unary_unary("/no.Such/Method", bytes, bytes)(b"")
        leaving = asyncio.create_task(validator.terminate())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await leaving == 0


def _reflect(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        file = database.FindFileContainingSymbol(SERVICE)
        assert [method.name for method in file.service[0].method] == ["ProcessStream", "ProcessBatch"]


def _tls(**changed: Any) -> dict[str, Any]:
    return {"grpc_tls": True, "grpc_ca_file": str(CA), **changed}


async def test_tls_and_mutual_tls_are_settings(
    service: StartService, free_port: Callable[[], int], address: str
) -> None:
    server = {
        "TICKPLANE_GRPC_TLS": True,
        "TICKPLANE_GRPC_CERTIFICATE_FILE": SERVER,
        "TICKPLANE_GRPC_KEY_FILE": SERVER,
    }
    own = {"grpc_certificate_file": str(CLIENT), "grpc_key_file": str(CLIENT)}
    await start(service, address, **server)
    assert len(await ask(address, [tick()], **_tls())) == 1
    assert await _refused(address, **_tls(grpc_ca_file=str(OTHER_CA)))
    assert await _refused(address)
    mutual = f"localhost:{free_port()}"
    await start(service, mutual, **server, TICKPLANE_GRPC_CA_FILE=CLIENT)
    assert len(await ask(mutual, [tick()], **_tls(**own))) == 1
    assert await _refused(mutual, **_tls())


async def _refused(address: str, **settings: Any) -> bool:
    async with connected(address, **settings) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return True


async def test_a_server_without_its_certificate_does_not_start(service: StartService, address: str) -> None:
    validator = await service("validator", GRPC_SERVER_ADDRESS=address, TICKPLANE_GRPC_TLS=True)
    assert await validator.wait() == 2
    assert "TICKPLANE_GRPC_CERTIFICATE_FILE" in validator.last_output()


async def test_an_address_that_is_taken_is_a_bad_setting(service: StartService, address: str) -> None:
    await start(service, address)
    second = await service("validator", GRPC_SERVER_ADDRESS=address)
    assert await second.wait() == 2
    assert "cannot listen on GRPC_SERVER_ADDRESS" in second.last_output()


async def test_a_rule_is_turned_on_by_a_setting(service: StartService, address: str) -> None:
    await start(service, address, TICKPLANE_RULES="notional-cap")
    (answer,) = await ask(address, [tick(price=10_000, volume=1_001)])
    assert answer.reason == "Notional above 10000000"


async def _vwap(address: str, price: float) -> float:
    (answer,) = await ask(address, [tick("SHARED", price=price, volume=1, timestamp_ns=NOW_NS)])
    return answer.vwap_20m


async def test_replicas_share_the_window_and_a_restart_keeps_it(
    service: StartService, free_port: Callable[[], int], address: str
) -> None:
    other = f"localhost:{free_port()}"
    first, second = await start(service, address), await start(service, other)
    assert await _vwap(address, 10) == 10
    await eventually(lambda: _has_shared(second, 1))
    assert await _vwap(other, 20) == 15
    await eventually(lambda: _has_shared(first, 1))
    assert await _vwap(address, 30) == 20
    assert [await first.terminate(), await second.terminate()] == [0, 0]
    await first.start()
    await first.wait_ready()
    assert await _vwap(address, 40) == 25


async def _has_shared(validator: Service, count: int) -> bool:
    return (await validator.metrics()).total("validator_shared_ticks_total") == count


async def send_raw(bootstrap_servers: str, values: list[bytes | None], key: bytes = b"any") -> None:
    async with producer(bootstrap_servers) as client:
        for value in values:
            await client.send(Topic.RAW_TICKS, value, key=key)
        await client.flush()


def raw(number: int, **changed: Any) -> bytes:
    fields = {"instrument_id": f"I{number % 20}-X", "price": 10.0, "volume": 1, "timestamp_ns": NOW_NS}
    return msgspec.json.encode({**fields, **changed})


POISON: dict[bytes | None, str] = {
    None: "empty",
    b"{": "json",
    b"[]": "type",
    raw(1, price="10"): "type",
    raw(1, volume=1 << 63): "type",
    raw(1, volume=1.5): "type",
    raw(1, instrument_id="x" * 5_000): "too_big",
}


async def test_raw_ticks_are_answered_once_each_and_poison_is_set_aside(
    service: StartService, bootstrap_servers: str, address: str
) -> None:
    validator = await start(service, address)
    values = [*POISON, *(raw(number, price=-1.0 if number % 10 == 0 else 10.0) for number in range(1_000))]
    await send_raw(bootstrap_servers, values)
    await eventually(lambda: _answered(bootstrap_servers, 1_000))
    found = await verdicts(bootstrap_servers)
    assert len(found) == len(set(ids(found))) == 1_000
    assert sum(trade.status == "INVALID" for trade in found) == 100
    assert {trade.origin for trade in found} == {"topic"}
    letters = [
        msgspec.json.decode(r.value, type=DeadLetter) for r in await records(bootstrap_servers, Topic.RAW_TICKS_DLQ)
    ]
    assert sorted(letter.error_type for letter in letters) == sorted(POISON.values())
    await eventually(lambda: _counted(validator))
    # They are in the window that the streams are told of, and after a restart each of them still once.
    assert (await ask(address, [tick("I1-X", price=20, volume=50)]))[0].vwap_20m == 15
    assert await validator.terminate() == 0
    await validator.start()
    await validator.wait_ready()
    assert (await ask(address, [tick("I1-X", price=45, volume=50)]))[0].vwap_20m == 25
    await eventually(lambda: _answered(bootstrap_servers, 1_002))
    assert len(await verdicts(bootstrap_servers)) == 1_002


async def _counted(validator: Service) -> bool:
    metrics = await validator.metrics()
    valid = metrics.total("validator_ticks_total", origin="topic", status="VALID")
    return (metrics.total("dlq_messages_total", consumer_group="validator"), valid) == (len(POISON), 900)


async def _answered(bootstrap_servers: str, count: int) -> bool:
    return len(set(ids(await verdicts(bootstrap_servers)))) == count


async def test_raw_ticks_are_read_by_replicas_together(
    service: StartService, bootstrap_servers: str, free_port: Callable[[], int]
) -> None:
    for _ in range(2):
        await start(service, f"localhost:{free_port()}")
    for round_ in range(5):
        await send_raw(bootstrap_servers, [raw(number) for number in range(200)], key=str(round_).encode())
    await eventually(lambda: _answered(bootstrap_servers, 1_000), timeout_s=60)
    found = await verdicts(bootstrap_servers)
    assert len(found) == 1_000


async def test_what_is_no_tick_can_be_left_to_others(
    service: StartService, bootstrap_servers: str, address: str
) -> None:
    """Without the topic there is no need of Postgres."""
    nowhere = "postgresql://nobody@localhost:1/nothing"
    validator = await start(service, address, TICKPLANE_CONSUME_RAW_TICKS=False, DATABASE_URL=nowhere)
    await send_raw(bootstrap_servers, [msgspec.json.encode(RawTick("ABC", 1.0, 1, NOW_NS))])
    await ask(address, [tick()])
    assert await validator.terminate() == 0
    assert [trade.origin for trade in await verdicts(bootstrap_servers)] == ["stream"]


async def test_a_client_that_does_not_read_stops_itself_and_nobody_else(service: StartService, address: str) -> None:
    validator = await start(service, address)
    async with connected(address) as channel:
        await ask(address, [tick()] * 2_000)
        before = psutil.Process(validator.pid).memory_info().rss
        deaf = stream(channel)
        sent = 0

        async def write() -> None:
            nonlocal sent
            while True:
                await deaf.write(tick("DEAF"))
                sent += 1

        # Cancelled, a write takes its call with it.
        writing = asyncio.create_task(write())
        assert not (await asyncio.wait([writing], timeout=3))[0]
        assert (await ask(address, [tick()]))[0].status == VALID
        grown = psutil.Process(validator.pid).memory_info().rss - before
        assert grown < 24 << 20, f"{grown} bytes after {sent} ticks"
        deaf.cancel()
        with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError)):
            await writing
        await eventually(lambda: _streams(validator, 0))
    assert await validator.terminate() == 0


async def _streams(validator: Service, count: int) -> bool:
    return (await validator.metrics()).total("validator_streams") == count


async def test_streams_are_bounded_and_leave_nothing_behind(service: StartService, address: str) -> None:
    validator = await start(service, address, TICKPLANE_STREAMS_MAX=3)
    async with connected(address) as channel:
        calls = [stream(channel) for _ in range(3)]
        for call in calls:
            await call.write(tick())
            assert (await call.read()).status == VALID
        refused = stream(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
            await refused.read()
        await calls[0].done_writing()
        assert not isinstance(await calls[0].read(), ValidatedTrade)
        assert await calls[0].code() == grpc.StatusCode.OK
        calls[1].cancel()
        await eventually(lambda: _streams(validator, 1))
    await eventually(lambda: _streams(validator, 0))


async def test_sigterm_answers_what_was_read_and_publishes_it(
    service: StartService, bootstrap_servers: str, address: str
) -> None:
    validator = await start(service, address)
    answered: list[str] = []

    async def talk(channel: grpc.aio.Channel) -> str:
        call = stream(channel)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await call.write(tick())
                answered.append((await call.read()).trade_id)
        return await call.details()  # type: ignore[no-any-return]

    async with connected(address) as channel:
        talking = [asyncio.create_task(talk(channel)) for _ in range(20)]
        await eventually(lambda: len(answered) > 500)
        assert await validator.terminate() == 0
        # What grpc.aio's client says, instead of the status, where the stream ended while it wrote.
        wrote = "Internal error from Core"
        assert {await each for each in talking} <= {wrote, "the server is restarting: connect again"}
    published = ids(await verdicts(bootstrap_servers))
    assert len(published) == len(set(published))
    assert set(answered) <= set(published)


async def test_while_kafka_is_away_clients_wait_and_nothing_is_lost(
    service: StartService, bootstrap_servers: str, address: str, parts: Parts
) -> None:
    await start(service, address, TICKPLANE_PUBLISH_IN_FLIGHT_MAX=100, TICKPLANE_CONSUME_RAW_TICKS=False)
    ticks = [tick(timestamp_ns=NOW_NS + number) for number in range(2_000)]
    await ask(address, ticks[:10])
    parts.kafka.kill()
    asking = asyncio.create_task(ask(address, ticks))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asking), 3)
    await parts.kafka.start()
    answers = await asyncio.wait_for(asking, 60)
    assert len(answers) == len(set(ids(answers))) == 2_000

    async def published() -> bool:
        return set(ids(answers)) <= set(ids(await verdicts(bootstrap_servers)))

    await eventually(published, timeout_s=60)
