"""What waits for a client that does not read. Pure: updates in, frames out.

Bounded in messages and bytes. Of a state only the newest is kept, and it says how many were skipped. Where it says only
what changed, as a book's does, the snapshot takes the place of what was skipped; it is made when it is sent. An event
is never left out: when there is no room for it, the client has to go and come back by sequence.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby

from services.gateway.stream.frames import with_skipped
from services.gateway.stream.series import Refresh, Series, Update


class _Waiting:
    """One frame of a backlog: of an update; without one, of the snapshot of ``series`` when it is sent; or any other.

    ``size`` is how many bytes wait.
    """

    __slots__ = ("_frame", "_update", "series", "size", "skipped")

    def __init__(self, frame: bytes = b"", update: Update | Refresh | None = None) -> None:
        self._frame = frame
        self._update = update
        self.series: Series | None = None if update is None else update.series
        self.size = len(frame if update is None else update.frame)
        self.skipped = 0

    def conflate(self, update: Update | Refresh) -> int:
        """A newer state takes the place of this one. Returns how many updates are left out by that."""
        before = self.skipped
        if update.series.channel.conflates_to_snapshot:
            self.skipped += sum(isinstance(one, Update) for one in (self._update, update))
            self._update, self.size = None, 0
        else:
            self.skipped += 1
            self._update, self.size = update, len(update.frame)
        return self.skipped - before

    def frame(self, now_ns: int) -> bytes:
        if self._update is not None:
            frame = self._update.frame
        else:
            frame = self._frame if self.series is None else self.series.snapshot(now_ns)
        return with_skipped(frame, self.skipped) if self.skipped else frame


class Backlog:
    """``add`` and ``add_frame`` say whether it still is within its bounds."""

    __slots__ = ("_bytes", "_bytes_max", "_messages_max", "_states", "_waiting", "skipped")

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._waiting: deque[_Waiting] = deque()
        self._states: dict[Series, _Waiting] = {}
        """Of each series whose newest frame here is a state, that one: what comes next may take its place."""
        self._bytes = 0
        self.skipped = 0
        """Updates left out so far."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, update: Update | Refresh) -> bool:
        """An update: a state takes the place of the state before it, an event waits behind it."""
        if not update.is_state:
            self._states.pop(update.series, None)
            return self._append(_Waiting(update=update))
        waiting = self._states.get(update.series)
        if waiting is None:
            waiting = self._states[update.series] = _Waiting(update=update)
            return self._append(waiting)
        self._bytes -= waiting.size
        self.skipped += waiting.conflate(update)
        self._bytes += waiting.size
        return self._fits()

    def add_frame(self, frame: bytes) -> bool:
        """A frame that is no update, or several frames. What comes later stays behind: it may be of the same series."""
        self._states.clear()
        return self._append(_Waiting(frame=frame))

    def take(self, bytes_max: int, now_ns: int) -> bytes:
        """Some frames from the front, one at least, of about ``bytes_max`` in all."""
        frames: list[bytes] = []
        taken = 0
        while self._waiting and taken < bytes_max:
            waiting = self._waiting.popleft()
            self._bytes -= waiting.size
            if waiting.series is not None and self._states.get(waiting.series) is waiting:
                del self._states[waiting.series]
            frames.append(waiting.frame(now_ns))
            taken += len(frames[-1])
        return b"".join(frames)

    def _append(self, waiting: _Waiting) -> bool:
        self._waiting.append(waiting)
        self._bytes += waiting.size
        return self._fits()

    def _fits(self) -> bool:
        return len(self._waiting) <= self._messages_max and self._bytes <= self._bytes_max


def conflated(updates: Iterable[Update]) -> Iterator[bytes]:
    """The frames of these updates of one series, of each run of states only the newest."""
    for is_state, run in groupby(updates, key=lambda update: update.is_state):
        if not is_state:
            yield from (update.frame for update in run)
            continue
        *left_out, newest = run
        yield with_skipped(newest.frame, len(left_out)) if left_out else newest.frame
