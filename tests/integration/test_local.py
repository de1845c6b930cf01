"""`make run`, as a user has it: a process, its exit code and its one clear line, its endpoints, its data."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
from websockets.asyncio.client import connect

from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from services.replay.exchange import FakeExchange
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


def alive(endpoints: dict[str, Any]) -> list[int]:
    return [pid for pids in endpoints["pids"].values() for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own, for the reason that the fixture ``parts`` gives."""
    with tempfile.TemporaryDirectory(prefix="tickplane-test-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def run(folder: Path) -> AsyncIterator[Run]:
    run = Run(folder)
    await run.start("up", "--plain")
    yield run
    await run.process.stop()


async def test_a_candle_by_rest_and_a_clean_end_and_the_same_data_again(run: Run) -> None:
    endpoints = await run.up()
    assert set(endpoints) == {"edge", "kafka", "database_url", "redis_url", "metrics", "pids"}
    assert set(endpoints["metrics"]) == {"recorder", "candles", "indicators", "api", "gateway", "feed-demo"}
    assert set(endpoints["pids"]) == {*endpoints["metrics"], "kafka", "postgres", "valkey", "caddy"}
    first = (await eventually(run.candles, UP_TIMEOUT_S))[-1]

    assert await run.process.stop() == 0
    assert alive(endpoints) == []
    assert not (run.folder / ".tickplane" / "endpoints.json").exists()

    await run.start("up", "--plain")
    again = await run.up()
    assert again["database_url"] == endpoints["database_url"]
    oldest = (await eventually(run.candles))[-1]
    assert (oldest["timestamp"], oldest["first_trade_id"]) == (first["timestamp"], first["first_trade_id"])


async def test_smoke_passes_and_a_dead_service_is_started_again(run: Run) -> None:
    endpoints = await run.up()
    assert await run.tool("smoke") == (
        0,
        "ok      is ready\nok      makes candles\nok      refuses unknown resolutions\nok      counts dead letters",
    )
    (before,) = endpoints["pids"]["candles"]
    os.kill(before, signal.SIGKILL)
    await eventually(lambda: run.endpoints()["pids"]["candles"] not in ([], [before]))
    assert any("candles: exit code -9" in line for line in run.process.tail)


async def test_every_interface_of_a_run_answers(run: Run) -> None:
    endpoints = await run.up()
    await eventually(run.candles, UP_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=endpoints["edge"]) as client:

        async def latest() -> bool:
            ticker = (await client.get("/v1/ticker", params={"exchange": "demo", "product_id": "BTC-USD"})).json()
            found = (await client.get("/v1/indicators", params={"exchange": "demo", "product_id": "BTC-USD"})).json()
            return "price" in json.dumps(ticker) and "ema_12" in json.dumps(found)

        await eventually(latest)
        for path in ("/v1/trades?product_id=BTC-USD&exchange=demo", "/v1/gaps", "/v1/status", "/health", "/"):
            assert (await client.get(path)).status_code == 200, path
        await eventually(lambda: answers(client, "/ready"))
        await eventually(lambda: lists_demo(client))
        assert (await client.get("/metrics")).status_code == 404
    async with connect(f"{endpoints['edge'].replace('http', 'ws')}/crypto/BTC-USD?exchange=demo") as socket:
        frames = [json.loads(await socket.recv()) for _ in range(10)]
    assert {"price", "last_size", "time", "sequence", "ema_12"} <= set(frames[-1])
    assert all(before != after for before, after in pairwise(frames)), "a frame when nothing changed"


async def lists_demo(client: httpx.AsyncClient) -> bool:
    return "demo" in (await client.get("/markets")).json()["exchanges"]


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    return (await client.get(path)).status_code == 200


async def test_smoke_fails_when_a_piece_is_broken(run: Run) -> None:
    endpoints = await run.up()
    recorder = psutil.Process(endpoints["pids"]["recorder"][0])
    recorder.suspend()
    code, said = await run.tool("smoke")
    recorder.resume()
    assert code == 1
    assert "ok      makes candles" in said
    assert "broken  counts dead letters" in said


async def test_a_run_that_is_killed_leaves_nothing_behind(run: Run) -> None:
    endpoints = await run.up()
    assert run.process.pid is not None
    os.kill(run.process.pid, signal.SIGKILL)
    await run.process.wait()
    await eventually(lambda: alive(endpoints) == [])


async def test_a_second_run_in_the_same_folder_says_so(run: Run) -> None:
    await eventually((run.folder / ".tickplane" / "lock").exists)
    await eventually((run.folder / ".tickplane" / "data" / "kafka").exists)
    assert await run.tool("up") == (
        2,
        "tickplane: a run is active in .tickplane already: stop it, or set TICKPLANE_FOLDER",
    )


async def failing(run: Run) -> str:
    """Start a run that cannot work. Returns the line it says, after checking that it left nothing running."""
    await run.start("up", "--plain")
    async with asyncio.timeout(UP_TIMEOUT_S):
        assert await run.process.wait() == 2
    return run.process.last_words()


async def test_a_taken_port_is_one_clear_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = await failing(Run(folder, TICKPLANE_PORT=port))
    assert said == f"tickplane: port {port} is taken: set TICKPLANE_PORT to another, or to 0 for a free one"


async def test_too_little_room_is_one_clear_line(folder: Path) -> None:
    said = await failing(Run(folder, TICKPLANE_DISK_FREE_MIN_MB=1 << 20))
    assert "TICKPLANE_DISK_FREE_MIN_MB is 1048576: make room, or set TICKPLANE_FOLDER" in said


async def test_feeds_that_cannot_be_read_are_one_clear_line(folder: Path) -> None:
    assert (await failing(Run(folder, TICKPLANE_FEEDS="demo:"))).startswith("tickplane: TICKPLANE_FEEDS: cannot read")


async def test_a_setting_that_only_a_service_finds_wrong_ends_the_run(folder: Path) -> None:
    """It is found after the start, so everything that runs already is stopped, in order, first."""
    said = await failing(Run(folder, TICKPLANE_INDICATORS="nonsense"))
    assert "TICKPLANE_INDICATORS" in said


async def test_stopped_and_started_while_the_exchange_goes_on_every_trade_is_there(folder: Path) -> None:
    async with FakeExchange("coinbase-exchange", ["BTC-USD"]) as exchange:
        run = Run(folder, TICKPLANE_FEEDS=f"coinbase-exchange:BTC-USD@{exchange.endpoint}")
        await run.start("up", "--plain")
        await run.up()
        await exchange.subscribed("BTC-USD")
        first = exchange.emit("BTC-USD", 100).number
        await eventually(lambda: stored(run, first, first))
        assert await run.process.stop() == 0

        last = first
        for price in range(1_500):
            last = exchange.emit("BTC-USD", 100 + price).number
        await run.start("up", "--plain")
        await run.up()
        await exchange.subscribed("BTC-USD")
        last = exchange.emit("BTC-USD", 100).number
        await eventually(lambda: stored(run, first, last), UP_TIMEOUT_S)
        assert await run.process.stop() == 0


async def stored(run: Run, first: int, last: int) -> bool:
    """Whether every number from ``first`` to ``last`` is in Postgres, once."""
    connection = await asyncpg.connect(run.endpoints()["database_url"])
    try:
        rows = await connection.fetch(
            "SELECT trade_number FROM trades WHERE exchange = 'coinbase' ORDER BY trade_number"
        )
    finally:
        await connection.close()
    return [row["trade_number"] for row in rows] == list(range(first, last + 1))
