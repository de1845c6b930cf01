"""Wires the ``api``: REST over what Postgres and Redis hold."""

import math
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from services.adapters.kafka import LogEnds
from services.adapters.postgres import Postgres
from services.adapters.rate_limit import RateLimiter
from services.adapters.redis import Redis
from services.api import documents
from services.api.middleware import App, Observed, RateLimited
from services.api.monitor import Monitor
from services.api.routes import Routes
from services.api.settings import ApiSettings
from services.api.store import Store
from services.contracts.errors import InfraError
from services.contracts.topics import Topic
from services.runtime.health import Health
from services.runtime.ops import HttpServer
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve

SERVICE = "api"
LAG_TOPICS = (Topic.MARKET_TRADES, Topic.CANDLES, Topic.FEED_STATE)
"""What consumer groups have positions in."""
KEEP_ALIVE_S = 150
"""Longer than edges keep idle connections (Caddy: 2 min), so that they close first and never lose a request to it."""
RETRY_AFTER_S = 2
"""What a client is told while Postgres is away: about as long as a restart takes."""


def rest(routes: Routes) -> FastAPI:
    """The paths, without what is around them."""
    app = FastAPI(title="Tickplane", version="1", docs_url="/docs", redoc_url=None)
    app.include_router(routes.probes())
    app.include_router(routes.markets_and_candles(prefix=""))
    app.include_router(routes.markets_and_candles(prefix="/v1"))
    app.include_router(routes.versioned())
    app.add_exception_handler(InfraError, _unavailable)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document["components"]["schemas"].update(documents.components())
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def public(routes: Routes, limiter: RateLimiter, cors_origins: str) -> App:
    """The paths with what is around them, outermost first: observed, CORS, rate limit."""
    app: Any = RateLimited(rest(routes), SERVICE, limiter)
    origins = [origin.strip() for origin in cors_origins.split(",") if origin.strip()]
    if origins:
        app = CORSMiddleware(
            app, allow_origins=origins, allow_methods=["GET"], expose_headers=["X-Request-ID", "Retry-After"]
        )
    return Observed(app, SERVICE)


async def api(settings: ApiSettings, health: Health) -> None:
    database = Postgres(settings.database_url, settings.database_pool_max, health)
    cache = Redis(settings.redis_url, health)
    log_ends = LogEnds(settings.kafka_bootstrap_servers, LAG_TOPICS, health)
    store = Store(database, cache, settings.query_timeout_s)
    monitor = Monitor(store, log_ends)
    checks = Periodic(settings.dependency_check_interval_s, monitor.check)
    limiter = RateLimiter(
        SERVICE,
        cache,
        health.clock,
        limit=settings.rate_limit_per_minute,
        timeout_s=settings.rate_limit_timeout_ms / 1_000,
        retry_s=settings.rate_limit_retry_s,
        clients_max=settings.rate_limit_clients_max,
    )
    routes = Routes(store, monitor, health, public_url=settings.public_url, stream_page_rows=settings.stream_page_rows)
    server = HttpServer(
        public(routes, limiter, settings.cors_origins),
        settings.api_host,
        settings.api_port,
        http="httptools",
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=settings.api_requests_max,
        timeout_graceful_shutdown=math.ceil(settings.grace_s / 2),
    )
    await serve(health, settings, [database, cache, log_ends, checks, server])


async def _unavailable(_request: Request, error: Exception) -> Response:
    detail = f"{error.dependency if isinstance(error, InfraError) else 'a dependency'} is away; try again soon"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_AFTER_S)})


def main() -> None:
    run_service(SERVICE, ApiSettings, api)
