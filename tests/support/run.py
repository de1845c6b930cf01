"""`make run`, as a user has it: `tickplane up --plain` in a folder of its own."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx

from services.local.ports import free_port
from services.local.process import Process
from tests.support.polling import eventually
from tests.support.services import clean_environment

UP_TIMEOUT_S = 90
"""What the user is promised for a candle, on a slow day; everything else is up before that."""
CANDLES = "/candles/BTC-USD/1m?exchange=demo"


class Run:
    """One `tickplane up --plain` in a folder."""

    def __init__(self, folder: Path, **env: object) -> None:
        settings = {"TICKPLANE_PORT": free_port(), "TICKPLANE_FEEDS": "demo"} | env
        self.folder = folder
        self.env = clean_environment() | {name: str(value) for name, value in settings.items()}
        self.process = Process("up", folder / "up.log")

    async def start(self, command: str = "up", *arguments: str) -> None:
        # The folder is where a user stands when he types the command: `.tickplane` is relative to it.
        program = "import os, sys, runpy; os.chdir(sys.argv.pop(1)); runpy.run_module('services', run_name='__main__')"
        await self.process.start([sys.executable, "-c", program, self.folder, command, *arguments], env=self.env)

    async def tool(self, command: str) -> tuple[int, str]:
        """Run another command of ours in the same folder. Returns its exit code and what it printed."""
        other = Run(self.folder)
        other.env = self.env
        other.process = Process(command, self.folder / f"{command}.log")
        await other.start(command)
        return await other.process.wait(), "\n".join(other.process.tail)

    def endpoints(self) -> dict[str, Any]:
        endpoints: dict[str, Any] = json.loads((self.folder / ".tickplane" / "endpoints.json").read_text())
        return endpoints

    def keys(self) -> dict[str, str]:
        """The API keys of the order lab's accounts."""
        keys: dict[str, str] = json.loads((self.folder / ".tickplane" / "keys.json").read_text())
        return keys

    async def lab(self, method: str, path: str, account: str | None, body: object = None) -> httpx.Response:
        """A request to the order lab, with the account's key or, for None, without one."""
        headers = {} if account is None else {"X-API-Key": self.keys()[account]}
        async with httpx.AsyncClient(base_url=self.endpoints()["edge"]) as client:
            return await client.request(method, path, headers=headers, json=body)

    async def up(self) -> dict[str, Any]:
        """Wait until it says that everything is up."""

        def said() -> bool:
            return not self.process.running or any("everything is up" in line for line in self.process.tail)

        await eventually(said, UP_TIMEOUT_S)
        assert self.process.running, "\n".join(self.process.tail)
        return self.endpoints()

    async def candles(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.endpoints()["edge"]) as client:
            candles: list[dict[str, Any]] = (await client.get(CANDLES)).json()
            return candles
