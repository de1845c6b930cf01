"""Which trade numbers of one product a feed has published, and which it has not. Pure.

Where an exchange's ids go up by one, a number that is skipped opens a gap. A gap is whole from its first number to its
last until every number of it is there (``repaired``) or known not to exist (``void``).
"""

from dataclasses import dataclass, field

from services.contracts.events import FeedState, Gap, GapStatus
from services.domain.intervals import Intervals

OPEN_MAX = 1_000
"""Open gaps of a product. Beyond it the oldest is given up as ``lost``: it leaves the list, and stays in Postgres."""
CLOSED_KEPT = 100
"""Closed gaps that the state still lists, so that whoever reads it now and then learns how each of them ended."""
VOIDS_KEPT = 1_000
"""Newest void runs that the state lists."""


@dataclass
class OpenGap:
    """``found`` are the numbers that are there or void. ``before_time`` is that of the trade before the run."""

    first: int
    last: int
    opened_time: int
    before_time: int | None = None
    reason: str = ""
    found: Intervals = field(default_factory=Intervals)
    voids: int = 0

    def missing(self) -> list[tuple[int, int]]:
        return self.found.missing(self.first, self.last)

    def event(self, status: GapStatus = "open", closed_time: int | None = None) -> Gap:
        count = sum(last - first + 1 for first, last in self.missing())
        return Gap(
            first=self.first,
            last=self.last,
            missing=count,
            status=status,
            opened_time=self.opened_time,
            closed_time=closed_time,
            reason=self.reason,
            before_time=self.before_time,
        )


class GapTracker:
    """What has been published of one product. Begun from the state that the feed before it left, or from nothing."""

    def __init__(self, state: FeedState | None = None) -> None:
        self.highest = state.contiguous_number if state else None
        self.newest_time = state.last_trade_time if state else None
        self.open: list[OpenGap] = []
        self.closed: list[Gap] = list(state.closed_gaps) if state else []
        self.voids: list[tuple[int, int]] = list(state.voids) if state else []
        for gap in state.open_gaps if state else ():
            self.open.append(OpenGap(gap.first, gap.last, gap.opened_time, gap.before_time, gap.reason))

    def is_new(self, number: int) -> bool:
        """Whether a trade with this number has still to be published."""
        if self.highest is None or number > self.highest:
            return True
        gap = self._gap_of(number)
        return gap is not None and number not in gap.found

    def published(self, number: int, time: int, now_ns: int) -> OpenGap | None:
        """A trade was published. Returns the gap that it opened by being above the next number, if it did."""
        opened = None
        if self.highest is not None and number == self.highest + 1:
            self.highest = number
        elif self.highest is None or number > self.highest:
            opened = self._open_up_to(number - 1, now_ns)
            self.highest = number
        else:
            gap = self._gap_of(number)
            if gap is not None:
                gap.found.add(number)
                self._close_if_whole(gap, now_ns)
        if self.newest_time is None or time > self.newest_time:
            self.newest_time = time
        return opened

    def tail_seen(self, number: int, now_ns: int) -> OpenGap | None:
        """The exchange says that this number exists: what is not there up to it is a gap."""
        if self.highest is None or number <= self.highest:
            return None
        opened = self._open_up_to(number, now_ns)
        self.highest = number
        return opened

    def void(self, first: int, last: int, now_ns: int) -> None:
        """These numbers do not exist: the exchange's own history shows both neighbours and not them."""
        for gap in [gap for gap in self.open if gap.first <= last and first <= gap.last]:
            for start, end in gap.found.missing(max(first, gap.first), min(last, gap.last)):
                gap.found.add_run(start, end)
                gap.voids += end - start + 1
                self.voids = [*self.voids, (start, end)][-VOIDS_KEPT:]
            self._close_if_whole(gap, now_ns)

    def _open_up_to(self, last: int, now_ns: int) -> OpenGap | None:
        if self.highest is None or last <= self.highest:
            return None
        gap = OpenGap(self.highest + 1, last, now_ns, self.newest_time)
        self.open.append(gap)
        if len(self.open) > OPEN_MAX:
            oldest = self.open.pop(0)
            oldest.reason = f"more than {OPEN_MAX} gaps are open"
            self._keep_closed(oldest.event("lost", now_ns))
        return gap

    def _gap_of(self, number: int) -> OpenGap | None:
        return next((gap for gap in self.open if gap.first <= number <= gap.last), None)

    def _close_if_whole(self, gap: OpenGap, now_ns: int) -> None:
        if gap.missing():
            return
        self.open.remove(gap)
        whole = gap.voids == gap.last - gap.first + 1
        self._keep_closed(gap.event("void" if whole else "repaired", now_ns))

    def _keep_closed(self, gap: Gap) -> None:
        self.closed = [*self.closed, gap][-CLOSED_KEPT:]
