"""The spans of a record's way, collected in memory: a client's tick, a feed's trade, a request for an order."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from services.adapters.http.asgi import Observed, Receive, Scope, Send
from services.contracts.errors import InfraError
from services.feed.publisher import Publisher
from services.runtime.clock import FakeClock
from services.runtime.health import Health
from services.runtime.settings import TracingSettings
from services.runtime.spans import Tracing
from services.runtime.tracing import HEADER, RecordHeaders, make_tracing, traceparent_of

METHOD = "marketdata.MarketDataProcessor/ProcessStream"
TOPIC = "validated_trades"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def tracing(exporter: InMemorySpanExporter) -> AsyncIterator[Tracing]:
    made = Tracing("gateway", 0.25, exporter, iter([0.1, 0.2499, 0.25, 0.9]).__next__)
    yield made
    await made.stop()


def finished(tracing: Tracing, exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    tracing.flush()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_one_tick_is_one_trace_across_processes(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    message = tracing.socket_message("/ws/marketdata")
    call = tracing.call(METHOD, message)
    served = tracing.serve_call(METHOD, tracing.traceparent(call))
    assert served is not None
    sent = tracing.send(TOPIC, "BTCUSD", served)
    (header,) = tracing.record_headers(sent)
    processed = tracing.process(TOPIC, 3, 17, header[1].decode())
    assert processed is not None
    for span in (processed, sent, served, call, message):
        span.end()
    tracing.flush()
    spans = exporter.get_finished_spans()
    assert len(spans) == 5
    assert len({span.context.trace_id for span in spans}) == 1
    assert [span.kind for span in spans] == [
        SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.SERVER, SpanKind.CLIENT, SpanKind.SERVER,
    ]  # fmt: skip
    parents = [span.parent.span_id if span.parent is not None else None for span in spans]
    assert parents == [*(span.context.span_id for span in spans[1:]), None]


def test_a_process_span_is_linked_to_what_made_the_record(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    sent = tracing.send(TOPIC, "BTCUSD", tracing.socket_message("/ws/marketdata"))
    processed = tracing.process(TOPIC, 3, 17, tracing.traceparent(sent))
    assert processed is not None
    processed.end()
    span = finished(tracing, exporter)["process validated_trades"]
    assert [link.context.span_id for link in span.links] == [sent.get_span_context().span_id]
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.destination.name": TOPIC,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 17,
    }


def test_a_group_is_named_where_it_processes(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    processed = tracing.process(TOPIC, 3, 17, tracing.traceparent(tracing.send(TOPIC, "BTCUSD")), "candle_builder")
    assert processed is not None
    processed.end()
    attributes = finished(tracing, exporter)["process validated_trades"].attributes
    assert attributes is not None
    assert attributes["messaging.consumer.group.name"] == "candle_builder"


async def test_a_record_may_begin_a_trace_before_it_was_sent(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    async def handle() -> None:
        with tracing.ending([tracing.request("GET", "/")]):
            tracing.send("market_trades", "demo:BTC-USD", began_ns=1_700_000_000_000_000_000).end()

    await asyncio.create_task(handle())
    span = finished(tracing, exporter)["send market_trades"]
    assert (span.parent, span.kind) == (None, SpanKind.PRODUCER)
    assert span.start_time == 1_700_000_000_000_000_000


@dataclass
class Record:
    offset: int
    headers: RecordHeaders
    topic: str = TOPIC
    partition: int = 3


def test_of_many_records_only_the_traced_ones_are_gone_on_with(tracing: Tracing) -> None:
    sent = tracing.send(TOPIC, "BTCUSD")
    records = [
        Record(1, ()),
        Record(2, tracing.record_headers(sent)),
        Record(3, [("other", b"x")]),
        Record(4, [(HEADER, UNSAMPLED.encode())]),
        Record(5, [("other", b"x"), *tracing.record_headers(sent)]),
    ]
    spans = tracing.process_all(records)
    assert list(spans) == [(TOPIC, 3, 2), (TOPIC, 3, 5)]
    assert {span.get_span_context().trace_id for span in spans.values()} == {sent.get_span_context().trace_id}


def test_spans_end_with_what_is_done_within(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.ending([tracing.send("good", "")]):
        assert "send good" not in finished(tracing, exporter)
    with pytest.raises(InfraError), tracing.ending([tracing.send("bad", "")]):
        raise InfraError("kafka", "away")
    spans = finished(tracing, exporter)
    assert spans["send good"].status.status_code is StatusCode.UNSET
    bad = spans["send bad"]
    assert bad.attributes is not None
    assert (bad.status.status_code, bad.attributes["error.type"]) == (StatusCode.ERROR, "InfraError")


async def get(tracing: Tracing | None, path: str, status: int = 200) -> list[str | None]:
    """A request as uvicorn has it: in a task of its own. Returns the trace's id in its log lines, and the current
    span's, as its handler has them."""
    seen: list[str | None] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["route"] = SimpleNamespace(path="/v1/orders/{order_id}")
        span = None if tracing is None else tracing.current()
        seen.append(structlog.contextvars.get_contextvars().get("trace_id"))
        seen.append(None if span is None else format_trace_id(span.get_span_context().trace_id))
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def send(_message: object) -> None:
        return None

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    observed = Observed(app, Health("orders", FakeClock()), tracing)
    await asyncio.create_task(observed(scope, cast(Any, None), send))
    return seen


