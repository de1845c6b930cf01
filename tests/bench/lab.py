"""The matching service on real servers: how fast it takes the journal in, how soon a trade can be read, how long a
recovery takes."""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import msgspec
import psutil
import redis.asyncio as redis

from services.adapters.kafka import read_log_id
from services.adapters.lab_trades import trade_key
from services.adapters.postgres import sql
from services.contracts.lab import OrderCommand, PlaceOrder, group_key
from services.contracts.topics import Group, Topic
from services.runtime.clock import NS_PER_MS
from services.runtime.settings import KafkaSettings
from tests.bench.report import Bound, Figure, median, percentile
from tests.bench.servers import Servers, servers
from tests.support.journal import GROUP, Flow, deposit, funds, listing, order
from tests.support.log import producer
from tests.support.polling import eventually
from tests.support.services import Service

BENCH = "lab"
COMMAND = "make bench-matching"
ACCOUNTS = 200
FLOW = Flow(ACCOUNTS, levels=950, cancels=30, markets=10, replaces=0, stops=0, sweeps=0, repeats=0, market_size=4)
"""60 % limit orders, 30 % cancels, 10 % market orders, over 1,900 price levels."""
POLL_S = 0.02
LATENCY_POLL_S = 0.001
STALLED_S = 120.0
READ_ROUNDS = 2_000


class Sizes(msgspec.Struct, frozen=True):
    """``tail`` of the journal's commands are behind the newest snapshot."""

    backlog: int = 120_000
    journal: int = 1_000_000
    tail: int = 80_000
    warm_up_s: float = 20.0
    window_s: float = 10.0
    windows: int = 3
    orders_per_s: int = 1_000


QUICK = Sizes(backlog=5_000, journal=10_000, tail=1_000, warm_up_s=1, window_s=1, windows=1, orders_per_s=200)


async def run(*, quick: bool) -> list[Figure]:
    sizes = QUICK if quick else Sizes()
    figures = []
    async with servers() as made:
        figures += await _latency(made, sizes)
    async with servers() as made:
        figures += await _throughput(made, sizes)
    async with servers() as made:
        figures += await _recovery(made, sizes)
    return figures


async def _append(made: Servers, commands: Sequence[OrderCommand]) -> None:
    """To the journal, the quick way."""
    key = group_key(GROUP)
    async with producer(made.kafka_url) as client:
        sends = []
        batch = client.create_batch()
        for command in commands:
            value = msgspec.json.encode(command)
            if batch.append(key=key, value=value, timestamp=None) is None:
                sends.append(await client.send_batch(batch, Topic.ORDERS, partition=GROUP))
                batch = client.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        sends.append(await client.send_batch(batch, Topic.ORDERS, partition=GROUP))
        await asyncio.gather(*sends)


def _beginning() -> list[OrderCommand]:
    return [*listing(), *funds(ACCOUNTS)]


# Throughput


async def _throughput(made: Servers, sizes: Sizes) -> list[Figure]:
    beginning, flow = _beginning(), FLOW.commands(sizes.backlog)
    await _append(made, [*beginning, *flow])
    count = len(beginning) + len(flow)
    engine = await made.service("matching")
    process = psutil.Process(engine.pid)
    connection = await asyncpg.connect(made.database_url)
    try:
        first, began_s, cpu_s = await _moved(connection, 0), time.monotonic(), _cpu_s(process)
        last = first
        while last < count:
            last = await _moved(connection, last)
        taken_s, used_s = time.monotonic() - began_s, _cpu_s(process) - cpu_s
    finally:
        await connection.close()
    await engine.terminate()
    share = sum(isinstance(command, PlaceOrder) for command in flow) / len(flow)
    # One batch took it all, where there is little.
    done = max(1, last - first)
    note = f"{done:,} commands, {done / taken_s:,.0f}/s, {share:.0%} of them orders, "
    note += f"{used_s / done * 1e6:.0f} µs of its CPU each; one run"
    name = "topic to matched, in Postgres and on the topics"
    return [_figure(name, "orders/s", share * done / taken_s, 8_000, note=note)]


async def _moved(connection: "asyncpg.Connection[asyncpg.Record]", before: int) -> int:
    """The stored position, once it is another. Raises TimeoutError where it stands still."""
    deadline = time.monotonic() + STALLED_S
    while time.monotonic() < deadline:
        rows = await connection.fetch(sql("position_show"), str(Group.MATCHING))
        if rows and rows[0]["next_offset"] > before:
            return int(rows[0]["next_offset"])
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"the engine stands at {before}")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# Latency


async def _latency(made: Servers, sizes: Sizes) -> list[Figure]:
    """Orders that trade at once, each timed from Kafka's acknowledgement until its trade can be read."""
    engine = await made.service("matching")
    await _append(made, [*_beginning(), deposit("maker", "DEMO", 10**9)])
    await _append(made, [order("maker", f"wall-{number}", "sell", "100000", "100") for number in range(100)])
    async with redis.Redis.from_url(made.redis_url) as client:
        load = _Load(made, client, sizes.orders_per_s)
        await load.run(sizes.warm_up_s)
        windows = [await load.run(sizes.window_s) for _ in range(sizes.windows)]
        read_ms = await _reads(client)
    await engine.terminate()
    note = f"at {sizes.orders_per_s:,} orders/s; median of {sizes.windows} × {sizes.window_s:.0f} s"
    p50, p99 = (median([percentile(window, share) for window in windows]) for share in (0.5, 0.99))
    return [
        _figure("accepted to readable in Redis, p50", "ms", p50, bound="at most", note=note),
        _figure("accepted to readable in Redis, p99", "ms", p99, 25, bound="at most", note=note),
        _figure("a trade's read from Redis, p50", "ms", median(read_ms), 1, bound="at most"),
    ]


