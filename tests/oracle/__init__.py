"""The oracle: what the pipeline must have come to, worked out another way from the list of trades.

DuckDB's SQL and TA-Lib where the services fold; nothing of ``services.domain`` is imported, which a test checks.
"""

from tests.oracle.compare import compare
from tests.oracle.indicators import bar_indicators, trade_indicators
from tests.oracle.market import CANDLE_KEY, TRADE_KEY, Row, candles, trades

__all__ = ["CANDLE_KEY", "TRADE_KEY", "Row", "bar_indicators", "candles", "compare", "trade_indicators", "trades"]
