"""What the venues share in reading frames: times, products, and which exceptions mean that data cannot be used."""

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from services.adapters.venues.base import BadFrame, BadTrade, Event, Trades
from services.contracts.errors import PeerError
from services.contracts.events import Trade
from services.runtime.clock import parse_rfc3339

UNUSABLE = (PeerError, ValueError, RecursionError)
"""What reading a frame may raise for its data's sake; msgspec's errors and UnicodeError are ValueErrors."""

MESSAGE_MAX = 200
"""Characters of an exchange's own words that are handed on."""

MICROSECOND_LENGTH = len("2026-01-02T03:04:05.678901Z")
"""Of the usual time, which is read the quick way."""

SECONDS_MAX = 256
"""Seconds remembered: trades come many to a second, so the second is looked up and only the fraction read."""


class _Seconds(dict[str, int]):
    def __missing__(self, text: str) -> int:
        if len(self) >= SECONDS_MAX:
            self.clear()
        self[text] = nanoseconds = parse_rfc3339(text + "Z")
        return nanoseconds


_seconds = _Seconds()


def time_ns(text: str) -> int:
    """An RFC 3339 time with 0 to 9 fractional digits, to nanoseconds since the epoch. Raises PeerError."""
    try:
        if len(text) == MICROSECOND_LENGTH and text[-1] == "Z":
            return _seconds[text[:19]] + int(text[20:26]) * 1_000
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise PeerError("time", f"not an RFC 3339 time: {text[:MESSAGE_MAX]!r}") from None


class Labels(dict[str, str]):
    """What a product is called on the wire, to what was asked for. Anything else is a PeerError."""

    def __missing__(self, wire_name: str) -> str:
        raise PeerError("product", f"{wire_name[:MESSAGE_MAX]!r} was not asked for")

    def of(self, wire_names: Iterable[str]) -> tuple[str, ...]:
        """The labels of those asked for, the others left out."""
        return tuple(dict.fromkeys(self[name] for name in wire_names if name in self))


_by_number = attrgetter("trade_number")


def trades_event(trades: list[Trade]) -> list[Event]:
    """The trades of one frame in the order of their numbers."""
    if len(trades) > 1:
        trades.sort(key=_by_number)
    return [Trades(trades)]


def bad_trade(error: Exception, frame: str | bytes) -> BadTrade:
    """Why one trade cannot be used. The type is a label of metrics, so it comes from a fixed set."""
    error_type = error.error_type if isinstance(error, PeerError) else "type"
    return BadTrade(error_type, str(error)[:MESSAGE_MAX], frame)


def bad_frame(error: Exception) -> BadFrame:
    return BadFrame(str(error)[:MESSAGE_MAX] or type(error).__name__)


def decode_history[T](decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Decode a REST answer. Raises PeerError."""
    try:
        return decoder.decode(body)
    except UNUSABLE as error:
        raise PeerError("history", f"{error}: {body[:MESSAGE_MAX]!r}") from None
