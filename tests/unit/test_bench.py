"""The harness of the benches: its statistics, its frames, its verdicts. What it measures is never asserted."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from services.adapters.venues.base import Trades, Venue
from services.adapters.venues.coinbase import Coinbase
from services.adapters.venues.kraken import Kraken
from services.contracts.events import Trade
from services.domain.trades import check
from services.runtime.clock import NS_PER_S
from tests.bench import frames
from tests.bench.backlog import EXCHANGE, PRODUCTS, market
from tests.bench.consumers import Sample, cpu_us, memory, rate
from tests.bench.report import Figure, Machine, Report, percentile

ROWS = [
    {
        "trade_id": str(100 + index),
        "exchange_ts_ms": str(1_723_161_255_342 + index),
        "price": f"{61_837 + index}.63000000",
        "size": "0.02000000",
        "taker_side": "sell" if index % 3 else "buy",
    }
    for index in range(50)
]
RECEIVED_NS = 1_723_200_000 * NS_PER_S
MACHINE = Machine(2, 24.0, "Linux", "3.13.0", (0.5, 0.4, 0.3))


def parsed(venue: Venue, texts: list[str]) -> list[Trade]:
    venue.on_open(0)
    events = [event for text in texts for event in venue.on_frame(text, RECEIVED_NS)]
    return [trade for event in events if isinstance(event, Trades) for trade in event.trades]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected


@pytest.mark.parametrize(
    ("venue", "texts"),
    [(Coinbase, frames.advanced_trade(ROWS)), (Kraken, frames.kraken(ROWS))],
    ids=["coinbase", "kraken"],
)
def test_shaped_frames_carry_the_recorded_trades(venue: type[Venue], texts: list[str]) -> None:
    trades = parsed(venue(["BTC-USD"]), texts)
    assert len(texts) < len(ROWS)
    assert [(t.trade_id, t.price, t.size, t.time // 1_000_000) for t in trades] == [
        (row["trade_id"], Decimal(row["price"]), Decimal(row["size"]), int(row["exchange_ts_ms"])) for row in ROWS
    ]


def test_the_backlog_is_good_trades_in_order_without_holes() -> None:
    trades = list(market(5_000))
    assert len(trades) == 5_000
    assert {trade.product_id for trade in trades} == {f"P{index}-USD" for index in range(PRODUCTS)}
    assert all(one.time < two.time for one, two in pairwise(trades))
    for product in {trade.product_id for trade in trades}:
        numbers = [trade.trade_number for trade in trades if trade.product_id == product]
        assert numbers == list(range(1, len(numbers) + 1))
    for trade in trades:
        assert trade.exchange == EXCHANGE
        check(trade, future_ns=0)


def test_the_rate_is_from_the_first_commit_to_the_last() -> None:
    samples = [
        Sample(0.0, 0, 50.0, 0.0),
        Sample(10.0, 1_000, 80.0, 1.0),
        Sample(11.0, 6_000, 90.0, 1.5),
        Sample(12.0, 11_000, 93.0, 2.0),
        Sample(20.0, 11_000, 93.0, 2.0),
    ]
    assert rate(samples) == 5_000
    assert cpu_us(samples) == pytest.approx(100)
    resident, growth = memory("consumers", "candles", samples, 12_000)
    assert (resident.measured, growth.measured) == (90.0, 3.0)


def test_a_figure_knows_whether_it_reached_its_target() -> None:
    assert Figure("b", "f", "ms", 4.0, 4.0, "at most").met is True
    assert Figure("b", "f", "ms", 4.1, 4.0, "at most").met is False
    assert Figure("b", "f", "rows/s", 4.1, 4.0).met is True
    assert Figure("b", "f", "rows/s", 3.9, 4.0).met is False
    assert Figure("b", "f", "rows/s", 3.9).met is None
    assert Figure("b", "f", "rows/s", target=4.0, skipped="no recording").met is None


def test_a_report_is_one_line_of_json_that_reads_back() -> None:
    report = Report.of([Figure("b", "f", "ms", 1.5, 2.0, "at most", "two\nlines")], MACHINE, quick=True)
    line = report.json_line()
    assert "\n" not in line
    assert msgspec.json.decode(line, type=Report) == report
