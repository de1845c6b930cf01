"""The truth of a fake exchange: every trade that happened, whether or not anybody heard of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter

import msgspec

from services.contracts.events import Side

TRIM_SLACK = 1.1
"""Old trades go a tenth of the limit at a time, so that forgetting costs next to nothing for each trade."""

_number = attrgetter("number")


class ExchangeTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade as the exchange knows it. ``side`` is the taker's, ``time_ns`` is UTC, ``number`` is its id."""

    product_id: str
    number: int
    price: Decimal
    size: Decimal
    side: Side
    time_ns: int


class Market:
    """The trades of each product, in the order of their numbers. ``trades_max`` newest ones of each are kept."""

    def __init__(self, products: Iterable[str], trades_max: int) -> None:
        self._trades: dict[str, list[ExchangeTrade]] = {product: [] for product in products}
        self._booked: dict[str, list[int]] = {product: [] for product in self._trades}
        """Beside the trades, when each was entered: it never falls, so that a page by time leaves no late trade out."""
        self._next: dict[str, int] = {}
        self._trades_max = trades_max

    @property
    def products(self) -> list[str]:
        return list(self._trades)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._trades

    def list_product(self, product_id: str) -> None:
        """From now on this product exists."""
        self._trades.setdefault(product_id, [])
        self._booked.setdefault(product_id, [])

    def add(self, trade: ExchangeTrade) -> bool:
        """Keep a trade. False where its number is known."""
        self.list_product(trade.product_id)
        trades, booked = self._trades[trade.product_id], self._booked[trade.product_id]
        newest = not trades or trade.number > trades[-1].number
        place = len(trades) if newest else bisect_left(trades, trade.number, key=_number)
        if not newest and trades[place].number == trade.number:
            return False
        before_ns = booked[place - 1] if place else trade.time_ns - 1
        trades.insert(place, trade)
        booked.insert(place, max(trade.time_ns, before_ns + 1) if newest else before_ns)
        self._next[trade.product_id] = max(trade.number + 1, self.next_number(trade.product_id))
        if len(trades) > self._trades_max * TRIM_SLACK:
            del trades[: -self._trades_max], booked[: -self._trades_max]
        return True

    def next_number(self, product_id: str) -> int:
        """The number that the product's next trade will have. Numbers begin at 1."""
        return self._next.get(product_id, 1)

    def skip(self, product_id: str, count: int) -> None:
        """Use up numbers for which there will never be a trade."""
        self._next[product_id] = self.next_number(product_id) + count

    def trades(self, product_id: str) -> list[ExchangeTrade]:
        """All that is kept, ascending."""
        return list(self._trades[product_id])

    def newest(self, product_id: str, count: int) -> list[ExchangeTrade]:
        """The last ``count`` trades, ascending."""
        return self._trades[product_id][-count:]

    def above(self, product_id: str, number: int) -> list[ExchangeTrade]:
        """Trades whose number is above ``number``, ascending."""
        trades = self._trades[product_id]
        return trades[bisect_right(trades, number, key=_number) :]

    def below(self, product_id: str, number: int) -> list[ExchangeTrade]:
        """Trades whose number is below ``number``, ascending."""
        trades = self._trades[product_id]
        return trades[: bisect_left(trades, number, key=_number)]

    def after(self, product_id: str, time_ns: int, count: int) -> tuple[list[ExchangeTrade], int]:
        """The ``count`` trades next entered after ``time_ns``, ascending, and the time from which to go on.

        Two trades of one time are entered one nanosecond apart, so that no page ends between what looks the same.
        """
        booked = self._booked[product_id]
        start = bisect_right(booked, time_ns)
        page = self._trades[product_id][start : start + count]
        return page, booked[start + len(page) - 1] if page else time_ns

    def seen_as(self, view: Callable[[ExchangeTrade], ExchangeTrade | None]) -> "Market":
        """Another market: what this one looks like through ``view``, which changes trades or hides them (None)."""
        market = Market(self._trades, self._trades_max)
        for trades in self._trades.values():
            for trade in trades:
                if (seen := view(trade)) is not None:
                    market.add(seen)
        return market
