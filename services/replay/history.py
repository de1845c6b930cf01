"""What an exchange remembers: every trade it ever made, by product and number."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter

import msgspec

from services.contracts.events import Side

TRADES_MAX = 1_000_000
"""Trades remembered of one product by default; the oldest tenth goes when there are more."""


class ExchangeTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade, as the exchange itself holds it. ``wire_name`` is the product's name in its protocol (``BTC/USD``)."""

    wire_name: str
    number: int
    price: Decimal
    size: Decimal
    taker_side: Side
    time_ns: int


_number = attrgetter("number")


@dataclass(slots=True)
class _Product:
    trades: list[ExchangeTrade] = field(default_factory=list)
    """By number."""
    stamps: list[int] = field(default_factory=list)
    """Beside the trades: when each was booked. Never falls, so that pages by time miss no late trade."""
    hidden: set[int] = field(default_factory=set)
    next_number: int = 1

    def insert(self, trade: ExchangeTrade) -> None:
        at = bisect_left(self.trades, trade.number, key=_number)
        if at < len(self.trades) and self.trades[at].number == trade.number:
            return
        newest = at == len(self.trades)
        before = self.stamps[at - 1] if at else trade.time_ns - 1
        self.trades.insert(at, trade)
        self.stamps.insert(at, max(trade.time_ns, before + 1) if newest else before)

    def drop_oldest(self, count: int) -> None:
        del self.trades[:count], self.stamps[:count]


class History:
    """Pages hold trades in the order of their numbers, oldest first; whoever needs it otherwise turns them round."""

    def __init__(self, *, first_number: int = 1, trades_max: int = TRADES_MAX) -> None:
        self._first_number = first_number
        self._trades_max = trades_max
        self._products: dict[str, _Product] = {}

    def names(self) -> Collection[str]:
        """The products that have traded, by their wire names."""
        return self._products.keys()

    def next_number(self, wire_name: str) -> int:
        """One above the highest number the product has had."""
        return self._of(wire_name).next_number

    def add(self, trade: ExchangeTrade) -> None:
        """Remember a trade, in any order of numbers. A repeat or a hidden one changes nothing."""
        product = self._of(trade.wire_name)
        product.next_number = max(product.next_number, trade.number + 1)
        if trade.number in product.hidden:
            return
        product.insert(trade)
        if len(product.trades) > self._trades_max:
            product.drop_oldest(max(1, self._trades_max // 10))

    def hide(self, wire_name: str, numbers: Collection[int]) -> None:
        """As if these never were: neither what is here already nor what is still to come under these numbers."""
        product = self._of(wire_name)
        product.hidden.update(numbers)
        kept = [at for at, trade in enumerate(product.trades) if trade.number not in product.hidden]
        product.stamps = [product.stamps[at] for at in kept]
        product.trades = [product.trades[at] for at in kept]

    def newest(self, wire_name: str, count: int) -> Sequence[ExchangeTrade]:
        """The last ``count`` trades."""
        return self._of(wire_name).trades[-count:]

    def below(self, wire_name: str, number: int, count: int) -> Sequence[ExchangeTrade]:
        """The ``count`` trades next below ``number``."""
        trades = self._of(wire_name).trades
        end = bisect_left(trades, number, key=_number)
        return trades[max(0, end - count) : end]

    def from_number(self, wire_name: str, number: int, count: int) -> Sequence[ExchangeTrade]:
        """The ``count`` trades from ``number`` upwards."""
        trades = self._of(wire_name).trades
        start = bisect_left(trades, number, key=_number)
        return trades[start : start + count]

    def since(self, wire_name: str, stamp_ns: int, count: int) -> tuple[Sequence[ExchangeTrade], int]:
        """The ``count`` trades booked after ``stamp_ns``, and the stamp to go on from."""
        product = self._of(wire_name)
        start = bisect_right(product.stamps, stamp_ns)
        stamps = product.stamps[start : start + count]
        return product.trades[start : start + count], stamps[-1] if stamps else stamp_ns

    def _of(self, wire_name: str) -> _Product:
        product = self._products.get(wire_name)
        if product is None:
            product = self._products[wire_name] = _Product(next_number=self._first_number)
        return product
