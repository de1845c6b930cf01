"""A record of the order lab's journal to the engine's command: decimals to ticks, lots and units.

What is no command at all is the peer's fault (``PeerError``, a dead letter). What is one, but cannot be said in the
symbol's ticks and lots, becomes ``Reject``: who sent it is told.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from services.contracts import lab
from services.contracts.errors import PeerError
from services.contracts.lab import OrderCommand, Reason
from services.domain.decoding import MESSAGE_MAX, decoded
from services.domain.matching import Market
from services.domain.money import PLACES_MAX, is_amount
from services.domain.orders import (
    Cancel,
    CancelAll,
    Clock,
    Command,
    Deposit,
    Halt,
    ListSymbol,
    Misfit,
    Place,
    Reject,
    Replace,
    Resume,
    Withdraw,
)
from services.domain.symbols import PRICE_MAX_TICKS, QUANTITY_MAX_LOTS, Symbol, exact_units, symbol_of

VALUE_BYTES_MAX = 8 * 1024
"""A command is some 250 bytes. What is larger is not looked into."""
NAME_MAX = 128
"""Characters of an account, an id, a symbol or an asset."""
TIME_MAX_NS = 2**63 - 1
NAMES_MAX = 10_000
"""Good accounts and symbols remembered, so that each is looked at once."""

_decode = msgspec.json.Decoder(OrderCommand).decode


def decode(value: bytes | None) -> OrderCommand:
    """The command of one record. Raises PeerError for one that cannot be used; ``error_type`` is of a fixed set."""
    given: OrderCommand = decoded(_decode, value, VALUE_BYTES_MAX)
    check = _CHECKS.get(type(given))
    if check is not None:
        check(given)
    return given


def command(market: Market, given: OrderCommand) -> Command:
    """What the engine is to do, in its own integers. Raises PeerError for what no engine of this group could do."""
    return _MAKE[type(given)](market, given)


# What a command has to be


def _check_name(name: str, field: str) -> None:
    """Postgres, Redis' keys and logs have to take it."""
    if not (0 < len(name) <= NAME_MAX and name.isprintable()):
        raise PeerError(field, f"{field} has 1 to {NAME_MAX} printable characters")


@lru_cache(NAMES_MAX)
def _check_symbol(symbol: str) -> None:
    _check_name(symbol, "symbol")


@lru_cache(NAMES_MAX)
def _check_account(account: str) -> None:
    _check_name(account, "account")
    if ":" in account or account in lab.RESERVED_ACCOUNTS:
        raise PeerError("account", "the account's name is reserved, or has a colon")


def _check_amount(amount: Decimal | None, field: str) -> None:
    if amount is not None and not is_amount(amount):
        raise PeerError(field, f"{field} is not above zero, or has too many digits")


def _check_place(given: lab.PlaceOrder) -> None:
    _check_account(given.account)
    _check_name(given.id, "id")
    _check_symbol(given.symbol)
    _check_amount(given.quantity, "quantity")
    _check_amount(given.price, "price")
    _check_amount(given.stop_price, "stop_price")
    if not 0 <= given.received_time <= TIME_MAX_NS:
        raise PeerError("received_time", "received_time is out of range")
    if given.expire_time is not None and not 0 <= given.expire_time <= TIME_MAX_NS:
        raise PeerError("expire_time", "expire_time is out of range")


def _check_replace(given: lab.ReplaceOrder) -> None:
    for field in ("quantity", "price", "stop_price"):
        _check_amount(getattr(given, field), field)


def _check_transfer(given: lab.DepositFunds | lab.WithdrawFunds) -> None:
    _check_account(given.account)
    _check_name(given.id, "id")
    _check_name(given.asset, "asset")
    _check_amount(given.amount, "amount")


def _check_rules(given: lab.ListSymbolRules) -> None:
    rules = given.rules
    for field in ("symbol", "base", "quote"):
        _check_name(getattr(rules, field), field)
    for field in ("tick_size", "lot_size", "reference_price", "min_quantity", "max_quantity", "max_notional"):
        _check_amount(getattr(rules, field), field)
    # Zero is fine, but not one of twenty thousand places.
    if rules.min_notional or not -PLACES_MAX <= int(rules.min_notional.as_tuple().exponent) <= 0:
        _check_amount(rules.min_notional, "min_notional")


