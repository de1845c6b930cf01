"""What the engine's events come to: records for the topics, and rows for the tables.

``Records`` follows the open orders of a market group through the events of each command, and gathers in ``Results``
what a batch of commands has changed. Prices and quantities leave as decimals. Pure: the same journal gives the same.
"""

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from services.contracts import lab
from services.contracts.events import input_sequence
from services.contracts.lab import BOOK_LEVELS_MAX, BookKind, BookLevel, BookUpdate, OrderCommand, OrderState
from services.domain import orders
from services.domain.book import CHECKSUM_LEVELS, Book, Ladder, Order
from services.domain.matching import Market
from services.domain.orders import Event, Place, steps
from services.domain.risk import Account
from services.domain.symbols import BPS_PER_ONE, Symbol, amount_of, exact_units

FILLS_MAX = 100
"""Newest fills of an order that are kept while it is open."""
BOOK_SNAPSHOT_INTERVAL_NS = 10_000_000_000
"""Journal time between the snapshots of every book: the first clock command of each such span brings them."""

_ZERO = Decimal(0)
_Level = tuple[int, int]
"""Price in ticks, quantity in lots."""


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One execution from one order's side; ``sequence`` is the event's."""

    price: Decimal
    quantity: Decimal
    time: int
    sequence: int


class OrderRow(msgspec.Struct, gc=False, eq=False):
    """An order as its table has it, while it is open and in the batch that ends it.

    ``placed`` is None for one that is in the table already: only what follows it changes. ``notional`` is the sum of
    its fills in ticks times lots, ``fee_units`` in units of the quote asset. ``rules`` are None where there is no such
    symbol.
    """

    number: int
    account: str
    id: str
    rules: Symbol | None
    placed: lab.PlaceOrder | None
    price: Decimal | None
    stop_price: Decimal | None
    quantity: Decimal
    remaining: Decimal
    state: OrderState
    updated_time: int
    reason: str | None = None
    filled_lots: int = 0
    notional: int = 0
    fee_units: int = 0
    fills: deque[Fill] | None = None

    @property
    def filled(self) -> Decimal:
        return _ZERO if self.rules is None else self.rules.quantity(self.filled_lots)

    @property
    def filled_quote(self) -> Decimal:
        return _ZERO if self.rules is None else amount_of(self.notional * self.rules.quote_units)

    @property
    def fee(self) -> Decimal:
        return amount_of(self.fee_units)

    def remember(self, fill: Fill) -> None:
        if self.fills is None:
            self.fills = deque(maxlen=FILLS_MAX)
        self.fills.append(fill)

    def restore(self, state: OrderState, filled_quote: Decimal) -> None:
        """What its table knows of an open order, and the market's state does not."""
        assert self.rules is not None, "an order of no symbol is open"
        self.state = state
        self.notional = exact_units(filled_quote) // self.rules.quote_units


