"""What a dialect is: the exchange's half of a protocol. It opens no socket, reads no clock and logs nothing."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import NS_PER_S

NS_PER_US = 1_000
PAGE_MAX = 1000
"""Trades on one page of every one of these exchanges' histories."""


class Answer(msgspec.Struct, frozen=True):
    """What a REST request gets."""

    status: int
    body: bytes
    headers: dict[str, str] = {}


class Shift(msgspec.Struct, frozen=True):
    """How far a recording is moved: one constant for its ids, one for its times."""

    numbers: int
    time_ns: int

    def trade(self, trade: ExchangeTrade) -> ExchangeTrade:
        return msgspec.structs.replace(trade, number=trade.number + self.numbers, time_ns=trade.time_ns + self.time_ns)


class RecordedFrame(msgspec.Struct, frozen=True):
    """One frame of a recording, understood.

    ``text`` is what goes over the wire as it is; None where each connection needs a frame of its own, made from the
    trades (Coinbase's ``sequence_num`` counts per connection). ``snapshot``: the trades were history when it was sent.
    """

    stream: str
    trades: tuple[ExchangeTrade, ...] = ()
    snapshot: bool = False
    text: str | None = None


class Session(ABC):
    """One client's connection. ``streams`` are what it subscribed to, in names of the dialect's own."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.streams: set[str] = set()

    @staticmethod
    @abstractmethod
    def trade_stream(product_id: str) -> str:
        """The name of the stream that carries a product's trades."""

    @abstractmethod
    def on_text(self, text: str, now_ns: int) -> list[str]:
        """What the client sent; what it is answered, snapshots included. Never raises for what a client may send."""

    @abstractmethod
    def encode(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        """Frames of trades that happened now, all of them subscribed to."""

    def on_open(self, now_ns: int) -> list[str]:
        """What a client gets unasked."""
        return []

    def on_beat(self, now_ns: int) -> list[str]:
        """What is sent every ``Dialect.beat_s``."""
        return []

    def on_trades(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        """Frames of those trades that were subscribed to."""
        wanted = [trade for trade in trades if self.follows(trade.product_id)]
        return self.encode(wanted, now_ns) if wanted else []

    def on_recorded(self, frame: RecordedFrame, now_ns: int) -> list[str]:
        """The frame as it is where that was subscribed to, else frames of its trades."""
        if frame.text is None:
            return self.on_trades(frame.trades, now_ns)
        return [frame.text] if frame.stream in self.streams else []

    def follows(self, product_id: str) -> bool:
        return self.trade_stream(product_id) in self.streams


class Dialect(ABC):
    """One exchange's protocol."""

    name: ClassVar[str]
    path: ClassVar[str] = ""
    """The endpoint's path, as in the exchange's documentation."""
    time_resolution_ns: ClassVar[int] = NS_PER_US
    """How fine the times of trades are on the socket."""
    beat_s: ClassVar[float] = 1.0
    """Seconds from one heartbeat to the next."""
    pings: ClassVar[bool] = False
    """Whether the exchange sends WebSocket pings, one with every beat."""

    @abstractmethod
    def session(self, market: Market, path: str) -> Session:
        """A new connection to ``path`` (with its query)."""

    @abstractmethod
    def history(self, market: Market, path: str, query: Mapping[str, str]) -> Answer:
        """Answer a GET."""

    @abstractmethod
    def read(self, text: str) -> RecordedFrame | None:
        """Understand a frame that the exchange once sent; None for one that is not its market data. Never raises."""

    def shifted(self, frame: RecordedFrame, shift: Shift) -> RecordedFrame:
        """The frame with its ids and times moved."""
        trades = tuple(shift.trade(trade) for trade in frame.trades)
        return msgspec.structs.replace(frame, trades=trades)


def decode_object(text: str) -> dict[str, Any]:
    """A JSON object; empty for anything else, which no dialect takes for a message of its own."""
    try:
        message = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def strings(value: object) -> list[str]:
    """The strings of a JSON list; none where it is something else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def dumps(message: object) -> str:
    return msgspec.json.encode(message).decode()


def answer(message: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, msgspec.json.encode(message), headers or {})


def bounded(text: str | None, default: int, highest: int = PAGE_MAX) -> int:
    """A ``limit`` of a query, kept within 1 to ``highest``. Raises ValueError for what is not a number."""
    return default if text is None else min(max(int(text), 1), highest)


def wire_time(time_ns: int) -> str:
    """RFC 3339 with six digits, as these exchanges write it: ``2021-04-17T16:43:30.244075Z``."""
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{head}.{nanoseconds // NS_PER_US:06d}Z"
