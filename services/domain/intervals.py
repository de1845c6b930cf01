"""Sets of integers kept as runs: what trade numbers have been seen."""

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

RUNS_MAX = 10_000
"""Runs of one product. Beyond it the oldest holes are given up: what would fill them later counts as seen."""


class Intervals(msgspec.Struct):
    """Sorted, disjoint, non-adjacent inclusive runs: ``starts[i]`` to ``ends[i]``.

    Two parallel lists, because a look-up is then one bisect over plain integers, and the usual case (the next number
    in order) is one comparison and one assignment.
    """

    starts: list[int] = []
    ends: list[int] = []
    lost: int = 0
    """Holes given up so far."""

    def add(self, number: int) -> bool:
        """Whether the number is new."""
        ends = self.ends
        if ends and number == ends[-1] + 1:
            ends[-1] = number
            return True
        return self._insert(number)

    def add_run(self, first: int, last: int) -> None:
        """Add every number from ``first`` to ``last``."""
        low = bisect_right(self.ends, first - 2)
        high = bisect_right(self.starts, last + 1)
        if low < high:
            first = min(first, self.starts[low])
            last = max(last, self.ends[high - 1])
        self.starts[low:high] = [first]
        self.ends[low:high] = [last]
        self._give_up_oldest()

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.starts, number) - 1
        return index >= 0 and number <= self.ends[index]

    def covers(self, first: int, last: int) -> bool:
        """Whether every number from ``first`` to ``last`` is there."""
        index = bisect_right(self.starts, first) - 1
        return index >= 0 and last <= self.ends[index]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The runs between ``first`` and ``last`` that are not there."""
        holes = []
        cursor = first
        for index in range(max(0, bisect_right(self.starts, first) - 1), len(self.starts)):
            start, end = self.starts[index], self.ends[index]
            if start > last:
                break
            if start > cursor:
                holes.append((cursor, start - 1))
            cursor = max(cursor, end + 1)
        if cursor <= last:
            holes.append((cursor, last))
        return holes

    @property
    def runs(self) -> Iterable[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    @property
    def highest(self) -> int | None:
        return self.ends[-1] if self.ends else None

    def _insert(self, number: int) -> bool:
        index = bisect_right(self.starts, number) - 1
        if index >= 0 and number <= self.ends[index]:
            return False
        joins_left = index >= 0 and self.ends[index] == number - 1
        joins_right = index + 1 < len(self.starts) and self.starts[index + 1] == number + 1
        if joins_left and joins_right:
            self.ends[index] = self.ends.pop(index + 1)
            del self.starts[index + 1]
        elif joins_left:
            self.ends[index] = number
        elif joins_right:
            self.starts[index + 1] = number
        else:
            self.starts.insert(index + 1, number)
            self.ends.insert(index + 1, number)
            self._give_up_oldest()
        return True

    def _give_up_oldest(self) -> None:
        if len(self.starts) > RUNS_MAX:
            self.lost += 1
            del self.starts[1]
            del self.ends[0]
