"""The spans of a trace, by OpenTelemetry, each begun by a method that says what is done. Import it by ``tracing``.

Names and attributes follow the semantic conventions: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/,
https://opentelemetry.io/docs/specs/semconv/rpc/grpc/ and https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE
from opentelemetry.sdk.resources import Resource as Origin
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime.redaction import redacted
from services.runtime.serve import Resource
from services.runtime.tracing import HEADER, Place, RecordHeaders, traceparent_of

NAMESPACE = "tickplane"
TRACES_PATH = "/v1/traces"
FLUSH_TIMEOUT_MS = 3_000
"""How long it may take at the end to send what was not sent yet: a collector that is away must not hold up a stop."""
SERVER_ERROR = 500

_propagator = TraceContextTextMapPropagator()


class Record(Protocol):
    """A Kafka record, as far as its trace goes."""

    topic: str
    partition: int
    offset: int
    headers: RecordHeaders


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends to an OTLP/HTTP collector, given its base URL. Headers and certificates are set by the exporter's own
    ``OTEL_EXPORTER_OTLP_…`` variables."""
    return OTLPSpanExporter(endpoint.rstrip("/") + TRACES_PATH)


class Tracing(Resource):
    """Begins spans and continues those of others; what has ended is exported from a thread. Whoever begins a span ends
    it, by its own ``end`` or by ``ending``."""

    def __init__(
        self,
        service: str,
        sample_ratio: float,
        exporter: SpanExporter,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        origin = Origin.create({SERVICE_NAME: service, SERVICE_NAMESPACE: NAMESPACE})
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=origin, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(NAMESPACE)
        self._sample_ratio = sample_ratio
        self._uniform = uniform

    async def stop(self) -> None:
        await asyncio.to_thread(self.flush)
        await asyncio.to_thread(self._provider.shutdown)

    def flush(self) -> None:
        """Send what has ended."""
        self._provider.force_flush(FLUSH_TIMEOUT_MS)

    def samples(self) -> bool:
        """Whether what begins now is one of those that are traced."""
        return self._uniform() < self._sample_ratio

    # ---- where a trace begins, or goes on

    def request(self, method: str, path: str) -> Span:
        """An HTTP request, until ``answered``. A trace begins. The span is the ``current`` one of its task from here
        on, and its trace's id is in the task's log lines."""
        attributes = {"http.request.method": method, "url.path": redacted(path), "url.scheme": "http"}
        span = self._tracer.start_span(method, kind=SpanKind.SERVER, attributes=attributes)
        attach(set_span_in_context(span))
        structlog.contextvars.bind_contextvars(trace_id=format_trace_id(span.get_span_context().trace_id))
        return span

    def answered(self, span: Span, method: str, route: str, status: int) -> None:
        """End the span of a request. ``route`` is the path's template."""
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= SERVER_ERROR:
            self.fail(span, str(status))
        else:
            span.end()

    def current(self) -> Span | None:
        """That of the request that this task answers, where it is traced."""
        span = get_current_span()
        return span if span.is_recording() else None

    def socket_message(self, path: str) -> Span:
        """A client's message, from its arrival to the answer. A trace begins."""
        attributes = {"network.protocol.name": "websocket", "url.path": path}
        return self._tracer.start_span(f"message {path}", kind=SpanKind.SERVER, attributes=attributes)

    def call(self, method: str, parent: Span) -> Span:
        """A message of a gRPC stream, until its answer. ``method`` is ``package.Service/Method``."""
        return self._tracer.start_span(method, set_span_in_context(parent), SpanKind.CLIENT, _grpc(method))

    def serve_call(self, method: str, caller: str) -> Span | None:
        """The same at the server, given the message's traceparent. None where that is none, or is not sampled."""
        context = _sampled(caller)
        return None if context is None else self._tracer.start_span(method, context, SpanKind.SERVER, _grpc(method))

    # ---- records

    def send(self, topic: str, key: str, parent: Span | None = None, *, began_ns: int = 0) -> Span:
        """A record, until Kafka has acknowledged it. Its ``traceparent`` goes into the record's headers: it is the
        record's creation too. Without a parent a trace begins, at ``began_ns`` where that is given."""
        context = Context() if parent is None else set_span_in_context(parent)
        attributes = {**_kafka(topic, "send"), "messaging.kafka.message.key": key}
        return self._tracer.start_span(
            f"send {topic}", context, SpanKind.PRODUCER, attributes, start_time=began_ns or None
        )

    def process(self, topic: str, partition: int, offset: int, creation: str, group: str = "") -> Span | None:
        """What is done with a record, given its traceparent. None where that is none, or is not sampled.

        The span of the creation is linked, as the conventions ask; it is the parent too, so that the trace is one.
        """
        context = _sampled(creation)
        if context is None:
            return None
        attributes: dict[str, str | int] = {
            **_kafka(topic, "process"),
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": offset,
        }
        if group:
            attributes["messaging.consumer.group.name"] = group
        link = Link(get_current_span(context).get_span_context())
        return self._tracer.start_span(f"process {topic}", context, SpanKind.CONSUMER, attributes, [link])

    def process_all(self, records: Iterable[Record], group: str = "") -> dict[Place, Span]:
        """The same of those records that are traced: nothing is made for the others."""
        spans = {}
        for record in records:
            if record.headers and (creation := traceparent_of(record.headers)) is not None:
                span = self.process(record.topic, record.partition, record.offset, creation, group)
                if span is not None:
                    spans[record.topic, record.partition, record.offset] = span
        return spans

    def traceparent(self, span: Span) -> str:
        """What carries the trace on to another process."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(span))
        return carrier[HEADER]

    def record_headers(self, span: Span) -> list[tuple[str, bytes]]:
        """The same as the headers of a Kafka record."""
        return [(HEADER, self.traceparent(span).encode())]

    # ---- the end

    @contextmanager
    def ending(self, spans: Iterable[Span]) -> Iterator[None]:
        """End them with what is done within, as it ends: well, or by what it raises."""
        try:
            yield
        except BaseException as error:
            for span in spans:
                self.fail(span, type(error).__name__)
            raise
        for span in spans:
            span.end()

    def fail(self, span: Span, error_type: str) -> None:
        """End it as one that went wrong, by a short name that is one of few."""
        span.set_status(StatusCode.ERROR)
        span.set_attribute("error.type", error_type)
        span.end()


def _sampled(traceparent: str) -> Context | None:
    context = _propagator.extract({HEADER: traceparent})
    return context if get_current_span(context).get_span_context().trace_flags.sampled else None


def _grpc(method: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method}


def _kafka(topic: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
