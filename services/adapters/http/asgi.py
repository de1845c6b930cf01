"""What is around every request of a REST interface: its id, metrics and log line. Plain ASGI: it is on the hot path."""

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.health import Health
from services.runtime.metrics import counter, histogram
from services.runtime.request_id import request_id

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.runtime.spans import Tracing

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXEMPT = frozenset({"/health", "/ready"})
"""Asked by probes: not limited, and logged only at DEBUG."""
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """``X-Request-ID`` in, out and in the logs; ``http_requests_total`` and ``http_request_duration_seconds``; a span
    for each that is traced.

    While draining, each answer ends its connection, so that the next request is another replica's.
    """

    def __init__(self, app: App, health: Health, tracing: "Tracing | None" = None) -> None:
        self._app = app
        self._tracing = tracing
        self._health = health
        self._service = health.service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        own_id = request_id_of(scope)
        structlog.contextvars.bind_contextvars(request_id=own_id)
        span = None if self._tracing is None else self._begin_span(self._tracing, scope)
        status = 500
        began = time.perf_counter()

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", own_id.encode())]
                if self._health.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - began)
            if span is not None and self._tracing is not None:
                self._tracing.answered(span, method_of(scope), route_of(scope), status)

    def _begin_span(self, tracing: "Tracing", scope: Scope) -> "Span | None":
        if scope["path"] in EXEMPT or not tracing.samples():
            return None
        return tracing.request(method_of(scope), scope["path"])

    def _record(self, scope: Scope, status: int, duration_s: float) -> None:
        method, route = method_of(scope), route_of(scope)
        counter(Metric.HTTP_REQUESTS).labels(self._service, method, route, status).inc()
        histogram(Metric.HTTP_REQUEST_SECONDS).labels(self._service, method, route).observe(duration_s)
        log = logging.logger()
        write = log.debug if route in EXEMPT else log.info
        write("request", method=method, path=scope["path"][:200], status=status, duration_ms=round(duration_s * 1e3, 2))


async def answer(send: Send, status: int, document: object, headers: Mapping[bytes, bytes]) -> None:
    """Answer with a JSON document, without a framework."""
    body = msgspec.json.encode(document)
    own = {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
    await send({"type": "http.response.start", "status": status, "headers": [*own.items(), *headers.items()]})
    await send({"type": "http.response.body", "body": body})


def request_id_of(scope: Scope) -> str:
    """The request's id, given or made."""
    given = (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id")
    return request_id(next(given, None))


def method_of(scope: Scope) -> str:
    """The method, where it is one that there is."""
    return scope["method"] if scope["method"] in METHODS else "other"


def route_of(scope: Scope) -> str:
    """The route's template, so that a metric has as many series as there are routes."""
    route = scope.get("route")
    return getattr(route, "path", UNMATCHED)
