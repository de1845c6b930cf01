"""Wires ``orders``: order entry over REST. Any number of replicas, none of which keeps anything."""

import contextlib
from typing import TYPE_CHECKING

from fastapi import FastAPI

from services.adapters.http.asgi import App, Observed
from services.adapters.http.origins import Origins
from services.adapters.http.server import describe, edge_server, with_cors
from services.adapters.kafka import LogEnds, Producer
from services.adapters.postgres import Postgres
from services.adapters.rate_limit import RateLimiter
from services.adapters.redis import Redis
from services.contracts.errors import InfraError
from services.contracts.topics import Topic
from services.orders import documents
from services.orders.callers import Admitted, ApiKeys
from services.orders.commands import Commands
from services.orders.journal import Journal
from services.orders.problems import handle_problems
from services.orders.queries import Queries
from services.orders.settings import OrdersSettings
from services.orders.store import Store
from services.orders.symbols import Symbols
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

SERVICE = "orders"
METHODS = ("GET", "POST", "PATCH", "DELETE")
MS_PER_S = 1_000


def rest(commands: Commands, queries: Queries) -> FastAPI:
    """The paths, without what is around them."""
    app = FastAPI(title="Tickplane orders", version="1", docs_url="/docs", redoc_url=None, redirect_slashes=False)
    app.include_router(queries.router())
    app.include_router(commands.router())
    handle_problems(app)
    describe(app, documents.DOCUMENTS)
    return app


def public(
    inner: App,
    settings: OrdersSettings,
    database: Postgres,
    cache: Redis,
    health: Health,
    tracing: "Tracing | None" = None,
) -> App:
    """The paths with what is around them, outermost first: observed, CORS, who asks and how often."""
    keys = ApiKeys(
        database,
        health.clock,
        refresh_s=settings.api_key_refresh_s,
        keys_max=settings.api_keys_max,
        timeout_s=settings.query_timeout_s,
    )
    limiter = RateLimiter.of(settings, SERVICE, cache, health.clock, limit=settings.orders_rate_limit_per_minute)
    admitted = Admitted(inner, SERVICE, keys, limiter, Origins(settings.cors_origins), settings.anonymous_account)
    headers = ["Content-Type", "X-API-Key", "X-Request-ID"]
    return Observed(with_cors(admitted, settings.cors_origins, methods=METHODS, headers=headers), health, tracing)


async def orders(settings: OrdersSettings, health: Health) -> None:
    database = Postgres(settings, health)
    cache = Redis(settings, health)
    publish_timeout_ms = int(settings.order_publish_timeout_s * MS_PER_S)
    producer = Producer(settings, health, topics=[Topic.ORDERS], request_timeout_ms=publish_timeout_ms)
    log_ends = LogEnds(settings, [Topic.ORDERS], health)
    symbols = Symbols(database, settings.query_timeout_s)
    store = Store(database, cache, settings.query_timeout_s, settings.anonymous_account)
    tracing = make_tracing(SERVICE, settings)
    journal = Journal(
        database,
        producer,
        health.clock,
        tracing,
        query_timeout_s=settings.query_timeout_s,
        publish_timeout_s=settings.order_publish_timeout_s,
    )

    async def check_log() -> None:
        with contextlib.suppress(InfraError):
            await log_ends.ask()

    app = rest(Commands(journal, store, symbols), Queries(SERVICE, store, symbols))
    server = edge_server(
        public(app, settings, database, cache, health, tracing),
        settings.orders_host,
        settings.orders_port,
        settings,
        requests_max=settings.orders_requests_max,
    )
    checks = [
        Periodic(settings.symbols_refresh_s, symbols.refresh),
        Periodic(settings.dependency_check_interval_s, cache.start),
        Periodic(settings.dependency_check_interval_s, check_log),
        Periodic(settings.order_ids_prune_interval_s, journal.prune),
    ]
    components = [tracing, database, cache, producer, log_ends, *checks, server]
    await serve(health, settings, components, drain_s=settings.drain_s)


def main() -> None:
    run_service(SERVICE, OrdersSettings, orders)
