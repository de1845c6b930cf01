"""Around every request: its id, metrics and log line, and the client's share. Plain ASGI: it is on the hot path."""

import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import structlog

from services.adapters.rate_limit import RateLimiter, client_of
from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.metrics import counter, histogram
from services.runtime.request_id import request_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

EXEMPT = frozenset({"/health", "/ready"})
"""Asked by probes: not limited, and logged only at DEBUG."""
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """``X-Request-ID`` in, out and in the logs; ``http_requests_total`` and ``http_request_duration_seconds``."""

    def __init__(self, app: App, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        own_id = request_id_of(scope)
        structlog.contextvars.bind_contextvars(request_id=own_id)
        status = 500
        began = time.perf_counter()

        async def send_with_id(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", own_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, duration_s: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = route_of(scope)
        counter(Metric.HTTP_REQUESTS).labels(self._service, method, route, status).inc()
        histogram(Metric.HTTP_REQUEST_SECONDS).labels(self._service, method, route).observe(duration_s)
        log = logging.logger()
        write = log.debug if route in EXEMPT else log.info
        write("request", method=method, path=scope["path"][:200], status=status, duration_ms=round(duration_s * 1e3, 2))


class RateLimited:
    """429 with ``Retry-After`` for a client that has had its requests of the minute."""

    def __init__(self, app: App, service: str, limiter: RateLimiter) -> None:
        self._app = app
        self._service = service
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait_s = await self._limiter.wait_s(client_of(address))
        if wait_s == 0:
            await self._app(scope, receive, send)
            return
        counter(Metric.RATE_LIMITED).labels(self._service).inc()
        await _refuse(send, math.ceil(wait_s))


async def _refuse(send: Send, retry_after_s: int) -> None:
    body = msgspec.json.encode({"detail": f"too many requests; try again in {retry_after_s} s"})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(retry_after_s).encode()),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def request_id_of(scope: Scope) -> str:
    """The request's id, given or made."""
    given = (value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id")
    return request_id(next(given, None))


def route_of(scope: Scope) -> str:
    """The route's template, so that a metric has as many series as there are routes."""
    route = scope.get("route")
    return getattr(route, "path", UNMATCHED)
