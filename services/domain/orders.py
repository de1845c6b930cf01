"""The order lab's words: commands in, events out, and the one table of an order's life.

Prices are ticks, quantities lots, amounts units (``services.domain.symbols``), times integer nanoseconds (UTC). An
order is named by its account and the id that the client gave it. Events carry no number of their own: the events of a
market group are one stream, and an event's sequence is its place in it (``numbered``).
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from services.contracts.lab import CancelReason, OrderSide, OrderState, OrderType, Reason, SelfTrade, TimeInForce
from services.domain.symbols import PRICE_MAX_TICKS, QUANTITY_MAX_LOTS, Symbol

TIMES_IN_FORCE: dict[OrderType, tuple[TimeInForce, ...]] = {
    "limit": ("GTC", "IOC", "FOK", "GTD"),
    "market": ("IOC", "FOK"),
    "stop": ("GTC", "GTD"),
    "stop_limit": ("GTC", "GTD"),
}
"""A stop's time in force is about its waiting: triggered, it is a market order that does not rest."""


class Misfit(ValueError):
    """A field that does not go with the rest of the order."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} does not go with the rest of the order")
        self.field = field


class Place(msgspec.Struct, frozen=True, gc=False, tag="place", tag_field="command"):
    """A new order: ``price`` for limit and stop_limit, ``stop_price`` for stop and stop_limit, ``expire_time`` for GTD.

    One whose fields do not go together cannot be made: Misfit, from a decoder msgspec.ValidationError.
    """

    account: str
    id: str
    symbol: str
    quantity: int
    side: OrderSide = "buy"
    type: OrderType = "limit"
    price: int | None = None
    stop_price: int | None = None
    time_in_force: TimeInForce = "GTC"
    post_only: bool = False
    self_trade: SelfTrade = "cancel_newest"
    expire_time: int | None = None

    def __post_init__(self) -> None:
        reason = misfit(self)
        if reason is not None:
            raise Misfit(reason)


def misfit(order: Place) -> str | None:
    """The first field of an order that does not go with its type, whatever the symbol; None where all do."""
    stop = order.type in {"stop", "stop_limit"}
    if not 1 <= order.quantity <= QUANTITY_MAX_LOTS:
        return "quantity"
    if (order.price is None) == (order.type in {"limit", "stop_limit"}) or not _is_price(order.price):
        return "price"
    if (order.stop_price is None) == stop or not _is_price(order.stop_price):
        return "stop_price"
    if order.time_in_force not in TIMES_IN_FORCE[order.type]:
        return "time_in_force"
    if (order.expire_time is None) == (order.time_in_force == "GTD"):
        return "expire_time"
    if order.post_only and (order.type != "limit" or order.time_in_force not in {"GTC", "GTD"}):
        return "post_only"
    return None


def _is_price(ticks: int | None) -> bool:
    return ticks is None or 1 <= ticks <= PRICE_MAX_TICKS


class Cancel(msgspec.Struct, frozen=True, gc=False, tag="cancel", tag_field="command"):
    account: str
    id: str


class CancelAll(msgspec.Struct, frozen=True, gc=False, tag="cancel_all", tag_field="command"):
    """Every open order of the account, oldest first; of one symbol where that is named."""

    account: str
    symbol: str | None = None


class Replace(msgspec.Struct, frozen=True, gc=False, tag="replace", tag_field="command"):
    """Change an open order; None keeps. ``quantity`` includes what is filled, so that a retry is harmless."""

    account: str
    id: str
    quantity: int | None = None
    price: int | None = None
    stop_price: int | None = None

    def __post_init__(self) -> None:
        if self.quantity is not None and not 1 <= self.quantity <= QUANTITY_MAX_LOTS:
            raise ValueError("quantity is out of range")
        if not (_is_price(self.price) and _is_price(self.stop_price)):
            raise ValueError("a price is out of range")


class Deposit(msgspec.Struct, frozen=True, gc=False, tag="deposit", tag_field="command"):
    """``amount`` units of ``asset`` from the world to the account."""

    account: str
    id: str
    asset: str
    amount: int

    def __post_init__(self) -> None:
        _check_amount(self.amount)


class Withdraw(msgspec.Struct, frozen=True, gc=False, tag="withdraw", tag_field="command"):
    """``amount`` units of ``asset`` from the account to the world."""

    account: str
    id: str
    asset: str
    amount: int

    def __post_init__(self) -> None:
        _check_amount(self.amount)


def _check_amount(amount: int) -> None:
    if amount < 1:
        raise ValueError("amount must be above zero")


class ListSymbol(msgspec.Struct, frozen=True, gc=False, tag="list", tag_field="command"):
    """Trade a symbol from here on, or change its bounds. On the journal, so that replay knows it."""

    rules: Symbol


class Halt(msgspec.Struct, frozen=True, gc=False, tag="halt", tag_field="command"):
    symbol: str


class Resume(msgspec.Struct, frozen=True, gc=False, tag="resume", tag_field="command"):
    symbol: str


class Clock(msgspec.Struct, frozen=True, gc=False, tag="clock", tag_field="command"):
    """Time passes, so that orders expire on a quiet book too."""


class Reject(msgspec.Struct, frozen=True, gc=False, tag="reject", tag_field="command"):
    """What was asked for under this id cannot be said in ticks and lots: the answer is known, and the id is used."""

    account: str
    id: str
    reason: Reason
    refused: Literal["place", "replace"] = "place"


Command = Place | Cancel | CancelAll | Replace | Deposit | Withdraw | ListSymbol | Halt | Resume | Clock | Reject


class Accepted(msgspec.Struct, frozen=True, gc=False, tag="accepted", tag_field="event"):
    """``price`` is the worst the order may trade at: its limit, or what the band makes of a market or stop order.

    ``rests``: there is nothing for it to trade with, so that it rests at once and whole.
    """

    account: str
    id: str
    symbol: str
    side: OrderSide
    price: int
    quantity: int
    rests: bool


class Rested(msgspec.Struct, frozen=True, gc=False, tag="rested", tag_field="event"):
    """What remains of an order that came to trade, was triggered or was moved."""

    account: str
    id: str
    price: int
    remaining: int


class Triggered(msgspec.Struct, frozen=True, gc=False, tag="triggered", tag_field="event"):
    account: str
    id: str


class Execution(msgspec.Struct, frozen=True, gc=False, tag="execution", tag_field="event"):
    """One trade, at the maker's price. Fees are in units of the quote asset."""

    symbol: str
    price: int
    quantity: int
    taker_side: OrderSide
    maker_account: str
    maker_id: str
    maker_remaining: int
    maker_fee: int
    taker_account: str
    taker_id: str
    taker_remaining: int
    taker_fee: int