class Step(msgspec.Struct, frozen=True, gc=False):
    """A row of ``order_steps``. A step that is a fill has its price, quantity and execution."""

    number: int
    input_offset: int
    ordinal: int
    state: OrderState
    reason: str | None
    price: Decimal | None
    quantity: Decimal | None
    remaining: Decimal
    execution_sequence: int | None
    time: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A row of ``executions``: the record, and which orders they were."""

    execution: lab.Execution
    maker_number: int
    taker_number: int


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """A row of ``transfers``. ``amount`` is below zero for what goes out; ``refused`` says why nothing did."""

    sequence: int
    account: str
    id: str
    asset: str
    amount: Decimal
    refused: str | None
    time: int


class Results:
    """What a batch of commands comes to. ``created`` and ``changed`` are by order number; one order is in one of them.

    ``accounts`` and ``symbols`` name those of which the balances, and the rules or the halt, may have changed.
    """

    def __init__(self) -> None:
        self.created: dict[int, OrderRow] = {}
        self.changed: dict[int, OrderRow] = {}
        self.traded: dict[int, OrderRow] = {}
        self.steps: list[Step] = []
        self.trades: list[Trade] = []
        self.updates: list[BookUpdate] = []
        self.transfers: list[Transfer] = []
        self.refusals: list[orders.Refused] = []
        self.accounts: set[str] = set()
        self.symbols: set[str] = set()
        self.books: set[str] = set()


class Records:
    """Made from a market at some position; ``absorb`` is called for each command after that, in order.

    ``clock_time`` is the journal's time at its last clock command.
    """

    def __init__(self, market: Market, market_group: int, clock_time: int = 0) -> None:
        self.market = market
        self.market_group = market_group
        self.clock_time = clock_time
        self._rows: dict[tuple[str, str], OrderRow] = {}
        # Of the books whose best levels have not changed since.
        self._checksums: dict[str, int] = {}
        # Most of those that are open at the start are not heard of for long: their rows are made when they are.
        self._loaded = {
            (name, order_id): _as_it_stands(order)
            for name, account in market.accounts.items()
            for order_id, order in account.orders.items()
        }
        self._handlers: dict[type, Callable[[Any], None]] = {
            orders.Accepted: self._entered,
            orders.Rejected: self._entered,
            orders.Execution: self._traded,
            orders.Rested: self._lived,
            orders.Cancelled: self._lived,
            orders.Expired: self._lived,
            orders.Replaced: self._replaced,
            orders.Decremented: self._decremented,
            orders.Transferred: self._transferred,
            orders.Refused: self._refused,
            orders.LevelChanged: self._level_changed,
            orders.Listed: self._listed,
            orders.Halted: self._listed,
            orders.Resumed: self._listed,
        }

    def open_count(self) -> int:
        return len(self._rows) + len(self._loaded)

    def row(self, account: str, order_id: str) -> OrderRow:
        """An open order's. Raises KeyError for one that is not open."""
        key = (account, order_id)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = _row_of(*self._loaded.pop(key))
        return found

    def absorb(
        self, offset: int, given: OrderCommand, first_sequence: int, events: Iterable[Event], results: Results
    ) -> None:
        """Add what a command came to. ``first_sequence`` is the number of its first event in the group."""
        self._offset, self._given, self._results = offset, given, results
        self._time = self.market.time
        self._step_ordinal = self._trade_ordinal = self._book_ordinal = 0
        self._levels: dict[str, _Levels] = {}
        self._listed_symbols: list[str] = []
        handlers = self._handlers
        self._sequence = first_sequence
        for event in events:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
            self._sequence += 1
        for symbol, levels in self._levels.items():
            book = self.market.books[symbol]
            if _reaches_best(book.bids, levels.bids) or _reaches_best(book.asks, levels.asks):
                self._checksums.pop(symbol, None)
            self._tell(symbol, "delta", levels.first - 1, levels.bids.items(), levels.asks.items())
        for symbol in self._listed_symbols:
            self._snapshot(symbol)
        if type(given) is lab.ClockTick:
            self._tick()

    # An order's life

    def _entered(self, event: orders.Accepted | orders.Rejected) -> None:
        """The order of the command in hand is in, or is not."""
        given = self._given
        assert isinstance(given, lab.PlaceOrder)
        book = self.market.books.get(given.symbol)
        row = OrderRow(
            self._offset,
            given.account,
            given.id,
            None if book is None else book.rules,
            given,
            given.price,
            given.stop_price,
            given.quantity,
            given.quantity,
            "received",
            given.received_time,
        )
        self._results.created[row.number] = row
        self._rows[row.account, row.id] = row
        self._step(row, row.price, row.quantity, time=given.received_time)
        if type(event) is orders.Rejected:
            row.reason = event.reason
        self._lived(event)

    def _lived(self, event: Event) -> None:
        for account, order_id, state in steps(event):
            row = self.row(account, order_id)
            if type(event) is orders.Cancelled:
                row.reason = event.reason
            self._enter_state(row, state)
            self._step(row, row.price, row.quantity)

    def _traded(self, event: orders.Execution) -> None:
        rules = self.market.books[event.symbol].rules
        price, quantity = rules.price(event.price), rules.quantity(event.quantity)
        fill = Fill(price, quantity, self._time, self._sequence)
        (maker_account, maker_id, maker_state), (taker_account, taker_id, taker_state) = steps(event)
        maker = self.row(maker_account, maker_id)
        taker = self.row(taker_account, taker_id)
        self._fill(maker, maker_state, fill, event.price, event.quantity, event.maker_remaining, event.maker_fee)
        self._fill(taker, taker_state, fill, event.price, event.quantity, event.taker_remaining, event.taker_fee)
        execution = lab.Execution(
            lab.execution_id(self.market_group, self._sequence),
            self.market_group,
            self._sequence,
            event.symbol,
            price,
            quantity,
            event.taker_side,
            maker_account,
            maker_id,
            maker.remaining,
            amount_of(event.maker_fee),
            taker_account,
            taker_id,
            taker.remaining,
            amount_of(event.taker_fee),
            self._time,
            input_sequence(self._offset, self._trade_ordinal),
        )
        self._trade_ordinal += 1
        self._results.trades.append(Trade(execution, maker.number, taker.number))

    def _fill(
        self, row: OrderRow, state: OrderState, fill: Fill, ticks: int, lots: int, remaining: int, fee_units: int
    ) -> None:
        assert row.rules is not None, "an order of no symbol has traded"
        row.remaining = row.rules.quantity(remaining)
        row.filled_lots += lots
        row.notional += ticks * lots
        row.fee_units += fee_units
        row.remember(fill)
        self._results.traded[row.number] = row
        self._enter_state(row, state)
        self._step(row, fill.price, fill.quantity, execution_sequence=fill.sequence)

    def _replaced(self, event: orders.Replaced) -> None:
        row = self.row(event.account, event.id)
        rules = row.rules
        assert rules is not None, "an order of no symbol was replaced"
        # A stop's own price is what its band makes of it: what was asked for is none.
        if row.price is not None:
            row.price = rules.price(event.price)
        # One that has triggered keeps the stop price it had.
        if event.stop_price is not None:
            row.stop_price = rules.price(event.stop_price)
        row.quantity, row.remaining = rules.quantity(event.quantity), rules.quantity(event.remaining)
        self._changed(row)
        if event.kept_priority and row.state in orders.TRANSITIONS[row.state]:
            self._step(row, row.price, row.quantity, reason="replaced")

    def _decremented(self, event: orders.Decremented) -> None:
        row = self.row(event.account, event.id)
        assert row.rules is not None, "an order of no symbol was decremented"
        row.quantity -= row.rules.quantity(event.quantity)
        row.remaining = row.rules.quantity(event.remaining)
        self._changed(row)

    def _enter_state(self, row: OrderRow, state: OrderState) -> None:
        row.state = orders.step(row.state, state)
        if not orders.TRANSITIONS[state]:
            del self._rows[row.account, row.id]
        self._changed(row)

    def _changed(self, row: OrderRow) -> None:
        row.updated_time = self._time
        results = self._results
        results.accounts.add(row.account)
        if row.number not in results.created:
            results.changed[row.number] = row

    def _step(
        self,
        row: OrderRow,
        price: Decimal | None,
        quantity: Decimal,
        *,
        reason: str | None = None,
        execution_sequence: int | None = None,
        time: int | None = None,
    ) -> None:
        self._results.steps.append(
            Step(
                row.number,
                self._offset,
                self._step_ordinal,
                row.state,
                reason or row.reason,
                price,
                quantity,
                row.remaining,
                execution_sequence,
                self._time if time is None else time,
            )
        )
        self._step_ordinal += 1

    # Money and symbols

    def _transferred(self, event: orders.Transferred) -> None:
        self._results.accounts.add(event.account)
        self._transfer(event.account, event.id, event.asset, amount_of(event.amount), None)

    def _refused(self, event: orders.Refused) -> None:
        self._results.refusals.append(event)
        given = self._given
        if isinstance(given, lab.WithdrawFunds):
            self._transfer(given.account, given.id, given.asset, -given.amount, event.reason)

    def _transfer(self, account: str, transfer_id: str, asset: str, amount: Decimal, refused: str | None) -> None:
        self._results.transfers.append(
            Transfer(self._sequence, account, transfer_id, asset, amount, refused, self._time)
        )

    def _listed(self, event: orders.Listed | orders.Halted | orders.Resumed) -> None:
        self._results.symbols.add(event.symbol)
        if type(event) is orders.Listed:
            self._listed_symbols.append(event.symbol)

    # Market data

    def _level_changed(self, event: orders.LevelChanged) -> None:
        levels = self._levels.get(event.symbol)
        if levels is None:
            levels = self._levels[event.symbol] = _Levels(event.sequence)
        (levels.bids if event.side == "buy" else levels.asks)[event.price] = event.quantity

    def _tick(self) -> None:
        before, self.clock_time = self.clock_time, self.market.time
        if before // BOOK_SNAPSHOT_INTERVAL_NS != self.clock_time // BOOK_SNAPSHOT_INTERVAL_NS:
            for symbol in self.market.books:
                self._snapshot(symbol)

    def _snapshot(self, symbol: str) -> None:
        book = self.market.books[symbol]
        self._tell(
            symbol, "snapshot", book.sequence, book.bids.depth(BOOK_LEVELS_MAX), book.asks.depth(BOOK_LEVELS_MAX)
        )

    def _tell(self, symbol: str, kind: BookKind, previous: int, bids: Iterable[_Level], asks: Iterable[_Level]) -> None:
        book = self.market.books[symbol]
        rules = book.rules
        checksum = self._checksums.get(symbol)
        if checksum is None:
            checksum = self._checksums[symbol] = book.checksum()
        self._results.books.add(symbol)
        self._results.updates.append(
            BookUpdate(
                self.market_group,
                symbol,
                kind,
                book.sequence,
                previous,
                levels_of(rules, bids),
                levels_of(rules, asks),
                *_best(book),
                rules.tick_size,
                rules.lot_size,
                checksum,
                self._time,
                input_sequence(self._offset, self._book_ordinal),
            )
        )
        self._book_ordinal += 1


