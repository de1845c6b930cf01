"""Indicators: as defined by hand, as TA-Lib has them, and the same however the log is cut, corrected or restarted."""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec
import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.errors import ConfigError
from services.contracts.events import Candle, Trade, input_sequence
from services.domain.candles import NS_PER_MINUTE
from services.domain.indicators import (
    LENGTH_MAX,
    WINDOW_STEPS,
    Absorbed,
    BarHistory,
    BarRow,
    News,
    Plan,
    ProductIndicators,
    ProductState,
    Series,
    Settlement,
    Spec,
)
from tests import oracle
from tests.support.trades import NS_PER_S, START_NS, Mix, generate

PRICES = st.lists(st.integers(1_000, 9_999).map(lambda cents: cents / 100), min_size=1, max_size=120)
LENGTHS = st.integers(2, 20)
EVERYTHING = ("sma_1", "sma_5", "ema_1", "ema_12", "rsi_1", "rsi_14", "vwap_1m", "vwap_60m")


def _trade(number: int | None, price: float | str, at_s: float = 0, size: str = "1", trade_id: str = "") -> Trade:
    time = START_NS + int(at_s * NS_PER_S)
    name = trade_id or str(number)
    return Trade("x", "A-B", name, number, Decimal(str(price)), Decimal(size), "BUY", time, time, "live", "x")


def _series(*names: str) -> Series:
    return Series([Spec.parse(name) for name in names])


def _each(series: Series, prices: Iterable[float]) -> list[dict[str, float]]:
    found = []
    for price in prices:
        series.push(price)
        found.append(series.values())
    return found


# ---- names


def test_a_name_says_everything() -> None:
    assert Spec.parse("sma_5") == Spec("sma_5", "sma", 5, "trade")
    assert Spec.parse("vwap_5m") == Spec("vwap_5m", "vwap", 5, "trade")
    assert Spec.parse("rsi_14@1h") == Spec("rsi_14@1h", "rsi", 14, "1h")


@pytest.mark.parametrize(
    "name",
    ["", "sma", "sma_", "sma_0", "sma_05", "sma_-1", "sma_5m", "sma_5@", "sma_5@2m", "SMA_5", "vwap_5", "vwap_0m",
     "vwap_5m@1m", "vwap_1441m", f"ema_{LENGTH_MAX + 1}", "ema_99999", "macd_5", " sma_5", "sma_5\n", "sma_٥"],
)  # fmt: skip
def test_a_bad_name_is_a_bad_setting(name: str) -> None:
    with pytest.raises(ConfigError, match=r"looks back too far|is not an indicator"):
        Plan(["sma_5", name])


# ---- by hand


def test_ema_is_the_price_then_the_mean_then_the_recursion() -> None:
    assert [values["ema_3"] for values in _each(_series("ema_3"), [10, 12, 14, 16])] == [10, 12, 12, 14]


def test_sma_is_what_there_is() -> None:
    assert [values["sma_3"] for values in _each(_series("sma_3"), [10, 12, 14, 16])] == [10, 11, 12, 14]


def test_sma_does_not_drift() -> None:
    """A running sum of float64 keeps what the large values rounded away, for ever."""
    series = _series("sma_3")
    for price in [1e15 + 0.5, 0.1] * 1_000 + [0.1, 0.2, 0.3]:
        series.push(price)
    assert series.values()["sma_3"] == math.fsum([0.1, 0.2, 0.3]) / 3


def test_rsi_is_absent_until_there_are_enough_changes() -> None:
    found = _each(_series("rsi_2"), [10, 11, 10, 12])
    assert found[:2] == [{}, {}]
    assert found[2]["rsi_2"] == 50
    assert found[3]["rsi_2"] == pytest.approx(100 * 1.25 / 1.5)


@pytest.mark.parametrize("prices", [[1, 2, 3, 4, 5], [5, 5, 5, 5, 5]])
def test_rsi_is_100_where_there_is_no_loss(prices: list[float]) -> None:
    assert _each(_series("rsi_3"), prices)[-1]["rsi_3"] == 100


def test_rsi_of_a_price_that_stands_still_stays() -> None:
    series = _series("rsi_14")
    before = _each(series, [1.0, 1.0001] * 20)[-1]["rsi_14"]
    for _ in range(50_000):
        series.push(1.0001)
    assert series.values()["rsi_14"] == pytest.approx(before, rel=1e-9)
    series.push(1.0)
    assert series.values()["rsi_14"] == pytest.approx(0, abs=1e-9)


