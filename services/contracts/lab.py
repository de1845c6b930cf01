"""What travels on the order lab's topics: commands on ``orders``, what came of them on ``executions`` and ``book``.

Prices and quantities are decimals (strings in JSON), fees and amounts too; only the engine knows ticks and lots. Times
are integer nanoseconds (UTC). The number of a market group is the number of its partition on all three topics.
"""

import re
from decimal import Decimal
from typing import Literal

import msgspec

OrderSide = Literal["buy", "sell"]
OrderType = Literal["limit", "market", "stop", "stop_limit"]
TimeInForce = Literal["GTC", "IOC", "FOK", "GTD"]
SelfTrade = Literal["cancel_newest", "cancel_oldest", "cancel_both", "decrement_and_cancel"]
OrderState = Literal[
    "received", "accepted", "resting", "partially_filled", "filled", "cancelled", "rejected", "expired"
]
Reason = Literal[
    "unknown_symbol",
    "unknown_order",
    "symbol_halted",
    "quantity",
    "notional",
    "price",
    "price_band",
    "stop_price",
    "stop_would_trigger",
    "expire_time",
    "post_only_would_take",
    "too_many_open_orders",
    "insufficient_balance",
    "symbol_rules",
    "stop_triggered",
]
"""Why a command did not do what it asked for."""
CancelReason = Literal["requested", "self_trade", "unfilled", "fill_or_kill", "replaced"]
BookKind = Literal["delta", "snapshot"]
BookLevel = tuple[Decimal, Decimal]
"""Price and quantity; in a delta the quantity 0 says that the level is gone."""

LAB_EXCHANGE = "lab"
"""The order lab's name where products of exchanges and its symbols are side by side."""
API_KEY_PREFIX = "tpk_"
"""What API keys begin with, so that one is known for what it is wherever it was put."""
BOOK_LEVELS_MAX = 1_000
"""At most so many levels a side are in a snapshot of a book."""
RESERVED_ACCOUNTS = ("world", "fees")
"""The other side of transfers and of fees: no client has these names."""
NAME_PATTERN = r"[A-Za-z0-9._-]{1,64}"
"""Accounts, the ids that clients give, symbols and assets: safe in a URL, in a key and in a log line."""
_NAME = re.compile(NAME_PATTERN)


class SymbolRules(msgspec.Struct, frozen=True, gc=False):
    """One market's rules, as they are set. Prices in the quote asset, quantities in the base asset.

    ``band_bps`` is how far from the last trade's price (before the first: ``reference_price``) a limit may be. Fees
    are in basis points of the notional.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    reference_price: Decimal
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal = Decimal(0)
    max_notional: Decimal | None = None
    band_bps: int = 1_000
    maker_fee_bps: int = 0
    taker_fee_bps: int = 0
    market_group: int = 0


class PlaceOrder(msgspec.Struct, frozen=True, gc=False, tag="place", tag_field="command"):
    """``received_time`` is when the service that took the order did."""

    account: str
    id: str
    symbol: str
    quantity: Decimal
    received_time: int
    side: OrderSide = "buy"
    type: OrderType = "limit"
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    post_only: bool = False
    self_trade: SelfTrade = "cancel_newest"
    expire_time: int | None = None


class CancelOrder(msgspec.Struct, frozen=True, gc=False, tag="cancel", tag_field="command"):
    account: str
    id: str


class CancelAllOrders(msgspec.Struct, frozen=True, gc=False, tag="cancel_all", tag_field="command"):
    """Every open order of the account in the group; of one symbol where that is named."""

    account: str
    symbol: str | None = None


class ReplaceOrder(msgspec.Struct, frozen=True, gc=False, tag="replace", tag_field="command"):
    """None keeps. ``quantity`` includes what is filled."""

    account: str
    id: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None


class DepositFunds(msgspec.Struct, frozen=True, gc=False, tag="deposit", tag_field="command"):
    account: str
    id: str
    asset: str
    amount: Decimal


class WithdrawFunds(msgspec.Struct, frozen=True, gc=False, tag="withdraw", tag_field="command"):
    account: str
    id: str
    asset: str
    amount: Decimal


class ListSymbolRules(msgspec.Struct, frozen=True, gc=False, tag="list", tag_field="command"):
    rules: SymbolRules


class HaltSymbol(msgspec.Struct, frozen=True, gc=False, tag="halt", tag_field="command"):
    symbol: str


class ResumeSymbol(msgspec.Struct, frozen=True, gc=False, tag="resume", tag_field="command"):
    symbol: str


class ClockTick(msgspec.Struct, frozen=True, gc=False, tag="clock", tag_field="command"):
    """Time passes, so that orders expire on a quiet book too."""


OrderCommand = (
    PlaceOrder
    | CancelOrder
    | CancelAllOrders
    | ReplaceOrder
    | DepositFunds
    | WithdrawFunds
    | ListSymbolRules
    | HaltSymbol
    | ResumeSymbol
    | ClockTick
)
"""A record of ``orders``. Its key is the group's number."""


class Execution(msgspec.Struct, frozen=True, gc=False):
    """One trade of the lab, at the maker's price. ``sequence`` is the event's in its group; fees in the quote asset.

    ``time`` is the journal's. ``input_sequence`` rises within the group: a reader drops what is not above the highest
    it has seen.
    """

    execution_id: str
    market_group: int
    sequence: int
    symbol: str
    price: Decimal
    quantity: Decimal
    taker_side: OrderSide
    maker_account: str
    maker_id: str
    maker_remaining: Decimal
    maker_fee: Decimal
    taker_account: str
    taker_id: str
    taker_remaining: Decimal
    taker_fee: Decimal
    time: int
    input_sequence: int


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """What one command changed in a symbol's book (``delta``), or the whole of it (``snapshot``).

    ``sequence`` counts the symbol's level changes; a delta goes from the book at ``previous`` to the one at
    ``sequence``, a snapshot is the book at ``sequence`` (then ``previous`` is the same), its levels best first.
    ``checksum`` is of the book after it (``docs/order-lab.md``), in ticks and lots of the sizes given. Best prices are
    None for an empty side.
    """

    market_group: int
    symbol: str
    kind: BookKind
    sequence: int
    previous: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    best_bid: BookLevel | None
    best_ask: BookLevel | None
    tick_size: Decimal
    lot_size: Decimal
    checksum: int
    time: int
    input_sequence: int


def is_name(text: str) -> bool:
    """Whether something of the order lab may have this name."""
    return _NAME.fullmatch(text) is not None


def is_client_account(text: str) -> bool:
    """Whether a client may have an account of this name."""
    return is_name(text) and text.lower() not in RESERVED_ACCOUNTS


def execution_id(market_group: int, sequence: int) -> str:
    return f"{market_group}-{sequence}"


def group_key(market_group: int) -> bytes:
    """The record key of everything of a market group."""
    return str(market_group).encode()
