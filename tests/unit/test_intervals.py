"""Intervals against the obvious model: a set of integers."""

from hypothesis import given
from hypothesis import strategies as st

from services.domain import intervals
from services.domain.intervals import Intervals

NUMBERS = st.integers(0, 60)
RUNS = st.tuples(NUMBERS, st.integers(0, 12)).map(lambda run: (run[0], run[0] + run[1]))


def _check(found: Intervals, model: set[int]) -> None:
    assert {n for first, last in found.runs for n in range(first, last + 1)} == model
    assert all(first <= last for first, last in found.runs)
    assert all(end + 1 < start for end, start in zip(found.ends, found.starts[1:], strict=False)), "runs touch"


@given(st.lists(st.one_of(NUMBERS, RUNS), max_size=60))
def test_adding_numbers_and_runs_is_adding_to_a_set(steps: list[int | tuple[int, int]]) -> None:
    found, model = Intervals(), set[int]()
    for step in steps:
        if isinstance(step, int):
            assert found.add(step) == (step not in model)
            model.add(step)
        else:
            found.add_run(*step)
            model.update(range(step[0], step[1] + 1))
        _check(found, model)


@given(st.sets(NUMBERS), RUNS)
def test_what_is_there_and_what_is_missing(model: set[int], run: tuple[int, int]) -> None:
    found = Intervals()
    for number in model:
        found.add(number)
    wanted = set(range(run[0], run[1] + 1))
    assert found.covers(*run) == (wanted <= model)
    assert {n for first, last in found.missing(*run) for n in range(first, last + 1)} == wanted - model
    assert all((number in found) == (number in model) for number in wanted)


def test_beyond_the_limit_the_oldest_hole_is_given_up_and_counted() -> None:
    found = Intervals()
    for number in range(0, 2 * intervals.RUNS_MAX + 4, 2):
        found.add(number)
    assert len(found.starts) == intervals.RUNS_MAX
    assert found.lost == 2
    assert found.covers(0, 4)
    assert not found.add(1), "what would fill a hole given up counts as seen"
    assert found.add(5)
