"""A helper process of the bench on a core of its own: a JSON line in, a JSON line out."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from tests.support.services import clean_environment

LINE_BYTES_MAX = 1 << 20


class Worker:
    """``python -m <module> <arguments>``. Its errors go to our stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, module: str, *arguments: object) -> "Worker":
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *map(str, arguments)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=clean_environment(),
                limit=LINE_BYTES_MAX,
            )
        )

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Raises RuntimeError when it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {await self._process.wait()} when asked {command}")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Cores(NamedTuple):
    server: int
    clients: int
    """And everything else."""


def cores() -> Cores:
    """Raises RuntimeError where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise RuntimeError("one core for the server and one for its clients: this machine has a single one")
    return Cores(available[0], available[1])


@contextlib.contextmanager
def on_cores(*allowed: int) -> Iterator[None]:
    """What is started meanwhile stays on these cores: a process has its parent's."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
