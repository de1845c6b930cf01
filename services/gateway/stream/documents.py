"""What a client of ``/v1/stream`` is sent: one struct a frame. The AsyncAPI document is made from them.

Prices and sizes are decimal strings, indicators are numbers, times are RFC 3339 (UTC).
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from services.contracts.events import Origin, Side
from services.contracts.lab import OrderSide

PROTOCOL = 1

RequestId = str | int | None
Sequence = Annotated[int, msgspec.Meta(ge=0)]
Time = Annotated[str, msgspec.Meta(description="RFC 3339, UTC", extra_json_schema={"format": "date-time"})]
Checksum = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
BookLevel = tuple[str, str]
ErrorCode = Literal[
    "not_json",
    "not_an_object",
    "bad_request",
    "unknown_op",
    "unknown_channel",
    "unknown_product",
    "too_many_subscriptions",
    "too_old",
    "unknown_sequence",
    "rate_limited",
    "binary_frame",
]


class TradeData(msgspec.Struct, frozen=True, gc=False):
    """One trade. ``side`` is the taker's."""

    trade_id: str
    price: str
    size: str
    side: Side
    origin: Origin


class TickerData(msgspec.Struct, frozen=True, gc=False):
    """The newest trade's price and size."""

    price: str
    last_size: str
    trade_id: str
    side: Side


class CandleData(msgspec.Struct, frozen=True, gc=False):
    """One bar. ``timestamp`` is its start. ``closed`` is false while it is open; ``revision`` counts corrections."""

    timestamp: Time
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    vwap: str
    trade_count: int
    first_trade_id: str
    last_trade_id: str
    closed: bool
    complete: bool
    revision: int


class IndicatorsData(msgspec.Struct, frozen=True, gc=False):
    """The indicators that one input changed. ``source`` is ``trade`` or a resolution."""

    source: str
    values: dict[str, float]


class ValidatedData(msgspec.Struct, frozen=True, gc=False):
    """The verdict on one tick. Integers of 64 bits are text: a browser would lose their digits."""

    trade_id: str
    instrument_id: str
    price: float | None
    volume: str
    timestamp_ns: str
    status: Literal["VALID", "INVALID"]
    vwap_20m: float
    reason: str | UnsetType = UNSET


class ExecutionData(msgspec.Struct, frozen=True, gc=False):
    """One trade of the order lab. Whose it was is not told."""

    execution_id: str
    price: str
    quantity: str
    taker_side: OrderSide


class BookData(msgspec.Struct, frozen=True, gc=False):
    """The levels that one command changed, as price and quantity; those with the quantity ``0`` are gone. It goes from
    the book at ``book_previous`` to the one at ``book_sequence``; best prices and checksum are of the book after it."""

    book_sequence: Sequence
    book_previous: Sequence
    bids: list[BookLevel]
    asks: list[BookLevel]
    best_bid: BookLevel | None
    best_ask: BookLevel | None
    checksum: Checksum


class PlacedExecution(ExecutionData, frozen=True, gc=False):
    """One execution of a snapshot, with its place in the log."""

    sequence: Sequence
    time: Time


class PlacedTrade(TradeData, frozen=True, gc=False):
    """One trade of a snapshot, with its place in the log."""

    sequence: Sequence
    time: Time


class PlacedValidated(ValidatedData, frozen=True, gc=False, kw_only=True):
    """One validated trade of a snapshot, with its place in the log."""

    sequence: Sequence
    time: Time


class TradesSnapshot(msgspec.Struct, frozen=True):
    """The newest trades, oldest first."""

    trades: list[PlacedTrade]


class CandlesSnapshot(msgspec.Struct, frozen=True):
    """The newest closed bar and the open one, as far as they are known."""

    candles: list[CandleData]


class IndicatorsSnapshot(msgspec.Struct, frozen=True):
    """Every indicator's latest value."""

    values: dict[str, float]


class ValidatedSnapshot(msgspec.Struct, frozen=True):
    """The newest validated trades, oldest first."""

    trades: list[PlacedValidated]


class ExecutionsSnapshot(msgspec.Struct, frozen=True):
    """The newest executions, oldest first."""

    executions: list[PlacedExecution]


class BookSnapshot(msgspec.Struct, frozen=True):
    """The book at ``book_sequence``: its best levels, best first, as price and quantity."""

    book_sequence: Sequence
    bids: list[BookLevel]
    asks: list[BookLevel]
    checksum: Checksum
    tick_size: str
    lot_size: str


class Limits(msgspec.Struct, frozen=True):
    """What a connection may ask for."""

    subscriptions_max: int
    frame_bytes_max: int
    requests_per_second_max: int


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The first frame. ``log_id`` names the log that sequences are places in: those of another log mean nothing."""

    protocol: int
    log_id: str | None
    time: Time
    heartbeat_interval_s: float
    limits: Limits


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """A request was taken; the names are those of the request."""

    id: str | int
    op: Literal["subscribe", "unsubscribe", "resume"]
    channel: str
    exchange: str
    products: list[str]


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """A frame was refused, or could not be followed to the letter. ``id`` is the request's, where it could be read."""

    id: RequestId
    code: ErrorCode
    detail: str


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to a ``ping``."""

    id: str | int
    time: Time


class Snapshot[T](msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """What is so now. ``sequence`` is the newest of this channel and product, null where there is none yet. ``skipped``
    updates, which it takes the place of, were left out because the client did not read, or was away."""

    channel: str
    exchange: str
    product: str
    sequence: Sequence | None
    time: Time
    data: T
    skipped: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET


class Update[T](msgspec.Struct, frozen=True, tag_field="type", tag="update"):
    """One change. ``previous`` is the sequence before it on this channel and product, null where the log read so far
    does not tell. ``skipped`` updates before it were left out because the client did not read."""

    channel: str
    exchange: str
    product: str
    sequence: Sequence
    previous: Sequence | None
    time: Time
    data: T
    skipped: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET


class NewestSequence(msgspec.Struct, frozen=True):
    """Where one channel and product of a heartbeat stands."""

    channel: str
    exchange: str
    product: str
    sequence: Sequence | None


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """Sent on a connection that was sent nothing else for a while."""

    time: Time
    sequences: list[NewestSequence]


class Goodbye(msgspec.Struct, frozen=True, tag_field="type", tag="goodbye"):
    """The gateway stops: the connection is closed after ``reconnect_after_ms``, with 1001. Come back then."""

    reason: str
    reconnect_after_ms: int
