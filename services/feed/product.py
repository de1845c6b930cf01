"""What a feed knows of one product."""

from collections import deque
from dataclasses import dataclass, field

from services.contracts.events import FeedState, Trade, product_key
from services.domain.gaps import GapTracker

RECENT_KEPT = 50
"""Trades that came by socket, kept to hold a repair source against."""


@dataclass
class Product:
    exchange: str
    product_id: str
    venue: str
    tracker: GapTracker = field(default_factory=GapTracker)
    subscribed: bool = False
    rejected: str = ""
    last_message_time: int | None = None
    backfilled_since: int | None = None
    first: Trade | None = None
    """The first trade that this process published: what a backfill starts from."""
    backfill_last: int | None = None
    """The number that a backfill under way goes on from, downwards."""
    recent: deque[Trade] = field(default_factory=lambda: deque(maxlen=RECENT_KEPT))
    changed: bool = False
    """Whether the state written last is behind."""

    @property
    def key(self) -> bytes:
        return product_key(self.exchange, self.product_id)

    def resume(self, state: FeedState) -> None:
        """Go on from where a feed before this one was."""
        self.tracker = GapTracker(state)
        self.last_message_time = state.last_message_time
        self.backfilled_since = state.backfilled_since

    def state(self, now_ns: int) -> FeedState:
        return FeedState(
            exchange=self.exchange,
            product_id=self.product_id,
            venue=self.venue,
            contiguous_number=self.tracker.highest,
            last_trade_time=self.tracker.newest_time,
            last_message_time=self.last_message_time,
            open_gaps=tuple(gap.event() for gap in self.tracker.open),
            closed_gaps=tuple(self.tracker.closed),
            voids=tuple(self.tracker.voids),
            backfilled_since=self.backfilled_since,
            written_time=now_ns,
        )
