"""One symbol's book: price-time priority, stops that wait, L2 depth. It holds orders and knows nothing of money.

Both sides are one structure. A ladder's key is the price times its sign (+1 for bids, -1 for asks), so that the best
level always has the highest key, the last of the sorted ``keys``, and a taker whose limit has the key ``limit`` trades
with every level whose key is not below it. Buy stops wait on a ladder like the asks, the lowest price first; sell
stops on one like the bids.
"""

import zlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

import msgspec

from services.contracts.lab import OrderSide
from services.domain.orders import BestChanged, Event, LevelChanged, Place
from services.domain.risk import Account, Balance, Ledger
from services.domain.symbols import BPS_PER_ONE, Symbol

CHECKSUM_LEVELS = 10
COMPACT_ABOVE = 32
"""Orders that are over are skipped, not taken out of their queue; above so many, and half of all, they go."""


class Order(msgspec.Struct, gc=False, eq=False):
    """An order that is open, or is about to be.

    ``number`` is the journal position it came from. ``price`` is the worst it may trade at. ``quantity`` is all it was
    for, ``remaining`` what is left: 0 says that it is over, wherever it still stands. ``held`` units of ``fund`` are
    held for it. ``fee_exact`` is what it owes in fees so far, in 1/10,000 of a unit of the quote asset. ``level`` is
    where it stands; None before, and for a stop that was elected and waits for its turn. One that is ``passive`` can
    only be a maker: it rests, or will without having traded.
    """

    number: int
    placed: Place
    account: Account
    book: "Book"
    level: "Level | None"
    passive: bool
    price: int
    quantity: int
    remaining: int
    held: int
    fund: Balance
    fee_exact: int


class Level:
    """The orders at one price of a ladder, oldest first.

    All before the queue's place ``first`` are over, and ``dead`` after it; they leave once they are many.
    """

    __slots__ = ("dead", "first", "key", "ladder", "price", "quantity", "queue")

    def __init__(self, ladder: "Ladder", key: int) -> None:
        self.ladder = ladder
        self.key = key
        self.price = key * ladder.sign
        self.quantity = 0
        self.queue: list[Order] = []
        self.first = 0
        self.dead = 0

    def orders(self) -> Iterator[Order]:
        return (order for order in self.queue if order.remaining)

    def compact(self) -> None:
        """Drop the orders that are over, once they are half of all."""
        if (self.first + self.dead) * 2 > len(self.queue):
            self.queue = list(self.orders())
            self.first = self.dead = 0


class Ladder:
    """Levels by price, best last. ``shown`` says whether it is market data: stops are not."""

    __slots__ = ("keys", "levels", "shown", "side", "sign")

    def __init__(self, side: OrderSide, sign: int, *, shown: bool) -> None:
        self.side = side
        self.sign = sign
        self.shown = shown
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []

    def add(self, order: Order, price: int) -> None:
        """Put the order behind all others at ``price``."""
        key = price * self.sign
        order.level = level = self.levels.get(key) or self.open_level(key)
        level.queue.append(order)
        level.quantity += order.remaining

    def open_level(self, key: int) -> Level:
        level = self.levels[key] = Level(self, key)
        insort(self.keys, key)
        return level

    def drop(self, key: int) -> None:
        """Take away a level that nothing stands at."""
        del self.levels[key]
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]

    def best_first(self) -> Iterator[Level]:
        return (self.levels[key] for key in reversed(self.keys))

    def depth(self, levels_max: int | None = None) -> list[tuple[int, int]]:
        """(price, quantity) of the best levels, best first."""
        keys = self.keys if levels_max is None else self.keys[-levels_max:]
        return [(self.levels[key].price, self.levels[key].quantity) for key in reversed(keys)]


class Depth(msgspec.Struct, frozen=True):
    """L2 of a symbol, best first, as (price, quantity), after the level change numbered ``sequence``."""

    symbol: str
    sequence: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    checksum: int


