"""The spans of a trace, by OpenTelemetry, each begun by a method that says what is done. Import it by ``tracing``.

Names and attributes follow the semantic conventions: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/ and
https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
"""

import asyncio
import random
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE
from opentelemetry.sdk.resources import Resource as Origin
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime.serve import Resource
from services.runtime.tracing import HEADER

NAMESPACE = "tickplane"
TRACES_PATH = "/v1/traces"
FLUSH_TIMEOUT_MS = 3_000
"""How long it may take at the end to send what was not sent yet: a collector that is away must not hold up a stop."""

_propagator = TraceContextTextMapPropagator()


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends to an OTLP/HTTP collector, given its base URL. Headers and certificates are set by the exporter's own
    ``OTEL_EXPORTER_OTLP_…`` variables."""
    return OTLPSpanExporter(endpoint.rstrip("/") + TRACES_PATH)


class Tracing(Resource):
    """Begins spans and continues those of others; what has ended is exported from a thread. Whoever begins a span ends
    it, by its own ``end``."""

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

    def send(self, topic: str, key: str, parent: Span) -> Span:
        """A record, until Kafka has acknowledged it. Its ``traceparent`` goes into the record's headers."""
        attributes = {**_kafka(topic, "send"), "messaging.kafka.message.key": key}
        return self._tracer.start_span(f"send {topic}", set_span_in_context(parent), SpanKind.PRODUCER, attributes)

    def process(self, topic: str, partition: int, offset: int, creation: str) -> Span | None:
        """What is done with a record, given its traceparent. None where that is none, or is not sampled.

        The span of the creation is linked, as the conventions ask; it is the parent too, so that the trace is one.
        """
        context = _sampled(creation)
        if context is None:
            return None
        return self._tracer.start_span(
            f"process {topic}",
            context,
            SpanKind.CONSUMER,
            {
                **_kafka(topic, "process"),
                "messaging.destination.partition.id": str(partition),
                "messaging.kafka.offset": offset,
            },
            [Link(get_current_span(context).get_span_context())],
        )

    def traceparent(self, span: Span) -> str:
        """What carries the trace on to another process."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(span))
        return carrier[HEADER]

    def record_headers(self, span: Span) -> list[tuple[str, bytes]]:
        """The same as the headers of a Kafka record."""
        return [(HEADER, self.traceparent(span).encode())]

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
