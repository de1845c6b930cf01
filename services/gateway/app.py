"""Wires the ``gateway``: Kafka to the market, the market to those who follow it."""

import asyncio
import contextlib
from collections.abc import Callable

from services.adapters.kafka import LogEnds, Reader
from services.adapters.redis import Redis
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.gateway.fanout import TOPICS, Fanout, begin
from services.gateway.flat import Flat, FlatClient
from services.gateway.hub import Hub, Product
from services.gateway.latest import LatestValues
from services.gateway.marketdata.sessions import Sessions
from services.gateway.routes import Follow, MarketData, Stream
from services.gateway.server import Server
from services.gateway.settings import GatewaySettings
from services.gateway.static import Dashboard
from services.gateway.stream.channels import CHANNELS
from services.gateway.stream.client import StreamClient, Streams
from services.gateway.stream.cohorts import Cohorts
from services.gateway.stream.documents import Limits
from services.gateway.stream.heartbeats import Heartbeats
from services.gateway.stream.history import History
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.gateway.stream.subscriptions import Subscriptions
from services.runtime.clock import Clock
from services.runtime.health import Health
from services.runtime.metrics import gauge
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve
from services.runtime.tracing import make_tracing

SERVICE = "gateway"
MS_PER_S = 1_000


async def gateway(settings: GatewaySettings, health: Health) -> None:
    market = Market(
        dedup_window=settings.dedup_window,
        partitions=settings.partitions,
        updates_max=settings.stream_updates_max,
        series_max=settings.stream_series_max,
    )
    cohorts = Cohorts()
    outbox = Outbox(cohorts, health.clock)
    history = _history(settings, market)
    heartbeats = Heartbeats(health.clock, settings.heartbeat_interval_s)

    hub: Hub[FlatClient] = Hub()
    cache = Redis(settings, health)
    latest = LatestValues(hub, market, cache)
    flat = Flat(hub, outbox, latest.fill, settings.client_buffer_bytes_max)

    subscriptions = _subscriptions(settings, market, outbox, history, health.clock, flat.start_fill)
    latest.filled = subscriptions.show_again
    streams = _streams(settings, cohorts, outbox, subscriptions, heartbeats, health.clock)

    tracing = make_tracing(SERVICE, settings)
    sessions = Sessions(settings, health, tracing)
    server = Server(
        settings,
        {
            Follow: lambda host, follow, own_id: FlatClient(host, flat, follow, own_id),
            Stream: lambda host, _stream, own_id: StreamClient(host, streams, own_id),
            MarketData: sessions.client,
        },
        subscriptions.goodbye,
        Dashboard().find,
    )
    reader = Reader(
        settings,
        TOPICS,
        health,
        lambda spans: begin(market, spans, settings.book_records_max),
        max_wait_ms=settings.fetch_max_wait_ms,
    )
    fanout = Fanout(
        reader,
        market,
        hub,
        outbox,
        flat.deliver,
        sessions.broadcast,
        tracing,
        health.clock,
        partitions=settings.partitions,
        coalesce_s=settings.coalesce_ms / MS_PER_S,
    )
    log_ends = LogEnds(settings, TOPICS, health)

    async def check() -> None:
        _count(cohorts)
        with contextlib.suppress(InfraError):
            await asyncio.gather(latest.check(), log_ends.ask())

    checks = Periodic(settings.dependency_check_interval_s, check)
    components = [tracing, cache, log_ends, history, fanout, checks, heartbeats, sessions, server]
    await serve(health, settings, components, drain_s=settings.drain_s)


def _history(settings: GatewaySettings, market: Market) -> History:
    return History(
        settings,
        market,
        passes_max=settings.resume_readers_max,
        records_max=settings.resume_records_max,
        updates_max=settings.resume_updates_max,
        ahead_timeout_s=settings.resume_ahead_timeout_s,
    )


def _subscriptions(
    settings: GatewaySettings,
    market: Market,
    outbox: Outbox,
    history: History,
    clock: Clock,
    fill: Callable[[Product], None],
) -> Subscriptions:
    limits = Limits(
        settings.subscriptions_max, settings.client_frame_bytes_max, settings.client_requests_per_second_max
    )
    return Subscriptions(
        market,
        outbox,
        history,
        clock,
        limits=limits,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        resumes_max=settings.resumes_max,
        fill=fill,
    )


def _streams(
    settings: GatewaySettings,
    cohorts: Cohorts,
    outbox: Outbox,
    subscriptions: Subscriptions,
    heartbeats: Heartbeats,
    clock: Clock,
) -> Streams:
    return Streams(
        cohorts,
        outbox,
        subscriptions,
        heartbeats,
        clock,
        backlog_frames_max=settings.client_buffer_frames_max,
        backlog_bytes_max=settings.client_buffer_bytes_max,
        frame_bytes_max=settings.client_frame_bytes_max,
        requests_per_second_max=settings.client_requests_per_second_max,
        bad_frames_max=settings.client_bad_frames_max,
    )


def _count(cohorts: Cohorts) -> None:
    """How much is followed, for the metrics."""
    counts = dict.fromkeys(CHANNELS, 0)
    for cohort in cohorts:
        for series in cohort.series:
            counts[series.channel.name] += len(cohort.clients)
    for channel, count in counts.items():
        gauge(Metric.GATEWAY_SUBSCRIPTIONS).labels(channel).set(count)


def main() -> None:
    run_service(SERVICE, GatewaySettings, gateway)
