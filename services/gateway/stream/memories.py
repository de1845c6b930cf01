"""What each channel keeps of a product's records: whether one is an update, and what a snapshot shows.

A memory is given every record in log order, repeats too. What it says of one may depend only on the ``dedup_window``
records before it, so that every gateway says the same, however long it has been running.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from services.contracts.events import Candle, Indicators, Trade, ValidatedTrade
from services.contracts.lab import BOOK_LEVELS_MAX, BookLevel, BookUpdate, Execution
from services.contracts.metrics import Metric
from services.domain.book_feed import BookCopy, Fold
from services.domain.money import plain, vwap
from services.gateway.stream.documents import (
    BookData,
    BookSnapshot,
    CandleData,
    CandlesSnapshot,
    ExecutionData,
    IndicatorsData,
    IndicatorsSnapshot,
    PlacedExecution,
    PlacedTrade,
    PlacedValidated,
    TickerData,
    TradeData,
    ValidatedData,
)
from services.runtime import logging
from services.runtime.clock import rfc3339
from services.runtime.metrics import counter

SNAPSHOT_EVENTS_MAX = 50
"""Of a channel of events, what a snapshot shows."""


class Placed[E](Protocol):
    """An update: a record with its place in the log."""

    @property
    def sequence(self) -> int: ...
    @property
    def event(self) -> E: ...


class Memory[E](Protocol):
    def absorb(self, offset: int, event: E, repeat: bool) -> bool:
        """Whether this record is an update."""

    def snapshot(self, newest: Sequence[Placed[E]]) -> msgspec.Struct | None:
        """``newest`` are the last updates, oldest first."""


class Events[E, P]:
    """Every record that is no repeat. A snapshot shows the newest: ``place`` makes each, ``whole`` all of them."""

    def __init__(self, place: Callable[[E, int], P], whole: Callable[[list[P]], msgspec.Struct]) -> None:
        self._place = place
        self._whole = whole

    def absorb(self, _offset: int, _event: E, repeat: bool) -> bool:
        return not repeat

    def snapshot(self, newest: Sequence[Placed[E]]) -> msgspec.Struct:
        return self._whole([self._place(update.event, update.sequence) for update in newest])


class Ticker:
    """The newest trade. One is late where a newer one stands among the ``window`` records before it; newer is by trade
    number, or by time where the exchange gives none."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._newest: deque[tuple[int, int]] = deque()
        """(offset, order) of what may still be the newest of a window: offsets rise, orders fall."""
        self.latest: TickerData | None = None

    def absorb(self, offset: int, event: Trade, repeat: bool) -> bool:
        order = event.time if event.trade_number is None else event.trade_number
        while self._newest and self._newest[0][0] < offset - self._window:
            self._newest.popleft()
        late = bool(self._newest) and self._newest[0][1] > order
        while self._newest and self._newest[-1][1] <= order:
            self._newest.pop()
        self._newest.append((offset, order))
        if late or repeat:
            return False
        self.latest = ticker_data(event)
        return True

    def snapshot(self, _newest: Sequence[Placed[Trade]]) -> TickerData | None:
        return self.latest


class Bars:
    """The bars of one resolution."""

    def __init__(self) -> None:
        self._closed: Candle | None = None
        self._open: Candle | None = None

    def absorb(self, _offset: int, event: Candle, repeat: bool) -> bool:
        if repeat:
            return False
        if event.closed:
            if self._closed is None or event.timestamp >= self._closed.timestamp:
                self._closed = event
            if self._open is not None and self._open.timestamp <= event.timestamp:
                self._open = None
        elif self._closed is None or event.timestamp > self._closed.timestamp:
            self._open = event
        return True

    def snapshot(self, _newest: Sequence[Placed[Candle]]) -> CandlesSnapshot:
        return CandlesSnapshot([candle_data(bar) for bar in (self._closed, self._open) if bar is not None])


