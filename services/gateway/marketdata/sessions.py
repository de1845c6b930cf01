"""What the sockets of ``/ws/marketdata`` share, and how they end: as one component of the gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.gateway.clients import Host
from services.gateway.marketdata.broadcast import Broadcast
from services.gateway.marketdata.session import MarketDataClient, Shared
from services.gateway.marketdata.upstream import Upstream
from services.gateway.routes import MarketData
from services.gateway.settings import GatewaySettings
from services.runtime.health import Health
from services.runtime.periodic import Periodic

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

CHECK_INTERVAL_S = 1.0
"""How often it is looked for answers that are overdue, and whether a validator that was away is back."""


class Sessions(Periodic):
    """Start it before the server that lets the sockets in, so that it stops after it."""

    def __init__(self, settings: GatewaySettings, health: Health, tracing: Tracing | None) -> None:
        super().__init__(CHECK_INTERVAL_S, self._check)
        self.broadcast = Broadcast()
        self._upstream = Upstream(settings, health)
        self._shared = Shared(settings, health.clock, self._upstream, tracing, self.broadcast)

    def client(self, host: Host, target: MarketData, request_id: str) -> MarketDataClient:
        """For one socket; it begins when it is let in."""
        return MarketDataClient(host, self._shared, request_id, broadcast=target.broadcast)

    async def start(self) -> None:
        await self._upstream.start()

    async def stop(self) -> None:
        """The clients have gone; what they left behind is ended as far as the validator answers in time."""
        tasks = [client.task for client in self._shared.open if client.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._shared.settings.close_timeout_s)
        for task in tasks:
            task.cancel()
        await self._upstream.stop()
        await super().stop()

    async def _check(self) -> None:
        for client in list(self._shared.open):
            client.check()
        self._upstream.attempt()
