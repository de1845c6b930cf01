"""Names waiting to be reconciled: each once, by one worker at a time, and again after a backoff where it failed."""

import asyncio
from collections.abc import Callable, Hashable

from services.runtime.backoff import Backoff


class WorkQueue[K: Hashable]:
    """A name added while it is worked on is worked on once more afterwards. There are no more than there are names."""

    def __init__(self, backoff: Callable[[], Backoff]) -> None:
        self._make_backoff = backoff
        self._backoffs: dict[K, Backoff] = {}
        self._retries: dict[K, asyncio.TimerHandle] = {}
        self._waiting: dict[K, None] = {}
        self._in_hand: set[K] = set()
        self._again: set[K] = set()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in hand; what failed may still be due for another try."""
        return not self._waiting and not self._in_hand

    def add(self, name: K) -> None:
        if name in self._in_hand:
            self._again.add(name)
            return
        self._waiting[name] = None
        self._some.set()

    async def take(self) -> K:
        """The name that waited longest. It must be given back by ``done`` or ``failed``."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        name = next(iter(self._waiting))
        del self._waiting[name]
        self._in_hand.add(name)
        self._forget_retry(name)
        return name

    def done(self, name: K, again_in_s: float | None = None) -> None:
        self._backoffs.pop(name, None)
        self._give_back(name)
        if again_in_s is not None:
            self._later(name, again_in_s)

    def failed(self, name: K) -> float:
        """Try again later. Returns in how many seconds."""
        delay_s = self._backoffs.setdefault(name, self._make_backoff()).next_s()
        self._give_back(name)
        self._later(name, delay_s)
        return delay_s

    def _give_back(self, name: K) -> None:
        self._in_hand.discard(name)
        if name in self._again:
            self._again.discard(name)
            self.add(name)

    def _later(self, name: K, delay_s: float) -> None:
        self._retries[name] = asyncio.get_running_loop().call_later(delay_s, self._retry, name)

    def _retry(self, name: K) -> None:
        self._retries.pop(name, None)
        self.add(name)

    def _forget_retry(self, name: K) -> None:
        if (timer := self._retries.pop(name, None)) is not None:
            timer.cancel()