async def test_a_request_of_the_sample_is_a_span_whose_trace_the_log_names(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    logged, current = await get(tracing, "/v1/orders/tpk_secret")
    span = finished(tracing, exporter)["GET /v1/orders/{order_id}"]
    assert logged == current == format_trace_id(span.context.trace_id)
    assert (span.kind, span.parent) == (SpanKind.SERVER, None)
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.path": "/v1/orders/***",
        "url.scheme": "http",
        "http.route": "/v1/orders/{order_id}",
        "http.response.status_code": 200,
    }


async def test_a_request_that_fails_is_a_span_that_says_so(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    await get(tracing, "/v1/orders/1", status=503)
    span = finished(tracing, exporter)["GET /v1/orders/{order_id}"]
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "503")


async def test_a_request_beside_the_sample_and_a_probe_are_none(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    assert await get(tracing, "/ready") == [None, None]
    for _ in range(2):
        assert await get(tracing, "/v1/orders/1") != [None, None]
    assert await get(tracing, "/v1/orders/1") == [None, None]
    assert await get(None, "/v1/orders/1") == [None, None]
    tracing.flush()
    assert len(exporter.get_finished_spans()) == 2


class Acknowledging:
    """A producer whose first ``failures`` acknowledgements are failures."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[str, RecordHeaders | None]] = []
        self._failures = failures

    async def send(
        self, topic: str, _key: bytes, _value: bytes, *, headers: RecordHeaders | None = None
    ) -> asyncio.Future[None]:
        self.sent.append((topic, headers))
        ack = asyncio.get_running_loop().create_future()
        if len(self.sent) <= self._failures:
            ack.set_exception(OSError("away"))
        else:
            ack.set_result(None)
        return ack

    async def start(self) -> None:
        return None

    stop = start

    def report(self, *_: object) -> None:
        return None

    away = published = report


async def publish(tracing: Tracing | None, *topics: str, failures: int = 0) -> list[tuple[str, RecordHeaders | None]]:
    producer = Acknowledging(failures)
    publisher = Publisher(cast(Any, producer), "demo", 10, FakeClock(), tracing)
    run = asyncio.create_task(publisher.run())
    for topic in topics:
        await publisher.publish(topic, b"demo:BTC-USD", b"{}", received_ns=1_700_000_000_000_000_000)
    await publisher.stop()
    await run
    return producer.sent


async def test_a_trade_of_the_sample_is_sent_with_its_span(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    sent = await publish(tracing, *["market_trades"] * 4)
    assert [bool(headers) for _, headers in sent] == [True, True, False, False]
    tracing.flush()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["send market_trades"] * 2
    for span, (_, headers) in zip(spans, sent, strict=False):
        assert span.start_time == 1_700_000_000_000_000_000
        carried = traceparent_of(headers or ())
        assert carried is not None
        assert carried.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")


async def test_what_is_sent_again_is_of_the_same_span(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    (_, first), (_, second) = await publish(tracing, "market_trades", failures=1)
    assert first == second
    tracing.flush()
    assert len(exporter.get_finished_spans()) == 1


async def test_what_a_feed_says_of_itself_is_not_traced(tracing: Tracing) -> None:
    assert await publish(tracing, "feed_state") == [("feed_state", None)]
    assert await publish(None, "market_trades") == [("market_trades", None)]


def test_spans_say_which_service_they_are_of(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    tracing.socket_message("/ws/marketdata").end()
    origin = finished(tracing, exporter)["message /ws/marketdata"].resource.attributes
    assert (origin["service.namespace"], origin["service.name"]) == ("tickplane", "gateway")


def test_what_went_wrong_says_so(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    tracing.fail(tracing.socket_message("/ws/marketdata"), "UNAVAILABLE")
    span = finished(tracing, exporter)["message /ws/marketdata"]
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "UNAVAILABLE")


def test_the_ratio_is_that_of_the_sample(tracing: Tracing) -> None:
    assert [tracing.samples() for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("text", [UNSAMPLED, "", "nonsense", "00-0-0-01", UNSAMPLED[:-2] + "zz"])
def test_what_is_not_sampled_or_no_traceparent_is_not_continued(tracing: Tracing, text: str) -> None:
    assert tracing.serve_call(METHOD, text) is None
    assert tracing.process(TOPIC, 0, 0, text) is None


def test_a_records_header_is_found_among_others() -> None:
    assert traceparent_of([("other", b"x"), ("traceparent", b"00-1")]) == "00-1"
    assert traceparent_of([("traceparent", b"\xff")]) == "\ufffd"
    assert traceparent_of([("other", b"x")]) is None
    assert traceparent_of([]) is None


def test_off_is_the_default() -> None:
    assert make_tracing("gateway", TracingSettings()) is None


@pytest.mark.parametrize(("ratio", "imported"), [("0", False), ("0.5", True)])
def test_off_nothing_that_makes_spans_is_imported(ratio: str, imported: bool) -> None:
    program = (
        "import sys, services.gateway.app\n"
        "from services.runtime.settings import TracingSettings\n"
        "from services.runtime.tracing import make_tracing\n"
        f"make_tracing('gateway', TracingSettings(traces_sample_ratio={ratio}))\n"
        "print('opentelemetry.sdk.trace' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == str(imported)
