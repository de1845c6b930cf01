"""A market group's whole state as bytes and back: a version, and the same hash for the same state on any machine.

What is stored is what cannot be worked out: open orders in the order of their queues, balances, ids, prices and
counters. Levels, holds per order, bands and the expiry heap are built anew from those.
"""

import hashlib

import msgspec

from services.domain.book import Book, Ladder, Order
from services.domain.matching import Market, remember_expiry
from services.domain.orders import Place
from services.domain.risk import Account, Balance, required_hold
from services.domain.symbols import Symbol

VERSION = 1


class StoredOrder(msgspec.Struct, frozen=True, array_like=True):
    number: int
    placed: Place
    price: int
    quantity: int
    remaining: int
    fee_exact: int


class StoredBook(msgspec.Struct, frozen=True):
    """``ladders`` are bids, asks, buy stops and sell stops: best level first, oldest order first."""

    rules: Symbol
    halted: bool
    last_price: int | None
    sequence: int
    best: tuple[int, int, int, int]
    ladders: tuple[list[StoredOrder], list[StoredOrder], list[StoredOrder], list[StoredOrder]]
    elected: list[StoredOrder]


class StoredAccount(msgspec.Struct, frozen=True):
    """``balances``: asset to (available, held) in units; ``ids``: client's id to the time it was used."""

    name: str
    balances: dict[str, tuple[int, int]]
    ids: dict[str, int]
    older_ids: dict[str, int]


class StoredMarket(msgspec.Struct, frozen=True):
    version: int
    group: str
    position: int
    time: int
    sequence: int
    ids_since: int
    open_orders_max: int
    world: StoredAccount
    fees: StoredAccount
    accounts: list[StoredAccount]
    books: list[StoredBook]


class _Version(msgspec.Struct, frozen=True):
    version: int


def dump(market: Market) -> bytes:
    """The state as JSON: amounts are larger than MessagePack's integers."""
    ledger = market.ledger
    return msgspec.json.encode(
        StoredMarket(
            VERSION,
            market.group,
            market.position,
            market.time,
            market.sequence,
            market.ids_since,
            market.open_orders_max,
            _stored_account(ledger.world),
            _stored_account(ledger.fees),
            [_stored_account(account) for account in ledger.accounts.values()],
            [_stored_book(book) for book in market.books.values()],
        )
    )


def state_hash(market: Market) -> str:
    """SHA-256 of the dumped state, in hexadecimal."""
    return hashlib.sha256(dump(market)).hexdigest()


def load(stored: bytes) -> Market:
    """The market that was dumped. Raises ValueError for another version, or what is no state."""
    version = msgspec.json.decode(stored, type=_Version).version
    if version != VERSION:
        raise ValueError(f"a state of version {version}, not {VERSION}")
    state = msgspec.json.decode(stored, type=StoredMarket)
    market = Market(state.group, open_orders_max=state.open_orders_max)
    market.position, market.time, market.sequence = state.position, state.time, state.sequence
    market.ids_since = state.ids_since
    _fill_account(market.ledger.world, state.world)
    _fill_account(market.ledger.fees, state.fees)
    for account in state.accounts:
        _fill_account(market.ledger.account(account.name), account)
    orders: list[Order] = []
    for book in state.books:
        market.books[book.rules.symbol] = _book(market, book, orders)
    for order in sorted(orders, key=lambda order: order.number):
        order.account.orders[order.placed.id] = order
        remember_expiry(market, order)
    return market


def _stored_account(account: Account) -> StoredAccount:
    balances = {asset: (balance.available, balance.held) for asset, balance in account.balances.items()}
    return StoredAccount(account.name, balances, account.ids, account.older_ids)


def _stored_book(book: Book) -> StoredBook:
    return StoredBook(
        book.rules,
        book.halted,
        book.last_price,
        book.sequence,
        book.best,
        (
            _stored_ladder(book.bids),
            _stored_ladder(book.asks),
            _stored_ladder(book.buy_stops),
            _stored_ladder(book.sell_stops),
        ),
        [_stored_order(order) for order in book.elected if order.remaining],
    )


def _stored_ladder(ladder: Ladder) -> list[StoredOrder]:
    return [_stored_order(order) for level in ladder.best_first() for order in level.orders()]


def _stored_order(order: Order) -> StoredOrder:
    return StoredOrder(order.number, order.placed, order.price, order.quantity, order.remaining, order.fee_exact)


def _fill_account(account: Account, stored: StoredAccount) -> None:
    account.balances = {asset: Balance(*amounts) for asset, amounts in stored.balances.items()}
    account.ids, account.older_ids = stored.ids, stored.older_ids


def _book(market: Market, stored: StoredBook, orders: list[Order]) -> Book:
    """The book; its open orders are added to ``orders`` too."""
    book = Book(stored.rules, market.ledger, market.moved)
    book.halted, book.sequence, book.best = stored.halted, stored.sequence, stored.best
    book.last_price = stored.last_price
    book.move_band(stored.last_price or stored.rules.reference_price)
    for ladder, kept in zip((book.bids, book.asks, book.buy_stops, book.sell_stops), stored.ladders, strict=True):
        for each in kept:
            order = _order(market, book, each, passive=ladder.shown)
            ladder.add(order, order.price if ladder.shown else order.placed.stop_price or 0)
            orders.append(order)
    for each in stored.elected:
        order = _order(market, book, each, passive=False)
        book.elected.append(order)
        orders.append(order)
    return book


def _order(market: Market, book: Book, stored: StoredOrder, *, passive: bool) -> Order:
    placed = stored.placed
    account = market.ledger.account(placed.account)
    fund = account.balance(book.quote if placed.side == "buy" else book.base)
    order = Order(
        stored.number,
        placed,
        account,
        book,
        None,
        passive,
        stored.price,
        stored.quantity,
        stored.remaining,
        0,
        fund,
        stored.fee_exact,
    )
    order.held = required_hold(order)
    return order