class Values:
    """Every indicator's latest value."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def absorb(self, _offset: int, event: Indicators, repeat: bool) -> bool:
        if not repeat:
            self.values.update(event.values)
        return not repeat

    def snapshot(self, _newest: Sequence[Placed[Indicators]]) -> IndicatorsSnapshot:
        return IndicatorsSnapshot(dict(self.values))


class Book:
    """The book itself. Every change is an update; a snapshot on the topic is none, it only makes the copy good.

    ``is_another`` says that the last record made the copy something that the updates do not amount to: it was lost, or
    is there again.
    """

    def __init__(self) -> None:
        self._copy = BookCopy()
        self.is_another = False

    def absorb(self, _offset: int, event: BookUpdate, repeat: bool) -> bool:
        self.is_another = not repeat and self._fold(event)
        return not repeat and event.kind == "delta"

    def snapshot(self, _newest: Sequence[Placed[BookUpdate]]) -> BookSnapshot | None:
        copy, last = self._copy, self._copy.last
        if last is None or copy.sequence is None:
            return None
        return BookSnapshot(
            copy.sequence,
            copy.bids(BOOK_LEVELS_MAX),
            copy.asks(BOOK_LEVELS_MAX),
            copy.checksum,
            plain(last.tick_size),
            plain(last.lot_size),
        )

    def _fold(self, event: BookUpdate) -> bool:
        was_known = self._copy.last is not None
        fold = self._copy.fold(event)
        if fold in (Fold.HOLE, Fold.CHECKSUM):
            counter(Metric.GATEWAY_BOOK_LOSSES).labels(fold.value).inc()
            logging.logger().warning("book_lost", symbol=event.symbol, reason=fold.value, sequence=event.sequence)
            return was_known
        return fold is Fold.FOUND


def placed_trade(trade: Trade, sequence: int) -> PlacedTrade:
    return PlacedTrade(**msgspec.structs.asdict(trade_data(trade)), sequence=sequence, time=rfc3339(trade.time))


def placed_validated(trade: ValidatedTrade, sequence: int) -> PlacedValidated:
    data = msgspec.structs.asdict(validated_data(trade))
    return PlacedValidated(**data, sequence=sequence, time=rfc3339(trade.timestamp_ns))


def placed_execution(execution: Execution, sequence: int) -> PlacedExecution:
    data = msgspec.structs.asdict(execution_data(execution))
    return PlacedExecution(**data, sequence=sequence, time=rfc3339(execution.time))


def execution_data(execution: Execution) -> ExecutionData:
    return ExecutionData(
        execution.execution_id, plain(execution.price), plain(execution.quantity), execution.taker_side
    )


def book_data(update: BookUpdate) -> BookData:
    return BookData(
        update.sequence,
        update.previous,
        [_level(level) for level in update.bids],
        [_level(level) for level in update.asks],
        None if update.best_bid is None else _level(update.best_bid),
        None if update.best_ask is None else _level(update.best_ask),
        update.checksum,
    )


def _level(level: BookLevel) -> tuple[str, str]:
    price, quantity = level
    return plain(price), plain(quantity)


def trade_data(trade: Trade) -> TradeData:
    return TradeData(trade.trade_id, plain(trade.price), plain(trade.size), trade.side, trade.origin)


def ticker_data(trade: Trade) -> TickerData:
    return TickerData(plain(trade.price), plain(trade.size), trade.trade_id, trade.side)


def candle_data(bar: Candle) -> CandleData:
    return CandleData(
        rfc3339(bar.timestamp),
        plain(bar.open),
        plain(bar.high),
        plain(bar.low),
        plain(bar.close),
        plain(bar.volume),
        plain(bar.quote_volume),
        plain(vwap(bar.quote_volume, bar.volume)),
        bar.trade_count,
        bar.first_trade_id,
        bar.last_trade_id,
        bar.closed,
        bar.complete,
        bar.revision,
    )


def indicators_data(indicators: Indicators) -> IndicatorsData:
    return IndicatorsData(indicators.source, indicators.values)


def validated_data(trade: ValidatedTrade) -> ValidatedData:
    return ValidatedData(
        trade.trade_id,
        trade.instrument_id,
        trade.price,
        str(trade.volume),
        str(trade.timestamp_ns),
        trade.status,
        trade.vwap_20m,
        trade.reason or msgspec.UNSET,
    )
