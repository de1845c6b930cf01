"""The servers that are measured: the gateway, and the peers that send the same trades in the same frames.

The gateway is the real process and reads the real Kafka. The peers read the same trades as lines from a Unix socket,
and do nothing but send them. At the highest loads Kafka and the clients would be short of time on the core they share
long before the server is, so there the gateway is given lines as well, and measured through Kafka beside it.
"""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.local import dashboard
from services.local.ports import free_port
from services.local.process import Process
from tests.bench.fanout import gateway, publisher
from tests.bench.fanout.worker import Worker, on_cores
from tests.bench.servers import Servers
from tests.support.polling import eventually
from tests.support.services import ROOT, clean_environment

SOURCES = Path(__file__).parent / "peers"
NODE_FILES = ("package.json", "package-lock.json", ".npmrc", "fastify.js")
INSTALLED = ROOT / ".tools" / "fanout-peers"
CONNECTIONS_MAX = 20_000
START_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Contender:
    """A server that runs, and who feeds it."""

    pid: int
    port: int
    publisher: Worker


@dataclass(frozen=True)
class Gateway:
    """``coalesce_ms`` is its window, 0 for none. ``source`` is "kafka", or "socket" as for the peers."""

    name: str
    coalesce_ms: float
    source: str = "kafka"

    @asynccontextmanager
    async def run(self, made: Servers, core: int) -> AsyncIterator[Contender]:
        async with AsyncExitStack() as stack:
            address = made.kafka_url if self.source == "kafka" else _socket(made)
            source = await Worker.start(publisher.__name__, self.source, address)
            stack.push_async_callback(source.stop)
            await source.ask({"pace": 0})
            if self.source == "kafka":
                await first_trade(source)
            port = free_port()
            with on_cores(core):
                service = await made.module(
                    ("services", "gateway") if self.source == "kafka" else (gateway.__name__, str(address)),
                    "gateway",
                    TICKPLANE_GATEWAY_PORT=port,
                    TICKPLANE_COALESCE_MS=self.coalesce_ms,
                    TICKPLANE_GATEWAY_CONNECTIONS_MAX=CONNECTIONS_MAX,
                    TICKPLANE_GATEWAY_ADDRESS_CONNECTIONS_MAX=CONNECTIONS_MAX,
                )
            stack.push_async_callback(service.terminate)
            if self.source == "socket":
                await first_trade(source)
            yield Contender(service.pid, port, source)


@dataclass(frozen=True)
class Peer:
    """A command that is given a port, the socket with the trades, and ``arguments``."""

    name: str
    command: Sequence[str | Path]
    arguments: Sequence[str] = ()

    @asynccontextmanager
    async def run(self, made: Servers, core: int) -> AsyncIterator[Contender]:
        async with AsyncExitStack() as stack:
            path = _socket(made)
            source = await Worker.start(publisher.__name__, "socket", path)
            stack.push_async_callback(source.stop)
            await source.ask({"pace": 0})
            port = free_port()
            server = Process(self.name, made.folder / f"{path.name}.log")
            with on_cores(core):
                await server.start([*self.command, str(port), path, *self.arguments], env=clean_environment())
            stack.push_async_callback(server.stop)
            await eventually(lambda: "ready" in server.tail, START_TIMEOUT_S)
            await first_trade(source)
            assert server.pid is not None
            yield Contender(server.pid, port, source)


def _socket(made: Servers) -> Path:
    return made.folder / f"trades-{free_port()}"


async def first_trade(source: Worker) -> None:
    """One trade, so that the product is known before anyone asks for it."""
    sent = (await source.ask({"pace": publisher.ONE_TRADE_PACE}))["sent"]

    async def has_sent() -> bool:
        answer = await source.ask({"pace": publisher.ONE_TRADE_PACE})
        return bool(answer["sent"] > sent)

    await eventually(has_sent)
    await source.ask({"pace": 0})


def peers(coalesce_ms: float) -> tuple[Peer, Peer, Peer]:
    """Fastify, the same with coalescing, FastAPI."""
    node = dashboard.executable()
    server = INSTALLED / "fastify.js"
    return (
        Peer("Fastify", (node, server, "each"), ("0",)),
        Peer("Fastify, coalescing", (node, server, "coalescing"), (str(coalesce_ms),)),
        Peer("FastAPI", (sys.executable, SOURCES / "fastapi_server.py")),
    )


async def install_peers() -> None:
    """The packages that the lock names, from whatever registry npm is set up with. Nothing where they are there.

    Raises RuntimeError with what npm said.
    """
    state = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in NODE_FILES)).hexdigest()
    mark = INSTALLED / "installed"
    if mark.exists() and mark.read_text() == state:
        return
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for name in NODE_FILES:
        shutil.copy(SOURCES / name, INSTALLED)
    npm = await asyncio.create_subprocess_exec(
        *(dashboard.executable(), dashboard.npm(), "ci", "--ignore-scripts", "--no-progress"),
        cwd=INSTALLED,
        env=dashboard.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await npm.communicate()
    if npm.returncode:
        raise RuntimeError(f"npm ci in {INSTALLED}:\n{output.decode(errors='replace')}")
    mark.write_text(state)
