"""``GET /candles`` at a steady 500 requests a second, from a client process of its own."""

import sys
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import psutil

from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from tests.bench import rest_client
from tests.bench.backlog import EXCHANGE, SPAN_NS, product_names, publish
from tests.bench.consumers import MEGABYTE, RESIDENT_MAX_MB
from tests.bench.report import Figure, median
from tests.bench.servers import Servers, servers
from tests.support.polling import eventually
from tests.support.services import clean_environment

BENCH = "rest"
TRADES = 200_000
REQUESTS_PER_S = 500
RUN_S = 20.0
RUNS = 5
QUICK_TRADES = 20_000
QUICK_RUN_S = 2.0
PRODUCTS_ASKED = 10
RESOLUTIONS_ASKED = ("1m", "5m")


async def run(*, quick: bool) -> list[Figure]:
    trades, runs, run_s = (QUICK_TRADES, 1, QUICK_RUN_S) if quick else (TRADES, RUNS, RUN_S)
    async with servers() as made:
        await make_candles(made, trades)
        port = free_port()
        api = await made.service("api", TICKPLANE_API_PORT=port, RATE_LIMIT_PER_MINUTE=10_000_000)
        await ask(made, port, QUICK_RUN_S)
        answers = [await ask(made, port, run_s) for _ in range(runs)]
        resident_mb = psutil.Process(api.pid).memory_info().rss / MEGABYTE
    return _figures(answers, resident_mb)


async def make_candles(made: Servers, trades: int) -> None:
    """What a 200-minute backlog leaves in Postgres."""
    await publish(made.kafka_url, trades, SPAN_NS // trades)
    builder = await made.service("candles")
    connection = await asyncpg.connect(made.database_url)

    async def folded() -> bool:
        return bool(await connection.fetchval("SELECT sum(next_offset) >= $1 FROM positions", trades))

    await eventually(folded, 120)
    await connection.close()
    await builder.terminate()


async def ask(made: Servers, port: int, run_s: float, requests_per_s: float = REQUESTS_PER_S) -> dict[str, Any]:
    """One run of the client: what it printed. Raises RuntimeError where it ended with an error."""
    paths = [
        f"/candles/{product}/{resolution}?exchange={EXCHANGE}"
        for product in product_names()[:PRODUCTS_ASKED]
        for resolution in RESOLUTIONS_ASKED
    ]
    return await ask_paths(made, port, run_s, requests_per_s, paths)


async def ask_paths(
    made: Servers, port: int, run_s: float, requests_per_s: float, paths: Sequence[str]
) -> dict[str, Any]:
    """The same for any paths, one after the other."""
    client = Process("client", made.folder / "client.log")
    command = [sys.executable, "-m", rest_client.__name__, LOOPBACK, port, requests_per_s, run_s, *paths]
    await client.start(list(map(str, command)), env=clean_environment())
    code = await client.wait()
    if code:
        raise RuntimeError(f"the client ended with {code}: {client.last_words()}")
    answer: dict[str, Any] = msgspec.json.decode(client.last_words())
    return answer


def _figures(answers: list[dict[str, Any]], resident_mb: float) -> list[Figure]:
    rate = median([answer["per_s"] for answer in answers])
    kilobytes = answers[0]["bytes"] / 1_000
    note = f"{rate:,.0f} answers/s of {kilobytes:.1f} kB; median of {len(answers)}"
    return [
        Figure(BENCH, "/candles p50", "ms", median([a["p50_ms"] for a in answers]), None, "at most", note),
        Figure(BENCH, "/candles p99", "ms", median([a["p99_ms"] for a in answers]), 10, "at most", note),
        Figure(BENCH, "api: resident after that", "MB", resident_mb, RESIDENT_MAX_MB, "at most"),
    ]
