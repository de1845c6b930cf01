"""The matching engine: ``apply(market, position, time, command) -> events``. Pure, and the same on any machine.

No clock, no random number, no order that hash seeds decide. Time is the greatest broker timestamp so far; the journal
position is the order's number. What happens to one command, in this order: orders whose time is up expire, stops left
over from an earlier cascade trade, the command is done, and BBO is told where it moved.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

import msgspec

from services.contracts.lab import CancelReason, OrderSide, Reason
from services.domain.book import COMPACT_ABOVE, Book, Level, Order
from services.domain.orders import (
    Accepted,
    Cancel,
    CancelAll,
    Cancelled,
    Clock,
    Command,
    Decremented,
    Deposit,
    Event,
    Execution,
    Expired,
    Halt,
    Halted,
    LevelChanged,
    Listed,
    ListSymbol,
    Place,
    Refused,
    Reject,
    Rejected,
    Replace,
    Replaced,
    Rested,
    Resume,
    Resumed,
    Transferred,
    Triggered,
    Withdraw,
)
from services.domain.risk import Account, Ledger, rehold, required_hold, rounded_fees, settle

ID_MEMORY_NS = 24 * 60 * 60 * 1_000_000_000
"""How long a client's id is known, in journal time."""
OPEN_ORDERS_MAX = 1_000
"""Orders an account may have open."""
CASCADE_MAX = 100
"""Stops of a symbol that may trade within one command; the rest trade first thing with the next."""
EXPIRIES_SLACK = 1_000
_RESTING = frozenset(("GTC", "GTD"))

Expiry = tuple[int, int, str, str]
"""Time, order number, account, id. What is no longer open is passed over."""


class Market:
    """The state of a market group: the symbols that share balances. ``sequence`` counts the events so far.

    ``due`` is the time before which ``_catch_up`` has nothing to do; ``moved`` are the books whose BBO may be another
    than was told.
    """

    __slots__ = (
        "accounts",
        "books",
        "due",
        "expiries",
        "expiries_max",
        "group",
        "ids_since",
        "ledger",
        "moved",
        "open_orders_max",
        "position",
        "sequence",
        "time",
    )

    def __init__(self, group: str, *, open_orders_max: int = OPEN_ORDERS_MAX) -> None:
        self.group = group
        self.open_orders_max = open_orders_max
        self.position = -1
        self.time = 0
        self.sequence = 0
        self.books: dict[str, Book] = {}
        self.moved: list[Book] = []
        self.ledger = Ledger()
        self.accounts = self.ledger.accounts
        self.due = 0
        self.expiries: list[Expiry] = []
        self.expiries_max = EXPIRIES_SLACK
        self.ids_since = 0


def apply(market: Market, position: int, time: int, command: Command) -> list[Event]:
    """Do one command and tell what happened. Changes ``market``. Raises ValueError for a position that is not new."""
    if position <= market.position:
        raise ValueError(f"position {position} after {market.position}")
    market.position = position
    if time > market.time:
        market.time = time
    events: list[Event] = []
    if market.time >= market.due:
        _catch_up(market, events)
    # Nine commands of ten are one of these; a call that is always of the same function is cheaper.
    if type(command) is Place:
        _place(market, command, events)
    elif type(command) is Cancel:
        _cancel(market, command, events)
    else:
        _HANDLERS[type(command)](market, command, events)
    if market.moved:
        for book in market.moved:
            book.tell_best(events)
        market.moved.clear()
    market.sequence += len(events)
    return events


def _catch_up(market: Market, events: list[Event]) -> None:
    """What time brings: ids are forgotten, orders expire, and stops left over from a cascade trade."""
    if market.time - market.ids_since >= ID_MEMORY_NS:
        _forget_ids(market)
    _expire(market, events)
    market.due = market.ids_since + ID_MEMORY_NS
    if market.expiries:
        market.due = min(market.due, market.expiries[0][0])
    for book in market.books.values():
        _cascade(market, book, events)


