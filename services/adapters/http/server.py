"""The server of a REST interface behind the edge, and what its apps have in common."""

import math
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from services.adapters.http.asgi import App
from services.adapters.http.documents import components
from services.runtime.ops import HttpServer
from services.runtime.settings import EdgeSettings

KEEP_ALIVE_S = 150
"""Longer than edges keep idle connections (Caddy: 2 min), so that they close first and never lose a request to it."""
RETRY_AFTER_S = 2
"""What a client is told while a dependency is away: about as long as a restart takes."""


def edge_server(app: App, host: str, port: int, settings: EdgeSettings, *, requests_max: int) -> HttpServer:
    """``requests_max`` connections and requests at once; more are answered 503."""
    return HttpServer(
        app,
        host,
        port,
        http="httptools",
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=requests_max,
        timeout_graceful_shutdown=math.ceil(settings.grace_s / 2),
    )


def describe(app: FastAPI, documents: tuple[Any, ...]) -> None:
    """Have the app's OpenAPI say what these documents are."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components(documents))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def with_cors(app: App, cors_origins: str, *, methods: Sequence[str], headers: Sequence[str] = ()) -> App:
    """Let pages of these origins (comma-separated) read the answers; as it is where there are none."""
    origins = [origin.strip() for origin in cors_origins.split(",") if origin.strip()]
    if not origins:
        return app
    outer: Any = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=list(methods),
        allow_headers=list(headers),
        expose_headers=["X-Request-ID", "Retry-After"],
    )
    return outer  # type: ignore[no-any-return]
