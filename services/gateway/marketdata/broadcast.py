"""Everybody's trades, for the sockets that asked: encoded once, joined once, written once a socket and flush."""

import asyncio
from itertools import batched

from services.contracts.events import ValidatedTrade
from services.contracts.metrics import Metric
from services.gateway.clients import Client
from services.gateway.marketdata.ticks import broadcast_frame
from services.gateway.stream.frames import text_frame
from services.gateway.stream.outbox import WRITES_PER_TURN
from services.runtime.metrics import counter


class Broadcast:
    """A follower whose socket is full is closed: a trade is never left out in silence."""

    def __init__(self) -> None:
        self.followers: set[Client] = set()
        self._pending: list[bytes] = []

    def publish(self, trade: ValidatedTrade) -> bool:
        """Put a trade aside for the next flush. Whether anyone follows."""
        if self.followers:
            self._pending.append(text_frame(broadcast_frame(trade)))
        return bool(self.followers)

    async def flush(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        frames = b"".join(pending)
        for some in batched(list(self.followers), WRITES_PER_TURN, strict=False):
            for client in some:
                client.write(frames)
            counter(Metric.GATEWAY_FRAMES_SENT).labels("marketdata").inc(len(some) * len(pending))
            await asyncio.sleep(0)
