"""`make run`, as a user has it: a process, its exit code and its one clear line, its endpoints, its data."""

import asyncio
import json
import os
import signal
import socket
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

from services.local import prometheus
from services.local.ports import LOOPBACK
from services.local.quoting import LEVELS
from services.replay.exchange import FakeExchange
from tests.support.polling import eventually
from tests.support.run import UP_TIMEOUT_S, Run


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
    watchers = {"prometheus"} if prometheus.installed() else set()
    assert set(endpoints) == {"edge", "kafka", "database_url", "redis_url", "grpc", "metrics", "pids"} | watchers
    services = {"recorder", "candles", "indicators", "validator", "api", "gateway", "orders", "matching", "feed-demo"}
    assert set(endpoints["metrics"]) == services
    assert set(endpoints["pids"]) == {*endpoints["metrics"], "kafka", "postgres", "valkey", "caddy"} | watchers
    first = (await eventually(run.candles, UP_TIMEOUT_S))[-1]
    keys = run.keys()
    assert set(keys) == {"alice", "bob", "maker", "taker", "admin"}
    await eventually(lambda: deposited(run, "alice"))

    assert await run.process.stop() == 0
    assert alive(endpoints) == []
    assert not (run.folder / ".tickplane" / "endpoints.json").exists()

    await run.start("up", "--plain")
    again = await run.up()
    assert again["database_url"] == endpoints["database_url"]
    oldest = (await eventually(run.candles))[-1]
    assert (oldest["timestamp"], oldest["first_trade_id"]) == (first["timestamp"], first["first_trade_id"])
    assert run.keys() == keys
    assert await deposited(run, "alice") == {"first-USD-0": "1000000", "first-BTC-0": "10", "first-DEMO-0": "10000"}


async def deposited(run: Run, account: str) -> dict[str, str]:
    """Every deposit of an account; raises AssertionError where one id occurs twice."""
    found = (await run.lab("GET", f"/v1/accounts/{account}/transfers", account)).json()["transfers"]
    amounts = {transfer["id"]: transfer["amount"] for transfer in found}
    assert len(amounts) == len(found), found
    return amounts


@pytest.mark.skipif(not prometheus.installed(), reason=prometheus.HOW_TO_GET_IT)
async def test_prometheus_scrapes_every_process_and_evaluates_every_rule(run: Run) -> None:
    endpoints = await run.up()
    async with httpx.AsyncClient(base_url=endpoints["prometheus"]) as client:

        async def watched() -> bool:
            targets = (await client.get("/api/v1/targets")).json()["data"]["activeTargets"]
            assert {target["health"] for target in targets} == {"up"}
            assert len(targets) == len(endpoints["metrics"])
            groups = (await client.get("/api/v1/rules")).json()["data"]["groups"]
            return {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}

        await eventually(watched, UP_TIMEOUT_S)


async def test_keys_are_for_their_owner_alone_and_in_no_log(run: Run) -> None:
    await run.up()
    assert (run.folder / ".tickplane" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert await deposited(run, "bob")
    logs = [path.read_text() for path in (run.folder / ".tickplane" / "logs").iterdir()]
    assert len(logs) > 10
    said = "\n".join([*logs, run.process.log.read_text()])
    assert [account for account, key in run.keys().items() if key in said] == []
    assert f"order lab's keys: {run.folder / '.tickplane' / 'keys.json'}" in said


async def test_the_book_is_alive_through_killed_services(run: Run) -> None:
    endpoints = await run.up()
    before = await eventually(lambda: quoted_and_traded(run), UP_TIMEOUT_S)
    for service in ("matching", "orders"):
        os.kill(endpoints["pids"][service][0], signal.SIGKILL)
    # The first order of a key-less curl, which is alice's.
    order = {"id": "first", "symbol": "DEMO-USD", "price": 105, "qty": 0.001}
    await eventually(lambda: placed(run, order), UP_TIMEOUT_S)
    await eventually(lambda: answer_of(run, "/trade/first", '"found":true'), UP_TIMEOUT_S)
    await eventually(lambda: more_is_traded(run, before), UP_TIMEOUT_S)
    resting = (await run.lab("GET", "/v1/orders?state=open", "maker")).json()["orders"]
    assert len(resting) <= 2 * (2 * LEVELS), "what it wants, and at most as much that is being replaced"


async def test_without_a_market_maker_nobody_quotes(folder: Path) -> None:
    run = Run(folder, TICKPLANE_MARKET_MAKER="false")
    await run.start("up", "--plain")
    await run.up()
    await eventually(lambda: deposited(run, "maker"))
    assert (await run.lab("GET", "/v1/orders", "maker")).json()["orders"] == []
    assert await run.process.stop() == 0


async def quoted_and_traded(run: Run) -> str:
    """The newest execution's id, once there is a whole ladder and somebody has traded with it."""
    book = (await run.lab("GET", "/v1/book/DEMO-USD", "alice")).json()
    assert min(len(book["bids"]), len(book["asks"])) >= LEVELS - 1
    return await newest_execution(run)


async def newest_execution(run: Run) -> str:
    query = "/v1/executions?scope=public&symbol=DEMO-USD&limit=1"
    executions = (await run.lab("GET", query, "alice")).json()["executions"]
    assert executions
    return str(executions[0]["execution_id"])


async def more_is_traded(run: Run, before: str) -> bool:
    return int((await newest_execution(run)).split("-")[1]) > int(before.split("-")[1])


async def placed(run: Run, order: dict[str, object]) -> bool:
    return (await run.lab("POST", "/place_order", None, order)).status_code == 202


async def answer_of(run: Run, path: str, wanted: str) -> bool:
    return wanted in (await run.lab("GET", path, None)).text


async def test_smoke_passes_and_a_dead_service_is_started_again(run: Run) -> None:
    endpoints = await run.up()
    assert await run.tool("smoke") == (
        0,
        "ok      is ready\nok      makes candles\nok      streams trades\nok      validates ticks\n"
        "ok      matches orders\nok      refuses unknown resolutions\nok      counts dead letters",
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