class Decremented(msgspec.Struct, frozen=True, gc=False, tag="decremented", tag_field="event"):
    """Self-trade prevention took ``quantity`` lots off the order, which goes on with ``remaining``."""

    account: str
    id: str
    quantity: int
    remaining: int


class Replaced(msgspec.Struct, frozen=True, gc=False, tag="replaced", tag_field="event"):
    account: str
    id: str
    price: int
    stop_price: int | None
    quantity: int
    remaining: int
    kept_priority: bool


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag="cancelled", tag_field="event"):
    account: str
    id: str
    remaining: int
    reason: CancelReason


class Expired(msgspec.Struct, frozen=True, gc=False, tag="expired", tag_field="event"):
    account: str
    id: str
    remaining: int


class Rejected(msgspec.Struct, frozen=True, gc=False, tag="rejected", tag_field="event"):
    """The order never entered."""

    account: str
    id: str
    reason: Reason


class Refused(msgspec.Struct, frozen=True, gc=False, tag="refused", tag_field="event"):
    """A command other than ``place`` changed nothing. ``target`` is the order's id, the transfer's id or the symbol."""

    command: str
    account: str
    target: str
    reason: Reason


class Transferred(msgspec.Struct, frozen=True, gc=False, tag="transferred", tag_field="event"):
    """``amount`` units came in from the world; below zero, they went out."""

    account: str
    id: str
    asset: str
    amount: int


class Listed(msgspec.Struct, frozen=True, gc=False, tag="listed", tag_field="event"):
    symbol: str


class Halted(msgspec.Struct, frozen=True, gc=False, tag="halted", tag_field="event"):
    symbol: str


class Resumed(msgspec.Struct, frozen=True, gc=False, tag="resumed", tag_field="event"):
    symbol: str


class LevelChanged(msgspec.Struct, frozen=True, gc=False, tag="level", tag_field="event"):
    """L2: there are now ``quantity`` lots at ``price``. ``sequence`` counts a symbol's level changes without a hole."""

    symbol: str
    side: OrderSide
    price: int
    quantity: int
    sequence: int


class BestChanged(msgspec.Struct, frozen=True, gc=False, tag="best", tag_field="event"):
    """BBO after a command that changed it; price and quantity 0 for an empty side."""

    symbol: str
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int


Event = (
    Accepted
    | Rested
    | Triggered
    | Execution
    | Decremented
    | Replaced
    | Cancelled
    | Expired
    | Rejected
    | Refused
    | Transferred
    | Listed
    | Halted
    | Resumed
    | LevelChanged
    | BestChanged
)

TRANSITIONS: dict[OrderState, tuple[OrderState, ...]] = {
    "received": ("accepted", "rejected"),
    "accepted": ("resting", "partially_filled", "filled", "cancelled", "expired"),
    "resting": ("resting", "partially_filled", "filled", "cancelled", "expired"),
    "partially_filled": ("resting", "partially_filled", "filled", "cancelled", "expired"),
    "filled": (),
    "cancelled": (),
    "rejected": (),
    "expired": (),
}
"""An order's life. A waiting stop is accepted; what is replaced and loses its priority rests again."""


def step(state: OrderState, following: OrderState) -> OrderState:
    """The state after. Raises ValueError for a step that no order takes."""
    if following not in TRANSITIONS[state]:
        raise ValueError(f"no order goes from {state} to {following}")
    return following


def steps(event: Event) -> list[tuple[str, str, OrderState]]:
    """What an event says of orders' lives, as (account, id, state): at most two, the maker's before the taker's."""
    match event:
        case Execution():
            return [
                (event.maker_account, event.maker_id, _filled(event.maker_remaining)),
                (event.taker_account, event.taker_id, _filled(event.taker_remaining)),
            ]
        case Accepted():
            accepted: list[tuple[str, str, OrderState]] = [(event.account, event.id, "accepted")]
            return [*accepted, (event.account, event.id, "resting")] if event.rests else accepted
        case Rested():
            return [(event.account, event.id, "resting")]
        case Cancelled():
            return [(event.account, event.id, "cancelled")]
        case Expired():
            return [(event.account, event.id, "expired")]
        case Rejected():
            return [(event.account, event.id, "rejected")]
    return []


def _filled(remaining: int) -> OrderState:
    return "partially_filled" if remaining else "filled"


def numbered(first: int, events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Each event with its sequence in its group; ``first`` is how many the group had before."""
    return enumerate(events, first)
