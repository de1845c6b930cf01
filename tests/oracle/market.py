"""Trades and candles by SQL. Prices and sizes are integers there (scaled by powers of ten), so that sums are exact."""

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, Inexact
from typing import Any

import duckdb
import numpy as np

from services.contracts.events import Trade

Row = dict[str, Any]
CandleKey = tuple[str, str, str, int]
TradeKey = tuple[str, str, str]
VoidRun = tuple[str, str, int, int]
"""Exchange, product, and the first and last of some trade numbers that do not exist."""

CANDLE_KEY = ("exchange", "product_id", "resolution", "timestamp")
TRADE_KEY = ("exchange", "product_id", "trade_id")

_EXACT = Context(prec=200, traps=[Inexact])
_NS_PER_MINUTE = 60 * 10**9
_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}

_ONCE = """
CREATE TABLE once AS
SELECT DISTINCT ON (exchange, product_id, trade_id)
    position, exchange, product_id, trade_id,
    CASE WHEN number >= 0 THEN number END AS number,
    price::HUGEINT AS price, size::HUGEINT AS size, side, time
FROM log
ORDER BY exchange, product_id, trade_id, position
"""

_KNOWN_RUNS = """
WITH known AS (
    SELECT exchange, product_id, number FROM once WHERE number IS NOT NULL
    UNION
    SELECT exchange, product_id, unnest(range(first, last + 1)) FROM voids
),
placed AS (
    SELECT *, number - row_number() OVER (PARTITION BY exchange, product_id ORDER BY number) AS run FROM known
)
SELECT exchange, product_id, min(number) AS first, max(number) AS last
FROM placed
GROUP BY exchange, product_id, run
"""

_CANDLES = f"""
WITH runs AS ({_KNOWN_RUNS}),
bars AS (
    SELECT
        exchange, product_id, resolution, time - time % length AS "timestamp",
        first(price ORDER BY time, coalesce(number, -1), position) AS open,
        max(price) AS high,
        min(price) AS low,
        last(price ORDER BY time, coalesce(number, -1), position) AS close,
        sum(size) AS volume,
        sum(price * size) AS quote_volume,
        count(*) AS trade_count,
        first(trade_id ORDER BY time, coalesce(number, -1), position) AS first_trade_id,
        last(trade_id ORDER BY time, coalesce(number, -1), position) AS last_trade_id,
        min(number) AS lowest,
        max(number) AS highest
    FROM once CROSS JOIN resolutions
    GROUP BY ALL
)
SELECT
    bars.* EXCLUDE (lowest, highest),
    EXISTS (
        FROM runs
        WHERE runs.exchange = bars.exchange AND runs.product_id = bars.product_id
            AND runs.first < bars.lowest AND runs.last > bars.highest
    ) AS complete
FROM bars
"""


class Market:
    """A log of trades as tables: ``log`` as it is, ``once`` with each trade once."""

    def __init__(self, log: Sequence[Trade], voids: Iterable[VoidRun] = ()) -> None:
        self._price_places = _places(trade.price for trade in log)
        self._size_places = _places(trade.size for trade in log)
        self.sql = duckdb.connect()
        self._load("log", self._columns(log))
        self._load("voids", _void_columns(list(voids)))
        self._load(
            "resolutions",
            {
                "resolution": np.array(list(_MINUTES), dtype=object),
                "length": np.array([minutes * _NS_PER_MINUTE for minutes in _MINUTES.values()], dtype=np.int64),
            },
        )
        self.sql.execute(_ONCE)

    def price(self, scaled: int) -> Decimal:
        return _descaled(scaled, self._price_places)

    def size(self, scaled: int) -> Decimal:
        return _descaled(scaled, self._size_places)

    def quote(self, scaled: int) -> Decimal:
        return _descaled(scaled, self._price_places + self._size_places)

    def rows(self, query: str) -> list[Row]:
        result = self.sql.execute(query)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, values, strict=True)) for values in result.fetchall()]

    def _load(self, table: str, columns: dict[str, Any]) -> None:
        self.sql.register("given", columns)
        self.sql.execute(f"CREATE TABLE {table} AS FROM given")
        self.sql.unregister("given")

    def _columns(self, log: Sequence[Trade]) -> dict[str, Any]:
        numbers = [-1 if trade.trade_number is None else trade.trade_number for trade in log]
        return {
            "position": np.arange(len(log)),
            "exchange": _text(trade.exchange for trade in log),
            "product_id": _text(trade.product_id for trade in log),
            "trade_id": _text(trade.trade_id for trade in log),
            "number": np.array(numbers, dtype=np.int64),
            "price": _text(_scaled(trade.price, self._price_places) for trade in log),
            "size": _text(_scaled(trade.size, self._size_places) for trade in log),
            "side": _text(trade.side for trade in log),
            "time": np.array([trade.time for trade in log], dtype=np.int64),
        }


def candles(log: Sequence[Trade], voids: Iterable[VoidRun] = ()) -> dict[CandleKey, Row]:
    """Every bar of a log of trades, repeats and all, by (exchange, product, resolution, timestamp).

    A row has the columns of a candle but ``closed``, ``revision`` and ``input_sequence``.
    """
    market = Market(log, voids)
    found = market.rows(_CANDLES)
    for row in found:
        for column in ("open", "high", "low", "close"):
            row[column] = market.price(row[column])
        row["volume"] = market.size(row["volume"])
        row["quote_volume"] = market.quote(row["quote_volume"])
    return {(row["exchange"], row["product_id"], row["resolution"], row["timestamp"]): row for row in found}


def trades(log: Sequence[Trade]) -> dict[TradeKey, Row]:
    """Every trade once, by (exchange, product, trade id): its identity, ``price``, ``size``, ``side`` and ``time``."""
    market = Market(log)
    found = market.rows(
        "SELECT exchange, product_id, trade_id, number AS trade_number, price, size, side, time FROM once"
    )
    for row in found:
        row["price"], row["size"] = market.price(row["price"]), market.size(row["size"])
    return {(row["exchange"], row["product_id"], row["trade_id"]): row for row in found}


def _places(values: Iterable[Decimal]) -> int:
    return max((-int(value.as_tuple().exponent) for value in values), default=0)


def _scaled(value: Decimal, places: int) -> str:
    return str(int(_EXACT.scaleb(value, places)))


def _descaled(scaled: int, places: int) -> Decimal:
    return _EXACT.scaleb(Decimal(scaled), -places)


def _text(values: Iterable[str]) -> Any:
    return np.array(list(values), dtype=object)


def _void_columns(voids: list[VoidRun]) -> dict[str, Any]:
    return {
        "exchange": _text(exchange for exchange, *_ in voids),
        "product_id": _text(product_id for _, product_id, *_ in voids),
        "first": np.array([first for *_, first, _ in voids], dtype=np.int64),
        "last": np.array([last for *_, last in voids], dtype=np.int64),
    }
