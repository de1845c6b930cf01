"""Wires the ``gateway``: Kafka to the hub, the hub to the clients."""

import asyncio
import contextlib

from services.adapters.kafka import LogEnds, Reader
from services.adapters.redis import Redis
from services.contracts.errors import InfraError
from services.gateway.fanout import TOPICS, Fanout, start_offsets
from services.gateway.hub import Hub
from services.gateway.latest import LatestValues
from services.gateway.server import Client, Server
from services.gateway.settings import GatewaySettings
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import run_service, serve

SERVICE = "gateway"


async def gateway(settings: GatewaySettings, health: Health) -> None:
    hub: Hub[Client] = Hub(settings.dedup_window)
    cache = Redis(settings.redis_url, health)
    latest = LatestValues(hub, cache)
    server = Server(hub, settings, latest.fill)
    reader = Reader(
        settings.kafka_bootstrap_servers,
        TOPICS,
        health,
        lambda spans: start_offsets(spans, settings.dedup_window),
        max_wait_ms=settings.fetch_max_wait_ms,
    )
    fanout = Fanout(reader, hub, server.deliver, health.clock, settings.partitions)
    log_ends = LogEnds(settings.kafka_bootstrap_servers, TOPICS, health)

    async def check() -> None:
        with contextlib.suppress(InfraError):
            await asyncio.gather(latest.check(), log_ends.ask())

    checks = Periodic(settings.dependency_check_interval_s, check)
    await serve(health, settings, [cache, log_ends, fanout, checks, server])


def main() -> None:
    run_service(SERVICE, GatewaySettings, gateway)
