"""What is measured, on servers that run: steady loads, the highest load, idle connections, REST beside it, and what a
client that does not read does to the others."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from rich.console import Console

from services.local.ports import LOOPBACK, free_port
from tests.bench import rest
from tests.bench.fanout.contenders import Gateway, Peer, peers
from tests.bench.fanout.load import CLIENT_BUSY_MAX, PATH, SUBSCRIBE, Load, Measured, load
from tests.bench.fanout.search import highest
from tests.bench.fanout.wire import Opcode, client_frame, upgrade_request, upgraded
from tests.bench.fanout.worker import Cores, on_cores
from tests.bench.servers import Servers

COALESCE_MS = 5.0
MAXIMUM_P99_MS = 50.0
PRECISION = 0.1
TRIES = 2
REST_REQUESTS_PER_S = 100
STALLED_BUFFER_BYTES = 4_096

OURS = Gateway("gateway", 0)
OURS_COALESCING = Gateway("gateway, coalescing", COALESCE_MS, "socket")
OURS_COALESCING_KAFKA = Gateway("gateway, coalescing, through Kafka", COALESCE_MS)
FASTIFY, FASTIFY_COALESCING, FASTAPI = peers(COALESCE_MS)
STEADY = (OURS, FASTIFY, FASTIFY_COALESCING, FASTAPI)
"""Who is given the steady loads, in this order."""
SEARCHED = (OURS_COALESCING, OURS_COALESCING_KAFKA, FASTIFY, FASTIFY_COALESCING, FASTAPI)
"""Whose highest load is looked for."""


@dataclass(frozen=True)
class Steady:
    """So many clients, each sent so many trades a second."""

    clients: int
    trades_per_s: float
    p99_max_ms: float

    def __str__(self) -> str:
        return f"{self.clients:,} clients × {self.trades_per_s:.0f}/s"


@dataclass(frozen=True)
class Sizes:
    steady: tuple[Steady, ...]
    runs: int
    warm_up_s: float
    window_s: float
    search_clients: int
    search_first_per_s: float
    search_limit_per_s: float
    search_warm_up_s: float
    search_window_s: float
    idle_clients: int
    idle_s: float
    rest_trades: int
    stalled: Steady
    stalled_s: float


FULL = Sizes(
    steady=(Steady(2_000, 50, 18), Steady(5_000, 20, 35)),
    runs=3,
    warm_up_s=4,
    window_s=10,
    search_clients=1_000,
    search_first_per_s=40_000,
    search_limit_per_s=2_000_000,
    search_warm_up_s=1,
    search_window_s=3,
    idle_clients=10_000,
    idle_s=45,
    rest_trades=200_000,
    stalled=Steady(1_000, 50, 18),
    stalled_s=60,
)
QUICK = Sizes(
    steady=(Steady(100, 20, 18), Steady(200, 10, 35)),
    runs=1,
    warm_up_s=0.5,
    window_s=1,
    search_clients=50,
    search_first_per_s=2_000,
    search_limit_per_s=4_000,
    search_warm_up_s=0.2,
    search_window_s=0.5,
    idle_clients=200,
    idle_s=1,
    rest_trades=20_000,
    stalled=Steady(50, 20, 18),
    stalled_s=2,
)


@dataclass(frozen=True)
class Idle:
    """Connections whose product nobody trades: how many were still there after ``seconds``, at what memory each."""

    held: int
    asked: int
    seconds: float
    kilobytes_each: float


@dataclass(frozen=True)
class Beside:
    """By run: what REST clients waited, and what the gateway delivered meanwhile."""

    rest_p99_ms: list[float]
    windows: list[Measured]


@dataclass(frozen=True)
class Stalled:
    """What the others saw before somebody stopped reading, and in the ``seconds`` after it."""

    seconds: float
    before: list[Measured]
    meanwhile: list[Measured]


@dataclass(frozen=True)
class Maximum:
    """The highest load that arrived, in order and in time: None where not even the lowest did. ``server_limited`` is
    whether more failed for the server's sake, and not for want of time on the clients' core."""

    best: Measured | None
    server_limited: bool

    @classmethod
    def of(cls, tried: Sequence[Measured]) -> "Maximum":
        held = [one for one in tried if one.holds(MAXIMUM_P99_MS)]
        best = max(held, key=lambda one: one.offered_per_s, default=None)
        above = [one for one in tried if best is None or one.offered_per_s > best.offered_per_s]
        return cls(best, any(one.client_core_busy < CLIENT_BUSY_MAX for one in above))


class Scenarios:
    def __init__(self, made: Servers, sizes: Sizes, cores: Cores, console: Console) -> None:
        self._made = made
        self.sizes = sizes
        self._cores = cores
        self._console = console

    async def steady(self, asked: Steady) -> dict[str, list[Measured]]:
        """By contender, a window a run; the contenders take turns."""
        taken: defaultdict[str, list[Measured]] = defaultdict(list)
        for _ in range(self.sizes.runs):
            for contender in STEADY:
                async with self._loaded(contender, asked.clients) as clients:
                    measured = await clients.window(asked.trades_per_s, self.sizes.warm_up_s, self.sizes.window_s)
                    if measured.arrives:
                        await clients.settle()
                self._console.print(f"{contender.name}, {asked}: {measured}")
                taken[contender.name].append(measured)
        return taken

    async def maxima(self) -> dict[str, list[Maximum]]:
        """By contender, one a run."""
        found: defaultdict[str, list[Maximum]] = defaultdict(list)
        for _ in range(self.sizes.runs):
            for contender in SEARCHED:
                async with self._loaded(contender, self.sizes.search_clients) as clients:
                    found[contender.name].append(await self._maximum(contender.name, clients))
        return found

    async def _maximum(self, name: str, clients: Load) -> Maximum:
        tried: list[Measured] = []

        async def holds(per_s: float) -> bool:
            """What else the machine does may spoil one window; it is the server's limit when it spoils each."""
            for _ in range(TRIES):
                tried.append(await self._try(name, clients, per_s))
                if tried[-1].holds(MAXIMUM_P99_MS):
                    return True
            return False

        await highest(holds, self.sizes.search_first_per_s, PRECISION, self.sizes.search_limit_per_s)
        return Maximum.of(tried)

    async def _try(self, name: str, clients: Load, per_s: float) -> Measured:
        sizes = self.sizes
        pace = per_s / sizes.search_clients
        measured = await clients.window(pace, sizes.search_warm_up_s, sizes.search_window_s)
        await clients.settle()
        self._console.print(f"{name}, {'holds' if measured.holds(MAXIMUM_P99_MS) else 'does not hold'}: {measured}")
        return measured

    async def idle(self) -> Idle:
        """Heartbeats and pings go on meanwhile; a client that has lost its connection counts as gone."""
        sizes = self.sizes
        async with self._loaded(OURS, 0) as clients:
            before = clients.memory_bytes()
            await clients.add(sizes.idle_clients)
            await asyncio.sleep(sizes.idle_s)
            each = (clients.memory_bytes() - before) / sizes.idle_clients / 1_000
            window = await clients.settle()
        return Idle(sizes.idle_clients - window.lost, sizes.idle_clients, sizes.idle_s, each)

    async def rest_beside(self, asked: Steady) -> Beside:
        """REST requests at a steady pace while the gateway delivers. The `api` may use both cores."""
        sizes = self.sizes
        await rest.make_candles(self._made, sizes.rest_trades)
        port = free_port()
        with on_cores(*self._cores):
            api = await self._made.service("api", TICKPLANE_API_PORT=port, RATE_LIMIT_PER_MINUTE=10_000_000)
        answers, windows = [], []
        async with self._loaded(OURS, asked.clients) as clients:
            for _ in range(sizes.runs):
                answering = asyncio.create_task(rest.ask(self._made, port, sizes.window_s, REST_REQUESTS_PER_S))
                windows.append(await clients.window(asked.trades_per_s, 0, sizes.window_s))
                answers.append(await answering)
                self._console.print(f"REST p99 {answers[-1]['p99_ms']:.1f} ms beside {asked}: {windows[-1]}")
        await api.terminate()
        return Beside([answer["p99_ms"] for answer in answers], windows)

    async def stalled(self) -> Stalled:
        sizes = self.sizes
        asked, runs = sizes.stalled, int(sizes.stalled_s / sizes.window_s)
        async with (
            OURS.run(self._made, self._cores.server) as running,
            load(running, asked.clients, self._cores.clients) as clients,
        ):

            async def windows() -> list[Measured]:
                return [await clients.window(asked.trades_per_s, 0, sizes.window_s) for _ in range(runs)]

            await clients.window(asked.trades_per_s, sizes.warm_up_s, sizes.window_s)
            before = await windows()
            with _stalled_client(running.port):
                meanwhile = await windows()
        for name, measured in (("before", before), ("beside a client that does not read", meanwhile)):
            self._console.print(f"{asked}, {name}: {'; '.join(map(str, measured))}")
        return Stalled(runs * sizes.window_s, before, meanwhile)

    @asynccontextmanager
    async def _loaded(self, contender: Gateway | Peer, clients: int) -> AsyncIterator[Load]:
        async with (
            contender.run(self._made, self._cores.server) as running,
            load(running, clients, self._cores.clients) as loaded,
        ):
            yield loaded


def _stalled_client(port: int) -> socket.socket:
    """One that subscribed like the others, and reads nothing more. Its own buffer is small, so that it is soon felt."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER_BYTES)
    stalled.connect((LOOPBACK, port))
    stalled.sendall(upgrade_request(LOOPBACK, port, PATH))
    if not upgraded(stalled.recv(STALLED_BUFFER_BYTES)):
        raise RuntimeError("the gateway did not let it in")
    stalled.sendall(client_frame(Opcode.TEXT, msgspec.json.encode(SUBSCRIBE)))
    return stalled