# Entry


def _place(market: Market, command: Place, events: list[Event]) -> None:
    account = market.accounts.get(command.account) or market.ledger.account(command.account)
    order_id = command.id
    if order_id in account.ids or order_id in account.orders:
        return
    if order_id in account.older_ids and _is_known(market, account, order_id):
        return
    account.ids[order_id] = market.time
    book = market.books.get(command.symbol)
    if book is None:
        events.append(Rejected(account.name, order_id, "unknown_symbol"))
    elif command.time_in_force != "GTC" or not _rests(market, account, book, command, events):
        _admit(market, account, book, command, events)


def _rests(market: Market, account: Account, book: Book, command: Place, events: list[Event]) -> bool:
    """Let a limit order rest that is allowed to and has nothing to trade with; False, and nothing done, for others.

    Six commands of ten are that and no more, so it is one straight line of code. What it asks is what ``_admit`` and
    the functions below do for any order.
    """
    price, quantity = command.price, command.quantity
    if price is None or command.stop_price is not None or book.halted or not book.whole_fees:
        return False
    notional = price * quantity
    if (
        not book.lowest <= price <= book.highest
        or not book.min_quantity <= quantity <= book.max_quantity
        or not book.min_notional <= notional <= book.max_notional
    ):
        return False
    side = command.side
    if side == "buy":
        ladder, key, limit, against, asset = book.bids, price, -price, book.asks.keys, book.quote
        held = notional * book.maker_cost
    else:
        ladder, key, limit, against, asset = book.asks, -price, price, book.bids.keys, book.base
        held = quantity * book.base_units
    fund, orders = account.balances.get(asset), account.orders
    if (
        (against and against[-1] >= limit)
        or fund is None
        or fund.available < held
        or len(orders) >= market.open_orders_max
    ):
        return False
    fund.available -= held
    fund.held += held
    order_id = command.id
    level = ladder.levels.get(key) or ladder.open_level(key)
    orders[order_id] = order = Order(
        market.position, command, account, book, level, True, price, quantity, quantity, held, fund, 0
    )
    level.queue.append(order)
    events.append(Accepted(account.name, order_id, book.symbol, side, price, quantity, True))
    level.quantity = quantity = level.quantity + quantity
    book.sequence = sequence = book.sequence + 1
    events.append(LevelChanged(book.symbol, side, price, quantity, sequence))
    if key >= ladder.keys[-1] and not book.best_moved:
        book.best_moved = True
        market.moved.append(book)
    return True


def _admit(market: Market, account: Account, book: Book, command: Place, events: list[Event]) -> None:
    """Reject an order of any kind, or hold what it may cost and let it enter."""
    order = _order(market.position, account, book, command)
    fund, held, passive = order.fund, order.held, order.passive
    reason = _refusal(market, order)
    if reason is None:
        if len(account.orders) >= market.open_orders_max and command.time_in_force in _RESTING:
            reason = "too_many_open_orders"
        elif fund.available < held:
            reason = "insufficient_balance"
        elif command.post_only and not passive:
            reason = "post_only_would_take"
    if reason is not None:
        events.append(Rejected(account.name, command.id, reason))
        return
    fund.available -= held
    fund.held += held
    events.append(Accepted(account.name, command.id, book.symbol, command.side, order.price, order.quantity, passive))
    if passive:
        _stand(market, order, events)
    elif command.stop_price is not None:
        _wait(market, order)
    else:
        _take(market, order, events)
        if book.elected:
            _cascade(market, book, events)


def _is_new(market: Market, account: Account, command_id: str) -> bool:
    """Whether the account has not used the id within a day of journal time; from now on it has."""
    if command_id in account.ids or command_id in account.orders or _is_known(market, account, command_id):
        return False
    account.ids[command_id] = market.time
    return True


def _is_known(market: Market, account: Account, command_id: str) -> bool:
    """Whether an id of the older generation was used within a day."""
    used = account.older_ids.get(command_id)
    return used is not None and market.time - used < ID_MEMORY_NS


