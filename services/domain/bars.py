"""The bars of one product over time: what a batch changes, what closes, what becomes complete. Pure.

Between batches only a little is in memory: the newest bars, those not closed, and the id spans of those not complete.
An older bar that a late trade reaches is handed in by the caller (``wanted`` says which, ``provide`` brings them).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from services.contracts.events import CLOCK_ORDINAL, Candle, Trade, input_sequence
from services.domain.candles import NS_PER_MINUTE, RESOLUTIONS, Bar, absorb, bar_start, merge
from services.domain.intervals import Intervals
from services.domain.seen import Seen

STATE_VERSION = 1

Key = tuple[str, int]
"""Resolution and start in nanoseconds."""

_ORDER = {resolution: index for index, resolution in enumerate(RESOLUTIONS)}
_DERIVED_ORDINAL = len(RESOLUTIONS)
"""Bars that a record closed or completed without being in them are numbered after those that it is in."""
KEPT_PER_RESOLUTION = 2
"""Closed bars kept in memory: late trades mostly reach the newest ones."""


INCOMPLETE_MAX = 10_000
"""Incomplete bars of one product that are still watched; a repair of older ones leaves them marked incomplete."""


class ProductState(msgspec.Struct):
    """What is stored of a product between batches, beside its bars."""

    version: int = STATE_VERSION
    seen: Seen = msgspec.field(default_factory=Seen)
    voids: Intervals = msgspec.field(default_factory=Intervals)
    """Numbers that do not exist. Apart from ``seen``: should a trade have such a number after all, it counts."""
    newest_time: int = 0
    last_sequence: int = -1


@dataclass(slots=True)
class StoredBar:
    """A bar and where it stands. ``sequence`` is that of the newest change."""

    bar: Bar
    closed: bool = False
    complete: bool = False
    revision: int = 0
    sequence: int = -1


@dataclass(slots=True)
class Minute:
    """The trades of one minute of one batch, and the offset of the last of them."""

    bar: Bar
    offset: int


@dataclass
class ProductBars:
    exchange: str
    product_id: str
    state: ProductState = field(default_factory=ProductState)
    bars: dict[Key, StoredBar] = field(default_factory=dict)
    incomplete: dict[Key, tuple[int, int]] = field(default_factory=dict)
    """Lowest and highest trade number of each stored bar that is not complete."""
    _minutes: dict[int, Minute] = field(default_factory=dict)
    _offset: int = -1
    _newest_stored: int = 0
    _voids_added: bool = False
    _rebuilt: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._newest_stored = self.state.newest_time

    # ---- a batch: absorb, wanted, provide, settle

    def absorb(self, trade: Trade, offset: int) -> bool:
        """Fold one trade. False for one that was folded before."""
        if not self.state.seen.add(trade):
            return False
        start = trade.time - trade.time % NS_PER_MINUTE
        minute = self._minutes.get(start)
        if minute is None:
            self._minutes[start] = Minute(Bar.of(trade), offset)
        else:
            absorb(minute.bar, trade)
            minute.offset = offset
        if trade.time > self.state.newest_time:
            self.state.newest_time = trade.time
        self._offset = offset
        return True

    def pass_over(self, trade: Trade) -> None:
        """A trade that is in no bar, being too old: to the others as if its number did not exist."""
        if trade.trade_number is not None:
            self.absorb_voids([(trade.trade_number, trade.trade_number)])

    def absorb_voids(self, runs: Iterable[tuple[int, int]]) -> None:
        """These numbers do not exist, by the exchange's own history."""
        for first, last in runs:
            if not self.state.voids.covers(first, last):
                self.state.voids.add_run(first, last)
                self._voids_added = True

    def rebuild(self, fresh: Mapping[Key, Bar], stored: Mapping[Key, StoredBar]) -> int:
        """Take bars computed anew in place of those stored, at the next ``settle``. Returns how many differ."""
        for key, bar in fresh.items():
            old = stored.get(key)
            if old is None:
                self.bars[key] = StoredBar(bar)
            elif bar != old.bar:
                self.bars[key] = StoredBar(bar, old.closed, False, old.revision, old.sequence)
            else:
                continue
            self._note_span(key, self.bars[key])
            self._rebuilt.add(key)
        return len(self._rebuilt)

    def touched(self) -> bool:
        return bool(self._minutes) or self._voids_added or bool(self._rebuilt)

    def closable(self, clock_ns: int, grace_ns: int) -> bool:
        """Whether the clock alone closes a bar."""
        return bool(self._due(clock_ns, grace_ns))

    def wanted(self) -> list[Key]:
        """Stored bars that this batch needs and that are not in memory."""
        needed = {
            (resolution, bar_start(start, length))
            for start in self._minutes
            for resolution, length in RESOLUTIONS.items()
        }
        needed.update(self._completed())
        return [key for key in needed if key not in self.bars and not self._is_new(key)]

    def provide(self, key: Key, stored: StoredBar) -> None:
        self.bars[key] = stored

    def settle(self, *, clock_ns: int, head: int, grace_ns: int) -> list[tuple[Key, StoredBar]]:
        """End the batch: what changed, in the order of its sequence.

        ``clock_ns`` is the broker's time up to which the partition is read, ``head`` the offset behind what was read.
        """
        changed = set[Key]()
        for start, minute in self._minutes.items():
            changed |= self._merge(start, minute)
        by_record = self._close(self.state.newest_time, grace_ns) | self._complete()
        by_clock = self._close(clock_ns, grace_ns) | self._rebuilt
        if self._offset < 0 or self._voids_added:
            # No record of this topic caused it: voids come by another one, and a shorter grace by a restart.
            by_record, by_clock = set(), by_clock | by_record
        self._number(by_record, input_sequence(self._offset, _DERIVED_ORDINAL))
        self._number(by_clock, max(input_sequence(head - 1, CLOCK_ORDINAL), self.state.last_sequence + 1))
        changed |= by_record | by_clock
        for key in changed:
            stored = self.bars[key]
            stored.revision += int(stored.closed)
        result = sorted(((key, self.bars[key]) for key in changed), key=lambda item: item[1].sequence)
        self._end_batch(result)
        return result

    # ---- parts of settle

    def _merge(self, start: int, minute: Minute) -> set[Key]:
        keys = set()
        for resolution, length in RESOLUTIONS.items():
            key = (resolution, bar_start(start, length))
            stored = self.bars.get(key)
            if stored is None:
                stored = self.bars[key] = StoredBar(minute.bar.copy())
            else:
                merge(stored.bar, minute.bar)
            stored.sequence = max(stored.sequence, input_sequence(minute.offset, _ORDER[resolution]))
            self._note_span(key, stored)
            keys.add(key)
        return keys

    def _number(self, keys: set[Key], base: int) -> None:
        for ordinal, key in enumerate(sorted(keys)):
            self.bars[key].sequence = max(self.bars[key].sequence, base + ordinal)

    def _close(self, now_ns: int, grace_ns: int) -> set[Key]:
        due = set(self._due(now_ns, grace_ns))
        for key in due:
            self.bars[key].closed = True
        return due

    def _due(self, now_ns: int, grace_ns: int) -> list[Key]:
        return [
            key
            for key, stored in self.bars.items()
            if not stored.closed and key[1] + RESOLUTIONS[key[0]] + grace_ns <= now_ns
        ]

    def _complete(self) -> set[Key]:
        """A bar that was wanted and not provided is stored no longer: it is only not watched any more."""
        completed = self._completed()
        for key in completed:
            del self.incomplete[key]
        found = {key for key in completed if key in self.bars}
        for key in found:
            self.bars[key].complete = True
        return found

    def _completed(self) -> list[Key]:
        return [key for key, (lowest, highest) in self.incomplete.items() if self._covers(lowest - 1, highest + 1)]

    def _covers(self, first: int, last: int) -> bool:
        """Whether each of these numbers was seen or does not exist."""
        seen, voids = self.state.seen.numbers, self.state.voids
        return seen.covers(first, last) or (
            bool(voids.starts) and all(voids.covers(*hole) for hole in seen.missing(first, last))
        )

    def _note_span(self, key: Key, stored: StoredBar) -> None:
        """A bar's span of ids grew: whether it is complete has to be found out again."""
        stored.complete = False
        if stored.bar.lowest_number is not None and stored.bar.highest_number is not None:
            self.incomplete[key] = (stored.bar.lowest_number, stored.bar.highest_number)

    def _is_new(self, key: Key) -> bool:
        return key[1] > bar_start(self._newest_stored, RESOLUTIONS[key[0]])

    def _end_batch(self, changed: list[tuple[Key, StoredBar]]) -> None:
        self._minutes, self._offset, self._voids_added, self._rebuilt = {}, -1, False, set()
        self._newest_stored = self.state.newest_time
        if changed:
            self.state.last_sequence = max(self.state.last_sequence, changed[-1][1].sequence)
        for resolution in RESOLUTIONS:
            closed = sorted(key for key, stored in self.bars.items() if key[0] == resolution and stored.closed)
            for key in closed[:-KEPT_PER_RESOLUTION]:
                del self.bars[key]
        if len(self.incomplete) > INCOMPLETE_MAX:
            for key in sorted(self.incomplete, key=lambda key: key[1])[:-INCOMPLETE_MAX]:
                del self.incomplete[key]


def candle(exchange: str, product_id: str, key: Key, stored: StoredBar) -> Candle:
    """The event of a stored bar."""
    bar = stored.bar
    return Candle(
        exchange=exchange,
        product_id=product_id,
        resolution=key[0],
        timestamp=key[1],
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        quote_volume=bar.quote_volume,
        trade_count=bar.trade_count,
        first_trade_id=bar.first_trade_id,
        last_trade_id=bar.last_trade_id,
        closed=stored.closed,
        complete=stored.complete,
        revision=stored.revision,
        input_sequence=stored.sequence,
    )
