"""What dies is started again, later each time, until it stays."""

import asyncio
from pathlib import Path

import pytest

from services.contracts.errors import ConfigError, InfraError
from services.local.process import Process
from services.local.supervisor import Child, State, keep_running
from services.runtime.backoff import Backoff


class Ended(Process):
    """A process that has ended already, as a fake: ``wait`` gives the code at once, or never returns."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__("fake", Path("fake.log"))
        self._codes = codes

    async def wait(self) -> int:
        if not self._codes:
            await asyncio.Event().wait()
        return self._codes.pop(0)


class FakeChild(Child):
    def __init__(self, codes: list[int], failures: list[Exception] | None = None) -> None:
        super().__init__("fake", Ended(codes))
        self._failures = failures or []
        self.starts = 0
        self.lives = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self._failures:
            raise self._failures.pop(0)
        self.become(State.READY)
        if isinstance(self.process, Ended) and not self.process._codes:
            self.lives.set()


async def keep(child: FakeChild, delays: list[float]) -> list[str]:
    """Run the supervisor until the child stays alive. Returns what it said; ``delays`` gets each ceiling."""

    def no_delay(_low: float, ceiling: float) -> float:
        delays.append(ceiling)
        return 0

    said: list[str] = []
    keeper = asyncio.create_task(keep_running(child, Backoff(0.5, 2, no_delay), said.append))
    await asyncio.wait([keeper, asyncio.create_task(child.lives.wait())], return_when=asyncio.FIRST_COMPLETED)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    return said


async def test_a_child_that_dies_is_started_again_with_backoff() -> None:
    delays: list[float] = []
    child = FakeChild([1, -9, 1, 1])
    said = await keep(child, delays)
    assert child.starts == 5
    assert delays == [0.5, 1, 2, 2]
    assert said[0].startswith("fake: exit code 1: it said nothing")


async def test_a_child_that_cannot_start_is_tried_again() -> None:
    child = FakeChild([], [InfraError("kafka", "port 1 is taken")])
    assert await keep(child, []) == ["kafka: port 1 is taken; starting it again in 0.0 s"]
    assert child.starts == 2


async def test_a_wrong_setting_is_not_tried_again() -> None:
    child = FakeChild([], [ConfigError("TICKPLANE_X: no")])
    with pytest.raises(ConfigError, match="TICKPLANE_X"):
        await keep_running(child, Backoff(0.5, 2), print)
    assert child.starts == 1
