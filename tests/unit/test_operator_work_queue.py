"""The work queue: each name once, never with two workers, and again after a failure."""

import asyncio

import pytest

from market_operator.work_queue import WorkQueue
from services.runtime.backoff import Backoff


def _queue(delay_s: float = 0) -> WorkQueue[str]:
    return WorkQueue(lambda: Backoff(1, 300, lambda _low, _high: delay_s))


async def test_a_name_added_twice_is_worked_on_once() -> None:
    queue = _queue()
    queue.add("a")
    queue.add("b")
    queue.add("a")
    assert [await queue.take(), await queue.take()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_name_in_hand_is_worked_on_again_afterwards() -> None:
    queue = _queue()
    queue.add("a")
    assert await queue.take() == "a"
    queue.add("a")
    assert len(queue) == 0, "never two at a time"
    queue.done("a")
    assert await queue.take() == "a"


async def test_who_waits_gets_what_comes() -> None:
    queue = _queue()
    taker = asyncio.create_task(queue.take())
    queue.add("a")
    assert await taker == "a"


async def test_what_failed_comes_again() -> None:
    queue = _queue()
    queue.add("a")
    await queue.take()
    queue.failed("a")
    assert await asyncio.wait_for(queue.take(), 5) == "a"


async def test_an_event_does_not_wait_for_the_backoff() -> None:
    queue = _queue(delay_s=1_000)
    queue.add("a")
    await queue.take()
    queue.failed("a")
    queue.add("a")
    assert await queue.take() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_each_failure_waits_longer_until_one_success() -> None:
    highest: list[float] = []

    def uniform(_low: float, high: float) -> float:
        highest.append(high)
        return 0

    queue = WorkQueue[str](lambda: Backoff(1, 300, uniform))
    for _ in range(12):
        queue.add("a")
        await queue.take()
        queue.failed("a")
    assert highest == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    queue.add("a")
    await queue.take()
    queue.done("a")
    queue.add("a")
    await queue.take()
    queue.failed("a")
    assert highest[-1] == pytest.approx(1)
