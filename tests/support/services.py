"""Our own services as real subprocesses."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from services.local.scrape import Scrape, scrape
from services.runtime.settings import PREFIX
from tests.support.polling import eventually

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 60.0


def clean_environment() -> dict[str, str]:
    """Ours without what would steer a service, and with the checkout importable from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PYTHON"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "operator")])}


class Service:
    """One ``python -m services <name>``. ``start`` may be called again after it ended: same name, same settings."""

    def __init__(self, name: str, env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.ops_port = free_port()
        self._env = {**clean_environment(), **env, "TICKPLANE_OPS_PORT": str(self.ops_port)}
        self._process = Process(name, log)
        self.module: tuple[str, ...] = ("services", name)
        """What ``python -m`` runs."""

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None, f"{self.name} does not run:\n{self.last_output()}"
        return pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def ops_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ops_port}"

    async def start(self) -> None:
        await self._process.start([sys.executable, "-m", *self.module], env=self._env)

    async def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until ``/ready`` says 200. Raises AssertionError with the last of the log."""

        async def ready() -> bool:
            if not self.running:
                return True
            document = await self.ready()
            assert document["ready"], document
            return True

        try:
            await eventually(ready, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {error}\n{self.last_output()}") from None
        assert self.running, f"{self.name} ended:\n{self.last_output()}"

    async def ready(self) -> dict[str, Any]:
        """The document of ``/ready``: ``ready`` and each dependency's state."""
        async with httpx.AsyncClient() as client:
            document: dict[str, Any] = (await client.get(f"{self.ops_url}/ready")).json()
            return document

    async def status(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            document: dict[str, Any] = (await client.get(f"{self.ops_url}/status")).json()
            return document

    async def metrics(self) -> Scrape:
        async with httpx.AsyncClient() as client:
            return await scrape(client, f"{self.ops_url}/metrics")

    async def terminate(self) -> int:
        """SIGTERM, and the exit code once it ended."""
        code = await self._process.stop()
        assert code is not None, f"{self.name} had ended before:\n{self.last_output()}"
        return code

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()

    async def wait(self) -> int:
        """Wait until it ends by itself. Returns the exit code."""
        return await self._process.wait()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def last_output(self) -> str:
        return "\n".join(self._process.tail)
