"""Clients on a contender, and what a stretch of time looked like to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil

from tests.bench.fanout import client
from tests.bench.fanout.contenders import Contender
from tests.bench.fanout.publisher import EXCHANGE, PRODUCT
from tests.bench.fanout.worker import Worker

PATH = "/v1/stream"
SUBSCRIBE = {"op": "subscribe", "id": 1, "channel": "trades", "exchange": EXCHANGE, "products": [PRODUCT]}
CLIENT_BUSY_MAX = 0.85
"""Of its core. Above it the client measures itself: what it says then is no figure of the server's."""
ARRIVED_MIN = 0.99
QUIET_S = 0.5


class Measured(msgspec.Struct, frozen=True):
    """One window. Shares are of one core."""

    window: client.Window
    offered_per_s: float
    server_cpu_s: float
    client_core_busy: float
    """By everything that ran on the client's core: the publisher, Kafka, the client itself, and whatever else."""

    @property
    def per_s(self) -> float:
        return self.window.updates / self.window.seconds

    @property
    def cpu_us(self) -> float:
        """The server's CPU time per delivery, in microseconds."""
        return self.server_cpu_s / max(1, self.window.updates) * 1e6

    @property
    def server_busy(self) -> float:
        return self.server_cpu_s / self.window.seconds

    @property
    def client_busy(self) -> float:
        return self.window.cpu_s / self.window.seconds

    @property
    def client_had_time(self) -> bool:
        return self.client_busy < CLIENT_BUSY_MAX

    @property
    def in_order(self) -> bool:
        """Whether every client got every update once and in order, and none was sent away."""
        return not (self.window.broken or self.window.lost)

    @property
    def arrives(self) -> bool:
        """Whether the server keeps up with what is offered."""
        return self.per_s >= ARRIVED_MIN * self.offered_per_s

    def holds(self, p99_max_ms: float) -> bool:
        return self.arrives and self.in_order and self.client_had_time and self.window.p99_ms < p99_max_ms

    def __str__(self) -> str:
        window = self.window
        return (
            f"{self.per_s:,.0f}/s of {self.offered_per_s:,.0f}; p50 {window.p50_ms:.2f}, p99 {window.p99_ms:.2f}, "
            f"worst {window.worst_ms:.1f} ms; {self.cpu_us:.2f} µs of CPU each; busy: server {self.server_busy:.0%}, "
            f"client {self.client_busy:.0%}, its core {self.client_core_busy:.0%}; "
            f"{window.updates / max(1, window.reads):.2f} updates a read"
            + (f"; {window.broken} BROKEN" if window.broken else "")
            + (f"; {window.lost} LOST" if window.lost else "")
        )


class Load:
    def __init__(self, contender: Contender, clients: Worker, core: int) -> None:
        self._server = psutil.Process(contender.pid)
        self._port = contender.port
        self._publisher = contender.publisher
        self._clients = clients
        self._count = 0
        self._core = core

    async def add(self, count: int) -> None:
        """So many clients more; returns once each has its snapshot."""
        self._count += count
        subscribe = msgspec.json.encode(SUBSCRIBE).decode()
        await self._clients.ask({"follow": client.Follow(self._port, PATH, count, subscribe)})

    def memory_bytes(self) -> int:
        """What the server alone has resident. (A socket's buffers in the kernel come on top, for any server.)"""
        return int(self._server.memory_full_info().uss)

    async def window(self, trades_per_s: float, warm_up_s: float, seconds: float) -> Measured:
        """So much offered for ``warm_up_s`` unseen and for ``seconds`` measured."""
        await self._publish(trades_per_s)
        await asyncio.sleep(warm_up_s)
        sent = await self._publish(trades_per_s)
        await self._clients.ask({"begin": True})
        cpu_s, core = _cpu_s(self._server), _core_times(self._core)
        await asyncio.sleep(seconds)
        sent = await self._publish(trades_per_s) - sent
        window = msgspec.convert(await self._clients.ask({"end": True}), client.Window)
        busy, passed = (after - before for after, before in zip(_core_times(self._core), core, strict=True))
        spent_s = _cpu_s(self._server) - cpu_s
        return Measured(window, sent * self._count / window.seconds, spent_s, busy / passed)

    async def settle(self) -> client.Window:
        """Stop publishing, wait until nothing more comes. Raises RuntimeError where a client lacks something then."""
        await self._publish(0)
        updates = -1
        while True:
            await asyncio.sleep(QUIET_S)
            window = msgspec.convert(await self._clients.ask({"end": True}), client.Window)
            if window.updates == updates:
                break
            updates = window.updates
        if window.behind:
            raise RuntimeError(f"{window.behind} clients did not get the newest update")
        return window

    async def _publish(self, trades_per_s: float) -> int:
        """From now on so many. Returns how many were sent so far."""
        return int((await self._publisher.ask({"pace": trades_per_s}))["sent"])


@asynccontextmanager
async def load(contender: Contender, count: int, core: int) -> AsyncIterator[Load]:
    """``count`` clients that have subscribed. ``core`` is that of everything but the server."""
    clients = await Worker.start(client.__name__)
    try:
        made = Load(contender, clients, core)
        await made.add(count)
        yield made
        await contender.publisher.ask({"pace": 0})
    finally:
        await clients.stop()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _core_times(core: int) -> tuple[int, int]:
    """Ticks that a core was busy, and all its ticks. https://man7.org/linux/man-pages/man5/proc_stat.5.html"""
    lines = Path("/proc/stat").read_text().splitlines()
    ticks = next([int(part) for part in line.split()[1:9]] for line in lines if line.startswith(f"cpu{core} "))
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
