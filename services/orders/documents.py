"""What ``orders`` answers: one struct a document. They are encoded as they stand, and the OpenAPI is made from them.

Decimals are strings, times RFC 3339 (UTC).
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from services.adapters.lab_trades import Trade
from services.contracts.lab import BookLevel, OrderSide, OrderState, OrderType, SelfTrade, TimeInForce, execution_id
from services.domain.money import plain
from services.domain.symbols import Symbol
from services.orders.bodies import NewOrder, Replacement, ShortOrder, Transfer
from services.orders.problems import Problem
from services.orders.symbols import ListedSymbol
from services.runtime.clock import rfc3339

Level = tuple[str, str]
"""Price and quantity."""


class OrderReceived(Struct, kw_only=True, gc=False):
    """The order is on the journal. What becomes of it: ``GET /v1/orders/{id}``."""

    status: Literal["received"] = "received"
    id: str
    account: str
    symbol: str
    received_time: str


class TransferReceived(Struct, kw_only=True, gc=False):
    """The deposit or withdrawal is on the journal. What becomes of it: ``GET /v1/accounts/{account}/transfers``."""

    status: Literal["received"] = "received"
    id: str
    account: str
    asset: str
    received_time: str


class CommandReceived(Struct, kw_only=True, gc=False):
    """A command without an id of its own is on the journal. It is about an order, a symbol, or an account's orders."""

    status: Literal["received"] = "received"
    command: str
    account: str | None = None
    id: str | None = None
    symbol: str | None = None


class TradeFound(Struct, kw_only=True, gc=False):
    """What has traded of an order; nothing may have. ``fills`` are the newest, oldest first."""

    found: bool
    order_id: str
    trade: Trade | UnsetType = UNSET


class Order(Struct, kw_only=True, gc=False):
    """An order as it stands. ``filled_quote`` and ``fee`` are in the quote asset; ``reason`` says why it is over."""

    id: str
    account: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    self_trade: SelfTrade
    price: str | None
    stop_price: str | None
    expire_time: str | None
    quantity: str
    remaining: str
    filled: str
    filled_quote: str
    fee: str
    state: OrderState
    reason: str | None
    received_time: str
    updated_time: str


class Step(Struct, gc=False):
    """One step of an order's life."""

    state: OrderState
    reason: str | None
    price: str | None
    quantity: str | None
    remaining: str
    time: str


class Execution(Struct, kw_only=True, gc=False):
    """One trade. The account's own have its order, ``side``, ``role`` and ``fee`` (in the quote asset), too."""

    execution_id: str
    symbol: str
    price: str
    quantity: str
    taker_side: OrderSide
    time: str
    order_id: str | UnsetType = UNSET
    side: OrderSide | UnsetType = UNSET
    role: Literal["maker", "taker"] | UnsetType = UNSET
    fee: str | UnsetType = UNSET


class OrderHistory(Order, kw_only=True, gc=False):
    """An order with each step of its life, and its newest executions, newest first."""

    steps: list[Step]
    executions: list[Execution]


class OrderPage(Struct, gc=False):
    """Newest first. ``next_cursor`` asks for the page after this one; null on the last."""

    orders: list[Order]
    next_cursor: str | None


class ExecutionPage(Struct, gc=False):
    """Newest first."""

    executions: list[Execution]
    next_cursor: str | None


class Book(Struct, gc=False):
    """A symbol's depth, best prices first. ``sequence``, ``time`` and ``checksum`` are null where Redis has no book.

    The checksum (``docs/order-lab.md``) is in ticks and lots of these sizes.
    """

    symbol: str
    sequence: int | None
    time: str | None
    bids: list[Level]
    asks: list[Level]
    tick_size: str
    lot_size: str
    checksum: int | None


class Balance(Struct, gc=False):
    """``held`` is what open orders may cost."""

    asset: str
    available: str
    held: str


class Account(Struct, gc=False):
    account: str
    balances: list[Balance]


class TransferDone(Struct, kw_only=True, gc=False):
    """A deposit, or a withdrawal: then ``amount`` is below zero. ``refused`` says why nothing was moved."""

    id: str
    account: str
    asset: str
    amount: str
    refused: str | None
    time: str


class TransferPage(Struct, gc=False):
    """Newest first."""

    transfers: list[TransferDone]
    next_cursor: str | None


