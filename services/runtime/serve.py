"""One lifecycle for every service: start in order, run until SIGTERM or a failure, stop in reverse order."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import uvloop

from services.contracts.errors import ConfigError
from services.contracts.metrics import Metric
from services.domain import money
from services.runtime import logging
from services.runtime.clock import SystemClock
from services.runtime.health import Health
from services.runtime.metrics import gauge
from services.runtime.ops import Ops, Status
from services.runtime.settings import Settings

LOOP_LAG_WINDOW_S = 15.0


class Component(Protocol):
    """A part of a service: ``start`` returns once it works, ``run`` goes on until ``stop``."""

    async def start(self) -> None: ...
    async def run(self) -> None: ...
    async def stop(self) -> None: ...


class Resource:
    """A component that only has to be there: nothing to run."""

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        return None

    async def stop(self) -> None:
        return None


async def serve(
    health: Health, settings: Settings, components: Sequence[Component], status: Status | None = None
) -> None:
    """Run the components of one service, with its ops port around them.

    SIGTERM and SIGINT drain: ``/ready`` turns 503, each component's ``stop`` is called, last started first, and all of
    it has ``grace_s``. Raises what a component raised, or TimeoutError when the grace is over.
    """
    log = logging.logger()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    started: list[Component] = []
    runs: list[asyncio.Future[Any]] = []
    everything: list[Component] = [Ops(health, settings.ops_host, settings.ops_port, status), *components]
    try:
        async with _watch_loop(health.service):
            for component in everything:
                if not await _unless(stopping, component.start()):
                    break
                started.append(component)
                runs.append(asyncio.create_task(component.run(), name=type(component).__name__))
            else:
                health.started = True
                log.info("started")
            waiter: asyncio.Future[Any] = asyncio.create_task(stopping.wait())
            while not stopping.is_set():
                await asyncio.wait([waiter, *runs], return_when=asyncio.FIRST_COMPLETED)
                for task in [run for run in runs if run.done()]:
                    runs.remove(task)
                    task.result()
            waiter.cancel()
    finally:
        health.draining = True
        log.info("stopping")
        async with asyncio.timeout(settings.grace_s):
            for component in reversed(started):
                await component.stop()
            await asyncio.gather(*runs)
        log.info("stopped")


def run_service[S: Settings](
    service: str, settings_class: type[S], main: Callable[[S, Health], Awaitable[None]]
) -> None:
    """The entry point's body: settings, logs, exact decimals, the loop. Exits 2 on a bad setting."""
    try:
        settings = settings_class.load()
    except ConfigError as error:
        print(f"tickplane {service}: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    logging.configure(service, settings.log_level)
    money.trap_inexact()
    health = Health(service, SystemClock())

    async def _main() -> None:
        await main(settings, health)

    try:
        uvloop.run(_main())
    except ConfigError as error:
        logging.logger().error("bad_setting", error=str(error))
        raise SystemExit(2) from None
    except Exception as error:
        logging.logger().error("failed", error=str(error), exc_info=True)
        raise SystemExit(1) from None


async def _unless(stopping: asyncio.Event, work: Awaitable[None]) -> bool:
    """Wait for the work, or give it up when a stop is asked for. Whether it was done."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.create_task(stopping.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return False


@contextlib.asynccontextmanager
async def _watch_loop(service: str) -> AsyncIterator[None]:
    """Measure how late timers fire: a blocked loop starves heartbeats, and shows here first."""

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        worst, window_end = 0.0, loop.time() + LOOP_LAG_WINDOW_S
        while True:
            asked = loop.time() + 0.25
            await asyncio.sleep(0.25)
            worst = max(worst, loop.time() - asked)
            if loop.time() >= window_end:
                gauge(Metric.EVENT_LOOP_LAG).labels(service).set(worst)
                worst, window_end = 0.0, loop.time() + LOOP_LAG_WINDOW_S

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
