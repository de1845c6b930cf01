"""What a client of ``/ws/marketdata`` says, and what it is told. Pure: bytes in, bytes out.

A frame of the wrong shape is a ``BadTick``, which becomes an error frame. A tick that breaks a rule is not ours to
judge: the validator answers it as INVALID.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.contracts import events
from services.contracts.errors import PeerError
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1

Status = Literal["VALID", "INVALID", "UNKNOWN"]
ErrorCode = Literal["not_json", "not_an_object", "bad_request", "binary_frame", "too_long", "unanswered"]
STATUSES: dict[int, Status] = {
    ValidatedTrade.UNKNOWN: "UNKNOWN",
    ValidatedTrade.VALID: "VALID",
    ValidatedTrade.INVALID: "INVALID",
}


class Tick(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One tick as the client sends it. ``price`` is finite; ``volume`` fits the contract's int64."""

    instrument_id: str
    price: float
    volume: Annotated[int, msgspec.Meta(ge=INT64_MIN, le=INT64_MAX)]


class Answer(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One validated trade. Integers of 64 bits are text: a browser would lose their digits."""

    trade_id: str
    instrument_id: str
    price: float | None
    volume: str
    timestamp_ns: str
    status: Status
    vwap20m: float
    reason: str | UnsetType = UNSET
    """What is wrong with a tick that is INVALID."""
    broadcast: bool | UnsetType = UNSET
    """True on the trades of everybody, so that they are told from the answers to one's own ticks."""


class TickSent(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The tick that an error is about, as the gateway stamped it."""

    instrument_id: str
    price: float
    volume: str
    timestamp_ns: str


class Error(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="error"):
    """A frame that is no answer. The socket stays."""

    code: ErrorCode
    detail: str
    tick: TickSent | UnsetType = UNSET


class BadTick(PeerError):
    """A frame that is no tick; ``payload`` tells the client."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(code, detail)
        self.payload = encode(Error(code, detail))


class Messages:
    """Joins the frames of one client to messages (RFC 6455, 5.4), of which it keeps ``bytes_max`` at most."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._begun = b""
        self._length = 0
        self._is_text = True

    def add(self, payload: bytes, *, is_text: bool, is_continuation: bool, is_last: bool) -> bytes | None:
        """The whole message once its last frame is there. Raises BadTick, at its last frame too, for one that is not
        text or is too long."""
        if not is_continuation:
            self._begun, self._length, self._is_text = b"", 0, is_text
        self._length += len(payload)
        if self._length <= self._bytes_max:
            self._begun += payload
        return self._whole() if is_last else None

    def _whole(self) -> bytes:
        whole, self._begun = self._begun, b""
        if not self._is_text:
            raise BadTick("binary_frame", "send ticks as JSON text")
        if self._length > self._bytes_max:
            raise BadTick("too_long", f"a tick is at most {self._bytes_max} bytes, not {self._length}")
        return whole


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tick).decode


def parse(message: bytes) -> Tick:
    """Raises BadTick: ``not_json``, ``not_an_object``, or ``bad_request`` with the path of what is wrong. Fields that
    are none of a tick's are passed over."""
    try:
        return _decode(message)
    except msgspec.ValidationError as error:
        code: ErrorCode = "bad_request" if message.lstrip()[:1] == b"{" else "not_an_object"
        raise BadTick(code, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadTick("not_json", str(error)) from None


def answer_frame(trade: ValidatedTrade) -> bytes:
    """The validator's answer to one tick."""
    return encode(
        Answer(
            trade.trade_id,
            trade.instrument_id,
            trade.price,
            str(trade.volume),
            str(trade.timestamp_ns),
            STATUSES.get(trade.status, "UNKNOWN"),
            trade.vwap_20m,
            trade.reason if trade.HasField("reason") else UNSET,
        )
    )


def broadcast_frame(trade: events.ValidatedTrade) -> bytes:
    """A trade of anybody's, from ``validated_trades``."""
    return encode(
        Answer(
            trade.trade_id,
            trade.instrument_id,
            trade.price,
            str(trade.volume),
            str(trade.timestamp_ns),
            trade.status,
            trade.vwap_20m,
            trade.reason or UNSET,
            broadcast=True,
        )
    )


def unanswered_frame(tick: RawMarketTick) -> bytes:
    """Told of each tick that the validator may or may not have taken before it went away."""
    sent = TickSent(tick.instrument_id, tick.price, str(tick.volume), str(tick.timestamp_ns))
    detail = "the validator went away before it answered: whether it took this tick is not known"
    return encode(Error("unanswered", detail, sent))
