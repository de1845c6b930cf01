"""The VWAP window against its definition, to the last bit."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.vwap import (
    BLOCK_TICKS,
    SECOND_NS,
    WINDOW_NS,
    FenwickTree,
    TooManyInstruments,
    Window,
    Windows,
)
from tests.oracle.vwap import WindowedAverage

START_NS = 1_800_000_000 * SECOND_NS
LATENESS_NS = 600 * SECOND_NS
INT64_MAX = 2**63 - 1

Tick = tuple[int, float, int]

prices = st.floats(min_value=0.01, max_value=10_000)
volumes = st.integers(1, 1_000_000)
offsets = st.integers(-WINDOW_NS - LATENESS_NS, WINDOW_NS)


def window(ticks_max: int = 1_000_000, lateness_ns: int = LATENESS_NS) -> Window:
    return Window(ticks_max, lateness_ns)


def answers(found: Window, ticks: Iterable[Tick]) -> list[float]:
    values = []
    for tick in ticks:
        found.add(*tick)
        values.append(found.vwap(tick[0]))
    return values


def expected(ticks: Iterable[Tick]) -> list[float]:
    oracle, values = WindowedAverage(), []
    for tick in ticks:
        oracle.add(*tick)
        values.append(oracle.vwap(tick[0]))
    return values


def walk(count: int, step_ns: int, late: float, lateness_ns: int, seed: int) -> list[Tick]:
    """Ticks ``step_ns`` apart; a part of them is late by up to ``lateness_ns``."""
    chance = random.Random(seed)
    ticks = []
    for number in range(count):
        time = START_NS + number * step_ns
        if chance.random() < late:
            time -= chance.randrange(lateness_ns)
        ticks.append((time, chance.uniform(0.01, 10_000), chance.randrange(1, 10_000)))
    return ticks


@given(st.lists(st.tuples(offsets.map(lambda offset: START_NS + offset), prices, volumes), max_size=200))
def test_every_answer_is_exact_in_any_order(ticks: list[Tick]) -> None:
    assert answers(window(lateness_ns=2 * WINDOW_NS), ticks) == expected(ticks)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5).map(lambda second: START_NS + second * SECOND_NS),
            st.floats(min_value=0, exclude_min=True, allow_infinity=False),
            st.integers(1, INT64_MAX),
        ),
        max_size=30,
    )
)
def test_any_double_and_any_volume_are_exact(ticks: list[Tick]) -> None:
    assert answers(window(), ticks) == expected(ticks)


@pytest.mark.parametrize(("step_ns", "late"), [(2 * SECOND_NS, 0.0), (2 * SECOND_NS, 0.3), (SECOND_NS, 0.5), (1, 0.5)])
def test_long_runs_are_exact_with_and_without_late_ticks(step_ns: int, late: float) -> None:
    ticks = walk(1_500, step_ns, late, LATENESS_NS, seed=1)
    assert answers(window(), ticks) == expected(ticks)


def test_the_window_is_open_at_its_beginning_and_closed_at_its_end() -> None:
    found = window()
    assert answers(found, [(START_NS, 1.0, 1), (START_NS + WINDOW_NS - 1, 3.0, 1)]) == [1.0, 2.0]
    assert answers(found, [(START_NS + WINDOW_NS, 5.0, 1)]) == [4.0]
    assert found.vwap(START_NS) == 1.0
    assert found.vwap(START_NS - 1) == 0.0


def test_sums_do_not_drift() -> None:
    """A running sum of doubles does: 0.1 has no exact one."""
    found, drifting = window(), 0.0
    for number in range(100_000):
        found.add(START_NS + number, 0.1, 1)
        drifting += 0.1
    assert found.vwap(START_NS + 99_999) == 0.1
    assert drifting / 100_000 != 0.1


def test_old_ticks_are_forgotten_and_late_ones_still_exact() -> None:
    found = window()
    ticks = walk(10_000, 4 * SECOND_NS, 0.1, LATENESS_NS, seed=2)
    assert answers(found, ticks)[-200:] == expected(ticks[-1_000:])[-200:]
    assert len(found) < (WINDOW_NS + LATENESS_NS) // (4 * SECOND_NS) * 1.5


def merged_expected(ticks: list[Tick], merged_until: int) -> list[Tick]:
    """The same ticks, where those up to a time count at the beginning of their second."""
    return [(t - t % SECOND_NS if t <= merged_until else t, p, v) for t, p, v in ticks]


@settings(max_examples=15)
@given(st.integers(0, 1_000), st.sampled_from([SECOND_NS // 100, SECOND_NS // 7, SECOND_NS]))
def test_beyond_the_limit_the_oldest_are_merged_per_second(seed: int, step_ns: int) -> None:
    ticks_max = 500
    found = window(ticks_max)
    ticks = walk(1_500, step_ns, 0.2, 5 * SECOND_NS, seed)
    for tick in ticks:
        found.add(*tick)
        seconds = (WINDOW_NS + LATENESS_NS) // SECOND_NS
        assert len(found) <= ticks_max + 2 * BLOCK_TICKS + seconds
    newest = max(time for time, _, _ in ticks)
    assert found.merged_ticks > 0
    oracle = WindowedAverage()
    for tick in merged_expected(ticks, found._merged_until):
        oracle.add(*tick)
    assert found.vwap(newest) == oracle.vwap(newest)


def test_merging_leaves_the_running_window_as_it_would_be_found_anew() -> None:
    found = window(1_000)
    for time, price, volume in walk(10_000, SECOND_NS // 2, 0.1, 30 * SECOND_NS, seed=3):
        found.add(time, price, volume)
        newest = found._newest
        if found._count % 97 == 0:
            assert found._running == found._up_to(newest) - found._up_to(newest - WINDOW_NS)


def test_times_that_run_backwards_do_not_grow_without_bound() -> None:
    found = window(1_000)
    for number in range(20_000):
        found.add(START_NS - number * SECOND_NS, 1.0, 1)
    assert len(found) <= 1_000 + (WINDOW_NS + LATENESS_NS) // SECOND_NS + 2 * BLOCK_TICKS
    assert found.vwap(START_NS) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99), st.integers(-(2**100), 2**100)), max_size=100))
def test_fenwick_tree_is_a_prefix_sum(changes: list[tuple[bool, int, int]]) -> None:
    tree, plain = FenwickTree(), list[int]()
    for append, index, value in changes:
        if append or not plain:
            tree.append(value)
            plain.append(value)
        else:
            tree.add(index % len(plain), value)
            plain[index % len(plain)] += value
    assert [tree.up_to(count) for count in range(len(plain) + 1)] == [
        sum(plain[:count]) for count in range(len(plain) + 1)
    ]


def test_instruments_are_bounded_and_the_quiet_ones_make_room() -> None:
    windows = Windows(1_000, 2, LATENESS_NS)
    windows.of("AAA", START_NS).add(START_NS, 1.0, 1)
    windows.of("BBB", START_NS + WINDOW_NS).add(START_NS, 1.0, 1)
    with pytest.raises(TooManyInstruments, match="2 instruments"):
        windows.of("CCC", START_NS + WINDOW_NS)
    windows.forget_quiet(START_NS + WINDOW_NS + LATENESS_NS)
    assert len(windows) == 2
    windows.forget_quiet(START_NS + WINDOW_NS + LATENESS_NS + 1)
    windows.of("CCC", START_NS + WINDOW_NS).add(START_NS, 1.0, 1)
    assert windows.ticks() == 2