class Book:
    """A symbol's orders and prices, with its rules laid out as integers for ``matching``."""

    __slots__ = (
        "asks",
        "band_down",
        "band_up",
        "base",
        "base_units",
        "best",
        "best_moved",
        "bids",
        "buy_stops",
        "elected",
        "fees",
        "halted",
        "highest",
        "hold_cost",
        "hold_rate",
        "last_price",
        "lowest",
        "maker_cost",
        "maker_fee",
        "maker_rate",
        "max_notional",
        "max_quantity",
        "min_notional",
        "min_quantity",
        "moved",
        "quote",
        "quote_units",
        "rules",
        "sell_stops",
        "sequence",
        "symbol",
        "taker_fee",
        "taker_rate",
        "whole_fees",
    )

    def __init__(self, rules: Symbol, ledger: Ledger, moved: list["Book"]) -> None:
        """``moved`` is where the book puts itself when its best price or quantity may be another than was told."""
        self.symbol = rules.symbol
        self.moved = moved
        self.fees = ledger.fees.balance(rules.quote)
        self.bids, self.asks = Ladder("buy", 1, shown=True), Ladder("sell", -1, shown=True)
        self.buy_stops, self.sell_stops = Ladder("buy", -1, shown=False), Ladder("sell", 1, shown=False)
        self.elected: deque[Order] = deque()
        """Stops that a trade reached and that have not traded yet, in that order."""
        self.halted = False
        self.last_price: int | None = None
        self.sequence = 0
        self.best = (0, 0, 0, 0)
        self.best_moved = False
        self.follow(rules)

    def follow(self, rules: Symbol) -> None:
        """Take over the rules. Notionals are compared in ticks times lots, which is what price times quantity gives."""
        self.rules = rules
        self.base, self.quote = rules.base, rules.quote
        self.base_units, self.quote_units = rules.base_units, rules.quote_units
        self.min_quantity, self.max_quantity = rules.min_quantity, rules.max_quantity
        self.min_notional, self.max_notional = rules.notional_bounds()
        self.band_down, self.band_up = BPS_PER_ONE - rules.band_bps, BPS_PER_ONE + rules.band_bps
        self._follow_fees(rules)
        self.move_band(self.last_price or rules.reference_price)

    def _follow_fees(self, rules: Symbol) -> None:
        """What one tick times one lot costs in fees: the ``rate``, exactly, in 1/10,000 of a unit of the quote.

        Of nearly every symbol that is a number of whole units (``whole_fees``), so that no fee has to be rounded: then
        ``fee`` is that number, and ``cost`` what a buy of one lot at one tick pays, or has to hold, with its fee.
        """
        self.maker_rate = self.quote_units * rules.maker_fee_bps
        self.taker_rate = self.quote_units * rules.taker_fee_bps
        self.hold_rate = max(self.maker_rate, self.taker_rate)
        self.whole_fees = not (self.maker_rate % BPS_PER_ONE or self.taker_rate % BPS_PER_ONE)
        self.maker_fee, self.taker_fee = self.maker_rate // BPS_PER_ONE, self.taker_rate // BPS_PER_ONE
        self.maker_cost = self.quote_units + self.maker_fee
        self.hold_cost = self.quote_units + self.hold_rate // BPS_PER_ONE

    def move_band(self, reference: int) -> None:
        """Lay the price band around a price: ``Symbol.band``, with the factors at hand."""
        self.lowest = -(-reference * self.band_down // BPS_PER_ONE)
        self.highest = reference * self.band_up // BPS_PER_ONE

    def level_changed(self, level: Level, events: list[Event]) -> None:
        """Tell of a level's new quantity, drop it when nothing is left, and note when the best is touched."""
        ladder, key, quantity = level.ladder, level.key, level.quantity
        if not quantity:
            ladder.drop(key)
        self.sequence = sequence = self.sequence + 1
        events.append(LevelChanged(self.symbol, ladder.side, level.price, quantity, sequence))
        keys = ladder.keys
        if (not keys or key >= keys[-1]) and not self.best_moved:
            self.best_moved = True
            self.moved.append(self)

    def tell_best(self, events: list[Event]) -> None:
        """Tell the best prices and quantities, where they are others than those last told."""
        self.best_moved = False
        bids, asks = self.bids, self.asks
        bid_price = bid_quantity = ask_price = ask_quantity = 0
        if bids.keys:
            bid = bids.levels[bids.keys[-1]]
            bid_price, bid_quantity = bid.price, bid.quantity
        if asks.keys:
            ask = asks.levels[asks.keys[-1]]
            ask_price, ask_quantity = ask.price, ask.quantity
        best = (bid_price, bid_quantity, ask_price, ask_quantity)
        if best != self.best:
            self.best = best
            events.append(BestChanged(self.symbol, bid_price, bid_quantity, ask_price, ask_quantity))

    def depth(self, levels_max: int | None = None) -> Depth:
        return Depth(
            self.symbol, self.sequence, self.bids.depth(levels_max), self.asks.depth(levels_max), self.checksum()
        )

    def checksum(self) -> int:
        """CRC32 over the ten best bids, then asks, as ``price:quantity`` joined by commas."""
        levels = self.bids.depth(CHECKSUM_LEVELS) + self.asks.depth(CHECKSUM_LEVELS)
        return zlib.crc32(",".join(f"{price}:{quantity}" for price, quantity in levels).encode())