def _forget_ids(market: Market) -> None:
    """Begin a new generation; the one before the last is forgotten. So ids are kept for a day and two at most."""
    for account in market.accounts.values():
        account.older_ids = account.ids
        account.ids = {}
    market.ids_since = market.time


def _order(number: int, account: Account, book: Book, command: Place) -> Order:
    """The order as it would enter, and what would be held for it."""
    price, quantity, buys = command.price, command.quantity, command.side == "buy"
    if price is None:
        stop_price = command.stop_price
        lowest, highest = (book.lowest, book.highest) if stop_price is None else book.rules.band(stop_price)
        price = highest if buys else lowest
    asset, against, limit = (book.quote, book.asks.keys, -price) if buys else (book.base, book.bids.keys, price)
    passive = (
        command.time_in_force in _RESTING and command.stop_price is None and not (against and against[-1] >= limit)
    )
    fund = account.balances.get(asset) or account.balance(asset)
    order = Order(number, command, account, book, None, passive, price, quantity, quantity, 0, fund, 0)
    order.held = required_hold(order)
    return order


def _refusal(market: Market, order: Order) -> Reason | None:
    """What the symbol has against an order of this price and quantity, now."""
    book, command, price, quantity = order.book, order.placed, order.price, order.quantity
    if book.halted:
        return "symbol_halted"
    if command.stop_price is not None:
        reason = _stop_refusal(book, order, command.stop_price)
        if reason is not None:
            return reason
    elif not book.lowest <= price <= book.highest:
        return "price_band"
    if command.expire_time is not None and command.expire_time <= market.time:
        return "expire_time"
    if not book.min_quantity <= quantity <= book.max_quantity:
        return "quantity"
    if not book.min_notional <= price * quantity <= book.max_notional:
        return "notional"
    return None


def _stop_refusal(book: Book, order: Order, stop_price: int) -> Reason | None:
    """A stop's band is around its own stop price, and the last trade must not have reached it."""
    lowest, highest = book.rules.band(stop_price)
    if not lowest <= order.price <= highest:
        return "price_band"
    last = book.last_price
    if last is not None and (last >= stop_price if order.placed.side == "buy" else last <= stop_price):
        return "stop_would_trigger"
    return None


# Trading


def _take(market: Market, taker: Order, events: list[Event]) -> None:
    """Trade what can be traded; the rest rests, where the order may, or is cancelled."""
    placed = taker.placed
    if placed.time_in_force == "FOK" and not _can_fill(taker):
        _finish(taker, "fill_or_kill", events)
        return
    _match(taker, events)
    if not taker.remaining:
        return
    if placed.time_in_force in _RESTING:
        taker.passive = True
        rehold(taker)
        events.append(Rested(placed.account, placed.id, taker.price, taker.remaining))
        _stand(market, taker, events)
    else:
        _finish(taker, "unfilled", events)


