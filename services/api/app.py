"""Wires the ``api``: REST over what Postgres and Redis hold."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from services.adapters.http.asgi import App, Observed
from services.adapters.http.server import RETRY_AFTER_S, describe, edge_server, with_cors
from services.adapters.kafka import LogEnds
from services.adapters.postgres import Postgres
from services.adapters.rate_limit import RateLimiter
from services.adapters.redis import Redis
from services.api import documents
from services.api.middleware import RateLimited
from services.api.monitor import Monitor
from services.api.probe import show_size_limit
from services.api.routes import Routes
from services.api.settings import ApiSettings
from services.api.store import Store
from services.contracts.errors import InfraError
from services.contracts.topics import Topic
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

SERVICE = "api"
LAG_TOPICS = (Topic.MARKET_TRADES, Topic.CANDLES, Topic.FEED_STATE, Topic.RAW_TICKS, Topic.ORDERS)
"""What consumer groups have positions in."""


def rest(routes: Routes) -> FastAPI:
    """The paths, without what is around them."""
    app = FastAPI(title="Tickplane", version="1", docs_url="/docs", redoc_url=None, redirect_slashes=False)
    app.include_router(routes.probes())
    app.include_router(routes.markets_and_candles(prefix=""))
    app.include_router(routes.markets_and_candles(prefix="/v1"))
    app.include_router(routes.versioned())
    app.add_exception_handler(InfraError, _unavailable)
    describe(app, documents.DOCUMENTS)
    return app


def public(routes: Routes, limiter: RateLimiter, health: Health, tracing: "Tracing | None", cors_origins: str) -> App:
    """The paths with what is around them, outermost first: observed, CORS, rate limit."""
    limited = RateLimited(rest(routes), SERVICE, limiter)
    return Observed(with_cors(limited, cors_origins, methods=["GET"]), health, tracing)


async def api(settings: ApiSettings, health: Health) -> None:
    database = Postgres(settings, health)
    cache = Redis(settings, health)
    log_ends = LogEnds(settings, LAG_TOPICS, health)
    store = Store(database, cache, settings.query_timeout_s)
    show_size_limit(settings.postgres_size_limit_gb)
    monitor = Monitor(store, log_ends)
    checks = Periodic(settings.dependency_check_interval_s, monitor.check)
    limiter = RateLimiter.of(settings, SERVICE, cache, health.clock, limit=settings.rate_limit_per_minute)
    routes = Routes(store, monitor, health, public_url=settings.public_url, stream_page_rows=settings.stream_page_rows)
    tracing = make_tracing(SERVICE, settings)
    app = public(routes, limiter, health, tracing, settings.cors_origins)
    server = edge_server(app, settings.api_host, settings.api_port, settings, requests_max=settings.api_requests_max)
    await serve(health, settings, [tracing, database, cache, log_ends, checks, server], drain_s=settings.drain_s)


async def _unavailable(_request: Request, error: Exception) -> Response:
    detail = f"{error.dependency if isinstance(error, InfraError) else 'a dependency'} is away; try again soon"
    return JSONResponse({"detail": detail}, 503, {"Retry-After": str(RETRY_AFTER_S)})


def main() -> None:
    run_service(SERVICE, ApiSettings, api)
