"""The order lab's engine and its oracle behind one face: commands and events as plain dicts, as the wire has them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from services.contracts.lab import OrderSide
from services.domain import orders
from services.domain.matching import Market, apply
from services.domain.symbols import Symbol
from tests.oracle import book as oracle

Depth = tuple[list[tuple[int, int]], list[tuple[int, int]]]
Event = dict[str, Any]

MARKET_DATA = ("level", "best")
ONE = 10**18
"""Units of an asset in one."""
NOON = 1_700_000_000 * 10**9

SYMBOL = Symbol(
    "DEMO-USD",
    "DEMO",
    "USD",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.001"),
    reference_price=1_000,
    max_quantity=10_000,
    min_notional=Decimal("0.015"),
    max_notional=Decimal(5_000),
    band_bps=2_000,
    maker_fee_bps=10,
    taker_fee_bps=25,
)
FREE = msgspec.structs.replace(SYMBOL, symbol="FREE-USD", base="FREE", maker_fee_bps=0, taker_fee_bps=0)
"""Shares its quote asset with the other."""
TINY = msgspec.structs.replace(
    SYMBOL,
    symbol="TINY-USD",
    base="TINY",
    lot_size=Decimal("1e-16"),
    min_notional=Decimal(0),
    maker_fee_bps=3,
    taker_fee_bps=7,
)
"""A lot at a tick is worth one unit, so that every fee has to be rounded."""


class Lab(Protocol):
    """What the suite needs of an order lab."""

    def apply(self, position: int, time: int, command: orders.Command) -> list[Event]:
        """The events, market data left out."""

    def depth(self, symbol: str) -> Depth: ...

    def balance(self, account: str, asset: str) -> tuple[int, int]: ...

    def open_orders(self, account: str) -> list[tuple[str, int, int]]: ...


class Engine:
    """``services.domain.matching``; keeps the market data of the last command, and L2 as a reader would have it."""

    def __init__(self, open_orders_max: int) -> None:
        self.market = Market("lab", open_orders_max=open_orders_max)
        self.market_data: list[Event] = []

    def apply(self, position: int, time: int, command: orders.Command) -> list[Event]:
        before = self.market.sequence
        made = apply(self.market, position, time, command)
        assert self.market.sequence == before + len(made)
        events = [msgspec.to_builtins(event) for event in made]
        self.market_data = [event for event in events if event["event"] in MARKET_DATA]
        return [event for event in events if event["event"] not in MARKET_DATA]

    def depth(self, symbol: str) -> Depth:
        depth = self.market.books[symbol].depth()
        return depth.bids, depth.asks

    def balance(self, account: str, asset: str) -> tuple[int, int]:
        found = self.market.ledger.account(account).balances.get(asset)
        return (found.available, found.held) if found is not None else (0, 0)

    def open_orders(self, account: str) -> list[tuple[str, int, int]]:
        found = self.market.ledger.account(account).orders.items()
        return [(order_id, order.price, order.remaining) for order_id, order in found]


class Oracle:
    def __init__(self, open_orders_max: int) -> None:
        self.market = oracle.Market(open_orders_max)

    def apply(self, position: int, time: int, command: orders.Command) -> list[Event]:
        return self.market.apply(position, time, msgspec.to_builtins(command))

    def depth(self, symbol: str) -> Depth:
        return self.market.depth(symbol)

    def balance(self, account: str, asset: str) -> tuple[int, int]:
        return self.market.balance(account, asset)

    def open_orders(self, account: str) -> list[tuple[str, int, int]]:
        return self.market.open_orders(account)


class Script:
    """A lab with a journal: each command gets the next position, and the time that is set."""

    def __init__(self, lab: Lab, symbols: Sequence[Symbol] = (SYMBOL, FREE)) -> None:
        self.lab = lab
        self.position = -1
        self.time = NOON
        for symbol in symbols:
            self.do(orders.ListSymbol(symbol))

    def do(self, command: orders.Command) -> list[Event]:
        self.position += 1
        return self.lab.apply(self.position, self.time, command)

    def fund(self, *accounts: str, amount: int = 1_000 * ONE) -> None:
        for account in accounts:
            for asset in ("USD", "DEMO", "FREE"):
                self.do(orders.Deposit(account, f"fund-{asset}", asset, amount))

    def limit(self, name: str, side: OrderSide, quantity: int, price: int, **fields: Any) -> list[Event]:
        """A limit order of the account that the name has before its dash: ``alice-1``."""
        return self.place(name, side, quantity, price=price, **fields)

    def market(self, name: str, side: OrderSide, quantity: int, **fields: Any) -> list[Event]:
        return self.place(name, side, quantity, type="market", **{"time_in_force": "IOC", **fields})

    def stop(self, name: str, side: OrderSide, quantity: int, stop_price: int, **fields: Any) -> list[Event]:
        """A stop order; with a ``price``, a stop-limit."""
        kind = "stop_limit" if "price" in fields else "stop"
        return self.place(name, side, quantity, type=kind, stop_price=stop_price, **fields)

    def place(self, name: str, side: OrderSide, quantity: int, **fields: Any) -> list[Event]:
        account = name.partition("-")[0]
        return self.do(orders.Place(account, name, fields.pop("symbol", SYMBOL.symbol), quantity, side, **fields))

    def cancel(self, name: str) -> list[Event]:
        return self.do(orders.Cancel(name.partition("-")[0], name))

    def replace(self, name: str, **fields: Any) -> list[Event]:
        return self.do(orders.Replace(name.partition("-")[0], name, **fields))


def brief(events: list[Event]) -> list[str]:
    """Events in words: short enough for a test to say all of them."""
    return [_brief(event) for event in events]


def _brief(event: Event) -> str:
    match event["event"]:
        case "execution":
            return f"{event['taker_id']} takes {event['quantity']} at {event['price']} of {event['maker_id']}"
        case "accepted":
            rests = f", rests {event['quantity']} at {event['price']}" if event["rests"] else ""
            return f"{event['id']} accepted{rests}"
        case "rested":
            return f"{event['id']} rests {event['remaining']} at {event['price']}"
        case "cancelled":
            return f"{event['id']} cancelled {event['remaining']}: {event['reason']}"
        case "expired":
            return f"{event['id']} expired {event['remaining']}"
        case "rejected":
            return f"{event['id']} rejected: {event['reason']}"
        case "refused":
            return f"{event['command']} {event['target']} refused: {event['reason']}"
        case "decremented":
            return f"{event['id']} loses {event['quantity']}, left {event['remaining']}"
        case "replaced":
            kept = "keeps" if event["kept_priority"] else "loses"
            return f"{event['id']} now {event['remaining']} at {event['price']}, {kept} priority"
        case "triggered":
            return f"{event['id']} triggered"
    return str(event["event"])
