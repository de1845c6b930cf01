"""When the breaker lets an attempt through."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.breaker import Breaker, State
from services.runtime.clock import FakeClock

FAILURES_MAX = 3
OPEN_S = 10.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(FAILURES_MAX, OPEN_S, clock.monotonic)


def fail(breaker: Breaker, times: int = FAILURES_MAX) -> None:
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, FAILURES_MAX - 1)
    assert breaker.lets_through()
    breaker.failed()
    assert breaker.state is State.OPEN
    assert not breaker.lets_through()


def test_a_success_between_them_begins_the_count_again(breaker: Breaker) -> None:
    fail(breaker, FAILURES_MAX - 1)
    breaker.succeeded()
    fail(breaker, FAILURES_MAX - 1)
    assert breaker.state is State.CLOSED


def test_after_a_while_one_attempt_is_let_through_and_no_other(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(OPEN_S - 0.001)
    assert not breaker.lets_through()
    clock.advance(0.001)
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]


def test_its_success_closes_the_breaker_for_all(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(OPEN_S)
    assert breaker.lets_through()
    breaker.succeeded()
    assert [breaker.lets_through() for _ in range(3)] == [True] * 3
    fail(breaker, FAILURES_MAX - 1)
    assert breaker.state is State.CLOSED


def test_its_failure_opens_it_for_as_long_again(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(OPEN_S)
    assert breaker.lets_through()
    breaker.failed()
    clock.advance(OPEN_S - 0.001)
    assert not breaker.lets_through()
    clock.advance(0.001)
    assert breaker.lets_through()


def test_an_attempt_of_which_nothing_is_heard_does_not_keep_it_shut(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(OPEN_S)
    assert breaker.lets_through()
    clock.advance(OPEN_S)
    assert breaker.lets_through()


def test_failures_of_attempts_begun_before_do_not_prolong_it(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(OPEN_S / 2)
    fail(breaker, 500)
    clock.advance(OPEN_S / 2)
    assert breaker.lets_through()


@given(st.lists(st.sampled_from(["ask", "succeed", "fail", "wait"]), max_size=60))
def test_while_it_is_open_there_is_at_most_one_attempt_in_each_while(steps: list[str]) -> None:
    clock = FakeClock()
    breaker = Breaker(FAILURES_MAX, OPEN_S, clock.monotonic)
    let_through: list[float] = []
    actions: dict[str, Callable[[], None]] = {
        "succeed": breaker.succeeded,
        "fail": breaker.failed,
        "wait": lambda: clock.advance(OPEN_S / 4),
    }
    for step in steps:
        if step != "ask":
            actions[step]()
            if breaker.state is State.CLOSED:
                let_through.clear()
        elif breaker.state is not State.CLOSED and breaker.lets_through():
            let_through.append(clock.monotonic())
    assert all(later - earlier >= OPEN_S for earlier, later in pairwise(let_through))