def _match(taker: Order, events: list[Event]) -> None:
    """Trade with the other side as far as the limit goes, best price first and at one price the oldest order.

    The loop that the engine's speed hangs on, so it is one function. What remains of the taker is in ``left``, what it
    traded, in ticks times lots, in ``traded`` and its fee on that in ``charged``: it is settled when the loop is over,
    or when self-trade prevention has to know what is left of it.
    """
    book, account, side, own_id = taker.book, taker.account, taker.placed.side, taker.placed.id
    symbol, name, buys = book.symbol, account.name, side == "buy"
    ladder = book.asks if buys else book.bids
    limit = taker.price * ladder.sign
    keys, left = ladder.keys, taker.remaining
    first = last = traded = charged = 0
    while left and keys and keys[-1] >= limit:
        level = ladder.levels[keys[-1]]
        queue, price, before, first_open = level.queue, level.price, level.quantity, level.first
        while left and level.quantity:
            maker = queue[first_open]
            standing = maker.remaining
            if not standing:
                first_open += 1
                level.dead -= 1
                continue
            owner = maker.account
            if owner is account:
                settle(taker, buys, taker.remaining - left, traded, charged)
                traded = charged = 0
                _prevent_self_trade(level, maker, taker, events)
                left = taker.remaining
                continue
            quantity = standing if standing < left else left
            notional, maker_id = price * quantity, maker.placed.id
            if book.whole_fees:
                maker_fee, taker_fee = notional * book.maker_fee, notional * book.taker_fee
            else:
                maker_fee, taker_fee = rounded_fees(maker, taker, notional, traded)
            settle(maker, not buys, quantity, notional, maker_fee)
            standing -= quantity
            left -= quantity
            level.quantity -= quantity
            traded += notional
            charged += taker_fee
            if not standing:
                first_open += 1
                del owner.orders[maker_id]
            first, last = first or price, price
            trade = Execution(
                symbol, price, quantity, side, owner.name, maker_id, standing, maker_fee, name, own_id, left, taker_fee
            )
            events.append(trade)
        level.first = first_open
        if first_open > COMPACT_ABOVE:
            level.compact()
        if level.quantity != before:
            book.level_changed(level, events)
    if last:
        settle(taker, buys, taker.remaining - left, traded, charged)
        _traded(taker, first, last)


def _traded(taker: Order, first: int, last: int) -> None:
    """After a taker's trades, the first and last of which were at these prices."""
    book = taker.book
    if last != book.last_price:
        book.last_price = last
        book.move_band(last)
    if book.buy_stops.keys or book.sell_stops.keys:
        _elect(book, taker.placed.side, first, last)
    if not taker.remaining:
        taker.account.orders.pop(taker.placed.id, None)


def _can_fill(taker: Order) -> bool:
    """Whether all of the order would trade at once. Own orders are passed over only if they would be cancelled."""
    ladder = taker.book.asks if taker.placed.side == "buy" else taker.book.bids
    limit, wanted = taker.price * ladder.sign, taker.remaining
    for level in ladder.best_first():
        if level.key < limit:
            return False
        for maker in level.orders():
            if maker.account is not taker.account:
                wanted -= maker.remaining
            elif taker.placed.self_trade != "cancel_oldest":
                return False
            if wanted <= 0:
                return True
    return False


def _prevent_self_trade(level: Level, maker: Order, taker: Order, events: list[Event]) -> None:
    """The taker's instruction says which of two orders of one account gives way, the maker told first."""
    instruction = taker.placed.self_trade
    if instruction == "decrement_and_cancel":
        _decrement(level, maker, taker, events)
        return
    if instruction in {"cancel_oldest", "cancel_both"}:
        level.dead += 1
        level.quantity -= maker.remaining
        _finish(maker, "self_trade", events)
    if instruction in {"cancel_newest", "cancel_both"}:
        _finish(taker, "self_trade", events)


def _decrement(level: Level, maker: Order, taker: Order, events: list[Event]) -> None:
    """The smaller order is cancelled and the larger loses as much; equal ones are both cancelled."""
    less = min(maker.remaining, taker.remaining)
    level.quantity -= less
    if maker.remaining == less:
        level.dead += 1
    for order, other in ((maker, taker.remaining), (taker, maker.remaining)):
        if order.remaining <= other:
            _finish(order, "self_trade", events)
        else:
            order.remaining -= less
            order.quantity -= less
            rehold(order)
            events.append(Decremented(order.account.name, order.placed.id, less, order.remaining))


# Resting and leaving


def _stand(market: Market, order: Order, events: list[Event]) -> None:
    """Stand in the book behind all others at the order's price."""
    book = order.book
    (book.bids if order.placed.side == "buy" else book.asks).add(order, order.price)
    _keep(market, order)
    if order.level is not None:
        book.level_changed(order.level, events)


