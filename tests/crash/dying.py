"""A service that dies between the steps of its pipeline, started again each time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.support.services import Service

READ_S = 180.0
"""It reads between its deaths, on a machine that may be busy."""


async def run_dying(
    service: Service, variant: str, flow: "asyncio.Future[None]", has_read_all: Callable[[], Awaitable[bool]]
) -> int:
    """Run a variant of ``tests.crash.controls`` until it has read all of the flow; kill it then. How often it died."""
    service.module = ("tests.crash.controls", service.name, variant)
    await service.start()
    deaths, deadline = 0, time.monotonic() + READ_S
    while not flow.done() or not await has_read_all():
        assert time.monotonic() < deadline, f"not all was read in {READ_S:.0f} s, with {deaths} deaths"
        if not service.running:
            deaths += 1
            await service.start()
        await asyncio.sleep(0.05)
    await flow
    await service.kill()
    return deaths