def test_vwap_leaves_out_what_is_older_than_its_minutes() -> None:
    product = ProductIndicators(Plan(["vwap_5m"]))
    for number, (price, at_s, size) in enumerate([("10", 0, "1"), ("20", 60, "3"), ("30", 299, "1")]):
        product.absorb(_trade(number, price, at_s, size), number)
    assert product.values() == {"vwap_5m": 20.0}
    product.absorb(_trade(3, "30", 300, "1"), 3)
    assert product.values() == {"vwap_5m": 24.0}


def test_what_is_kept_of_a_window_is_bounded_and_what_is_older_is_left_out() -> None:
    product = ProductIndicators(Plan(["vwap_5m"]))
    for number in range(5_000):
        product.absorb(_trade(number, "10", at_s=number), number)
        assert len(product.state.windows["vwap_5m"].steps) <= 2 * WINDOW_STEPS
    product.absorb(_trade(5_000, "99", at_s=4_999 - 300), 5_000)
    assert product.values() == {"vwap_5m": 10}
    assert len(product.state.windows["vwap_5m"].steps) == WINDOW_STEPS


# ---- which trades


def test_a_repaired_trade_reaches_vwap_alone() -> None:
    product = ProductIndicators(Plan(["sma_2", "vwap_5m"]))
    assert product.absorb(_trade(1, "10"), 100) is Absorbed.FOLDED
    assert product.absorb(_trade(3, "30"), 101) is Absorbed.FOLDED
    assert product.absorb(_trade(2, "80"), 102) is Absorbed.LATE
    assert product.absorb(_trade(2, "80"), 103) is Absorbed.REPEATED
    assert product.values() == {"sma_2": 20, "vwap_5m": 40}
    assert product.state.sequence == input_sequence(102)


def test_a_repaired_trade_changes_nothing_where_there_is_no_vwap() -> None:
    product = ProductIndicators(Plan(["sma_2"]))
    product.absorb(_trade(3, "30"), 101)
    assert product.absorb(_trade(2, "80"), 102) is Absorbed.LATE
    assert product.state.sequence == input_sequence(101)


def test_trades_without_numbers_are_folded_as_they_come() -> None:
    product = ProductIndicators(Plan(["sma_2"]))
    found = [product.absorb(_trade(None, "10", trade_id=name), 0) for name in ("b", "a", "b")]
    assert found == [Absorbed.FOLDED, Absorbed.FOLDED, Absorbed.REPEATED]


def test_agrees_with_the_oracle_on_a_log_with_everything_wrong() -> None:
    log = generate(20_000, Mix(products=5, delayed=0.1), seed=3)
    names = (*EVERYTHING[2:4], *EVERYTHING[5:], "sma_5", "sma_200")
    products: dict[tuple[str, str], ProductIndicators] = {}
    for offset, trade in enumerate(log):
        key = (trade.exchange, trade.product_id)
        products.setdefault(key, ProductIndicators(Plan(names))).absorb(trade, offset)
    expected = oracle.trade_indicators(log, names)
    assert products.keys() == expected.keys()
    for key, product in products.items():
        assert product.values() == pytest.approx(expected[key], rel=1e-9)


def test_a_batch_tells_the_newest_values_once() -> None:
    product = ProductIndicators(Plan(["sma_2"]))
    product.absorb(_trade(1, "10", 1), 100)
    product.absorb(_trade(2, "20", 3), 101)
    product.absorb(_trade(3, "30", 2), 102)
    assert product.settle().news == [News("trade", START_NS + 3 * NS_PER_S, input_sequence(102), {"sma_2": 25})]
    product.absorb(_trade(3, "30", 2), 103)
    assert product.settle().news == []


def test_what_has_no_value_yet_is_not_told() -> None:
    product = ProductIndicators(Plan(["rsi_2"]))
    product.absorb(_trade(1, "10"), 100)
    assert product.settle().news == []


# ---- as TA-Lib has them


def _agrees(found: Sequence[float | None], expected: Iterable[float]) -> None:
    compared = [(ours, theirs) for ours, theirs in zip(found, expected, strict=True) if not math.isnan(theirs)]
    for ours, theirs in compared:
        assert ours == pytest.approx(theirs, rel=1e-9)


@given(PRICES, LENGTHS)
def test_sma_and_ema_agree_with_talib(prices: list[float], length: int) -> None:
    found = _each(_series(f"sma_{length}", f"ema_{length}"), prices)
    series = np.array(prices)
    _agrees([values[f"sma_{length}"] for values in found], talib.SMA(series, timeperiod=length))
    _agrees([values[f"ema_{length}"] for values in found], talib.EMA(series, timeperiod=length))


