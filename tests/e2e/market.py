"""The exchange of the end-to-end tests: it never stops trading, and knows every trade that there was."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self

from services.contracts.events import Trade
from services.replay.exchange import FakeExchange

VENUE = "coinbase-exchange"
LABEL = "coinbase"
PRODUCTS = ("A-USD", "B-USD", "C-USD", "G-USD", "H-USD", "Z-USD")
"""Of the first five each of two and each of three shards gets some, and one keeps what it has."""
TRADES_PER_S = 100
TICK_S = 0.05


class Market:
    """Trades of ``trading``, one product after the other, at a steady pace."""

    def __init__(
        self, host: str, venue: str = VENUE, products: Sequence[str] = PRODUCTS, trades_per_s: int = TRADES_PER_S
    ) -> None:
        self.exchange = FakeExchange(venue, products, host=host)
        self.trading = list(products)
        self._trades_per_s = trades_per_s
        self._made = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.exchange.__aenter__()
        self._task = asyncio.create_task(self._trade())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.rest()
        await self.exchange.__aexit__(kind, error, trace)

    async def rest(self) -> None:
        """No more trades."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def trades(self, products: Iterable[str] = PRODUCTS) -> list[Trade]:
        """All that happened."""
        return [
            Trade(
                LABEL, product, str(trade.number), trade.number, trade.price, trade.size, trade.side, trade.time_ns,
                trade.time_ns, "live", VENUE,
            )
            for product in products
            for trade in self.exchange.market.trades(product)
        ]  # fmt: skip

    async def _trade(self) -> None:
        began = time.monotonic()
        while True:
            due = int((time.monotonic() - began) * self._trades_per_s)
            for index in range(self._made, due):
                product = self.trading[index % len(self.trading)]
                self.exchange.emit(
                    product, Decimal(10_000 + index % 997).scaleb(-2), Decimal(1 + index % 89).scaleb(-3)
                )
            self._made = due
            await asyncio.sleep(TICK_S)
