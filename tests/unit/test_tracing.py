"""The spans of one tick's way, collected in memory."""

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.runtime.settings import TracingSettings
from services.runtime.spans import Tracing
from services.runtime.tracing import make_tracing, traceparent_of

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
