"""The fake exchange as a process of its own, making trades from the moment somebody follows them until it is ended.

``python -m tests.bench.exchange PORT PRODUCTS RATE``: so many trades a second, each in a frame of its own; RATE 0 makes
them as fast as the client takes them, ``BURST`` to a frame.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import count

import uvloop

from services.contracts.events import Side
from services.replay.exchange import FakeExchange
from services.replay.market import ExchangeTrade
from services.replay.settings import ReplaySettings

PROTOCOL = "coinbase"
TICK_S = 0.001
"""The event loop's own resolution: a shorter wait would be a busy one, on a core that others need."""
BURST = 20
BURSTS_BETWEEN_LOOKS = 50
HISTORY_TRADES_MAX = 10_000
"""The repairs of a bench do not reach further back, and memory is left to what is measured."""


def product_names(prefix: str, products: int) -> list[str]:
    return [f"{prefix}{index}-USD" for index in range(products)]


async def main(port: int, products: Sequence[str], rate: float) -> None:
    settings = ReplaySettings.load(replay_history_trades_max=HISTORY_TRADES_MAX)
    async with FakeExchange(PROTOCOL, products, port=port, settings=settings) as exchange:
        await exchange.subscribed(*products, timeout_s=60)
        await (_steady(exchange, products, rate) if rate else _flood(exchange, products))


async def _steady(exchange: FakeExchange, products: Sequence[str], rate: float) -> None:
    began = time.monotonic()
    made = 0
    while True:
        due = int((time.monotonic() - began) * rate)
        for index in range(made, due):
            exchange.publish([_trade(exchange, products[index % len(products)], index)])
        made = due
        await asyncio.sleep(TICK_S)


async def _flood(exchange: FakeExchange, products: Sequence[str]) -> None:
    for burst in count():
        product = products[burst % len(products)]
        exchange.publish(list(_burst(exchange, product, burst * BURST)))
        if burst % BURSTS_BETWEEN_LOOKS == 0:
            await exchange.drained()
            await asyncio.sleep(0)


def _burst(exchange: FakeExchange, product: str, first: int) -> Iterator[ExchangeTrade]:
    trade = _trade(exchange, product, first)
    for index in range(BURST):
        yield ExchangeTrade(product, trade.number + index, *_terms(first + index), trade.time_ns)


def _trade(exchange: FakeExchange, product: str, index: int) -> ExchangeTrade:
    return exchange.trade(product, *_terms(index), None)


def _terms(index: int) -> tuple[Decimal, Decimal, Side]:
    """Price and size are never those of the trade before, for a gateway tells of changes only."""
    return Decimal(5_000_000 + index % 9_973).scaleb(-2), Decimal(1 + index % 9_967).scaleb(-4), "BUY"


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2].split(","), float(sys.argv[3])))
