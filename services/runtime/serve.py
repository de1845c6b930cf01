"""One lifecycle for every service: start in order, run until SIGTERM or a failure, stop in reverse order."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import uvloop

from services.contracts.errors import ConfigError
from services.contracts.metrics import Metric
from services.domain import money
from services.runtime import logging, redaction, surroundings
from services.runtime.clock import SystemClock
from services.runtime.health import Health
from services.runtime.metrics import gauge
from services.runtime.ops import Ops, Status
from services.runtime.settings import Settings

LOOP_LAG_WINDOW_S = 15.0
GC_ALLOCATIONS = 50_000
"""New objects before Python looks for cycles among them. Records come by the thousand and hold none: at its default of
2,000 every batch is looked at several times over."""


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
    health: Health,
    settings: Settings,
    components: Sequence[Component | None],
    status: Status | None = None,
    *,
    drain_s: float = 0,
) -> None:
    """Run the components of one service, with its ops port around them. What is None is off, and left out.

    SIGTERM and SIGINT drain: ``/ready`` turns 503 and for ``drain_s`` everything else goes on, then each component's
    ``stop`` is called, last started first, and all of it has ``grace_s``: what is not over by then is ended, exit 1.
    Raises what a component raised.
    """
    log = logging.logger()
    stopping = asyncio.Event()
    _on_signals(stopping.set)
    started: list[tuple[Component, asyncio.Task[None]]] = []
    ops = Ops(health, settings.ops_host, settings.ops_port, status)
    everything = [ops, *(component for component in components if component is not None)]
    try:
        async with _beside(_watch_loop(health.service)), _beside(surroundings.watch(health.service, settings)):
            for component in everything:
                if not await _unless(stopping, component.start()):
                    break
                started.append((component, asyncio.create_task(component.run(), name=type(component).__name__)))
                # Libraries take the signals for themselves when they are started: kopf does.
                _on_signals(stopping.set)
            else:
                health.started = True
                _leave_the_start_to_itself()
                log.info("started")
            runs = [run for _, run in started]
            await _until_stopped_or_failed(stopping.wait(), runs)
            if health.started and drain_s > 0:
                health.draining = True
                log.info("draining", drain_s=drain_s)
                await _until_stopped_or_failed(asyncio.sleep(drain_s), runs)
    finally:
        health.draining = True
        log.info("stopping")
        try:
            async with asyncio.timeout(settings.grace_s):
                await _stop(started)
        except TimeoutError:
            # What hangs would hang the loop's own clean-up too. All that is owed to others is in the stores already.
            log.error("grace_over", grace_s=settings.grace_s)
            sys.stdout.flush()
            os._exit(1)
        log.info("stopped")


def run_service[S: Settings](
    service: str, settings_class: type[S], main: Callable[[S, Health], Coroutine[Any, Any, None]]
) -> None:
    """The entry point's body: settings, logs, exact decimals, the loop. Exits 2 on a bad setting."""
    logging.configure(service)
    try:
        settings = settings_class.load()
        redaction.learn(settings)
        logging.configure(service, settings.log_level)
        money.trap_inexact()
        uvloop.run(main(settings, Health(service, SystemClock())))
    except ConfigError as error:
        logging.logger().error("bad_setting", error=str(error))
        raise SystemExit(2) from None
    except Exception as error:
        logging.logger().error("failed", error=str(error), exc_info=True)
        raise SystemExit(1) from None


def _on_signals(stop: Callable[[], None]) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop)


def _leave_the_start_to_itself() -> None:
    """What the start made stays until the end: the garbage collector need not walk it again, in the middle of work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


async def _until_stopped_or_failed(stopped: Coroutine[Any, Any, Any], runs: list["asyncio.Task[None]"]) -> None:
    waiter: asyncio.Future[Any] = asyncio.ensure_future(stopped)
    running: set[asyncio.Future[Any]] = set(runs)
    try:
        while not waiter.done():
            done, _ = await asyncio.wait([waiter, *running], return_when=asyncio.FIRST_COMPLETED)
            for run in done - {waiter}:
                running.remove(run)
                run.result()
    finally:
        waiter.cancel()


async def _stop(started: list[tuple[Component, "asyncio.Task[None]"]]) -> None:
    """Last started first, each until its work has ended: what it uses is stopped after it. Raises what ended badly."""
    failures = []
    for component, run in reversed(started):
        ended_before = run.done()
        await component.stop()
        await asyncio.wait([run])
        if not ended_before and (error := run.exception()) is not None:
            failures.append(error)
    if failures:
        raise failures[0]


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
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work without an end, which ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch_loop(service: str) -> None:
    """Measure how late timers fire: a blocked loop starves heartbeats, and shows here first."""
    loop = asyncio.get_running_loop()
    worst, window_end = 0.0, loop.time() + LOOP_LAG_WINDOW_S
    while True:
        asked = loop.time() + 0.25
        await asyncio.sleep(0.25)
        worst = max(worst, loop.time() - asked)
        if loop.time() >= window_end:
            gauge(Metric.EVENT_LOOP_LAG).labels(service).set(worst)
            worst, window_end = 0.0, loop.time() + LOOP_LAG_WINDOW_S
