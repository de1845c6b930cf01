"""The validator, one process: ticks a second, one a message and in batches, latency at a steady rate, open streams."""

import asyncio
import sys
from typing import Any

import msgspec
import psutil

from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from tests.bench import validator_client
from tests.bench.consumers import MEGABYTE
from tests.bench.report import Figure, median
from tests.bench.servers import Servers, servers
from tests.support.polling import eventually
from tests.support.services import Service, clean_environment

BENCH = "validator"
TICKS = 400_000
QUICK_TICKS = 10_000
WINDOW = 64
BATCH = 50
RATE_PER_S = 5_000
RATE_STREAMS = 10
RUN_S = 20.0
QUICK_RUN_S = 2.0
RUNS = 5
STREAMS = 1_000
HOLD_S = 600.0


async def run(*, quick: bool) -> list[Figure]:
    ticks, runs, run_s = (QUICK_TICKS, 1, QUICK_RUN_S) if quick else (TICKS, RUNS, RUN_S)
    async with servers() as made:
        resident_mb = await _resident_mb(made)
        validator, address = await _start(made)
        await _client(made, "window", address, QUICK_TICKS, WINDOW, BATCH)
        single = [await _client(made, "window", address, ticks // 4, WINDOW, 0) for _ in range(runs)]
        batches = [await _client(made, "window", address, ticks, WINDOW // 4, BATCH) for _ in range(runs)]
        steady = [await _client(made, "rate", address, RATE_PER_S, run_s, RATE_STREAMS) for _ in range(runs)]
        await validator.terminate()
        validator, address = await _start(made, TICKPLANE_PUBLISH_VERDICTS=False)
        await _client(made, "window", address, QUICK_TICKS, WINDOW, BATCH)
        unpublished = [await _client(made, "window", address, ticks, WINDOW // 4, BATCH) for _ in range(runs)]
    return [
        _throughput("one a message, window 64", single, 15_000),
        _throughput("batches of 50", batches, 80_000),
        _throughput("batches of 50, not published", unpublished, 150_000),
        Figure(
            BENCH, "p50 at 5,000/s", "ms", median([run["p50_ms"] for run in steady]), None, "at most", _said(steady)
        ),
        Figure(BENCH, "p99 at 5,000/s", "ms", median([run["p99_ms"] for run in steady]), 5, "at most", _said(steady)),
        Figure(BENCH, f"resident with {STREAMS:,} open streams", "MB", resident_mb, 300, "at most"),
    ]


async def _start(made: Servers, **env: object) -> tuple[Service, str]:
    address = f"{LOOPBACK}:{free_port()}"
    return await made.service("validator", GRPC_SERVER_ADDRESS=address, **env), address


async def _client(made: Servers, *arguments: object) -> dict[str, Any]:
    """One run of the client: what it printed. Raises RuntimeError where it ended with an error."""
    client = await _launch(made, *arguments)
    code = await client.wait()
    if code:
        raise RuntimeError(f"the client ended with {code}: {client.last_words()}")
    return msgspec.json.decode(client.last_words(), type=dict[str, Any])


async def _launch(made: Servers, *arguments: object) -> Process:
    client = Process("client", made.folder / "client.log")
    await client.start([sys.executable, "-m", validator_client.__name__, *map(str, arguments)], env=clean_environment())
    return client


async def _resident_mb(made: Servers) -> float:
    validator, address = await _start(made)
    client = await _launch(made, "open", address, STREAMS, HOLD_S)
    try:
        await eventually(lambda: str(STREAMS) in client.last_words(), 60)
        await asyncio.sleep(1)
        return float(psutil.Process(validator.pid).memory_info().rss / MEGABYTE)
    finally:
        await client.stop()
        await validator.terminate()


def _throughput(name: str, runs: list[dict[str, Any]], target: float) -> Figure:
    return Figure(BENCH, name, "ticks/s", median([run["per_s"] for run in runs]), target, note=_said(runs))


def _said(runs: list[dict[str, Any]]) -> str:
    spread = ", ".join(f"{run['p99_ms'] if 'p99_ms' in run else run['per_s']:,.4g}" for run in runs)
    return f"client at {max(run['client_cpu'] for run in runs):.0%} of a core; runs {spread}"