class AssetSum(Struct, gc=False):
    """What an asset adds up to over all accounts of a market group, ``world`` and ``fees`` included: zero."""

    market_group: int
    asset: str
    sum: str


class WhoAmI(Struct, gc=False):
    """The replica that answers, and who it takes the caller for."""

    service: str
    instance: str
    account: str | None
    scopes: list[str]


DOCUMENTS: tuple[Any, ...] = (
    OrderReceived,
    TransferReceived,
    CommandReceived,
    TradeFound,
    OrderHistory,
    OrderPage,
    ExecutionPage,
    Book,
    ListedSymbol,
    Account,
    TransferPage,
    AssetSum,
    WhoAmI,
    Problem,
    NewOrder,
    ShortOrder,
    Replacement,
    Transfer,
)

_ORDER_FIELDS = frozenset(Order.__struct_fields__) - {"expire_time", "received_time", "updated_time"}


def order(row: Any) -> Order:
    """A row of ``orders_find`` or ``orders_list``."""
    return Order(**_order_values(row))


def order_history(row: Any, steps: list[Step], executions: list[Execution]) -> OrderHistory:
    return OrderHistory(**_order_values(row), steps=steps, executions=executions)


def _order_values(row: Any) -> dict[str, Any]:
    values = {name: row[name] for name in _ORDER_FIELDS}
    times = {name: rfc3339(row[name]) for name in ("received_time", "updated_time")}
    expires = row["expire_time"]
    return {**values, **times, "expire_time": None if expires is None else rfc3339(expires)}


def step(row: Any) -> Step:
    """A row of ``order_steps_list``."""
    state, reason, price, quantity, remaining, time = row
    return Step(state, reason, price, quantity, remaining, rfc3339(time))


def execution(row: Any) -> Execution:
    """A row of ``executions_public``, or of the others without what is the account's own."""
    return Execution(
        execution_id=execution_id(row["market_group"], row["sequence"]),
        symbol=row["symbol"],
        price=row["price"],
        quantity=row["quantity"],
        taker_side=row["taker_side"],
        time=rfc3339(row["time"]),
    )


def own_execution(account: str, row: Any) -> Execution:
    """A row of ``executions_of_account`` or ``executions_of_order``, from the side of this account."""
    made = execution(row)
    made.role = "maker" if row["maker_account"] == account else "taker"
    made.side = "buy" if (made.taker_side == "buy") == (made.role == "taker") else "sell"
    made.order_id = row[f"{made.role}_id"]
    made.fee = row[f"{made.role}_fee"]
    return made


def transfer(row: Any) -> TransferDone:
    """A row of ``transfers_of_account``."""
    return TransferDone(
        id=row["id"],
        account=row["account"],
        asset=row["asset"],
        amount=row["amount"],
        refused=row["refused"],
        time=rfc3339(row["time"]),
    )


def book(symbol: Symbol, stored: bytes, depth: int) -> Book | None:
    """A ``book_key`` value, cut to ``depth`` levels a side; None where it is not whole."""
    try:
        found = msgspec.json.decode(stored, type=StoredBook)
        time = rfc3339(found.time)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None
    bids, asks = ([(plain(p), plain(q)) for p, q in side[:depth]] for side in (found.bids, found.asks))
    return _book(symbol, found.sequence, time, bids, asks, found.checksum)


def book_without_sequence(symbol: Symbol, rows: Iterable[Any]) -> Book:
    """Rows of ``order_book``."""
    levels = [(row["side"], (row["price"], row["quantity"])) for row in rows]
    bids, asks = ([level for side, level in levels if side == wanted] for wanted in ("buy", "sell"))
    return _book(symbol, None, None, bids, asks, None)


def _book(
    symbol: Symbol, sequence: int | None, time: str | None, bids: list[Level], asks: list[Level], checksum: int | None
) -> Book:
    sizes = plain(symbol.tick_size), plain(symbol.lot_size)
    return Book(symbol.symbol, sequence, time, bids, asks, *sizes, checksum)


class StoredBook(Struct, gc=False):
    """What ``matching`` writes: times in nanoseconds."""

    sequence: int
    time: int
    bids: list[BookLevel]
    asks: list[BookLevel]
    checksum: int
