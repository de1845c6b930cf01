"""Frames of three exchanges: Binance's as recorded, Advanced Trade's and Kraken's shaped from recorded trades.

The recorded trades' prices, sizes, ids and times are in frames laid out as the exchanges' documentation shows them:
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels (``market_trades``, newest
first), https://docs.kraken.com/api/docs/websocket-v2/trade (numbers, not strings, oldest first).
"""

import csv
import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import msgspec

from services.runtime.clock import NS_PER_MS, rfc3339

Row = dict[str, str]

ROOT = Path(__file__).parents[2]
BINANCE_FRAMES = "binance/spot_btcusdt_20240808.frames.gz"
BINANCE_TRADES = "binance/trades_spot_BTC-USDT_20240808.csv.gz"
TRADES_IN_A_FRAME = (1, 2, 1, 4, 8, 1, 1, 3)
"""An assumption: no recording of the two shaped protocols is at hand. Most frames carry one trade."""


def recorded_folder() -> Path | None:
    folder = Path(os.environ.get("TICKPLANE_RECORDED", ROOT.parent / "shared" / "data"))
    return folder if (folder / BINANCE_FRAMES).exists() else None


def binance(folder: Path, trades_max: int) -> list[str]:
    """The trade frames as they came."""
    with gzip.open(folder / BINANCE_FRAMES, "rt") as file:
        frames = (line.rstrip("\n").partition(" ")[2] for line in file)
        return list(islice((frame for frame in frames if '@trade"' in frame), trades_max))


def recorded_trades(folder: Path, trades_max: int) -> list[Row]:
    with gzip.open(folder / BINANCE_TRADES, "rt") as file:
        return list(islice(csv.DictReader(file), trades_max))


def advanced_trade(rows: Sequence[Row]) -> list[str]:
    return _shaped(rows, _advanced_trade_frame)


def kraken(rows: Sequence[Row]) -> list[str]:
    return _shaped(rows, _kraken_frame)


def _shaped(rows: Sequence[Row], frame: Callable[[int, Sequence[Row]], str]) -> list[str]:
    return [frame(index, part) for index, part in enumerate(_parts(rows))]


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    first = 0
    for count in cycle(TRADES_IN_A_FRAME):
        if first >= len(rows):
            return
        yield rows[first : first + count]
        first += count


def _time(row: Row) -> str:
    """With the microseconds that both exchanges give."""
    return rfc3339(int(row["exchange_ts_ms"]) * NS_PER_MS + 123_000)


def _advanced_trade_frame(sequence: int, rows: Sequence[Row]) -> str:
    trades = [
        {
            "trade_id": row["trade_id"],
            "product_id": "BTC-USD",
            "price": row["price"],
            "size": row["size"],
            "side": row["taker_side"].upper(),
            "time": _time(row),
        }
        for row in reversed(rows)
    ]
    frame = {
        "channel": "market_trades",
        "client_id": "",
        "timestamp": _time(rows[-1]),
        "sequence_num": sequence,
        "events": [{"type": "update", "trades": trades}],
    }
    return msgspec.json.encode(frame).decode()


def _kraken_frame(_sequence: int, rows: Sequence[Row]) -> str:
    trades = [
        {
            "symbol": "BTC/USD",
            "side": row["taker_side"],
            "price": msgspec.Raw(row["price"].encode()),
            "qty": msgspec.Raw(row["size"].encode()),
            "ord_type": "limit",
            "trade_id": int(row["trade_id"]),
            "timestamp": _time(row),
        }
        for row in rows
    ]
    return msgspec.json.encode({"channel": "trade", "type": "update", "data": trades}).decode()
