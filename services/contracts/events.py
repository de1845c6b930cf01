"""What travels on the topics. JSON, one event a record; decimals are strings, times are integer nanoseconds (UTC).

Every struct here has its JSON Schema in ``contracts/schemas``; a test refuses a removal or a change of type.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

Side = Literal["BUY", "SELL"]
Origin = Literal["live", "snapshot", "repair", "backfill", "replay"]
GapStatus = Literal["open", "repaired", "void", "lost"]
VerdictStatus = Literal["VALID", "INVALID"]
TickOrigin = Literal["stream", "topic"]
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade of one product, as an exchange reported it.

    ``side`` is the taker's. ``trade_number`` is the exchange's id as an integer, or None where ids are not
    ordered integers. ``time`` is the exchange's clock, ``received_time`` ours.
    """

    exchange: str
    product_id: str
    trade_id: str
    trade_number: int | None
    price: Decimal
    size: Decimal
    side: Side
    time: int
    received_time: int
    origin: Origin
    venue: str


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A run of trade numbers, ``first`` to ``last`` inclusive, that the feed has not published.

    ``missing`` counts the ids of the run still unseen. ``void``: the exchange's own history shows both neighbours
    and not the ids between. ``lost``: given up (too old, too many, repair off), the ``reason`` says why.
    """

    first: int
    last: int
    missing: int
    status: GapStatus
    opened_time: int
    closed_time: int | None = None
    reason: str = ""
    before_time: int | None = None
    """The time of the trade before the run, for exchanges whose history is asked by time."""


class FeedState(msgspec.Struct, frozen=True, gc=False):
    """How far a feed has published one product: written after its trades are acknowledged, read when it starts.

    ``contiguous_number`` is the highest number up to which everything was published, is void, or stands in a gap
    listed here; None before the first trade. ``voids`` are the newest void runs as [first, last] pairs.
    ``backfilled_since`` is how far back the history was fetched on purpose.
    """

    exchange: str
    product_id: str
    venue: str
    contiguous_number: int | None
    last_trade_time: int | None
    last_message_time: int | None
    open_gaps: tuple[Gap, ...] = ()
    closed_gaps: tuple[Gap, ...] = ()
    voids: tuple[tuple[int, int], ...] = ()
    backfilled_since: int | None = None
    written_time: int = 0


class LogIdentity(msgspec.Struct, frozen=True, gc=False):
    """The random value written once under the key ``_log`` of ``feed_state``: topics made anew have another."""

    log_id: str


class Candle(msgspec.Struct, frozen=True, gc=False):
    """One bar. ``timestamp`` is its start; ``revision`` is 0 while open, 1 at close, more with each correction.

    ``input_sequence`` rises with the input position that caused the record: a reader drops what is not above the
    highest it has seen of the same bar.
    """

    exchange: str
    product_id: str
    resolution: str
    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trade_count: int
    first_trade_id: str
    last_trade_id: str
    closed: bool
    complete: bool
    revision: int
    input_sequence: int


class Indicators(msgspec.Struct, frozen=True, gc=False):
    """The indicators of one product after one input. ``source`` is ``trade`` or a resolution such as ``1m``.

    ``values`` maps a name (``ema_12``, ``sma_20@1m``) to its value; a name that has no value yet is absent.
    ``input_sequence`` rises per (exchange, product, source).
    """

    exchange: str
    product_id: str
    source: str
    time: int
    values: dict[str, float]
    input_sequence: int


class RawTick(msgspec.Struct, frozen=True, gc=False):
    """A tick to be validated, as others publish it. ``timestamp_ns`` is the event's own time; any key will do."""

    instrument_id: str
    price: float
    volume: Int64
    timestamp_ns: Int64


class ValidatedTrade(msgspec.Struct, frozen=True, gc=False):
    """The verdict on one tick; ``trade_id`` is its identity. The key is the instrument.

    ``price`` is None where it was not finite, ``reason`` empty where the tick is valid, ``vwap_20m`` 0 where it is not.
    ``origin``: it came by gRPC (``stream``) or from ``raw_ticks`` (``topic``), from the ``input_partition``.
    ``instance_id`` is the process that answered. ``input_sequence`` rises within the input partition, and among those
    that came by gRPC within the process: a reader drops what is not above the highest it has seen of the same key.
    """

    trade_id: str
    instrument_id: str
    price: float | None
    volume: int
    timestamp_ns: int
    status: VerdictStatus
    reason: str
    vwap_20m: float
    validated_time: int
    origin: TickOrigin
    instance_id: str
    input_sequence: int
    input_partition: int | None = None


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """What was refused, and why. ``original_topic`` is None where a feed refused a trade before it was published."""

    original_topic: str | None
    original_partition: int | None
    original_offset: int | None
    original_key: str | None
    original_value: str
    original_value_encoding: Literal["utf-8", "base64"]
    original_size: int
    original_sha256: str
    error: str
    error_type: str
    exchange: str
    failed_at: int


ORDINALS_PER_OFFSET = 1 << 20
CLOCK_ORDINAL = 1 << 19
"""What the clock alone causes comes after everything that the record before it caused."""


def input_sequence(offset: int, ordinal: int = 0) -> int:
    """The order of what follows from the record at ``offset``; ``ordinal`` numbers several of one record."""
    return offset * ORDINALS_PER_OFFSET + ordinal


def input_offset(sequence: int) -> int:
    """The offset of the record that it follows from."""
    return sequence // ORDINALS_PER_OFFSET


def product_key(exchange: str, product_id: str) -> bytes:
    """The record key that keeps one product's records in order: ``exchange:product``."""
    return f"{exchange}:{product_id}".encode()
