"""The updates of one channel and product, in log order: the newest of them, and the snapshot they amount to."""

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from services.gateway.hub import Product
from services.gateway.stream.channels import SOURCES, Channel
from services.gateway.stream.documents import Snapshot
from services.gateway.stream.documents import Update as UpdateDocument
from services.gateway.stream.frames import frame_of
from services.gateway.stream.memories import SNAPSHOT_EVENTS_MAX, Book
from services.runtime.clock import rfc3339

if TYPE_CHECKING:
    from services.gateway.stream.cohorts import Cohort


class Update:
    """One update with its place in the log. It is encoded when the first client needs it, and once."""

    __slots__ = ("_frame", "event", "previous", "sequence", "series")

    def __init__(self, series: "Series", sequence: int, previous: int | None, event: Any) -> None:
        self.series = series
        self.sequence = sequence
        self.previous = previous
        self.event = event
        self._frame: bytes | None = None

    def follow(self, previous: int) -> None:
        """The update before it has become known."""
        self.previous = previous
        self._frame = None

    @property
    def is_state(self) -> bool:
        return self.series.channel.is_state(self.event)

    @property
    def frame(self) -> bytes:
        """The whole WebSocket frame."""
        if self._frame is None:
            series = self.series
            self._frame = frame_of(
                UpdateDocument(
                    series.channel.name,
                    *series.product,
                    self.sequence,
                    self.previous,
                    rfc3339(SOURCES[series.channel.topic].time_ns(self.event)),
                    series.channel.data(self.event),
                )
            )
        return self._frame


class Refresh:
    """The snapshot once more, among the updates: what they amount to is not what is so. It has no place in the log."""

    __slots__ = ("frame", "series")

    is_state = True

    def __init__(self, series: "Series", now_ns: int) -> None:
        self.series = series
        self.frame = series.snapshot(now_ns)


class Series:
    """Give it the records of its product in log order, which are in one ``partition``.

    ``updates`` are the newest; every update from the offset ``known_from`` on is among them. ``followers`` are the
    cohorts of clients that follow it.
    """

    __slots__ = (
        "_snapshot", "channel", "followers", "known_from", "memory", "partition", "product", "sequence", "updates",
    )  # fmt: skip

    def __init__(
        self, channel: Channel, product: Product, partition: int, *, window: int, updates_max: int, known_from: int
    ) -> None:
        self.channel = channel
        self.product = product
        self.partition = partition
        self.memory = channel.memory(window)
        self.updates: deque[Update] = deque(maxlen=updates_max)
        self.known_from = known_from
        self.sequence: int | None = None
        self.followers: set[Cohort] = set()
        self._snapshot: bytes | None = None

    def absorb(self, offset: int, event: Any, *, repeat: bool, exact: bool) -> Update | None:
        """The update that this record is, if it is one. ``exact`` is false while too little of the log was read to tell
        repeats: then it may be in the snapshot, but it has no place."""
        if not self.memory.absorb(offset, event, repeat):
            return None
        self._snapshot = None
        if not exact:
            return None
        if len(self.updates) == self.updates.maxlen:
            self.known_from = self.updates[0].sequence + 1
        update = Update(self, offset, self.sequence, event)
        self.updates.append(update)
        self.sequence = offset
        return update

    def refresh(self, now_ns: int) -> Refresh | None:
        """After a record: what those who follow it need beside the updates."""
        if not isinstance(self.memory, Book) or not self.memory.is_another:
            return None
        self.changed_memory()
        return Refresh(self, now_ns)

    def after(self, sequence: int) -> list[Update] | None:
        """The updates after the one at ``sequence``, oldest first; None where that is none of those in memory."""
        if sequence == self.sequence:
            return []
        found: list[Update] = []
        for update in reversed(self.updates):
            if update.sequence <= sequence:
                return found[::-1] if update.sequence == sequence else None
            found.append(update)
        return None

    def since(self, offset: int) -> list[Update] | None:
        """The updates from an offset on, oldest first; None where older ones than are in memory belong to them."""
        if offset < self.known_from:
            return None
        found: list[Update] = []
        for update in reversed(self.updates):
            if update.sequence < offset:
                break
            found.append(update)
        return found[::-1]

    def learn_previous(self, sequence: int) -> None:
        """The log says which was the last update before ``known_from``."""
        if self.sequence is None:
            self.sequence = sequence
        elif self.updates and self.updates[0].previous is None and sequence < self.updates[0].sequence:
            self.updates[0].follow(sequence)

    def changed_memory(self) -> None:
        """Its memory was given something that no record said."""
        self._snapshot = None

    def snapshot(self, now_ns: int) -> bytes:
        """The whole frame, made once until the next update."""
        if self._snapshot is None:
            newest = list(islice(reversed(self.updates), SNAPSHOT_EVENTS_MAX))[::-1]
            time_ns = SOURCES[self.channel.topic].time_ns(newest[-1].event) if newest else now_ns
            data = self.memory.snapshot(newest)
            self._snapshot = frame_of(Snapshot(self.channel.name, *self.product, self.sequence, rfc3339(time_ns), data))
        return self._snapshot


def empty_snapshot(channel: Channel, product: Product, now_ns: int) -> bytes:
    """The whole frame of a snapshot of what has no record yet."""
    data = channel.memory(0).snapshot([])
    return frame_of(Snapshot(channel.name, *product, None, rfc3339(now_ns), data))
