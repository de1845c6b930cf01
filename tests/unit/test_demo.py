"""The demo venue: every trade follows from its number."""

import math

import pytest

from services.adapters.venues.base import Emit, Event, Subscribed, Trades
from services.adapters.venues.demo import EPOCH_S, TICK_TRADES_MAX, Demo
from services.contracts.errors import ConfigError
from services.contracts.events import Trade
from services.domain.trades import check
from services.runtime.clock import NS_PER_MS, NS_PER_S
from tests.support.frames import NOW_NS


def emitted(venue: Demo, now_ns: int) -> list[Trade]:
    events: list[Event] = [e for action in venue.on_tick(now_ns) if isinstance(action, Emit) for e in action.events]
    return [trade for event in events if isinstance(event, Trades) for trade in event.trades]


def test_a_trade_is_what_the_formula_says() -> None:
    venue = Demo(("BTC-USD",), settings={"interval_ms": "200", "base.BTC-USD": "65000"})
    assert venue.on_open(NOW_NS) == [Emit([Subscribed(("BTC-USD",))])]
    (trade,) = emitted(venue, NOW_NS)
    sequence = (NOW_NS - EPOCH_S * NS_PER_S) // (200 * NS_PER_MS)
    assert trade.trade_number == sequence
    assert trade.trade_id == f"demo-BTC-USD-{EPOCH_S}-{sequence}"
    assert trade.time == EPOCH_S * NS_PER_S + sequence * 200 * NS_PER_MS
    exact = 65000 + 65000 * 0.002 * math.sin(sequence / 10) + sequence % 7
    assert float(trade.price) == pytest.approx(exact, abs=0.0051)
    assert str(trade.price) == f"{trade.price:.2f}"
    check(trade, future_ns=0)


def test_two_pods_make_the_same_trades_and_a_late_one_goes_on_without_a_hole() -> None:
    early, late = Demo(("BTC-USD", "XYZ-USD")), Demo(("BTC-USD", "XYZ-USD"))
    early.on_open(NOW_NS)
    late.on_open(NOW_NS + 10 * NS_PER_S)
    first = emitted(early, NOW_NS + 11 * NS_PER_S)
    second = emitted(late, NOW_NS + 11 * NS_PER_S)
    assert 0 < len(second) < len(first)
    assert all(trade in first for trade in second)


def test_a_tick_is_bounded_and_the_next_one_goes_on() -> None:
    venue = Demo(("BTC-USD",), settings={"interval_ms": "1"})
    venue.on_open(NOW_NS)
    numbers = [trade.trade_number or 0 for _ in range(4) for trade in emitted(venue, NOW_NS + 3 * NS_PER_S)]
    assert len(numbers) == 3_001
    assert numbers == sorted(set(numbers))
    venue.on_open(NOW_NS)
    assert len(emitted(venue, NOW_NS + 3 * NS_PER_S)) == TICK_TRADES_MAX


def test_the_history_is_the_same_trades() -> None:
    venue = Demo(("BTC-USD",))
    venue.on_open(NOW_NS)
    live = emitted(venue, NOW_NS + 2 * NS_PER_S)
    numbers = [trade.trade_number or 0 for trade in live]
    history = Demo(("BTC-USD",)).history_local("BTC-USD", numbers[0], numbers[-1], NOW_NS + 2 * NS_PER_S, "live")
    assert history == live
    assert venue.history_local("BTC-USD", numbers[-1] + 1, numbers[-1] + 9, NOW_NS + 2 * NS_PER_S, "repair") == []


@pytest.mark.parametrize(
    "settings",
    [
        {"interval_ms": "0"},
        {"interval_ms": "fast"},
        {"epoch_s": "-1"},
        {"base.BTC-USD": "1.234"},
        {"base.BTC-USD": "NaN"},
        {"base.BTC-USD": "-5"},
        {"base.BTC-USD": "1e999999999"},
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Demo(("BTC-USD",), settings=settings)