class _Load:
    """Orders at a steady rate, and one loop that looks which of them can be read."""

    def __init__(self, made: Servers, client: redis.Redis, orders_per_s: int) -> None:
        self._made = made
        self._client = client
        self._interval_s = 1 / orders_per_s
        self._number = 0
        self._accepted: dict[str, int] = {}

    async def run(self, seconds: float) -> list[float]:
        """Milliseconds of each order that was sent within ``seconds``."""
        taken_ms: list[float] = []
        watch = asyncio.create_task(self._watch(taken_ms))
        sent = 0
        async with producer(self._made.kafka_url) as client, asyncio.TaskGroup() as group:
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                due = began + sent * self._interval_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self._number += 1
                sent += 1
                command = order(f"account-{self._number % ACCOUNTS}", f"order-{self._number}", "buy", "0.001", "100")
                group.create_task(self._send(client, command))
        await eventually(lambda: len(taken_ms) == sent, 30)
        watch.cancel()
        return taken_ms

    async def _send(self, client: object, command: PlaceOrder) -> None:
        value = msgspec.json.encode(command)
        await client.send_and_wait(Topic.ORDERS, value, key=group_key(GROUP), partition=GROUP)  # type: ignore[attr-defined]
        self._accepted[trade_key(command.account, command.id)] = time.time_ns()

    async def _watch(self, taken_ms: list[float]) -> None:
        while True:
            keys = list(self._accepted)
            if keys:
                values = await self._client.mget(keys)
                now_ns = time.time_ns()
                for key, value in zip(keys, values, strict=True):
                    if value is not None:
                        taken_ms.append((now_ns - self._accepted.pop(key)) / NS_PER_MS)
            await asyncio.sleep(LATENCY_POLL_S)


async def _reads(client: redis.Redis) -> list[float]:
    taken_ms = []
    for number in range(1, READ_ROUNDS):
        began = time.perf_counter_ns()
        await client.get(trade_key(f"account-{number % ACCOUNTS}", f"order-{number}"))
        taken_ms.append((time.perf_counter_ns() - began) / NS_PER_MS)
    return taken_ms


# Recovery


async def _recovery(made: Servers, sizes: Sizes) -> list[Figure]:
    """From the first command, with nothing but the journal; and from a snapshot, with ``tail`` commands behind it."""
    await _append(made, [*_beginning(), *FLOW.commands(sizes.journal - len(_beginning()))])
    await _stand_at(made, sizes.journal - sizes.tail)
    engine = await made.service("matching", TICKPLANE_SNAPSHOT_COMMANDS=sizes.journal - sizes.tail)
    connection = await asyncpg.connect(made.database_url)
    try:
        while await _moved(connection, 0) < sizes.journal:
            await asyncio.sleep(POLL_S)
        await eventually(lambda: connection.fetch("SELECT FROM matching_snapshots"))
        await engine.terminate()
        await engine.start()
        await engine.wait_ready()
        snapshot = await _recovered(engine)
        await engine.terminate()
        await connection.execute("DELETE FROM matching_snapshots")
    finally:
        await connection.close()
    await engine.start()
    await engine.wait_ready(60)
    zero = await _recovered(engine)
    return [
        _recovery_figure("recovery from the journal's first command", zero, 10),
        _recovery_figure("recovery from the newest snapshot", snapshot, 2),
    ]


async def _stand_at(made: Servers, next_offset: int) -> None:
    """As if an engine had stored everything up to there: what it would have stored is not looked at."""
    connection = await asyncpg.connect(made.database_url)
    log_id = await read_log_id(KafkaSettings.load(kafka_bootstrap_servers=made.kafka_url))
    try:
        await connection.fetch(
            sql("position_take"), str(Group.MATCHING), [str(Topic.ORDERS)], [GROUP], [next_offset], log_id
        )
    finally:
        await connection.close()


async def _recovered(engine: Service) -> tuple[float, float]:
    """Seconds and replayed commands of the last recovery, once there was one."""

    async def done() -> tuple[float, float] | None:
        page = await engine.metrics()
        seconds = page.total("matching_recovery_seconds")
        return (seconds, page.total("matching_replayed_commands")) if seconds else None

    found = await eventually(done, STALLED_S)
    assert found is not None
    return found


def _recovery_figure(name: str, recovered: tuple[float, float], target: float) -> Figure:
    return _figure(name, "s", recovered[0], target, bound="at most", note=f"{recovered[1]:,.0f} commands replayed")


def _figure(
    name: str, unit: str, measured: float, target: float | None = None, *, bound: Bound = "at least", note: str = ""
) -> Figure:
    return Figure(BENCH, name, unit, measured=measured, target=target, bound=bound, note=note, command=COMMAND)
