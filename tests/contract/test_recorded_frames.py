"""The venues on frames that real exchanges sent. The folder is named by TICKPLANE_RECORDED."""

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.adapters.venues.base import BadFrame, BadTrade, Trades, Venue
from services.adapters.venues.binance import Binance
from services.adapters.venues.coinbase_exchange import CoinbaseExchange
from services.contracts.events import Trade
from services.domain.trades import check

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TICKPLANE_RECORDED", ROOT.parent / "shared" / "data"))
CLOCKS_APART_NS = 60_000_000_000

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no recorded frames at {FOLDER}: set TICKPLANE_RECORDED"),
]


def lines(name: str) -> Iterator[str]:
    with gzip.open(FOLDER / name, "rt") as file:
        for line in file:
            yield line.rstrip("\n")


def read(venue: Venue, received: Iterator[tuple[int, str]]) -> list[Trade]:
    """Every trade of the frames, each good by the rules of entry; no frame is bad."""
    venue.on_open(0)
    trades: list[Trade] = []
    for received_ns, frame in received:
        for event in venue.on_frame(frame, received_ns):
            assert not isinstance(event, BadFrame | BadTrade), frame
            if isinstance(event, Trades):
                trades += event.trades
    for trade in trades:
        check(trade, future_ns=CLOCKS_APART_NS)
    return trades


def test_binance_frames_hold_the_trades_of_the_table() -> None:
    split = (line.split(" ", 1) for line in lines("binance/spot_btcusdt_20240808.frames.gz") if line)
    trades = read(Binance(("BTC-USDT",)), ((int(received_ns), frame) for received_ns, frame in split))
    table = {
        row["trade_id"]: (row["price"], row["size"], row["taker_side"].upper(), int(row["exchange_ts_ms"]) * 10**6)
        for row in csv.DictReader(lines("binance/trades_spot_BTC-USDT_20240808.csv.gz"))
    }
    assert len(trades) == 9757
    assert {t.trade_id: (str(t.price), str(t.size), t.side, t.time) for t in trades}.items() <= table.items()
    numbers = [t.trade_number or 0 for t in trades]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_coinbase_exchange_matches_come_out_with_the_takers_side() -> None:
    frames = [
        (round(float(time_s) * 10**9), frame)
        for time_s, _, frame in (line.partition(": ") for line in lines("coinbase/exchange_ws_20210417.frames.gz"))
        if frame.startswith("{") and not time_s.startswith("wss:")
    ]
    products = ("SKL-USD", "SKL-BTC", "BAND-GBP", "NMR-EUR", "BAND-BTC", "YFI-BTC", "DASH-BTC", "NU-GBP", "CRV-EUR")
    trades = read(CoinbaseExchange((*products, "SKL-GBP")), iter(frames))
    maker_sold = sum('"side":"sell"' in frame for _, frame in frames if '"match"' in frame or '"last_match"' in frame)
    assert len(trades) == 107
    assert sum(t.side == "BUY" for t in trades) == maker_sold > 0
    assert {t.origin for t in trades} == {"snapshot", "live"}
