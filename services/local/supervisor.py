"""Keeping children alive: each is started, watched, and started again with backoff when it dies."""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

import httpx

from services.contracts.errors import ConfigError, InfraError
from services.local.parts import Part
from services.local.ports import LOOPBACK
from services.local.process import Process
from services.runtime.backoff import Backoff
from services.runtime.logging import error_of

RESTART_BASE_S = 0.5
STABLE_S = 60.0
"""A child that lived this long is well: the next restart begins with the shortest delay again."""
READY_POLL_S = 0.1
EXIT_CONFIG_ERROR = 2


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"
    STOPPED = "stopped"


class Child(ABC):
    """Something that runs until it is stopped. ``changed`` is called at every change of state."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.state = State.WAITING
        self.changed: Callable[[Child], None] = lambda _child: None

    @property
    def pids(self) -> list[int]:
        return [] if self.process.pid is None else [self.process.pid]

    @abstractmethod
    async def start(self) -> None:
        """Return once it works. Raises InfraError."""

    async def stop(self) -> None:
        await self.process.stop()
        self.become(State.STOPPED)

    def become(self, state: State) -> None:
        self.state = state
        self.changed(self)


class PartChild(Child):
    def __init__(self, part: Part) -> None:
        super().__init__(part.name, part.process)
        self.part = part

    async def start(self) -> None:
        self.become(State.STARTING)
        await self.part.start()
        self.become(State.READY)


class ServiceChild(Child):
    """One ``python -m services <service>``, ready when it says that it has started: an exchange may be away."""

    def __init__(
        self,
        name: str,
        service: str,
        env: Mapping[str, str],
        ops_port: int,
        log: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(name, Process(name, log, on_line=on_line))
        self.service = service
        self._ops_url = f"http://{LOOPBACK}:{ops_port}"
        self._command = [sys.executable, "-m", "services", service]
        self._env = {**env, "TICKPLANE_OPS_PORT": str(ops_port)}

    @property
    def metrics_url(self) -> str:
        return f"{self._ops_url}/metrics"

    async def start(self) -> None:
        self.become(State.STARTING)
        await self.process.start(self._command, env=self._env)
        self.changed(self)
        async with httpx.AsyncClient(timeout=5) as client:
            while not await self._is_ready(client):
                if not self.process.running:
                    raise await self._failure()
                await asyncio.sleep(READY_POLL_S)
        self.become(State.READY)

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return bool((await client.get(f"{self._ops_url}/ready")).json()["started"])
        except httpx.TransportError:
            return False

    async def _failure(self) -> ConfigError | InfraError:
        code = await self.process.wait()
        words = last_words(self.process)
        return ConfigError(words) if code == EXIT_CONFIG_ERROR else InfraError(self.name, f"exit code {code}: {words}")


def last_words(process: Process) -> str:
    """What it said went wrong, and where there is more."""
    return f"{error_of(process.last_words())} (see {process.log})"


async def keep_running(child: Child, backoff: Backoff, say: Callable[[str], None]) -> None:
    """Start the child and start it again whenever it ends, until this is cancelled.

    ``say`` gets one line for each death. Raises ConfigError, since a wrong setting is still wrong the next time.
    """
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await child.start()
            code = await child.process.wait()
            why = f"{child.name}: exit code {code}: {last_words(child.process)}"
        except InfraError as error:
            why = str(error)
        child.become(State.DEAD)
        if loop.time() - started > STABLE_S:
            backoff.reset()
        delay_s = backoff.next_s()
        say(f"{why}; starting it again in {delay_s:.1f} s")
        await asyncio.sleep(delay_s)
