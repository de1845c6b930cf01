"""Records of the topics that are fanned out, as events. What cannot be shown is refused and counted; what is behind it
goes on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from services.adapters.records import Counts, check_partition, trades
from services.contracts.errors import PeerError
from services.contracts.events import Candle, Indicators, ValidatedTrade
from services.contracts.lab import BookUpdate, Execution, group_key, is_name
from services.contracts.topics import Topic
from services.domain import candle_records
from services.domain.decoding import decoded
from services.domain.money import is_amount
from services.domain.trades import EARLIEST_NS, LATEST_NS, NUMBER_MAX, TEXT_MAX, VALUE_BYTES_MAX, check_key, short

Reader = Callable[[Iterable[ConsumerRecord], Counts], Iterator[tuple[int, Any]]]

INT64_MAX = (1 << 63) - 1
BOOK_BYTES_MAX = 1 << 20
"""A snapshot of a book has thousands of levels."""
CHECKSUM_MAX = (1 << 32) - 1
NONE_LEFT = Decimal(0)

_decode_indicators = msgspec.json.Decoder(Indicators).decode
_decode_validated = msgspec.json.Decoder(ValidatedTrade).decode
_decode_execution = msgspec.json.Decoder(Execution).decode
_decode_book = msgspec.json.Decoder(BookUpdate).decode


def candle(key: bytes | None, value: bytes | None) -> Candle:
    """The bar of one record. Raises PeerError."""
    bar = candle_records.decode(key, value)
    for amount in (bar.open, bar.high, bar.low, bar.volume, bar.quote_volume):
        if not is_amount(amount):
            raise PeerError("price", f"{short(amount)} is not a finite amount above zero")
    return bar


def indicators(key: bytes | None, value: bytes | None) -> Indicators:
    """The indicators of one record. Raises PeerError."""
    found = decoded(_decode_indicators, value, VALUE_BYTES_MAX)
    check_key(found.exchange, found.product_id, key)
    if not EARLIEST_NS <= found.time <= LATEST_NS:
        raise PeerError("time", f"the time {short(found.time)} is not between 2009 and 2200")
    if not 0 <= found.input_sequence <= NUMBER_MAX:
        raise PeerError("number", f"{short(found.input_sequence)} is out of range")
    return found


def validated(key: bytes | None, value: bytes | None) -> ValidatedTrade:
    """The verdict of one record. Raises PeerError. Ticks that broke a rule are there too, with times of any kind."""
    trade = decoded(_decode_validated, value, VALUE_BYTES_MAX)
    if not 0 < len(trade.instrument_id) <= TEXT_MAX or not trade.instrument_id.isprintable():
        raise PeerError("instrument", f"the instrument {short(trade.instrument_id)} is no name")
    if key != trade.instrument_id.encode():
        raise PeerError("key", f"the key {short(key)} is not that of {trade.instrument_id}")
    if abs(trade.timestamp_ns) > INT64_MAX:
        raise PeerError("time", f"the time {short(trade.timestamp_ns)} is out of range")
    return trade


def execution(key: bytes | None, value: bytes | None) -> Execution:
    """The execution of one record. Raises PeerError."""
    found = decoded(_decode_execution, value, VALUE_BYTES_MAX)
    _check_lab(found, key)
    if not 0 < len(found.execution_id) <= TEXT_MAX or not found.execution_id.isprintable():
        raise PeerError("execution_id", f"the execution id {short(found.execution_id)} is no name")
    for amount in (found.price, found.quantity):
        _check_amount(amount)
    return found


def book_update(key: bytes | None, value: bytes | None) -> BookUpdate:
    """What one record changed in a book, or the whole of it. Raises PeerError."""
    found = decoded(_decode_book, value, BOOK_BYTES_MAX)
    _check_lab(found, key)
    if not 0 <= found.previous <= found.sequence:
        raise PeerError("number", f"the book goes from {short(found.previous)} to {short(found.sequence)}")
    if not 0 <= found.checksum <= CHECKSUM_MAX:
        raise PeerError("checksum", f"the checksum {short(found.checksum)} is out of range")
    for size in (found.tick_size, found.lot_size):
        _check_amount(size)
    best = [level for level in (found.best_bid, found.best_ask) if level is not None]
    for price, quantity in (*found.bids, *found.asks, *best):
        _check_amount(price)
        if quantity != NONE_LEFT:
            _check_amount(quantity)
    return found


def _check_lab(found: Execution | BookUpdate, key: bytes | None) -> None:
    if not is_name(found.symbol):
        raise PeerError("product", f"the symbol {short(found.symbol)} is no name")
    if key != group_key(found.market_group):
        raise PeerError("key", f"the key {short(key)} is not that of the market group {short(found.market_group)}")
    if not EARLIEST_NS <= found.time <= LATEST_NS:
        raise PeerError("time", f"the time {short(found.time)} is not between 2009 and 2200")
    if not (0 <= found.input_sequence <= NUMBER_MAX and 0 <= found.sequence <= NUMBER_MAX):
        raise PeerError("number", f"{short((found.input_sequence, found.sequence))} is out of range")


def _check_amount(amount: Decimal) -> None:
    if not is_amount(amount):
        raise PeerError("price", f"{short(amount)} is not a finite amount above zero")


def _in_the_groups_partition(record: ConsumerRecord, _counts: Counts) -> None:
    if record.key != group_key(record.partition):
        raise PeerError("partition", f"the record of the market group {short(record.key)} is in {record.partition}")


def _where_the_key_belongs(record: ConsumerRecord, counts: Counts) -> None:
    check_partition(record, counts.partitions)


def _reader(
    decode: Callable[[bytes | None, bytes | None], Any],
    check_place: Callable[[ConsumerRecord, Counts], None] = _where_the_key_belongs,
) -> Reader:
    def read(records: Iterable[ConsumerRecord], counts: Counts) -> Iterator[tuple[int, Any]]:
        for record in records:
            try:
                event = decode(record.key, record.value)
                check_place(record, counts)
            except PeerError as error:
                counts.refused.append((record, error))
                continue
            yield record.offset, event

    return read


READERS: Mapping[str, Reader] = {
    Topic.MARKET_TRADES: trades,
    Topic.CANDLES: _reader(candle),
    Topic.INDICATORS: _reader(indicators),
    Topic.VALIDATED_TRADES: _reader(validated),
    Topic.EXECUTIONS: _reader(execution, _in_the_groups_partition),
    Topic.BOOK: _reader(book_update, _in_the_groups_partition),
}
"""By topic: (offset, event) of each good record of one partition."""
