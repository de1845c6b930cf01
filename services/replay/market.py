"""The truth of a fake exchange: every trade that happened, whether or not anybody heard of it."""

from bisect import bisect_left, bisect_right, insort
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

    def add(self, trade: ExchangeTrade) -> bool:
        """Keep a trade. False where its number is known."""
        trades = self._trades.setdefault(trade.product_id, [])
        if not trades or trade.number > trades[-1].number:
            trades.append(trade)
        elif trades[bisect_left(trades, trade.number, key=_number)].number == trade.number:
            return False
        else:
            insort(trades, trade, key=_number)
        self._next[trade.product_id] = max(trade.number + 1, self.next_number(trade.product_id))
        if len(trades) > self._trades_max * TRIM_SLACK:
            del trades[: -self._trades_max]
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

    def after(self, product_id: str, time_ns: int) -> list[ExchangeTrade]:
        """Trades later than ``time_ns``, by time and number: late trades make the two orders differ."""
        later = [trade for trade in self._trades[product_id] if trade.time_ns > time_ns]
        return sorted(later, key=attrgetter("time_ns", "number"))

    def seen_as(self, view: Callable[[ExchangeTrade], ExchangeTrade | None]) -> "Market":
        """Another market: what this one looks like through ``view``, which changes trades or hides them (None)."""
        market = Market(self._trades, self._trades_max)
        for trades in self._trades.values():
            for trade in trades:
                if (seen := view(trade)) is not None:
                    market.add(seen)
        return market
