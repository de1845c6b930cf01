"""Rows of the tables ``candles`` and ``trades`` as bars and trades, and back."""

from collections.abc import Iterable

import asyncpg

from services.adapters.postgres import Connection, sql
from services.contracts.events import Trade
from services.domain.bars import Key, ProductBars, StoredBar
from services.domain.candles import Bar

_BAR_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trade_count",
    "first_trade_id",
    "last_trade_id",
    "first_time",
    "first_number",
    "last_time",
    "last_number",
    "lowest_number",
    "highest_number",
)


def stored_bar(row: asyncpg.Record) -> StoredBar:
    bar = Bar()
    for column in _BAR_COLUMNS:
        setattr(bar, column, row[column])
    return StoredBar(bar, row["closed"], row["complete"], row["revision"], row["input_sequence"])


async def store(connection: Connection, changes: Iterable[tuple[ProductBars, list[tuple[Key, StoredBar]]]]) -> None:
    """Write bars, new or changed."""
    rows = [_row(product, key, stored) for product, bars in changes for key, stored in bars]
    if rows:
        await connection.execute(sql("candles_store"), *map(list, zip(*rows, strict=True)))


def trade(row: asyncpg.Record) -> Trade:
    return Trade(**dict(row))


def _row(product: ProductBars, key: Key, stored: StoredBar) -> tuple[object, ...]:
    """In the order of ``candles_store.sql``."""
    columns = [getattr(stored.bar, column) for column in _BAR_COLUMNS]
    standing = (stored.closed, stored.complete, stored.revision, stored.sequence)
    return (product.exchange, product.product_id, *key, *columns, *standing)
