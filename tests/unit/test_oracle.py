"""The oracle knows nothing of the code it judges, and judges as one would by hand."""

import ast
from decimal import Decimal, localcontext
from pathlib import Path

import msgspec
import pytest

from services.contracts.events import Trade
from services.domain.bars import ProductBars, candle
from tests import oracle
from tests.support.trades import NS_PER_S, START_NS, Mix, generate


def _trade(number: int | None, at_s: float, price: str, size: str = "1", trade_id: str = "") -> Trade:
    time = START_NS + int(at_s * NS_PER_S)
    return Trade(
        "x", "A-B", trade_id or str(number), number, Decimal(price), Decimal(size), "BUY", time, time, "live", "x"
    )


def _candle(log: list[Trade], resolution: str, at_s: int, **voids: object) -> oracle.Row:
    return oracle.candles(log, **voids)["x", "A-B", resolution, START_NS + at_s * NS_PER_S]  # type: ignore[arg-type]


def test_imports_nothing_of_the_code_it_judges() -> None:
    modules = set()
    for file in Path(oracle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file.name}: a relative import would go unseen"
                modules |= {node.module or ""}
    ours = {module for module in modules if module.split(".")[0] == "services"}
    assert ours == {"services.contracts.events"}, "the shape of a trade is all it may share"


def test_a_bar_by_hand() -> None:
    log = [
        _trade(3, 59.9, "12", "0.5"),
        _trade(1, 0, "10"),
        _trade(2, 30, "9.5", "2"),
        _trade(2, 30, "9.5", "2"),
        _trade(4, 60, "11", "0.25"),
    ]
    minute = _candle(log, "1m", 0)
    assert minute == {
        "exchange": "x",
        "product_id": "A-B",
        "resolution": "1m",
        "timestamp": START_NS,
        "open": Decimal(10),
        "high": Decimal(12),
        "low": Decimal("9.5"),
        "close": Decimal(12),
        "volume": Decimal("3.5"),
        "quote_volume": Decimal(35),
        "trade_count": 3,
        "first_trade_id": "1",
        "last_trade_id": "3",
        "complete": False,
    }
    day = _candle(log, "1d", 0)
    assert (day["close"], day["volume"], day["trade_count"]) == (Decimal(11), Decimal("3.75"), 4)


def test_equal_times_go_by_number_and_without_numbers_by_the_log() -> None:
    numbered = _candle([_trade(8, 1, "18"), _trade(7, 1, "17")], "1m", 0)
    assert (numbered["open"], numbered["close"]) == (17, 18)
    unnumbered = _candle([_trade(None, 1, "18", trade_id="b"), _trade(None, 1, "17", trade_id="a")], "1m", 0)
    assert (unnumbered["open"], unnumbered["close"]) == (18, 17)


@pytest.mark.parametrize(
    ("numbers", "voids", "complete"),
    [
        ([1, 2, 3, 4], [], True),
        ([1, 2, 4], [], False),
        ([2, 3, 4], [], False),
        ([1, 2, 3], [], False),
        ([1, 2, 4, 5], [("x", "A-B", 3, 3)], True),
        ([1, 2, 3, 5], [("x", "A-B", 4, 4)], True),
    ],
)
def test_a_bar_is_complete_with_both_neighbours(
    numbers: list[int], voids: list[tuple[str, str, int, int]], complete: bool
) -> None:
    """Number 1 is in the minute before, 2 and 3 in this one, the rest after it."""
    log = [_trade(number, {1: 10, 2: 61, 3: 62}.get(number, 130), "10") for number in numbers]
    assert _candle(log, "1m", 60, voids=voids)["complete"] is complete


def test_sums_beyond_a_double_and_beyond_28_digits_are_exact() -> None:
    log = [_trade(1, 0, "123456789012.12345678", "98765432109.87654321"), _trade(2, 0, "0.00000001", "0.00000001")]
    minute = _candle(log, "1m", 0)
    assert minute["quote_volume"] == Decimal("12193263113680231658668.4651727422374639")
    assert minute["volume"] == Decimal("98765432109.87654322")


def test_what_differs_is_told() -> None:
    expected = {("a", 1): {"n": "a", "i": 1, "v": 1}, ("a", 2): {"n": "a", "i": 2, "v": 2}}
    same = [{"n": "a", "i": 1, "v": 1, "more": 0}, {"n": "a", "i": 2, "v": 2}]
    assert oracle.compare(same, expected, ("n", "i")) == []
    other = [{"n": "a", "i": 1, "v": 7}, {"n": "a", "i": 1, "v": 1}, {"n": "b", "i": 1, "v": 1}]
    assert oracle.compare(other, expected, ("n", "i")) == [
        "('a', 1): v is 7, expected 1",
        "('a', 1): found twice",
        "('b', 1): not expected",
        "('a', 2): missing",
    ]


def test_agrees_with_the_fold_of_bars() -> None:
    log = generate(20_000, Mix(products=5), seed=7)
    products: dict[str, ProductBars] = {}
    with localcontext(prec=200):
        for offset, trade in enumerate(log):
            products.setdefault(trade.product_id, ProductBars(trade.exchange, trade.product_id)).absorb(trade, offset)
        rows = [
            msgspec.structs.asdict(candle(product.exchange, product.product_id, key, stored))
            for product in products.values()
            for key, stored in product.settle(clock_ns=0, head=len(log), grace_ns=0)
        ]
    expected = oracle.candles(log)
    assert oracle.compare(rows, expected, oracle.CANDLE_KEY) == []
    assert {row["complete"] for row in expected.values()} == {True, False}


def test_the_generator_makes_everything_that_goes_wrong() -> None:
    log = generate(20_000, seed=1)
    assert log == generate(20_000, seed=1)
    assert log != generate(20_000, seed=2)
    once = oracle.trades(log)
    assert len(log) - len(once) > 100, "repeats"
    assert 20_000 - len(once) > 10, "ids that never come"
    highest: dict[str, int] = {}
    behind = 0
    for trade in log:
        assert trade.trade_number is not None
        behind += trade.trade_number < highest.get(trade.product_id, 0)
        highest[trade.product_id] = max(trade.trade_number, highest.get(trade.product_id, 0))
    assert behind > 100, "trades after others with higher ids"
    ages_s = {(trade.received_time - trade.time) // NS_PER_S for trade in log}
    assert ages_s == {0, 1, 600, 172_800}