_CHECKS: dict[type, Callable[[Any], None]] = {
    lab.PlaceOrder: _check_place,
    lab.ReplaceOrder: _check_replace,
    lab.DepositFunds: _check_transfer,
    lab.WithdrawFunds: _check_transfer,
    lab.ListSymbolRules: _check_rules,
}
"""What is stored or computed with. A cancel of an order that cannot be is refused like any other of an unknown one."""


# In the engine's integers


def _place(market: Market, given: lab.PlaceOrder) -> Command:
    book = market.books.get(given.symbol)
    if book is None:
        return Reject(given.account, given.id, "unknown_symbol")
    rules = book.rules
    quantity = _whole(rules.lots(given.quantity), QUANTITY_MAX_LOTS)
    if quantity is None:
        return Reject(given.account, given.id, "quantity")
    price, stop_price, off = _prices(rules, given)
    if off is not None:
        return Reject(given.account, given.id, off)
    try:
        return Place(
            given.account,
            given.id,
            given.symbol,
            quantity,
            given.side,
            given.type,
            price,
            stop_price,
            given.time_in_force,
            given.post_only,
            given.self_trade,
            given.expire_time,
        )
    except Misfit as error:
        raise PeerError(error.field, str(error)) from None


def _prices(rules: Symbol, given: lab.PlaceOrder | lab.ReplaceOrder) -> tuple[int | None, int | None, Reason | None]:
    """The price and the stop price in ticks, and which of them is off the tick, if one is."""
    price = stop_price = None
    if given.price is not None and (price := _whole(rules.ticks(given.price), PRICE_MAX_TICKS)) is None:
        return None, None, "price"
    if given.stop_price is not None and (stop_price := _whole(rules.ticks(given.stop_price), PRICE_MAX_TICKS)) is None:
        return None, None, "stop_price"
    return price, stop_price, None


def _whole(steps: int | None, highest: int) -> int | None:
    return None if steps is None or steps > highest else steps


def _cancel(_market: Market, given: lab.CancelOrder) -> Command:
    return Cancel(given.account, given.id)


def _cancel_all(_market: Market, given: lab.CancelAllOrders) -> Command:
    return CancelAll(given.account, given.symbol)


def _replace(market: Market, given: lab.ReplaceOrder) -> Command:
    account = market.accounts.get(given.account)
    order = None if account is None else account.orders.get(given.id)
    if order is None:
        return Replace(given.account, given.id)
    rules, quantity = order.book.rules, None
    if given.quantity is not None:
        quantity = _whole(rules.lots(given.quantity), QUANTITY_MAX_LOTS)
        if quantity is None:
            return Reject(given.account, given.id, "quantity", "replace")
    price, stop_price, off = _prices(rules, given)
    if off is not None:
        return Reject(given.account, given.id, off, "replace")
    return Replace(given.account, given.id, quantity, price, stop_price)


def _deposit(_market: Market, given: lab.DepositFunds) -> Command:
    return Deposit(given.account, given.id, given.asset, exact_units(given.amount))


def _withdraw(_market: Market, given: lab.WithdrawFunds) -> Command:
    return Withdraw(given.account, given.id, given.asset, exact_units(given.amount))


def _list(market: Market, given: lab.ListSymbolRules) -> Command:
    if str(given.rules.market_group) != market.group:
        raise PeerError("market_group", f"{given.rules.symbol} is of market group {given.rules.market_group}")
    try:
        return ListSymbol(symbol_of(given.rules))
    except ValueError as error:
        raise PeerError("rules", str(error)[:MESSAGE_MAX]) from None


def _halt(_market: Market, given: lab.HaltSymbol) -> Command:
    return Halt(given.symbol)


def _resume(_market: Market, given: lab.ResumeSymbol) -> Command:
    return Resume(given.symbol)


def _clock(_market: Market, _given: lab.ClockTick) -> Command:
    return Clock()


_MAKE: dict[type, Callable[[Market, Any], Command]] = {
    lab.PlaceOrder: _place,
    lab.CancelOrder: _cancel,
    lab.CancelAllOrders: _cancel_all,
    lab.ReplaceOrder: _replace,
    lab.DepositFunds: _deposit,
    lab.WithdrawFunds: _withdraw,
    lab.ListSymbolRules: _list,
    lab.HaltSymbol: _halt,
    lab.ResumeSymbol: _resume,
    lab.ClockTick: _clock,
}
