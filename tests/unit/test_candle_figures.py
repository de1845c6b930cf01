"""How new and how complete the stored bars are, as the metrics say it."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from services.candles.figures import Figures
from services.contracts.events import Trade
from services.contracts.metrics import Metric
from services.domain.bars import Key, ProductBars, StoredBar
from services.runtime.clock import NS_PER_S
from tests.support.metrics import value

DAY_NS = 1_767_225_600 * NS_PER_S
GRACE_NS = 2 * NS_PER_S


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    figures = Figures()
    yield figures
    figures.forget()


@pytest.fixture
def exchange(request: pytest.FixtureRequest) -> str:
    """Counters last as long as the process: each test has its own."""
    return f"of {request.node.name}"


class Stored:
    """A product whose every batch is stored."""

    def __init__(self, figures: Figures, exchange: str, product_id: str = "A-USD") -> None:
        self._figures = figures
        self._product = ProductBars(exchange, product_id)
        self._bars: dict[Key, StoredBar] = {}
        self._offset = 0

    def batch(self, *trades: tuple[int | None, float], clock_s: float = 0) -> None:
        """Trades, each a number and its second of the day, and up to where the clock is known."""
        for number, at_s in trades:
            time = DAY_NS + int(at_s * NS_PER_S)
            named = (self._product.exchange, self._product.product_id, f"{number} at {at_s}", number)
            trade = Trade(*named, Decimal(10), Decimal(1), "BUY", time, time, "live", "v")
            self._product.absorb(trade, self._offset)
            self._offset += 1
        for key in self._product.wanted():
            if key in self._bars:
                self._product.provide(key, self._bars[key])
        clock_ns = DAY_NS + int(clock_s * NS_PER_S) if clock_s else 0
        bars = self._product.settle(clock_ns=clock_ns, head=self._offset, grace_ns=GRACE_NS)
        self._bars.update(bars)
        self._figures.stored([(self._product, bars)])

    def voids(self, first: int, last: int) -> None:
        self._product.absorb_voids([(first, last)])


def closed(exchange: str) -> tuple[float | None, float | None]:
    """How many of them were complete, and how many not."""
    complete, incomplete = (value(Metric.CANDLES_CLOSED, exchange, each) for each in ("true", "false"))
    return complete, incomplete


def newest_s(exchange: str) -> float | None:
    """In seconds of the day."""
    found = value(Metric.CANDLES_NEWEST_TRADE_TIME, exchange)
    return None if found is None else found - DAY_NS / NS_PER_S


def test_a_minute_is_counted_once_when_it_closes(figures: Figures, exchange: str) -> None:
    product = Stored(figures, exchange)
    product.batch((1, 10), (2, 50))
    assert closed(exchange) == (0, 0), "there from the start on"
    product.batch((3, 61))
    assert closed(exchange) == (0, 0), "within the grace period"
    product.batch((4, 62))
    assert closed(exchange) == (0, 1), "what was before a product's first trade nobody knows"
    product.batch((5, 125), (6, 190))
    assert closed(exchange) == (2, 1)
    product.batch((0, 9))
    assert value(Metric.CANDLE_CORRECTIONS, exchange, "1m") == 1
    assert closed(exchange) == (2, 1), "corrected and now complete, but counted already"
    product.batch(*((number, number * 50) for number in range(7, 14)))
    assert closed(exchange) == (2 + 6, 1), "only minutes, though longer bars closed too"


def test_a_hole_makes_its_minutes_incomplete(figures: Figures, exchange: str) -> None:
    product = Stored(figures, exchange)
    product.batch((1, 10), (2, 70), (4, 130), (5, 190), (6, 250))
    assert closed(exchange) == (1, 3), "the first, and on both sides of the hole"
    product.batch((3, 75))
    product.batch((7, 310))
    assert closed(exchange) == (2, 3), "a repair does not change what was counted"


def test_a_pause_in_trading_is_no_hole(figures: Figures, exchange: str) -> None:
    product = Stored(figures, exchange)
    product.batch((1, 10), (2, 70), clock_s=500)
    assert closed(exchange) == (0, 1), "whether the second minute is complete, the next trade tells"
    product.batch(clock_s=1_000)
    assert closed(exchange) == (0, 1)
    product.batch((3, 1_001), clock_s=1_002)
    assert closed(exchange) == (1, 1)
    product.batch(clock_s=2_000)
    product.batch((5, 2_001), clock_s=2_002)
    assert closed(exchange) == (1, 2), "control: one is missing after the pause"
    product.batch(clock_s=3_000)
    product.voids(6, 6)
    product.batch((7, 3_001))
    assert closed(exchange) == (1, 3), "the trade before it is still missing"


def test_numbers_that_do_not_exist_are_not_missing(figures: Figures, exchange: str) -> None:
    product = Stored(figures, exchange)
    product.batch((1, 10), (2, 70), clock_s=500)
    product.voids(3, 4)
    product.batch((5, 501))
    assert closed(exchange) == (1, 1)


def test_where_ids_are_no_numbers_nothing_is_counted(figures: Figures, exchange: str) -> None:
    product = Stored(figures, exchange)
    product.batch((None, 10), (None, 70), (None, 130))
    assert closed(exchange) == (0, 0)
    assert newest_s(exchange) == 130


def test_the_newest_trade_is_that_of_all_products(figures: Figures, exchange: str) -> None:
    one, other = Stored(figures, exchange, "A-USD"), Stored(figures, exchange, "B-USD")
    one.batch((1, 100))
    other.batch((1, 50.5))
    assert newest_s(exchange) == 100
    other.batch((2, 200.5))
    assert newest_s(exchange) == 200.5
    figures.forget()
    assert newest_s(exchange) is None


def test_what_was_stored_before_shows_from_the_start_on(figures: Figures, exchange: str) -> None:
    product, without_trades = ProductBars(exchange, "A-USD"), ProductBars(exchange, "B-USD")
    product.state.newest_time = DAY_NS + 7 * NS_PER_S
    figures.loaded([without_trades])
    assert newest_s(exchange) is None, "not the year 1970"
    figures.loaded([product, without_trades])
    assert (newest_s(exchange), closed(exchange)) == (7, (0, 0))
