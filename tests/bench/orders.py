"""``GET /trade/{id}`` of what Redis has, at a steady 500 requests a second, from a client process of its own."""

from typing import Any

import msgspec
import redis.asyncio as redis

from services.adapters.lab_trades import TRADE_TTL_S, Fill, Trade, trade_key
from services.contracts.lab import execution_id
from services.local.ports import free_port
from services.runtime.clock import rfc3339
from tests.bench.report import Figure, median
from tests.bench.rest import QUICK_RUN_S, REQUESTS_PER_S, RUN_S, RUNS, ask_paths
from tests.bench.servers import Servers, servers

BENCH = "orders"
ACCOUNT = "alice"
TRADES = 1_000
FILLS = 3
NOON_NS = 1_767_268_800 * 10**9
UNLIMITED = 10_000_000


async def run(*, quick: bool) -> list[Figure]:
    runs, run_s = (1, QUICK_RUN_S) if quick else (RUNS, RUN_S)
    async with servers() as made:
        await fill(made)
        port = free_port()
        await made.service(
            "orders",
            TICKPLANE_ORDERS_PORT=port,
            TICKPLANE_ANONYMOUS_ACCOUNT=ACCOUNT,
            TICKPLANE_ORDERS_RATE_LIMIT_PER_MINUTE=UNLIMITED,
        )
        paths = [f"/trade/o-{number}" for number in range(TRADES)]
        await ask_paths(made, port, QUICK_RUN_S, REQUESTS_PER_S, paths)
        answers = [await ask_paths(made, port, run_s, REQUESTS_PER_S, paths) for _ in range(runs)]
    return _figures(answers)


async def fill(made: Servers) -> None:
    """What ``matching`` leaves in Redis of orders with a few fills each."""
    fills = tuple(Fill("100.5", "0.5", rfc3339(NOON_NS), execution_id(0, number)) for number in range(FILLS))
    value = msgspec.json.encode(Trade("100.5", "1.5", rfc3339(NOON_NS), fills))
    async with redis.Redis.from_url(made.redis_url) as client:
        for number in range(TRADES):
            await client.set(trade_key(ACCOUNT, f"o-{number}"), value, ex=TRADE_TTL_S)


def _figures(answers: list[dict[str, Any]]) -> list[Figure]:
    rate = median([answer["per_s"] for answer in answers])
    note = f"{rate:,.0f} answers/s from Redis, {FILLS} fills each; median of {len(answers)}"
    return [
        Figure(BENCH, "/trade p50", "ms", median([a["p50_ms"] for a in answers]), 1, "at most", note),
        Figure(BENCH, "/trade p99", "ms", median([a["p99_ms"] for a in answers]), None, "at most", note),
    ]
