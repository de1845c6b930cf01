"""One symbol's book as a reader of the topic ``book`` has it: levels, from a snapshot and what changed since.

A delta is folded where it follows what was folded before, and the book after it must have the record's checksum. Where
one of the two does not hold the copy is lost: a book with a level too many is worse than none. It is found again with
the next snapshot.
"""

import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable
from enum import Enum
from itertools import islice

from services.contracts.lab import BookLevel, BookUpdate
from services.domain.book import CHECKSUM_LEVELS
from services.domain.money import plain
from services.domain.symbols import multiple

Level = tuple[str, str]
"""Price and quantity as decimal text."""


class Fold(Enum):
    """What a record did to the copy."""

    FOLLOWED = "followed"
    """It is the next one, or says nothing that the copy does not have."""
    FOUND = "found"
    """There was no copy, and now there is."""
    UNKNOWN = "unknown"
    """There was no copy, and there still is none."""
    HOLE = "hole"
    """Something is missing before it."""
    CHECKSUM = "checksum"
    """The book after it is not the one it says."""


class BookCopy:
    """``sequence`` is the number of the last level change folded; None while there is no copy."""

    __slots__ = ("_asks", "_bids", "checksum", "last", "sequence")

    def __init__(self) -> None:
        self._bids, self._asks = _Side(1), _Side(-1)
        self.sequence: int | None = None
        self.checksum = 0
        self.last: BookUpdate | None = None
        """The record folded last: the copy is the book after it."""

    def fold(self, record: BookUpdate) -> Fold:
        """Take one record of the symbol, in log order and without repeats."""
        if record.kind == "snapshot":
            return self._take(record)
        if self.sequence is None:
            return self._begin(record)
        if record.sequence <= self.sequence:
            return Fold.FOLLOWED
        if record.previous != self.sequence:
            self._lose()
            return Fold.HOLE
        return Fold.FOLLOWED if self._apply(record) else Fold.CHECKSUM

    def bids(self, levels_max: int) -> list[Level]:
        """The best levels, best first."""
        return self._bids.best_first(levels_max)

    def asks(self, levels_max: int) -> list[Level]:
        """The best levels, best first."""
        return self._asks.best_first(levels_max)

    def _begin(self, record: BookUpdate) -> Fold:
        """Nothing came before a book's first change: what it changes is an empty book."""
        if record.previous:
            return Fold.UNKNOWN
        return Fold.FOUND if self._apply(record) else Fold.CHECKSUM

    def _take(self, record: BookUpdate) -> Fold:
        """A snapshot of the book that the copy is may have fewer levels; one of any other takes its place."""
        known = self.sequence is not None
        if (record.sequence, record.checksum) == (self.sequence, self.checksum):
            return Fold.FOLLOWED
        self._lose()
        if not self._apply(record):
            return Fold.CHECKSUM
        return Fold.HOLE if known else Fold.FOUND

    def _apply(self, record: BookUpdate) -> bool:
        """Whether the book after it has its checksum; if not, the copy is lost."""
        fits = self._bids.write(record.bids, record) and self._asks.write(record.asks, record)
        if not fits or self._checksum() != record.checksum:
            self._lose()
            return False
        self.sequence, self.checksum, self.last = record.sequence, record.checksum, record
        return True

    def _lose(self) -> None:
        self._bids, self._asks = _Side(1), _Side(-1)
        self.sequence, self.last = None, None

    def _checksum(self) -> int:
        """As ``docs/order-lab.md`` has it."""
        return zlib.crc32(",".join([*self._bids.checked(), *self._asks.checked()]).encode())


class _Side:
    """Levels by key, price in ticks times ``sign``: +1 for bids, -1 for asks, so that the best has the highest key."""

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[int] = []
        self._levels: dict[int, tuple[str, Level]] = {}
        """Each as the checksum has it, and as decimals."""

    def write(self, levels: Iterable[BookLevel], record: BookUpdate) -> bool:
        """Whether all of them are of whole ticks and lots."""
        for price, quantity in levels:
            ticks, lots = multiple(price, record.tick_size), multiple(quantity, record.lot_size)
            if ticks is None or lots is None:
                return False
            key = ticks * self._sign
            if not lots:
                self._drop(key)
                continue
            if key not in self._levels:
                insort(self._keys, key)
            self._levels[key] = f"{ticks}:{lots}", (plain(price), plain(quantity))
        return True

    def checked(self) -> list[str]:
        """The best levels as the checksum has them."""
        return [self._levels[key][0] for key in reversed(self._keys[-CHECKSUM_LEVELS:])]

    def best_first(self, levels_max: int) -> list[Level]:
        return [self._levels[key][1] for key in islice(reversed(self._keys), levels_max)]

    def _drop(self, key: int) -> None:
        if self._levels.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
