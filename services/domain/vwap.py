"""A true 20-minute VWAP per instrument by event time, exact to the tick.

**Exact.** A double is an integer times a power of two, so every price is an integer on a common grid, and the sum of
price x volume an integer too: no rounding until the one division at the end, which Python rounds correctly. Each tick
is one integer that carries both sums, ``(price on the grid << VOLUME_BITS | 1) * volume``: adding such integers adds
notionals above and volumes below.

**Quick.** Ticks stand in blocks, sorted by time. The window that ends at the newest tick has a running sum and a
pointer to its first tick: a tick in time order is appended, and the pointer moves over what has left, O(1) amortised.
A late tick is inserted into its block, and its own window is summed by a Fenwick tree over the blocks, O(log n); the
tree is made again, lazily, when blocks are split or removed, which is once in ``BLOCK_TICKS`` insertions at most.

**Bounded.** Beyond ``ticks_max`` the oldest ticks are merged per second. A merged second counts as a tick at its
beginning: a window that begins or ends within it has all of it or nothing.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

WINDOW_NS = 20 * 60 * 1_000_000_000
SECOND_NS = 1_000_000_000
NEVER = -(1 << 63)
BLOCK_TICKS = 64
VOLUME_BITS = 96
"""Volumes are below 2**63 each: this has room for the sum of 2**33 of them."""
VOLUME_MASK = (1 << VOLUME_BITS) - 1
GRID_BITS = 64
"""The grid's finest step is 2**-GRID_BITS to begin with, and made finer for prices that want it."""
GRID_PRICE_MIN = 2.0 ** (53 - GRID_BITS)
GRID_PRICE_MAX = 2.0**900
"""Between these a double times 2**GRID_BITS is a whole number, and no infinity."""
GRID_SCALE = 2.0**GRID_BITS
TRIM_PART = 8
"""What has left is removed, and what is merged is merged, an eighth of the blocks at a time: seldom enough not to
matter, often enough not to keep much."""


class Block:
    """Some ticks in time order, and their sum."""

    __slots__ = ("sum", "sums", "times")

    def __init__(self, times: array[int], sums: list[int]) -> None:
        self.times = times
        self.sums = sums
        self.sum = sum(sums)

    def ticks(self) -> Iterator[tuple[int, int]]:
        """(time, value) of each."""
        return zip(self.times, self.sums, strict=True)

    def up_to(self, index: int) -> int:
        """The sum of the first ``index``."""
        return self.sum if index == len(self.sums) else sum(self.sums[:index])


class FenwickTree:
    """Prefix sums of a sequence that is appended to and changed anywhere, each in O(log n).

    https://en.wikipedia.org/wiki/Fenwick_tree
    """

    def __init__(self) -> None:
        self._nodes = [0]

    def __len__(self) -> int:
        return len(self._nodes) - 1

    def append(self, value: int) -> None:
        index = len(self._nodes)
        self._nodes.append(value + self.up_to(index - 1) - self.up_to(index & (index - 1)))

    def add(self, index: int, value: int) -> None:
        """Add to the item at ``index``."""
        node = index + 1
        while node < len(self._nodes):
            self._nodes[node] += value
            node += node & -node

    def up_to(self, count: int) -> int:
        """The sum of the first ``count`` items."""
        found = 0
        while count:
            found += self._nodes[count]
            count &= count - 1
        return found


