"""What an exchange is to us: text in, events out. A venue opens no socket, reads no clock and logs nothing.

The shell (``services/feed``) owns the socket and the clock and does what the returned actions say. A venue object lives
for one connection; the shell makes a new one for the next. Third parties register theirs under the entry point group
``tickplane.venues`` and check it with ``tickplane venue check MODULE``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from services.contracts.events import Origin, Trade

# ---- events: what a frame says


class Trades(msgspec.Struct, frozen=True, gc=False):
    """Trades of one frame, oldest first by id within each product. A Struct, for there is one with every frame."""

    trades: list[Trade]


@dataclass(frozen=True, slots=True)
class BadTrade:
    """One trade of a frame that cannot be used; the rest of the frame goes on."""

    error_type: str
    message: str
    frame: str | bytes


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that cannot be used at all."""

    message: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The exchange acknowledged these products."""

    products: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange refused this product; the others run on."""

    product_id: str
    message: str


@dataclass(frozen=True, slots=True)
class TailSeen:
    """The exchange says that ``trade_number`` exists: a hole at the tail of a quiet product shows."""

    product_id: str
    trade_number: int


@dataclass(frozen=True, slots=True)
class FramesLost:
    """The exchange's own sequence jumped: frames were lost on this connection."""

    count: int


@dataclass(frozen=True, slots=True)
class Alive:
    """A message that carries nothing but that the session lives (heartbeat, pong, status)."""


Event = Trades | BadTrade | BadFrame | Subscribed | Rejected | TailSeen | FramesLost | Alive

# ---- actions: what the shell shall do


@dataclass(frozen=True, slots=True)
class Send:
    text: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """This session is dead or of no use: close it and open another after the backoff."""

    reason: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Open a second session now, and close this one once the second has acknowledged: no hole."""

    reason: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Events that need no frame (a venue without a socket makes its trades here)."""

    events: list[Event]


Action = Send | Reconnect | HandOver | Emit

# ---- history: repairs and backfill over REST


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """A GET. ``cursor`` is the venue's own note to itself for the next page."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Trades of one answer (any order) and the request that goes on towards older (or the gap's end), if any.

    The page is gapless between its lowest and highest number by the exchange's own account: ids absent between two
    present neighbours do not exist (``void``).
    """

    trades: list[Trade]
    next: HistoryRequest | None


@dataclass(frozen=True, slots=True)
class RequestBudget:
    """What the venue's documentation allows: ``requests`` per ``per_s`` seconds."""

    requests: int
    per_s: float


class Venue(ABC):
    """One connection's worth of an exchange's protocol."""

    name: ClassVar[str]
    """The venue's name: ``coinbase-exchange``."""
    exchange: ClassVar[str]
    """The default label in the data: ``coinbase``."""
    endpoint: ClassVar[str | None]
    """The default WebSocket URL; None where there is no socket (``demo``)."""
    history_endpoint: ClassVar[str | None] = None
    """The default base URL of the REST history; None where there is none."""
    history_budget: ClassVar[RequestBudget] = RequestBudget(1, 1.0)
    """The documented request limit of the history, with its page in the class's docstring."""
    history_by_time: ClassVar[bool] = False
    """Whether the history pages forward from a time, rather than by trade numbers."""
    history_time_tolerance_ns: ClassVar[int] = 0
    """How far a trade's time in the history may be from the socket's, where one is given more finely than the other."""
    silence_limit_s: ClassVar[float]
    """No message of any kind for this long is a dead connection."""
    ids_contiguous: ClassVar[bool]
    """Whether each product's trade numbers go up by one, so that a hole is a gap."""

    def __init__(
        self, products: Sequence[str], *, exchange: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """``products`` are ``BASE-QUOTE``; ``settings`` are the venue's own (bounded map of a MarketFeed)."""
        self.products = tuple(products)
        self.label = exchange or self.exchange
        self.settings = dict(settings or {})

    def url(self, endpoint: str) -> str:
        """The URL to open, from the endpoint configured or the default one."""
        return endpoint

    @abstractmethod
    def on_open(self, now_ns: int) -> list[Action]:
        """The socket is open: what to send. Message-rate limits are kept by sending the rest from ``on_tick``."""

    @abstractmethod
    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        """One frame. Never raises: what cannot be used is a BadFrame or a BadTrade."""

    @abstractmethod
    def on_tick(self, now_ns: int) -> list[Action]:
        """Called about every 100 ms: pings, paced sends, silence of a subscription, hand-over."""

    def history_request(
        self, product_id: str, first: int, last: int, *, before_time_ns: int, after_time_ns: int | None
    ) -> HistoryRequest:
        """Ask for the numbers ``first`` to ``last`` and, where it can, both neighbours.

        The two times are those of the trades around the gap, for exchanges that page by time (None: not known).
        """
        raise NotImplementedError

    def on_history(
        self,
        product_id: str,
        request: HistoryRequest,
        body: bytes,
        headers: Mapping[str, str],
        received_ns: int,
        *,
        first: int,
        last: int,
        origin: Origin,
    ) -> HistoryPage:
        """Parse one answer (header names in lower case). Raises PeerError where it cannot be used."""
        raise NotImplementedError

    def history_local(self, product_id: str, first: int, last: int, received_ns: int, origin: Origin) -> list[Trade]:
        """A venue without REST (``demo``) makes the trades itself. Only called where ``history_endpoint`` is None."""
        raise NotImplementedError
