"""The table ``indicator_bars``: each product's closed bars, from which a corrected series is folded again.

It is this group's own, stored with its position, because the candle builder's table may be ahead of the topic or behind
it. With a checkpoint in every row a correction costs what lies behind it, however old it is, and nothing of a series
is kept in memory but its newest prices.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from services.adapters.postgres import Connection, sql
from services.domain.indicators import BarHistory, BarRow, Plan, Series

SeriesKey = tuple[str, str, str]
"""Exchange, product and resolution."""

AFTER_ALL = 2**63 - 1
"""As ``since``: the series as a whole."""


async def begin(connection: Connection, keys: Sequence[SeriesKey]) -> None:
    """Fill series of which nothing is stored yet from the candles."""
    await connection.execute(sql("indicator_bars_begin"), *_columns(keys, 3))


async def histories(connection: Connection, plan: Plan, wanted: Mapping[SeriesKey, int]) -> dict[SeriesKey, BarHistory]:
    """What is stored of each series around ``since`` (ns), for ``ProductIndicators.provide`` or ``restore``."""
    given = [(*key, since, plan.signature(key[2])) for key, since in wanted.items()]
    found: defaultdict[SeriesKey, list[asyncpg.Record]] = defaultdict(list)
    for row in await connection.fetch(sql("indicator_bars_history"), *_columns(given, 5), plan.bars_window):
        found[row["exchange"], row["product_id"], row["resolution"]].append(row)
    return {key: _history(plan, key[2], found[key]) for key in wanted}


async def store(connection: Connection, plan: Plan, rows: Iterable[tuple[str, str, BarRow]]) -> None:
    """Write bars, new or changed: (exchange, product, bar)."""
    given = [
        (exchange, product_id, row.resolution, row.timestamp, row.close, plan.signature(row.resolution), row.checkpoint)
        for exchange, product_id, row in rows
    ]
    if given:
        await connection.execute(sql("indicator_bars_store"), *_columns(given, 7))


def _history(plan: Plan, resolution: str, rows: list[asyncpg.Record]) -> BarHistory:
    specs = plan.bars[resolution]
    if not rows or rows[0]["resumed_from"] is None:
        return BarHistory(-1, Series(specs), {row["timestamp"]: row["close"] for row in rows})
    resumed_from = rows[0]["resumed_from"]
    recent = [row["close"] for row in rows if row["timestamp"] <= resumed_from]
    closes = {row["timestamp"]: row["close"] for row in rows if row["timestamp"] > resumed_from}
    return BarHistory(resumed_from, Series.resume(specs, recent, rows[0]["checkpoint"]), closes)


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> list[list[object]]:
    return [[row[index] for row in rows] for index in range(count)]