@given(PRICES, LENGTHS)
def test_rsi_agrees_with_talib(prices: list[float], length: int) -> None:
    found = [values.get(f"rsi_{length}") for values in _each(_series(f"rsi_{length}"), prices)]
    theirs = talib.RSI(np.array(prices), timeperiod=length)
    flat = [all(price == prices[0] for price in prices[: index + 1]) for index in range(len(prices))]
    assert [value is None for value in found] == [bool(gone) for gone in np.isnan(theirs)]
    _agrees(found, [math.nan if still else value for still, value in zip(flat, theirs, strict=True)])
    assert all(value == 100 for value, still in zip(found, flat, strict=True) if still and value is not None)


# ---- state


@given(st.data())
def test_state_stored_at_any_point_goes_on_bit_for_bit(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=80))
    log = [_trade(number, number * 7 % 11 + 0.1, data.draw(st.integers(0, 400)), f"0.{number}") for number in numbers]
    plan = Plan(EVERYTHING)
    straight, restarted = ProductIndicators(plan), ProductIndicators(plan)
    for offset, trade in enumerate(log):
        assert straight.absorb(trade, offset) is restarted.absorb(trade, offset)
        if data.draw(st.booleans()):
            raw = msgspec.msgpack.encode(restarted.state)
            restarted = ProductIndicators(plan, msgspec.msgpack.decode(raw, type=ProductState))
        assert straight.values() == restarted.values()
    assert msgspec.msgpack.encode(straight.state) == msgspec.msgpack.encode(restarted.state)


def test_an_indicator_added_later_begins_there_and_the_others_go_on() -> None:
    before = ProductIndicators(Plan(["ema_3", "sma_2", "rsi_2"]))
    for number, price in enumerate([10, 12, 14, 16]):
        before.absorb(_trade(number, price), number)
    after = ProductIndicators(Plan(["ema_3", "ema_2"]), before.state)
    assert after.values() == {"ema_3": 14}
    after.absorb(_trade(9, 18), 9)
    assert after.values() == {"ema_3": 16, "ema_2": 18}


# ---- bars


