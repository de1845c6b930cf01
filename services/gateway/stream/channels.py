"""The table of channels: of which topic each is, what of a record it shows, and what it may leave out.

A channel is one entry of ``CHANNELS``; a topic one of ``SOURCES``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from services.contracts.events import Candle, Indicators, Trade, ValidatedTrade, product_key
from services.contracts.lab import LAB_EXCHANGE, BookUpdate, Execution, group_key
from services.contracts.topics import Topic
from services.domain.candles import RESOLUTIONS
from services.gateway.hub import Product
from services.gateway.stream import documents, memories
from services.gateway.stream.documents import Snapshot, Update

EVERY_EXCHANGE = "*"
"""The exchange in the frames of what belongs to none."""

Event = Trade | Candle | Indicators | ValidatedTrade | Execution | BookUpdate


@dataclass(frozen=True)
class Channel:
    """One projection of one topic. ``is_state``: a newer update says all that this one did, so that a client which does
    not read may be spared it: the newest is enough, or with ``conflates_to_snapshot`` the snapshot is. ``exchange`` is
    the one of all its products; None where each has its own. ``memory`` is given the ``dedup_window``."""

    name: str
    topic: Topic
    data: Callable[[Any], msgspec.Struct]
    is_state: Callable[[Any], bool]
    memory: Callable[[int], memories.Memory[Any]]
    snapshot_type: Any
    update_type: Any
    exchange: str | None = None
    conflates_to_snapshot: bool = False

    @property
    def has_exchanges(self) -> bool:
        return self.exchange is None


@dataclass(frozen=True)
class Source:
    """What the records of one topic are. ``identity`` is what a repeat shares with the record it repeats."""

    product: Callable[[Any], Product]
    identity: Callable[[Any], str]
    time_ns: Callable[[Any], int]
    channels: Callable[[Any], tuple[str, ...]]


def _always(_event: Event) -> bool:
    return True


def _never(_event: Event) -> bool:
    return False


def _of_exchange(event: Trade | Candle | Indicators) -> Product:
    return Product(event.exchange, event.product_id)


def _of_lab(event: Execution | BookUpdate) -> Product:
    return Product(LAB_EXCHANGE, event.symbol)


def _candles(resolution: str) -> Channel:
    return Channel(
        f"candles:{resolution}",
        Topic.CANDLES,
        memories.candle_data,
        lambda bar: not bar.closed,
        lambda _window: memories.Bars(),
        Snapshot[documents.CandlesSnapshot],
        Update[documents.CandleData],
    )


_ALL = (
    Channel(
        "trades",
        Topic.MARKET_TRADES,
        memories.trade_data,
        _never,
        lambda _window: memories.Events(memories.placed_trade, documents.TradesSnapshot),
        Snapshot[documents.TradesSnapshot],
        Update[documents.TradeData],
    ),
    Channel(
        "ticker",
        Topic.MARKET_TRADES,
        memories.ticker_data,
        _always,
        memories.Ticker,
        Snapshot[documents.TickerData | None],
        Update[documents.TickerData],
    ),
    *(_candles(resolution) for resolution in RESOLUTIONS),
    Channel(
        "indicators",
        Topic.INDICATORS,
        memories.indicators_data,
        _always,
        lambda _window: memories.Values(),
        Snapshot[documents.IndicatorsSnapshot],
        Update[documents.IndicatorsData],
    ),
    Channel(
        "validated",
        Topic.VALIDATED_TRADES,
        memories.validated_data,
        _never,
        lambda _window: memories.Events(memories.placed_validated, documents.ValidatedSnapshot),
        Snapshot[documents.ValidatedSnapshot],
        Update[documents.ValidatedData],
        exchange=EVERY_EXCHANGE,
    ),
    Channel(
        "executions",
        Topic.EXECUTIONS,
        memories.execution_data,
        _never,
        lambda _window: memories.Events(memories.placed_execution, documents.ExecutionsSnapshot),
        Snapshot[documents.ExecutionsSnapshot],
        Update[documents.ExecutionData],
        exchange=LAB_EXCHANGE,
    ),
    Channel(
        "book",
        Topic.BOOK,
        memories.book_data,
        _always,
        lambda _window: memories.Book(),
        Snapshot[documents.BookSnapshot | None],
        Update[documents.BookData],
        exchange=LAB_EXCHANGE,
        conflates_to_snapshot=True,
    ),
)
CHANNELS: Mapping[str, Channel] = {channel.name: channel for channel in _ALL}

SOURCES: Mapping[str, Source] = {
    Topic.MARKET_TRADES: Source(
        _of_exchange,
        lambda trade: f"{trade.exchange}:{trade.product_id}:{trade.trade_id}",
        lambda trade: int(trade.time),
        lambda _trade: ("trades", "ticker"),
    ),
    Topic.CANDLES: Source(
        _of_exchange,
        lambda bar: f"{bar.exchange}:{bar.product_id}:{bar.resolution}:{bar.timestamp}:{bar.input_sequence}",
        lambda bar: int(bar.timestamp),
        lambda bar: (f"candles:{bar.resolution}",),
    ),
    Topic.INDICATORS: Source(
        _of_exchange,
        lambda record: f"{record.exchange}:{record.product_id}:{record.source}:{record.input_sequence}",
        lambda record: int(record.time),
        lambda _record: ("indicators",),
    ),
    Topic.VALIDATED_TRADES: Source(
        lambda trade: Product(EVERY_EXCHANGE, trade.instrument_id),
        lambda trade: str(trade.trade_id),
        lambda trade: int(trade.timestamp_ns),
        lambda _trade: ("validated",),
    ),
    Topic.EXECUTIONS: Source(
        _of_lab,
        lambda execution: str(execution.input_sequence),
        lambda execution: int(execution.time),
        lambda _execution: ("executions",),
    ),
    Topic.BOOK: Source(
        _of_lab,
        lambda update: str(update.input_sequence),
        lambda update: int(update.time),
        lambda _update: ("book",),
    ),
}

_EXCHANGES_OF_CHANNELS = {channel.exchange for channel in _ALL}


def channels_of(product: Product) -> list[Channel]:
    """The channels that a product has."""
    exchange = product.exchange if product.exchange in _EXCHANGES_OF_CHANNELS else None
    return [channel for channel in _ALL if channel.exchange == exchange]


def key_of(channel: Channel, product: Product, partition: int) -> bytes:
    """The key of this product's records in the channel's topic. A market group has a partition, and its number."""
    if channel.exchange == LAB_EXCHANGE:
        return group_key(partition)
    return product_key(*product) if channel.has_exchanges else product.product_id.encode()
