"""Work that is done now and then, as a component."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.runtime.serve import Resource


class Periodic(Resource):
    """Does ``work`` at once and then every ``interval_s`` until it is stopped. What it raises ends the service."""

    def __init__(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        self._interval_s = interval_s
        self._work = work
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            await self._work()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval_s)

    async def stop(self) -> None:
        self._stopping.set()
