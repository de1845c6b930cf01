"""The gap tracker against the obvious model: the set of numbers published."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.events import FeedState
from services.domain import gaps
from services.domain.gaps import GapTracker
from services.feed.product import Product

NOW = 1_767_225_600_000_000_000
NUMBERS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def _publish(tracker: GapTracker, numbers: list[int]) -> list[int]:
    """What was published, in order."""
    published = []
    for number in numbers:
        if tracker.is_new(number):
            tracker.published(number, NOW + number, NOW)
            published.append(number)
    return published


def _missing(tracker: GapTracker) -> set[int]:
    return {n for gap in tracker.open for first, last in gap.missing() for n in range(first, last + 1)}


@given(NUMBERS)
def test_what_is_missing_is_what_was_skipped_above_the_first_number(numbers: list[int]) -> None:
    tracker = GapTracker()
    published = _publish(tracker, numbers)
    assert len(published) == len(set(published)), "a number was published twice"
    first, highest = numbers[0], max(published)
    assert _missing(tracker) == set(range(first, highest + 1)) - set(published)
    assert tracker.highest == highest


@given(NUMBERS, NUMBERS)
def test_a_restart_from_the_state_forgets_no_gap(before: list[int], after: list[int]) -> None:
    first = Product("x", "A-B", "x")
    _publish(first.tracker, before)
    state = msgspec.json.decode(msgspec.json.encode(first.state(NOW)), type=FeedState)
    second = Product("x", "A-B", "x")
    second.resume(state)
    assert _missing(first.tracker) <= _missing(second.tracker)
    _publish(second.tracker, after)
    wanted = set(range(before[0], max([*before, *after]) + 1))
    assert wanted - set(before) - set(after) <= _missing(second.tracker)


def test_a_number_above_the_next_opens_a_gap_that_its_numbers_close() -> None:
    tracker = GapTracker()
    _publish(tracker, [10, 14])
    assert [(gap.first, gap.last) for gap in tracker.open] == [(11, 13)]
    _publish(tracker, [12, 11])
    assert tracker.open[0].event().missing == 1
    _publish(tracker, [13])
    assert tracker.open == []
    assert [(gap.first, gap.last, gap.status) for gap in tracker.closed] == [(11, 13, "repaired")]


def test_a_tail_that_the_exchange_names_is_a_gap_too() -> None:
    tracker = GapTracker()
    assert tracker.tail_seen(5, NOW) is None, "nothing is known of a product that never traded"
    _publish(tracker, [10])
    tracker.tail_seen(12, NOW)
    assert _missing(tracker) == {11, 12}
    assert tracker.tail_seen(12, NOW) is None
    assert _publish(tracker, [11, 12, 13]) == [11, 12, 13]
    assert tracker.open == []


def test_a_snapshot_fills_a_gap_and_counts_nothing_twice() -> None:
    tracker = GapTracker()
    _publish(tracker, [1, 2, 3, 7])
    assert _publish(tracker, [1, 2, 3, 4, 5, 6, 7, 8]) == [4, 5, 6, 8]


def test_numbers_that_do_not_exist_close_a_gap_as_void() -> None:
    tracker = GapTracker()
    _publish(tracker, [1, 5])
    tracker.void(2, 4, NOW)
    assert (tracker.open, tracker.closed[0].status) == ([], "void")
    assert tracker.voids == [(2, 4)]


def test_a_gap_partly_void_is_repaired_once_the_rest_is_there() -> None:
    tracker = GapTracker()
    _publish(tracker, [1, 5])
    tracker.void(3, 3, NOW)
    _publish(tracker, [2, 4])
    assert (tracker.open, tracker.closed[0].status, tracker.voids) == ([], "repaired", [(3, 3)])


def test_too_many_open_gaps_give_up_the_oldest_and_say_so() -> None:
    tracker = GapTracker()
    _publish(tracker, list(range(1, 2 * gaps.OPEN_MAX + 4, 2)))
    assert len(tracker.open) == gaps.OPEN_MAX
    assert [gap.status for gap in tracker.closed] == ["lost"]
    assert tracker.closed[0].first == 2
