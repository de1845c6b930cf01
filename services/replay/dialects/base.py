"""The exchange's side of its protocol: text in, text out. A dialect opens no socket and reads no clock.

It is the mirror of ``services.adapters.venues``: what a venue parses, a dialect writes. One object serves one
connection, with the history that all of them share; REST is answered from the same history.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from services.replay.history import ExchangeTrade, History
from services.runtime.clock import NS_PER_S


@dataclass(frozen=True, slots=True)
class Answer:
    """To a GET."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialect(ABC):
    """One connection. ``subscribed`` holds the wire names of the products whose trades the client has asked for."""

    name: ClassVar[str]
    """The venue's name whose other side this is: ``coinbase-exchange``."""
    time_unit_ns: ClassVar[int]
    """How finely the exchange gives times; those of its trades are multiples of it."""
    plays_as_recorded: ClassVar[bool] = False
    """Whether a recorded frame may be sent again as it is: nothing in it belongs to the connection it came by."""
    ping_interval_s: ClassVar[float | None] = None
    """The exchange sends a ping frame this often."""

    def __init__(self, history: History, known: Collection[str] | None) -> None:
        """``known`` are the wire names of the products there are; None: any name is one."""
        self.history = history
        self.known = known
        self.subscribed: set[str] = set()

    def knows(self, wire_name: str) -> bool:
        return self.known is None or wire_name in self.known

    @staticmethod
    @abstractmethod
    def wire_name(product: str) -> str:
        """``BTC-USD`` in the exchange's own words."""

    @staticmethod
    @abstractmethod
    def read_frame(frame: str) -> list[ExchangeTrade]:
        """The trades of a frame that the exchange once sent; none where it is another frame, or cannot be read."""

    def on_open(self, now_ns: int) -> list[str]:
        """What the exchange says first."""
        return []

    @abstractmethod
    def on_message(self, text: str, now_ns: int) -> list[str]:
        """What answers a client's message: acknowledgements, refusals, snapshots, pongs."""

    def on_tick(self, now_ns: int) -> list[str]:
        """Called once a second: heartbeats."""
        return []

    @abstractmethod
    def trade_frames(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        """Frames that carry these trades, of products subscribed, oldest first."""

    @abstractmethod
    def on_get(self, path: str, query: Mapping[str, str]) -> Answer:
        """The REST history."""


def encode(message: object) -> str:
    return msgspec.json.encode(message).decode()


def time_text(time_ns: int) -> str:
    """RFC 3339 with the six digits that the exchanges give: ``2026-01-02T03:04:05.678900Z``."""
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"


def whole(query: Mapping[str, str], name: str, default: int | None = None) -> int | None:
    """A whole number of a query, or ``default``. Raises ValueError for what is not one."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isdecimal() and len(text) < 20):
        raise ValueError(f"{name} is {text[:50]!r}")
    return int(text)