class Window:
    """The ticks of one instrument. Times are nanoseconds, within 64 bits; prices finite and above 0; volumes above 0.

    ``lateness_ns`` is how far behind the newest a tick may be and find all of its own window here. What is further back
    than that and the window is forgotten by and by.
    """

    def __init__(self, ticks_max: int, lateness_ns: int) -> None:
        self._ticks_max = ticks_max
        self._horizon_ns = WINDOW_NS + lateness_ns
        self._bits = GRID_BITS
        self._blocks: list[Block] = []
        self._begins: list[int] = []
        """The time of each block's first tick."""
        self._tree = FenwickTree()
        """Over the blocks' sums but the newest block's, which ticks in time order change."""
        self._count = 0
        self._merged_blocks = 0
        self._merged_until = 0
        """The time of the last tick in those blocks, before it was merged."""
        self.merged_ticks = 0
        """How many were merged; whoever counts them sets it back."""
        # The running window: what is after newest - WINDOW_NS.
        self._newest = NEVER
        self._running = 0
        self._first = (0, 0)
        """Block and index of the running window's first tick."""
        self._first_leaves = 0
        """When it will have left."""

    def __len__(self) -> int:
        """Ticks and merged seconds kept."""
        return self._count

    def add(self, time: int, price: float, volume: int) -> None:
        value = (self._on_grid(price) << VOLUME_BITS | 1) * volume
        if time >= self._newest:
            self._append(time, value)
        else:
            self._insert(time, value)
        if self._count > self._ticks_max:
            self._make_room()

    def vwap(self, time: int) -> float:
        """Over the ticks in (time - 20 min, time], correctly rounded; 0 where there are none."""
        found = self._running if time == self._newest else self._up_to(time) - self._up_to(time - WINDOW_NS)
        volume = found & VOLUME_MASK
        return (found >> VOLUME_BITS) / (volume << self._bits) if volume else 0.0

    # ---- the grid

    def _on_grid(self, price: float) -> int:
        """The price in units of 2**-bits, a whole number."""
        if self._bits == GRID_BITS and GRID_PRICE_MIN <= price <= GRID_PRICE_MAX:
            return int(price * GRID_SCALE)
        numerator, denominator = price.as_integer_ratio()
        bits = denominator.bit_length() - 1
        if bits > self._bits:
            self._refine(bits + -bits % GRID_BITS)
        return numerator << self._bits - bits

    def _refine(self, bits: int) -> None:
        """A finer grid for all: 17 times at most, as a double has 1,074 bits behind the point."""
        finer = bits - self._bits

        def refined(value: int) -> int:
            return (value >> VOLUME_BITS << finer + VOLUME_BITS) | (value & VOLUME_MASK)

        self._bits = bits
        self._running = refined(self._running)
        for block in self._blocks:
            block.sums = [refined(value) for value in block.sums]
            block.sum = refined(block.sum)
        self._tree = FenwickTree()

    # ---- in time order

    def _append(self, time: int, value: int) -> None:
        if not self._blocks or len(self._blocks[-1].sums) >= BLOCK_TICKS:
            self._forget_old()
            self._blocks.append(Block(array("q"), []))
            self._begins.append(time)
        block = self._blocks[-1]
        block.times.append(time)
        block.sums.append(value)
        block.sum += value
        self._count += 1
        self._newest = time
        self._running += value
        if time >= self._first_leaves:
            self._leave(time - WINDOW_NS)

    def _leave(self, until: int) -> None:
        """Move the running window's first tick beyond ``until``. There is one: the newest."""
        number, index = self._first
        while self._blocks[number].times[index] <= until:
            self._running -= self._blocks[number].sums[index]
            index += 1
            if index == len(self._blocks[number].times):
                number, index = number + 1, 0
        self._first = (number, index)
        self._first_leaves = self._blocks[number].times[index] + WINDOW_NS

    def _forget_old(self) -> None:
        """Remove what is beyond all that a late tick may ask for, once it is an eighth of the blocks."""
        count = self._old_blocks()
        if count > len(self._blocks) // TRIM_PART:
            self._forget(count)

    def _old_blocks(self) -> int:
        """How many blocks have nothing within the horizon."""
        return max(0, bisect_right(self._begins, self._newest - self._horizon_ns) - 1)

    def _forget(self, count: int) -> None:
        self._count -= sum(len(block.times) for block in self._blocks[:count])
        del self._blocks[:count], self._begins[:count]
        self._merged_blocks = max(0, self._merged_blocks - count)
        self._find_first()
        self._tree = FenwickTree()

    # ---- late

    def _insert(self, time: int, value: int) -> None:
        first = 0
        if self._merged_blocks and time <= self._merged_until:
            time -= time % SECOND_NS
            if self._add_to_second(time, value):
                return
        elif self._merged_blocks:
            first = self._merged_blocks
        number = max(first, bisect_right(self._begins, time) - 1)
        block = self._blocks[number]
        index = bisect_right(block.times, time)
        block.times.insert(index, time)
        block.sums.insert(index, value)
        self._begins[number] = block.times[0]
        self._count += 1
        self._added(number, time, value)
        if len(block.times) > 2 * BLOCK_TICKS:
            self._split(number)
        self._find_first()

    def _add_to_second(self, second: int, value: int) -> bool:
        """Whether that second is there, merged."""
        number = max(0, bisect_right(self._begins, second) - 1)
        block = self._blocks[number]
        index = bisect_left(block.times, second)
        if number >= self._merged_blocks or index == len(block.times) or block.times[index] != second:
            return False
        block.sums[index] += value
        self._added(number, second, value)
        self.merged_ticks += 1
        return True

    def _added(self, number: int, time: int, value: int) -> None:
        """Bring the sums that are kept up to date."""
        self._blocks[number].sum += value
        if number < len(self._tree):
            self._tree.add(number, value)
        if time > self._newest - WINDOW_NS:
            self._running += value

    def _split(self, number: int) -> None:
        times, sums = self._blocks[number].times, self._blocks[number].sums
        halves = [Block(times[:BLOCK_TICKS], sums[:BLOCK_TICKS]), Block(times[BLOCK_TICKS:], sums[BLOCK_TICKS:])]
        self._blocks[number : number + 1] = halves
        self._begins[number : number + 1] = [half.times[0] for half in halves]
        if number < self._merged_blocks:
            self._merged_blocks += 1
        self._tree = FenwickTree()

    def _find_first(self) -> None:
        """The running window's first tick, by its time."""
        until = self._newest - WINDOW_NS
        number = max(0, bisect_right(self._begins, until) - 1)
        index = bisect_right(self._blocks[number].times, until)
        if index == len(self._blocks[number].times):
            number, index = number + 1, 0
        self._first = (number, index)
        self._first_leaves = self._blocks[number].times[index] + WINDOW_NS

    def _up_to(self, time: int) -> int:
        """The sum of all ticks not after ``time``."""
        number = bisect_right(self._begins, time) - 1
        if number < 0:
            return 0
        for block in self._blocks[len(self._tree) : -1]:
            self._tree.append(block.sum)
        block = self._blocks[number]
        return self._tree.up_to(number) + block.up_to(bisect_right(block.times, time))

    # ---- bounds

    def _make_room(self) -> None:
        """Forget what is old; else merge an eighth of the blocks not merged yet, the oldest, per second. The newest
        block stays as it is."""
        if old := self._old_blocks():
            self._forget(old)
            return
        begin, last = self._merged_blocks, len(self._blocks) - 1
        if begin < last:
            self._merge(begin, begin + max(1, (last - begin) // TRIM_PART))
            self._find_first()
            self._tree = FenwickTree()

    def _merge(self, begin: int, end: int) -> None:
        until = self._newest - WINDOW_NS
        # The newest of the merged blocks may have room, and the second that goes on.
        kept = max(0, begin - 1)
        seconds = {time: value for block in self._blocks[kept:begin] for time, value in block.ticks()}
        self._count -= len(seconds)
        for time, value in (tick for block in self._blocks[begin:end] for tick in block.ticks()):
            second = time - time % SECOND_NS
            seconds[second] = seconds.get(second, 0) + value
            self._count -= 1
            self.merged_ticks += 1
            if second <= until < time:
                # It was in the running window, and at the beginning of its second it is not.
                self._running -= value
        self._merged_until = self._blocks[end - 1].times[-1]
        self._count += len(seconds)
        self._blocks[kept:end] = _blocks(seconds)
        self._begins = [block.times[0] for block in self._blocks]
        self._merged_blocks = kept + -(-len(seconds) // BLOCK_TICKS)


def _blocks(ticks: dict[int, int]) -> list[Block]:
    """Blocks of ticks (time to sum) that are in order."""
    times, sums = array("q", ticks.keys()), list(ticks.values())
    return [Block(times[i : i + BLOCK_TICKS], sums[i : i + BLOCK_TICKS]) for i in range(0, len(sums), BLOCK_TICKS)]


class TooManyInstruments(Exception):
    """There is no room for a new one."""


class Windows:
    """The windows of every instrument, as many as there may be. Times as in ``Window``."""

    def __init__(self, ticks_max: int, instruments_max: int, lateness_ns: int) -> None:
        self._ticks_max = ticks_max
        self._instruments_max = instruments_max
        self._lateness_ns = lateness_ns
        self._windows: dict[str, Window] = {}
        self._touched: dict[str, int] = {}
        self._merged = 0
        """Ticks merged that were not taken note of."""

    def __len__(self) -> int:
        return len(self._windows)

    def ticks(self) -> int:
        """Ticks and merged seconds kept, of all."""
        return sum(map(len, self._windows.values()))

    def take_merged(self) -> int:
        """How many ticks were merged since the last call."""
        for window in self._windows.values():
            self._note_merged(window)
        merged, self._merged = self._merged, 0
        return merged

    def of(self, instrument_id: str, now_ns: int) -> Window:
        """The window to add a tick to at ``now_ns``. Raises TooManyInstruments."""
        window = self._windows.get(instrument_id)
        if window is None:
            if len(self._windows) >= self._instruments_max:
                raise TooManyInstruments(f"the ticks of {self._instruments_max} instruments are kept already")
            window = self._windows[instrument_id] = Window(self._ticks_max, self._lateness_ns)
        self._touched[instrument_id] = now_ns
        return window

    def forget_quiet(self, now_ns: int) -> None:
        """Drop the instruments to which nothing was added for the window and the lateness."""
        since_ns = now_ns - WINDOW_NS - self._lateness_ns
        for instrument_id in [name for name, touched_ns in self._touched.items() if touched_ns < since_ns]:
            self._note_merged(self._windows.pop(instrument_id))
            del self._touched[instrument_id]

    def _note_merged(self, window: Window) -> None:
        self._merged += window.merged_ticks
        window.merged_ticks = 0