def _wait(market: Market, order: Order) -> None:
    """Stand, unseen, where trades will reach the stop price."""
    book, placed = order.book, order.placed
    ladder = book.buy_stops if placed.side == "buy" else book.sell_stops
    ladder.add(order, placed.stop_price or 0)
    _keep(market, order)


def _keep(market: Market, order: Order) -> None:
    """Keep an open order by its id. It expires as it would have when it was replaced or triggered meanwhile."""
    placed, orders = order.placed, order.account.orders
    if placed.expire_time is not None and placed.id not in orders:
        remember_expiry(market, order)
    orders[placed.id] = order


def remember_expiry(market: Market, order: Order) -> None:
    """See to it that an order expires, if it is to."""
    placed = order.placed
    if placed.expire_time is not None:
        if len(market.expiries) >= market.expiries_max:
            _tidy_expiries(market)
        heappush(market.expiries, (placed.expire_time, order.number, placed.account, placed.id))
        market.due = min(market.due, placed.expire_time)


def _tidy_expiries(market: Market) -> None:
    """Forget orders that are over, each time they may be half of all."""
    accounts = market.accounts
    market.expiries = [expiry for expiry in market.expiries if expiry[3] in accounts[expiry[2]].orders]
    heapify(market.expiries)
    market.expiries_max = 2 * len(market.expiries) + EXPIRIES_SLACK


def _close(order: Order) -> None:
    """Forget an order that is over, and let go of what was held for it."""
    held = order.held
    if held:
        order.held = 0
        fund = order.fund
        fund.held -= held
        fund.available += held
    order.account.orders.pop(order.placed.id, None)


def _finish(order: Order, reason: CancelReason, events: list[Event]) -> None:
    """Cancel what remains of an order that stands nowhere."""
    events.append(Cancelled(order.account.name, order.placed.id, order.remaining, reason))
    order.remaining = 0
    _close(order)


def _leave(order: Order, order_id: str, events: list[Event]) -> None:
    """End an open order where it stands."""
    _take_out(order, events)
    fund, held = order.fund, order.held
    fund.held -= held
    fund.available += held
    del order.account.orders[order_id]


def _take_out(order: Order, events: list[Event]) -> None:
    """Take an open order off its ladder: nothing remains of it there, though its queue may still have it."""
    level, remaining = order.level, order.remaining
    order.remaining = 0
    if level is None:
        return
    level.quantity = left = level.quantity - remaining
    if left:
        level.dead = dead = level.dead + 1
        if dead > COMPACT_ABOVE:
            level.compact()
    if level.ladder.shown:
        order.book.level_changed(level, events)
    elif not left:
        level.ladder.drop(level.key)


def _cancel_order(order: Order, reason: CancelReason, events: list[Event]) -> None:
    events.append(Cancelled(order.account.name, order.placed.id, order.remaining, reason))
    _leave(order, order.placed.id, events)


def _cancel(market: Market, command: Cancel, events: list[Event]) -> None:
    account = market.accounts.get(command.account)
    order = account.orders.get(command.id) if account is not None else None
    if order is None:
        events.append(Refused("cancel", command.account, command.id, "unknown_order"))
    else:
        events.append(Cancelled(command.account, command.id, order.remaining, "requested"))
        _leave(order, command.id, events)


def _cancel_all(market: Market, command: CancelAll, events: list[Event]) -> None:
    account = market.accounts.get(command.account)
    if account is None:
        return
    for order in list(account.orders.values()):
        if command.symbol is None or order.book.symbol == command.symbol:
            _cancel_order(order, "requested", events)


def _expire(market: Market, events: list[Event]) -> None:
    """End the orders whose time is up, by time and then age, before anything can trade with them."""
    now, expiries = market.time, market.expiries
    while expiries and expiries[0][0] <= now:
        _time, _number, name, order_id = heappop(expiries)
        order = market.accounts[name].orders.get(order_id)
        if order is not None and order.placed.expire_time is not None and order.placed.expire_time <= now:
            events.append(Expired(name, order_id, order.remaining))
            _leave(order, order_id, events)


# Replacing


