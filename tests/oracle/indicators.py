"""Indicators by TA-Lib, numpy and SQL, from whole series at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import talib

from services.contracts.events import Trade
from tests.oracle.market import Market

Values = dict[str, float]
Product = tuple[str, str]

_NS_PER_MINUTE = 60 * 10**9
_WINDOW_STEPS = 300
"""A window of time moves in this many steps: the definition of ``vwap_Nm``."""

_ABOVE_ALL_BEFORE = """
WITH ordered AS (
    SELECT *, max(number) OVER (
        PARTITION BY exchange, product_id ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS highest
    FROM once
)
SELECT exchange, product_id, list(price ORDER BY position) AS prices
FROM ordered
WHERE number IS NULL OR highest IS NULL OR number > highest
GROUP BY exchange, product_id
"""


def trade_indicators(log: Sequence[Trade], names: Iterable[str]) -> dict[Product, Values]:
    """The values per trade at the end of a log, by (exchange, product); a name without a value yet is absent."""
    market = Market(log)
    wanted = list(names)
    series_names = [name for name in wanted if not name.startswith("vwap_")]
    found = {
        (row["exchange"], row["product_id"]): last_values(
            [market.price(price) for price in row["prices"]], series_names
        )
        for row in market.rows(_ABOVE_ALL_BEFORE)
    }
    for name in set(wanted) - set(series_names):
        for row in market.rows(_vwap(int(name.removeprefix("vwap_").removesuffix("m")))):
            ratio = market.quote(row["quote_volume"]), market.size(row["volume"])
            found[row["exchange"], row["product_id"]][name] = float(ratio[0]) / float(ratio[1])
    return found


def bar_indicators(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[tuple[str, str, str], Values]:
    """The values after the newest of some closed bars, in any order, by (exchange, product, resolution)."""
    wanted = [name.partition("@") for name in names]
    closes: dict[tuple[str, str, str], dict[int, Any]] = {}
    for row in rows:
        closes.setdefault((row["exchange"], row["product_id"], row["resolution"]), {})[row["timestamp"]] = row["close"]
    found = {}
    for key, by_start in closes.items():
        bare = [head for head, _, resolution in wanted if resolution == key[2]]
        values = last_values([by_start[start] for start in sorted(by_start)], bare)
        found[key] = {f"{name}@{key[2]}": value for name, value in values.items()}
    return found


def last_values(prices: Sequence[Any], names: Iterable[str]) -> Values:
    """``sma_N``, ``ema_N`` and ``rsi_N`` after the last price."""
    series = np.array([float(price) for price in prices])
    values = {name: _last(series, *name.split("_")) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _last(series: Any, kind: str, length_text: str) -> float | None:
    length = int(length_text)
    if kind == "sma":
        return float(np.mean(series[-length:]))
    if kind == "ema":
        enough = len(series) >= length > 1
        return float(talib.EMA(series, timeperiod=length)[-1]) if enough else float(series[-1])
    if len(series) <= length:
        return None
    if np.all(np.diff(series) >= 0):
        return 100.0
    return float(talib.RSI(series, timeperiod=length)[-1])


def _vwap(minutes: int) -> str:
    step_ns = minutes * _NS_PER_MINUTE // _WINDOW_STEPS
    return f"""
    WITH stepped AS (
        SELECT *, time // {step_ns} AS step, max(time // {step_ns}) OVER (PARTITION BY exchange, product_id) AS newest
        FROM once
    )
    SELECT exchange, product_id, sum(price * size) AS quote_volume, sum(size) AS volume
    FROM stepped
    WHERE step > newest - {_WINDOW_STEPS}
    GROUP BY exchange, product_id
    """
