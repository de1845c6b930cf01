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
        self._ended = asyncio.Event()

    async def run(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._work_unless_stopped()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._interval_s)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Returns once the work in hand is done or cancelled, so that what it uses can be stopped next."""
        self._stopping.set()
        await self._ended.wait()

    async def _work_unless_stopped(self) -> None:
        work = asyncio.ensure_future(self._work())
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
        elif (error := work.exception()) is not None:
            raise error