def _replace(market: Market, command: Replace, events: list[Event]) -> None:
    account = market.accounts.get(command.account)
    order = account.orders.get(command.id) if account is not None else None
    reason = "unknown_order" if order is None else _replace_order(market, order, command, events)
    if reason is not None:
        events.append(Refused("replace", command.account, command.id, reason))


def _replace_order(market: Market, order: Order, command: Replace, events: list[Event]) -> Reason | None:
    """Only less of the same keeps its place. Anything else leaves the book and enters anew, or all is refused."""
    placed = order.placed
    if command.price is not None and placed.price is None:
        return "price"
    if command.stop_price is not None and placed.stop_price is None:
        return "stop_price"
    quantity = order.quantity if command.quantity is None else command.quantity
    if quantity <= order.quantity - order.remaining:
        _cancel_order(order, "replaced", events)
        return None
    wanted = msgspec.structs.replace(
        placed,
        quantity=quantity,
        price=placed.price if command.price is None else command.price,
        stop_price=placed.stop_price if command.stop_price is None else command.stop_price,
    )
    twin = _twin(order, wanted)
    if (wanted.price, wanted.stop_price) == (placed.price, placed.stop_price) and quantity <= order.quantity:
        return _shrink(order, twin, events)
    return _move(market, order, twin, events)


def _twin(order: Order, wanted: Place) -> Order:
    """What the order would be, with what it has filled and paid so far."""
    twin = _order(order.number, order.account, order.book, wanted)
    twin.remaining = wanted.quantity - (order.quantity - order.remaining)
    twin.fee_exact = order.fee_exact
    twin.held = required_hold(twin)
    return twin


def _shrink(order: Order, twin: Order, events: list[Event]) -> Reason | None:
    """Less of the same, in the same place."""
    if twin.quantity < order.book.min_quantity:
        return "quantity"
    if twin.price * twin.quantity < order.book.min_notional:
        return "notional"
    less = order.remaining - twin.remaining
    order.quantity, order.remaining, order.placed = twin.quantity, twin.remaining, twin.placed
    rehold(order)
    events.append(_replaced(order, kept_priority=True))
    level = order.level
    if less and level is not None:
        level.quantity -= less
        if level.ladder.shown:
            order.book.level_changed(level, events)
    return None


def _move(market: Market, order: Order, twin: Order, events: list[Event]) -> Reason | None:
    """The order leaves its place, and what it has become enters behind all others."""
    reason = _move_refusal(market, order, twin)
    if reason is not None:
        return reason
    more = twin.held - order.held
    order.fund.available -= more
    order.fund.held += more
    events.append(_replaced(twin, kept_priority=False))
    _take_out(order, events)
    twin.account.orders[twin.placed.id] = twin
    if twin.placed.stop_price is not None:
        _wait(market, twin)
    else:
        _take(market, twin, events)
        _cascade(market, twin.book, events)
    return None


def _move_refusal(market: Market, order: Order, twin: Order) -> Reason | None:
    if order.level is None:
        return "stop_triggered"
    reason = _refusal(market, twin)
    if reason is not None:
        return reason
    if order.fund.available + order.held < twin.held:
        return "insufficient_balance"
    if twin.placed.post_only and not twin.passive:
        return "post_only_would_take"
    return None


def _replaced(order: Order, *, kept_priority: bool) -> Replaced:
    placed = order.placed
    return Replaced(
        placed.account, placed.id, order.price, placed.stop_price, order.quantity, order.remaining, kept_priority
    )


# Stops


def _elect(book: Book, taker_side: OrderSide, first: int, last: int) -> None:
    """Line up the stops that trades from ``first`` to ``last`` reached, in the order in which they reached them.

    A buying taker's prices rise: its first trade can only reach sell stops above, nearest first, its further ones buy
    stops, lowest first; a selling taker's the other way round. At one stop price the oldest goes first.
    """
    reached = [(book.sell_stops, min(first, last)), (book.buy_stops, max(first, last))]
    for ladder, price in reached if taker_side == "buy" else reversed(reached):
        while ladder.keys and ladder.keys[-1] >= price * ladder.sign:
            key = ladder.keys[-1]
            for order in ladder.levels[key].orders():
                order.level = None
                book.elected.append(order)
            ladder.drop(key)


