"""One mixed flow of orders for every matching engine, and how each takes it: ours and its pure-Python peers.

A peer's prices are made before the clock starts; its orders are made while it runs, for they are what its book keeps.
Ours gets commands as a decoder leaves them, and makes the orders of its book itself.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

from services.domain.matching import Market, apply
from services.domain.orders import Cancel, Command, Deposit, ListSymbol, Place
from services.domain.symbols import UNITS_PER_ONE, Symbol

MID = 100_000
"""Ticks. Bids rest below, asks above."""
SEED = 7
LIMITS, CANCELS = 0.6, 0.3
QUANTITY_MAX = 100
ACCOUNTS = 100
NS_PER_COMMAND = 1_000
STARTED_NS = 1_700_000_000 * 10**9

RULES = Symbol(
    "BENCH-USD",
    "BENCH",
    "USD",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
    reference_price=MID,
    min_notional=Decimal("0.01"),
    max_notional=Decimal(1_000_000),
    maker_fee_bps=10,
    taker_fee_bps=25,
)


class Step(NamedTuple):
    """What one command does. ``number`` is the order's, for a cancel that of the order to cancel."""

    kind: Literal["limit", "market", "cancel"]
    number: int
    side: Literal["buy", "sell"] = "buy"
    price: int = 0
    quantity: int = 0


def full_book(levels: int, orders_per_level: int) -> list[Step]:
    """Limit orders on both sides that fill so many levels in all."""
    chosen = random.Random(SEED)
    half = levels // 2
    places = [(side, distance) for distance in range(1, half + 1) for side in (-1, 1)] * orders_per_level
    return [_limit(number, side, distance, chosen) for number, (side, distance) in enumerate(places)]


def mixed_flow(count: int, levels: int, first: int) -> list[Step]:
    """60 % limit orders over the same levels, 30 % cancels of orders placed before, 10 % market orders."""
    chosen = random.Random(SEED + 1)
    standing = list(range(first))
    steps: list[Step] = []
    for number in range(first, first + count):
        kind = chosen.random()
        if kind < LIMITS:
            steps.append(_limit(number, chosen.choice((-1, 1)), chosen.randint(1, levels // 2), chosen))
            standing.append(number)
        elif kind < LIMITS + CANCELS:
            which = chosen.randrange(len(standing))
            standing[which], standing[-1] = standing[-1], standing[which]
            steps.append(Step("cancel", standing.pop()))
        else:
            side: Literal["buy", "sell"] = chosen.choice(("buy", "sell"))
            steps.append(Step("market", number, side, 0, chosen.randint(1, QUANTITY_MAX)))
    return steps


def _limit(number: int, side: int, distance: int, chosen: random.Random) -> Step:
    return Step("limit", number, "buy" if side < 0 else "sell", MID + side * distance, chosen.randint(1, QUANTITY_MAX))


class Engine(Protocol):
    """A matching engine on a bench."""

    def prepare(self, steps: Sequence[Step]) -> Callable[[], None]:
        """What, called, takes all the steps; what is made here is not measured."""


class Tickplane:
    """``services.domain.matching`` with everything on: ids, balances, fees, bands, L2, BBO."""

    def __init__(self) -> None:
        self.market = Market("bench", open_orders_max=1_000_000)
        self.position = -1
        self._do(ListSymbol(RULES))
        for account in range(ACCOUNTS):
            for asset in (RULES.base, RULES.quote):
                self._do(Deposit(f"account-{account}", f"fund-{asset}", asset, 10**12 * UNITS_PER_ONE))

    def prepare(self, steps: Sequence[Step]) -> Callable[[], None]:
        commands = list(self.journal(steps))

        def run() -> None:
            market = self.market
            for position, time, command in commands:
                apply(market, position, time, command)

        return run

    def journal(self, steps: Sequence[Step]) -> Iterator[tuple[int, int, Command]]:
        """Position, time and command of each step."""
        for step in steps:
            self.position += 1
            yield self.position, STARTED_NS + self.position * NS_PER_COMMAND, command(step)

    def _do(self, given: Command) -> None:
        self.position += 1
        apply(self.market, self.position, STARTED_NS, given)


def command(step: Step) -> Command:
    account, order_id = f"account-{step.number % ACCOUNTS}", f"order-{step.number}"
    if step.kind == "cancel":
        return Cancel(account, order_id)
    if step.kind == "market":
        return Place(account, order_id, RULES.symbol, step.quantity, step.side, "market", time_in_force="IOC")
    return Place(account, order_id, RULES.symbol, step.quantity, step.side, "limit", step.price)


class Akhil4nOrderbook:
    def __init__(self) -> None:
        import orderbook

        self.module = orderbook
        self.book = orderbook.OrderBook()
        self.ids: dict[int, str] = {}

    def prepare(self, steps: Sequence[Step]) -> Callable[[], None]:
        prices = {step.price: Decimal(step.price) for step in steps}
        module, book, ids = self.module, self.book, self.ids
        sides = {"buy": module.OrderSide.BID, "sell": module.OrderSide.ASK}

        def run() -> None:
            for kind, number, side, price, quantity in steps:
                if kind == "limit":
                    order = module.Order(sides[side], prices[price], quantity)
                    ids[number] = order.order_id
                    book.add_limit_order(order)
                elif kind == "cancel":
                    book.cancel_order(ids[number])
                else:
                    book.add_market_order(module.MarketOrder(sides[side], quantity))

        return run


class Pyorderbook:
    """Has no market orders: they are limit orders at the worst price, and what remains is cancelled."""

    def __init__(self) -> None:
        import pyorderbook

        self.module = pyorderbook
        self.book = pyorderbook.Book()
        self.orders: dict[int, Any] = {}

    def prepare(self, steps: Sequence[Step]) -> Callable[[], None]:
        module, book, orders = self.module, self.book, self.orders
        make = {"buy": module.bid, "sell": module.ask}
        worst = {"buy": 2 * MID, "sell": 1}

        def run() -> None:
            for kind, number, side, price, quantity in steps:
                if kind == "limit":
                    orders[number] = order = make[side]("BENCH", price, quantity)
                    book.match(order)
                elif kind == "market":
                    order = make[side]("BENCH", worst[side], quantity)
                    book.match(order)
                    if order.quantity:
                        book.cancel(order)
                elif orders[number].id in book.order_map:
                    book.cancel(orders[number])

        return run


class OrderMatching:
    """Logs every order; that is turned off."""

    def __init__(self) -> None:
        from loguru import logger
        from order_matching import enums, matching_engine, order, orders

        logger.disable("order_matching")
        self.order, self.orders = order, orders
        self.sides = {"buy": enums.Side.BUY, "sell": enums.Side.SELL}
        self.engine = matching_engine.MatchingEngine(seed=SEED)
        self.time = datetime(2023, 1, 1)  # noqa: DTZ001 (its own times are naive)

    def prepare(self, steps: Sequence[Step]) -> Callable[[], None]:
        engine, sides, many = self.engine, self.sides, self.orders.Orders

        def run() -> None:
            for kind, number, side, price, quantity in steps:
                self.time += timedelta(microseconds=1)
                fields = {"timestamp": self.time, "order_id": str(number), "trader_id": "bench"}
                if kind == "cancel":
                    if engine.unprocessed_orders.find_order_by_id(str(number)) is not None:
                        engine.cancel_order(str(number))
                    continue
                if kind == "limit":
                    order = self.order.LimitOrder(side=sides[side], price=price, size=quantity, **fields)
                else:
                    order = self.order.MarketOrder(side=sides[side], size=quantity, **fields)
                engine.place(many([order]))
                engine.match(self.time)

        return run
