"""Balances: what accounts have, what is held for their orders, and that nothing is made or lost.

Amounts are units of an asset (``services.domain.symbols``). Every movement is between two accounts: what comes in comes
from the ``world``, what is paid in fees goes to ``fees``. So the sum over all accounts, those two included, is zero per
asset at any moment.

Fees round up, in favour of the exchange, once per order and not once per fill: an order owes the exact sum of its
fills' fees rounded up to a whole unit, and each fill charges what that sum grew by.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.domain.symbols import BPS_PER_ONE

if TYPE_CHECKING:
    from services.domain.book import Order


class Balance:
    """Units of one asset that an account may use, and those that are held for its open orders."""

    __slots__ = ("available", "held")

    def __init__(self, available: int = 0, held: int = 0) -> None:
        self.available = available
        self.held = held


class Account:
    """``orders`` are the open ones by the client's id, oldest first. ``ids`` and ``older_ids``: see ``matching``."""

    __slots__ = ("balances", "ids", "name", "older_ids", "orders")

    def __init__(self, name: str) -> None:
        self.name = name
        self.balances: dict[str, Balance] = {}
        self.orders: dict[str, Order] = {}
        self.ids: dict[str, int] = {}
        self.older_ids: dict[str, int] = {}

    def balance(self, asset: str) -> Balance:
        """The balance of an asset, made on first sight."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found


class Ledger:
    """Every account of a market group. ``world`` and ``fees`` are apart: no client can have their names."""

    __slots__ = ("accounts", "fees", "world")

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.world = Account("world")
        self.fees = Account("fees")

    def account(self, name: str) -> Account:
        """The account, made on first sight."""
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = Account(name)
        return found

    def everyone(self) -> Iterator[Account]:
        yield self.world
        yield self.fees
        yield from self.accounts.values()

    def transfer(self, account: Account, asset: str, amount: int) -> None:
        """Move ``amount`` units from the world to the account; below zero, back."""
        account.balance(asset).available += amount
        self.world.balance(asset).available -= amount

    def totals(self) -> dict[str, int]:
        """The sum over all accounts, per asset: zeros, or something is broken."""
        sums: dict[str, int] = {}
        for account in self.everyone():
            for asset, balance in account.balances.items():
                sums[asset] = sums.get(asset, 0) + balance.available + balance.held
        return sums


def required_hold(order: "Order") -> int:
    """What an open order may still cost: to sell, the base; to buy, its price and a fee on that.

    The fee is the maker's for an order that rests, which can only be a maker, and the higher one for any other. What a
    resting order pays leaves exactly what is required of the rest: fees are rounded in the sum.
    """
    book = order.book
    if order.placed.side == "sell":
        return order.remaining * book.base_units
    notional = order.remaining * order.price
    if book.whole_fees:
        return notional * (book.maker_cost if order.passive else book.hold_cost)
    rate = book.maker_rate if order.passive else book.hold_rate
    return notional * book.quote_units + fee_growth(order.fee_exact, notional * rate)


def fee_growth(before: int, more: int) -> int:
    """Whole units charged when what is owed, in 1/10,000 of units, grows from ``before`` by ``more``."""
    return -before // BPS_PER_ONE - -(before + more) // BPS_PER_ONE


def rehold(order: "Order") -> None:
    """Let go of what is held beyond what the order may still cost."""
    surplus = order.held - required_hold(order)
    if surplus:
        order.held -= surplus
        order.fund.held -= surplus
        order.fund.available += surplus


def rounded_fees(maker: "Order", taker: "Order", notional: int, traded: int) -> tuple[int, int]:
    """What the maker and the taker are charged for one fill, in units; all in ticks times lots.

    ``traded`` is what the taker has traded since it was last settled.
    """
    book = maker.book
    maker_fee = fee_growth(maker.fee_exact, notional * book.maker_rate)
    return maker_fee, fee_growth(taker.fee_exact + traded * book.taker_rate, notional * book.taker_rate)


def settle(order: "Order", buys: bool, quantity: int, notional: int, fee: int) -> None:
    """Exchange the assets of what an order traded, and charge its fee; ``notional`` is in ticks times lots.

    It pays out of what is held for it. What is held beyond that is let go once the order is filled.
    """
    book, fund, account, held = order.book, order.fund, order.account, order.held
    if buys:
        paid, asset, earned = notional * book.quote_units + fee, book.base, quantity * book.base_units
    else:
        paid, asset, earned = quantity * book.base_units, book.quote, notional * book.quote_units - fee
    if quantity == order.remaining:
        order.remaining = order.held = 0
        fund.held -= held
        if held != paid:
            fund.available += held - paid
    else:
        order.remaining -= quantity
        order.held = held - paid
        order.fee_exact += notional * (book.maker_rate if order.passive else book.taker_rate)
        fund.held -= paid
    (account.balances.get(asset) or account.balance(asset)).available += earned
    book.fees.available += fee
