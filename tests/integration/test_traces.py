"""Whole traces, as a collector gets them: a trade from its feed to all who read it, an order from its request to its
executions. And none where there is none to be made."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from services.adapters.api_keys import create_key
from services.contracts.topics import Group, Topic
from services.local.ports import LOOPBACK
from tests.conftest import StartService
from tests.support.collector import Collector, Seen, collector
from tests.support.log import records
from tests.support.polling import eventually

pytestmark = pytest.mark.parts

READERS = {"recorder": Group.RECORDER, "candles": Group.CANDLES, "indicators": Group.INDICATORS, "gateway": ""}


@pytest.fixture
async def traces() -> AsyncIterator[Collector]:
    async with collector() as running:
        yield running


def traced(traces: Collector, ratio: float = 1) -> dict[str, Any]:
    return {
        "TICKPLANE_TRACES_SAMPLE_RATIO": ratio,
        "OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": 100,
    }


def attributes(seen: Seen) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in seen.span.attributes}


def is_linked_to_its_parent(seen: Seen) -> bool:
    return [link.span_id for link in seen.span.links] == [seen.span.parent_span_id]


async def test_a_trade_is_one_trace_from_its_feed_to_all_who_read_it(
    service: StartService, free_port: Callable[[], int], traces: Collector
) -> None:
    for name in READERS:
        port: dict[str, Any] = {"TICKPLANE_GATEWAY_PORT": free_port()} if name == "gateway" else {}
        await (await service(name, **traced(traces), **port)).wait_ready()
    await service("feed", **traced(traces, ratio=0.5))

    def whole() -> list[list[Seen]]:
        return [trace for trace in traces.traces.values() if len(trace) == 1 + len(READERS)]

    await eventually(whole)
    trace = whole()[0]
    (sent,) = (seen for seen in trace if seen.kind == "producer")
    assert (sent.service, sent.name, sent.span.parent_span_id) == ("feed", "send market_trades", b"")
    assert attributes(sent)["messaging.kafka.message.key"] == "demo:BTC-USD"
    processed = {seen.service: seen for seen in trace if seen is not sent}
    assert processed.keys() == READERS.keys()
    for name, seen in processed.items():
        assert (seen.name, seen.kind) == ("process market_trades", "consumer")
        assert seen.span.parent_span_id == sent.span.span_id
        assert is_linked_to_its_parent(seen)
        assert attributes(seen).get("messaging.consumer.group.name", "") == READERS[name]
        assert seen.span.end_time_unix_nano > sent.span.start_time_unix_nano


async def test_only_trades_of_the_sample_carry_anything(
    service: StartService, bootstrap_servers: str, traces: Collector
) -> None:
    await service("feed", **traced(traces, ratio=0.5))

    async def both() -> bool:
        with_headers = [bool(record.headers) for record in await records(bootstrap_servers, Topic.MARKET_TRADES)]
        return {True, False} <= set(with_headers)

    await eventually(both)
    await eventually(lambda: bool(traces.traces))
    assert not [record for record in await records(bootstrap_servers, Topic.FEED_STATE) if record.headers]


async def test_control_without_a_ratio_nothing_is_carried_or_sent(
    service: StartService, bootstrap_servers: str, traces: Collector
) -> None:
    recorder = await service("recorder", **traced(traces))
    await recorder.wait_ready()
    await service("feed", **traced(traces, ratio=0))

    async def some() -> bool:
        return len(await records(bootstrap_servers, Topic.MARKET_TRADES)) > 50

    await eventually(some)
    assert not [record for record in await records(bootstrap_servers, Topic.MARKET_TRADES) if record.headers]
    await recorder.terminate()
    assert traces.traces == {}


async def test_an_order_is_one_trace_from_its_request_to_its_executions(
    service: StartService, database_url: str, free_port: Callable[[], int], traces: Collector
) -> None:
    orders_port = free_port()
    gateway = await service("gateway", **traced(traces), TICKPLANE_GATEWAY_PORT=free_port())
    matching = await service("matching", **traced(traces))
    await asyncio.gather(gateway.wait_ready(), matching.wait_ready())
    orders = await service("orders", **traced(traces), TICKPLANE_ORDERS_PORT=orders_port)
    await orders.wait_ready()
    database = await asyncpg.connect(database_url)
    keys = {name: await create_key(database, name, ["read", "trade"]) for name in ("alice", "bob")}
    admin = await create_key(database, "root", ["admin"])
    await database.close()
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{orders_port}") as client:

        async def ask(key: str, path: str, **body: Any) -> httpx.Response:
            answer = await client.post(path, json=body, headers={"X-API-Key": key})
            assert answer.status_code == 202, answer.text
            return answer

        for name in keys:
            for asset in ("USD", "DEMO"):
                await ask(admin, f"/v1/accounts/{name}/deposits", id=f"first-{asset}", asset=asset, amount="1000")
        await ask(keys["alice"], "/v1/orders", id="a-1", symbol="DEMO-USD", side="sell", price="100", quantity="1")
        taken = await ask(keys["bob"], "/v1/orders", id="b-1", symbol="DEMO-USD", side="buy", price="100", quantity="1")

    def whole() -> list[list[Seen]]:
        return [trace for trace in traces.traces.values() if len(trace) == 5]

    await eventually(whole)
    (trace,) = whole()
    by_id = {seen.span.span_id: seen for seen in trace}
    way, last = [], next(seen for seen in trace if seen.service == "gateway")
    while last is not None:
        way.append((last.service, last.name, last.kind))
        if last.kind == "consumer":
            assert is_linked_to_its_parent(last)
        last = by_id.get(last.span.parent_span_id)  # type: ignore[assignment]
    assert way[::-1] == [
        ("orders", "POST /v1/orders", "server"),
        ("orders", "send orders", "producer"),
        ("matching", "process orders", "consumer"),
        ("matching", "send executions", "producer"),
        ("gateway", "process executions", "consumer"),
    ]
    trace_id = trace[0].span.trace_id.hex()
    request_id = taken.headers["x-request-id"]
    (line,) = (line for line in orders.log.read_text().splitlines() if request_id in line)
    assert f'"trace_id": "{trace_id}"' in line
