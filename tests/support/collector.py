"""A collector of traces: what services send by OTLP/HTTP, as a test wants to look at it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.local.ports import LOOPBACK, free_port
from services.runtime.ops import HttpServer


@dataclass(frozen=True)
class Seen:
    """One span, and the service that made it."""

    service: str
    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def kind(self) -> str:
        return Span.SpanKind.Name(self.span.kind).removeprefix("SPAN_KIND_").lower()


class Collector:
    def __init__(self) -> None:
        self.port = free_port()
        self.traces: defaultdict[bytes, list[Seen]] = defaultdict(list)
        """By trace id."""

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def app(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        assert (scope["method"], scope["path"]) == ("POST", "/v1/traces")
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        self._take(ExportTraceServiceRequest.FromString(body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource_spans in request.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self.traces[span.trace_id].append(Seen(attributes["service.name"], span))


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    server = HttpServer(made.app, LOOPBACK, made.port)
    await server.start()
    try:
        yield made
    finally:
        await server.stop()