class Store:
    """What the table of the bars does for the engine."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: dict[tuple[str, int], BarRow] = {}
        self.reads = 0

    def history(self, resolution: str, since: float) -> BarHistory:
        self.reads += 1
        rows = sorted(row.timestamp for row in self.rows.values() if row.resolution == resolution)
        before = [self.rows[resolution, timestamp] for timestamp in rows if timestamp < since]
        closes = {timestamp: self.rows[resolution, timestamp].close for timestamp in rows if timestamp >= since}
        specs = self.plan.bars[resolution]
        if not before:
            return BarHistory(-1, Series(specs), closes)
        recent = [row.close for row in before][-self.plan.bars_window :]
        return BarHistory(before[-1].timestamp, Series.resume(specs, recent, before[-1].checkpoint), closes)

    def settle(self, product: ProductIndicators) -> Settlement:
        for resolution, since in product.wanted().items():
            product.provide(resolution, self.history(resolution, since))
        settlement = product.settle()
        self.rows |= {(row.resolution, row.timestamp): row for row in settlement.rows}
        return settlement

    def restart(self, state: ProductState) -> ProductIndicators:
        raw = msgspec.msgpack.encode(state)
        product = ProductIndicators(self.plan, msgspec.msgpack.decode(raw, type=ProductState))
        for resolution in self.plan.bars:
            product.restore(resolution, self.history(resolution, math.inf))
        return product


def _candle(minute: int, close: float, sequence: int, *, closed: bool = True, resolution: str = "1m") -> Candle:
    value = Decimal(str(close))
    return Candle(
        exchange="x", product_id="A-B", resolution=resolution, timestamp=START_NS + minute * NS_PER_MINUTE,
        open=value, high=value, low=value, close=value, volume=value, quote_volume=value, trade_count=1,
        first_trade_id="1", last_trade_id="1", closed=closed, complete=False, revision=int(closed),
        input_sequence=sequence,
    )  # fmt: skip


def test_open_bars_and_bars_that_came_before_do_not_count() -> None:
    plan = Plan(["sma_2@1m"])
    product, store = ProductIndicators(plan), Store(plan)
    assert product.absorb_candle(_candle(0, 10, sequence=5), 50)
    assert product.absorb_candle(_candle(1, 99, sequence=6, closed=False), 51)
    assert not product.absorb_candle(_candle(1, 99, sequence=7, resolution="5m"), 52)
    assert not product.absorb_candle(_candle(0, 99, sequence=5), 53)
    assert store.settle(product).news == [News("1m", START_NS, input_sequence(50), {"sma_2@1m": 10})]


def test_a_corrected_bar_moves_all_behind_it() -> None:
    plan = Plan(["ema_3@1m"])
    product, store = ProductIndicators(plan), Store(plan)
    for minute, close in enumerate([10, 12, 0, 16]):
        product.absorb_candle(_candle(minute, close, sequence=minute), minute)
    store.settle(product)
    assert store.reads == 0
    product.absorb_candle(_candle(2, 14, sequence=9), 9)
    store.settle(product)
    assert product.values() == {"ema_3@1m": 14}
    assert store.reads == 1


def test_a_bar_that_only_became_complete_costs_nothing() -> None:
    plan = Plan(["ema_3@1m"])
    product, store = ProductIndicators(plan), Store(plan)
    product.absorb_candle(_candle(0, 10, sequence=1), 1)
    store.settle(product)
    product.absorb_candle(_candle(0, 10, sequence=2), 2)
    assert product.wanted() == {}
    assert product.settle() == Settlement([News("1m", START_NS, input_sequence(2), {"ema_3@1m": 10})], [])


def test_settling_without_the_history_is_a_broken_invariant() -> None:
    product = ProductIndicators(Plan(["ema_3@1m"]))
    for minute in (1, 0):
        product.absorb_candle(_candle(minute, 10, sequence=5 - minute), 0)
        if minute == 1:
            product.settle()
    with pytest.raises(AssertionError, match="without the history"):
        product.settle()


@settings(max_examples=200)
@given(st.data())
def test_corrections_in_any_order_batches_and_restarts_equal_recomputation(data: st.DataObject) -> None:
    plan = Plan(["sma_3@1m", "ema_3@1m", "rsi_3@1m", "rsi_1@1m"])
    product, store, closes = ProductIndicators(plan), Store(plan), dict[int, float]()
    steps = st.tuples(st.integers(0, 25), st.integers(1, 9), st.booleans(), st.booleans())
    for sequence, (minute, close, settles, restarts) in enumerate(data.draw(st.lists(steps, max_size=50))):
        product.absorb_candle(_candle(minute, close, sequence), sequence)
        closes[minute] = close
        if settles or restarts:
            store.settle(product)
        if restarts:
            product = store.restart(product.state)
    store.settle(product)
    expected = Series(plan.bars["1m"])
    for minute in sorted(closes):
        expected.push(closes[minute])
    assert product.values() == expected.values()
    assert {start: row.close for (_, start), row in store.rows.items()} == {
        START_NS + minute * NS_PER_MINUTE: close for minute, close in closes.items()
    }


# ---- crashes


def _run(plan: Plan, records: Sequence[Trade | Candle], cuts: Iterable[tuple[int, bool]]) -> list[News]:
    """Everything told, when the log is cut into batches of these sizes and some of them die before they are stored."""
    store, product, told = Store(plan), ProductIndicators(plan), list[News]()
    position, stored = 0, msgspec.msgpack.encode(ProductState())
    for size, dies in (*cuts, (len(records), False)):
        for offset, record in enumerate(records[position : position + size], position):
            if isinstance(record, Trade):
                product.absorb(record, offset)
            else:
                product.absorb_candle(record, offset)
        rows = dict(store.rows)
        told += store.settle(product).news
        if dies:
            store.rows = rows
            product = store.restart(msgspec.msgpack.decode(stored, type=ProductState))
        else:
            position, stored = min(position + size, len(records)), msgspec.msgpack.encode(product.state)
    return told


@given(st.data())
def test_what_is_told_is_a_function_of_the_log_however_it_is_cut_and_whatever_dies(data: st.DataObject) -> None:
    """Readers drop what is not above the highest sequence of its source: so one sequence says one thing only."""
    plan = Plan([*EVERYTHING, "sma_3@1m", "ema_3@1m", "rsi_2@5m"])
    steps = st.tuples(st.booleans(), st.integers(1, 30), st.integers(1, 9), st.sampled_from(["1m", "5m"]))
    records: list[Trade | Candle] = [
        _trade(number, value, number * 20) if is_trade else _candle(number - number % 5, value, offset, resolution=name)
        for offset, (is_trade, number, value, name) in enumerate(data.draw(st.lists(steps, min_size=1, max_size=60)))
    ]
    one_by_one = _run(plan, records, [(1, False)] * len(records))
    expected = {(news.source, news.sequence): news for news in one_by_one}
    told = _run(plan, records, data.draw(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=20)))
    assert [news for news in told if news != expected[news.source, news.sequence]] == []
    newest = {news.source: news for news in one_by_one}
    assert {news.source: news for news in sorted(told, key=lambda news: news.sequence)} == newest
