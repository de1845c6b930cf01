"""Ticks on their way: none is lost, none changes its place, and no more than fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.proto.market_data_pb2 import RawMarketTick
from services.gateway.marketdata.window import Pace, Passage, Window


def passage(number: int) -> Passage:
    return Passage(RawMarketTick(timestamp_ns=number))


def number(of: Passage) -> int:
    return of.tick.timestamp_ns


def window_of(count: int, ticks_max: int = 10) -> Window:
    window = Window(ticks_max)
    for place in range(count):
        window.add(passage(place))
    return window


def test_answers_are_those_of_the_oldest() -> None:
    window = window_of(3)
    assert [number(window.next()) for _ in range(3)] == [0, 1, 2]
    assert [number(window.answered()) for _ in range(3)] == [0, 1, 2]
    assert len(window) == 0


def test_it_is_full_with_what_waits_and_what_is_not_answered() -> None:
    window = window_of(4, ticks_max=4)
    window.next()
    assert window.is_full
    window.answered()
    assert not window.is_full
    assert not window.has_room
    window.next()
    window.answered()
    assert window.has_room


def test_what_was_not_taken_is_written_again_before_the_rest() -> None:
    window = window_of(4)
    window.next()
    window.next()
    window.take_back()
    assert not window.is_unanswered
    assert [number(window.next()) for _ in range(4)] == [0, 1, 2, 3]


def test_what_was_written_is_given_up_and_the_rest_is_not() -> None:
    window = window_of(3)
    window.next()
    window.next()
    assert [number(lost) for lost in window.lose()] == [0, 1]
    assert [number(lost) for lost in window.lose()] == []
    assert number(window.next()) == 2


def test_all_of_it_is_given_up_at_the_end() -> None:
    window = window_of(3)
    window.next()
    assert [number(lost) for lost in window.clear()] == [0, 1, 2]
    assert len(window) == 0


def test_an_answer_that_is_not_due_is_an_error() -> None:
    with pytest.raises(IndexError):
        window_of(1).answered()


def test_only_the_oldest_that_was_written_is_due() -> None:
    window = window_of(2)
    assert not window.is_due(0)
    window.next()
    window.next()
    assert window.is_due(0)
    assert not window.is_due(1)


@given(st.lists(st.sampled_from(["add", "write", "answer", "take_back", "lose"]), max_size=80))
def test_each_tick_ends_once_and_in_order(steps: list[str]) -> None:
    window, added, ended = Window(1_000), 0, list[int]()
    for step in steps:
        if step == "add":
            window.add(passage(added))
            added += 1
        elif step == "write" and window.waits:
            window.next()
        elif step == "answer" and window.is_unanswered:
            ended.append(number(window.answered()))
        elif step == "take_back":
            window.take_back()
        elif step == "lose":
            ended += map(number, window.lose())
    assert [*ended, *map(number, window.clear())] == list(range(added))


def test_a_second_of_the_pace_is_let_through_at_once_and_then_the_pace() -> None:
    pace = Pace(10)
    for _ in range(10):
        assert pace.wait_s(100.0) == pytest.approx(0)
        pace.take(100.0)
    pace.take(100.0)
    assert pace.wait_s(100.0) == pytest.approx(0.1)
    pace.take(100.0)
    assert pace.wait_s(100.0) == pytest.approx(0.2)
    assert pace.wait_s(100.1) == pytest.approx(0.1)
    assert pace.wait_s(100.3) == 0


def test_who_was_silent_for_long_has_no_more_than_a_second_to_spare() -> None:
    pace = Pace(10)
    pace.take(100.0)
    for _ in range(11):
        pace.take(500.0)
    assert pace.wait_s(500.0) == pytest.approx(0.1)