class _Levels:
    """The levels of a symbol that a command changed, as they are afterwards; ``first`` numbers the first change."""

    __slots__ = ("asks", "bids", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}


def _reaches_best(ladder: Ladder, prices: Iterable[int]) -> bool:
    """Whether a level that changed is, or was, among those that the checksum is over."""
    keys = ladder.keys
    lowest = keys[-CHECKSUM_LEVELS] if len(keys) >= CHECKSUM_LEVELS else None
    return any(lowest is None or price * ladder.sign >= lowest for price in prices)


def levels_of(rules: Symbol, levels: Iterable[_Level]) -> tuple[BookLevel, ...]:
    return tuple([(rules.price(price), rules.quantity(quantity)) for price, quantity in levels])


def _best(book: Book) -> tuple[BookLevel | None, BookLevel | None]:
    bid_price, bid_quantity, ask_price, ask_quantity = book.best
    rules = book.rules
    return (
        (rules.price(bid_price), rules.quantity(bid_quantity)) if bid_quantity else None,
        (rules.price(ask_price), rules.quantity(ask_quantity)) if ask_quantity else None,
    )


_Standing = tuple[int, Place, Symbol, int, int, int, bool]
"""An order's number, what was placed, its rules, quantity, what remains, what it owes in fees, whether it is shown."""


def _as_it_stands(order: Order) -> _Standing:
    """What the next command may change."""
    shown = order.level is not None and order.level.ladder.shown
    return order.number, order.placed, order.book.rules, order.quantity, order.remaining, order.fee_exact, shown


def _row_of(
    number: int, placed: Place, rules: Symbol, quantity: int, remaining: int, fee_exact: int, shown: bool
) -> OrderRow:
    """An open order that is in the table already. What it has traded for is not in the market's state."""
    filled = quantity - remaining
    return OrderRow(
        number,
        placed.account,
        placed.id,
        rules,
        None,
        None if placed.price is None else rules.price(placed.price),
        None if placed.stop_price is None else rules.price(placed.stop_price),
        rules.quantity(quantity),
        rules.quantity(remaining),
        ("partially_filled" if filled else "resting") if shown else "accepted",
        0,
        filled_lots=filled,
        fee_units=-(-fee_exact // BPS_PER_ONE),
    )


def balances_of(account: Account) -> list[tuple[str, Decimal, Decimal]]:
    """(asset, available, held) of everything an account has or had."""
    return [
        (asset, amount_of(balance.available), amount_of(balance.held)) for asset, balance in account.balances.items()
    ]