def _cascade(market: Market, book: Book, events: list[Event]) -> None:
    """Let elected stops trade, each of which may elect more; so many at most, that a command's work is bounded.

    Those that were cancelled meanwhile do not count: a state that was dumped has none of them.
    """
    triggered = 0
    while book.elected and not book.halted:
        if triggered == CASCADE_MAX:
            market.due = 0
            return
        order = book.elected.popleft()
        if order.remaining:
            _trigger(market, order, events)
            triggered += 1


def _trigger(market: Market, order: Order, events: list[Event]) -> None:
    """A stop becomes a market order, a stop-limit a limit order. Its price and its hold are those it entered with."""
    if order.placed.type == "stop_limit":
        order.placed = msgspec.structs.replace(order.placed, type="limit", stop_price=None)
    else:
        order.placed = msgspec.structs.replace(
            order.placed, type="market", stop_price=None, time_in_force="IOC", expire_time=None
        )
    events.append(Triggered(order.account.name, order.placed.id))
    _take(market, order, events)


# Money and symbols


def _deposit(market: Market, command: Deposit, events: list[Event]) -> None:
    account = market.ledger.account(command.account)
    if _is_new(market, account, command.id):
        market.ledger.transfer(account, command.asset, command.amount)
        events.append(Transferred(account.name, command.id, command.asset, command.amount))


def _withdraw(market: Market, command: Withdraw, events: list[Event]) -> None:
    account = market.ledger.account(command.account)
    if not _is_new(market, account, command.id):
        return
    if account.balance(command.asset).available < command.amount:
        events.append(Refused("withdraw", account.name, command.id, "insufficient_balance"))
        return
    market.ledger.transfer(account, command.asset, -command.amount)
    events.append(Transferred(account.name, command.id, command.asset, -command.amount))


def _list(market: Market, command: ListSymbol, events: list[Event]) -> None:
    rules = command.rules
    book = market.books.get(rules.symbol)
    if book is None:
        market.books[rules.symbol] = Book(rules, market.ledger, market.moved)
    elif book.rules.keeps_its_money(rules):
        book.follow(rules)
    else:
        events.append(Refused("list", "", rules.symbol, "symbol_rules"))
        return
    events.append(Listed(rules.symbol))


def _halt(market: Market, command: Halt, events: list[Event]) -> None:
    book = market.books.get(command.symbol)
    if book is None:
        events.append(Refused("halt", "", command.symbol, "unknown_symbol"))
        return
    book.halted = True
    events.append(Halted(command.symbol))


def _resume(market: Market, command: Resume, events: list[Event]) -> None:
    book = market.books.get(command.symbol)
    if book is None:
        events.append(Refused("resume", "", command.symbol, "unknown_symbol"))
        return
    book.halted = False
    events.append(Resumed(command.symbol))
    _cascade(market, book, events)


def _reject(market: Market, command: Reject, events: list[Event]) -> None:
    if command.refused == "replace":
        events.append(Refused("replace", command.account, command.id, command.reason))
        return
    account = market.ledger.account(command.account)
    if _is_new(market, account, command.id):
        events.append(Rejected(account.name, command.id, command.reason))


def _clock(market: Market, command: Clock, events: list[Event]) -> None:
    """Time passed: ``apply`` has done what follows from that."""


_HANDLERS: dict[type, Callable[[Market, Any, list[Event]], None]] = {
    CancelAll: _cancel_all,
    Replace: _replace,
    Deposit: _deposit,
    Withdraw: _withdraw,
    ListSymbol: _list,
    Halt: _halt,
    Resume: _resume,
    Clock: _clock,
    Reject: _reject,
}
