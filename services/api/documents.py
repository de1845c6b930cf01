"""What the api answers: one struct a document. They are encoded as they stand, and the OpenAPI is made from them.

Decimals are strings, times RFC 3339 (UTC).
"""

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from services.domain.money import plain, vwap
from services.runtime.clock import rfc3339


class Candle(msgspec.Struct, gc=False):
    """One bar. ``timestamp`` is its start. ``closed`` is false while it is open; ``revision`` counts corrections."""

    exchange: str
    product_id: str
    timestamp: str
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


class Trade(msgspec.Struct, gc=False):
    """One trade. ``side`` is the taker's; ``time`` is the exchange's clock, ``received_time`` ours."""

    exchange: str
    product_id: str
    trade_id: str
    trade_number: int | None
    price: str
    size: str
    side: str
    time: str
    received_time: str
    origin: str
    venue: str


class TradePage(msgspec.Struct, gc=False):
    """Newest first. ``next_cursor`` asks for the page after this one; null on the last."""

    trades: list[Trade]
    next_cursor: str | None


class Ticker(msgspec.Struct, gc=False):
    """The newest trade of a product."""

    exchange: str
    product_id: str
    price: str
    size: str
    side: str
    time: str
    trade_id: str


class Indicators(msgspec.Struct, gc=False):
    """The latest indicators of a product, by name."""

    exchange: str
    product_id: str
    time: str
    values: dict[str, float]


class Gap(msgspec.Struct, gc=False):
    """Trade numbers ``first`` to ``last`` that were not received. ``missing`` of them are still unseen."""

    exchange: str
    product_id: str
    first: int
    last: int
    missing: int
    status: str
    reason: str
    opened_time: str
    closed_time: str | None


class Product(msgspec.Struct, gc=False):
    """A product that a feed has published."""

    exchange: str
    product_id: str
    venue: str
    last_trade_time: str | None


class Examples(msgspec.Struct, gc=False):
    """URLs that answer, made for a product that is there; null while there is none."""

    candles: str | None
    trades: str | None
    ticker: str | None
    crypto: str | None
    indicators: str | None


class Markets(msgspec.Struct, gc=False):
    exchanges: list[str]
    products: list[Product]
    resolutions: list[str]
    examples: Examples


class FeedStatus(msgspec.Struct, gc=False):
    """How far the feed of one product is. ``contiguous_number``: everything up to it is there, void, or a known gap."""

    exchange: str
    product_id: str
    venue: str
    contiguous_number: int | None
    last_trade_time: str | None
    last_message_time: str | None
    open_gaps: int
    written_time: str


class Lag(msgspec.Struct, gc=False):
    """Records of one partition that a consumer group has not stored yet. Null where the end is not known."""

    consumer_group: str
    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    lag: int | None


class GapCount(msgspec.Struct, gc=False):
    """Gaps of one status (``open``, ``repaired``, ``void``, ``lost``) and the trades missing in them."""

    status: str
    gaps: int
    missing: int


class Dependency(msgspec.Struct, gc=False):
    """``latency_ms`` is how long its last answer took; null where that is not known, and while it is down."""

    up: bool
    since: str
    detail: str
    latency_ms: float | None


class Status(msgspec.Struct, gc=False):
    ready: bool
    dependencies: dict[str, Dependency]
    feeds: list[FeedStatus]
    lag: list[Lag]
    gaps: list[GapCount]


class Readiness(msgspec.Struct, gc=False):
    service: str
    ready: bool
    started: bool
    draining: bool
    dependencies: dict[str, Dependency]


class Liveness(msgspec.Struct, gc=False):
    status: str


class Problem(msgspec.Struct, gc=False):
    """Why a request was refused."""

    detail: str


DOCUMENTS: tuple[Any, ...] = (
    Candle,
    TradePage,
    Ticker,
    Indicators,
    Gap,
    Markets,
    Status,
    Readiness,
    Liveness,
    Problem,
)


def candle(exchange: str, product_id: str, row: Any) -> Candle:
    """A row of ``api_candles``."""
    start, open_, high, low, close, volume, quote_volume, *rest = row
    return Candle(
        exchange,
        product_id,
        _bar_start(start),
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        plain(vwap(Decimal(quote_volume), Decimal(volume))),
        *rest,
    )


@lru_cache(20_000)
def _bar_start(time_ns: int) -> str:
    """All products share the starts of bars, so most are made once: two weeks of minutes."""
    return rfc3339(time_ns)


def trade(exchange: str, product_id: str, row: Any) -> Trade:
    """A row of ``api_trades``."""
    trade_id, number, price, size, side, time, received_time, origin, venue = row
    times = rfc3339(time), rfc3339(received_time)
    return Trade(exchange, product_id, trade_id, number, price, size, side, *times, origin, venue)


def gap(row: Any) -> Gap:
    """A row of ``api_gaps``."""
    exchange, product_id, first, last, missing, status, reason, opened_time, closed_time = row
    times = rfc3339(opened_time), time_or_none(closed_time)
    return Gap(exchange, product_id, first, last, missing, status, reason, *times)


def time_or_none(time_ns: int | None) -> str | None:
    return None if time_ns is None else rfc3339(time_ns)
