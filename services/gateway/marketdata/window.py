"""The ticks of one socket on their way, and how fast more may come. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.contracts.proto.market_data_pb2 import RawMarketTick

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@dataclass(slots=True)
class Passage:
    """One tick on its way, with its spans where it is traced: of the whole way, and of the call."""

    tick: RawMarketTick
    whole: "Span | None" = None
    call: "Span | None" = None

    @property
    def spans(self) -> "list[Span]":
        """Those there are, the inner one first."""
        return [span for span in (self.call, self.whole) if span is not None]


class Window:
    """What waits to be written to the validator, and what was written and is not answered yet: each answer is that of
    the oldest. The two together are what ``ticks_max`` bounds; whoever reads the socket stops while it is full."""

    def __init__(self, ticks_max: int) -> None:
        self._ticks_max = ticks_max
        self._waiting: deque[Passage] = deque()
        self._unanswered: deque[Passage] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unanswered)

    @property
    def is_full(self) -> bool:
        return len(self) >= self._ticks_max

    @property
    def has_room(self) -> bool:
        """Whether it is worth reading again: half of it is free."""
        return 2 * len(self) <= self._ticks_max

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    @property
    def is_unanswered(self) -> bool:
        return bool(self._unanswered)

    def is_due(self, timestamp_ns: int) -> bool:
        """Whether that is the tick whose answer has to come next."""
        return bool(self._unanswered) and self._unanswered[0].tick.timestamp_ns == timestamp_ns

    def add(self, passage: Passage) -> None:
        self._waiting.append(passage)

    def next(self) -> Passage:
        """The next one to write: from now on it may have been taken. Raises IndexError where none waits."""
        passage = self._waiting.popleft()
        self._unanswered.append(passage)
        return passage

    def answered(self) -> Passage:
        """The one whose answer has come. Raises IndexError where no answer is due."""
        return self._unanswered.popleft()

    def take_back(self) -> None:
        """What was written was not taken: it is written again, in the same order."""
        self._waiting.extendleft(reversed(self._unanswered))
        self._unanswered.clear()

    def lose(self) -> list[Passage]:
        """Give up what was written and not answered."""
        lost = list(self._unanswered)
        self._unanswered.clear()
        return lost

    def clear(self) -> list[Passage]:
        """Give up all of it."""
        lost = [*self._unanswered, *self._waiting]
        self._unanswered.clear()
        self._waiting.clear()
        return lost


class Pace:
    """``per_second``, after a second's worth at once (the generic cell rate algorithm, ITU-T I.371)."""

    BURST_S = 1.0

    def __init__(self, per_second: float) -> None:
        self._interval_s = 1 / per_second
        self._due_s = 0.0

    def take(self, now_s: float) -> None:
        """Count one."""
        self._due_s = max(self._due_s, now_s) + self._interval_s

    def wait_s(self, now_s: float) -> float:
        """How long to wait before the next: 0 within the pace."""
        return max(0.0, self._due_s - now_s - self.BURST_S)
