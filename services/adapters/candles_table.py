"""Rows of the tables ``candles`` and ``trades`` as bars and trades, and back."""

from collections.abc import Iterable

import asyncpg

from services.adapters.postgres import Connection, sql
from services.contracts.errors import ConfigError
from services.contracts.events import Trade
from services.domain.bars import Key, ProductBars, StoredBar
from services.domain.candles import RESOLUTIONS, Bar, absorb, bar_start
from services.domain.seen import Seen

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


async def read(connection: Connection, product: ProductBars, first: int, last: int) -> dict[Key, StoredBar]:
    """The stored bars that begin in [first, last)."""
    rows = await connection.fetch(sql("candles_range"), product.exchange, product.product_id, first, last)
    return {(row["resolution"], row["timestamp"]): stored_bar(row) for row in rows}


async def compute(
    connection: Connection, product: ProductBars, first: int, last: int, seen: Seen | None = None
) -> dict[Key, Bar]:
    """The bars of the stored trades of [first, last), which are whole UTC days; of those in ``seen`` where it is given:
    others have only reached the recorder. Call it inside a transaction.

    Raises ConfigError where ``seen`` cannot tell, since the exchange's ids are not ordered.
    """
    fresh: dict[Key, Bar] = {}
    async for row in connection.cursor(sql("trades_range"), product.exchange, product.product_id, first, last):
        found = trade(row)
        if seen is not None:
            if found.trade_number is None:
                raise ConfigError(
                    f"{product.exchange} gives no ordered ids: its bars cannot be rebuilt beside a builder"
                )
            if found.trade_number not in seen.numbers:
                continue
        for resolution, length in RESOLUTIONS.items():
            key = (resolution, bar_start(found.time, length))
            fresh[key] = absorb(fresh.get(key), found)
    return fresh


def trade(row: asyncpg.Record) -> Trade:
    return Trade(**dict(row))


def _row(product: ProductBars, key: Key, stored: StoredBar) -> tuple[object, ...]:
    """In the order of ``candles_store.sql``."""
    columns = [getattr(stored.bar, column) for column in _BAR_COLUMNS]
    standing = (stored.closed, stored.complete, stored.revision, stored.sequence)
    return (product.exchange, product.product_id, *key, *columns, *standing)
