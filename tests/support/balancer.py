"""A tiny TCP balancer: what a Kubernetes Service does for a rolling restart, seen from a client."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from services.local.ports import LOOPBACK


@dataclass(frozen=True)
class Backend:
    """Where requests go, and the ops port that is asked whether they may."""

    port: int
    ops_url: str


class Balancer:
    """Sends each new connection to the next backend that was ready when last asked, every ``interval_s``.

    As kube-proxy, it looks at nothing inside a connection and leaves those that are open alone; and it tries no other
    backend where one refuses.
    """

    def __init__(self, backends: Sequence[Backend], interval_s: float) -> None:
        self.port = 0
        self._backends = backends
        self._interval_s = interval_s
        self._ready: list[Backend] = []
        self._turn = itertools.count()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Balancer"]:
        server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        looking = asyncio.create_task(self._look())
        try:
            yield self
        finally:
            looking.cancel()
            server.close()

    def sends_to(self, backend: Backend) -> bool:
        return backend in self._ready

    async def _look(self) -> None:
        async with httpx.AsyncClient(timeout=1) as client:
            while True:
                answers = await asyncio.gather(*(self._is_ready(client, backend) for backend in self._backends))
                self._ready = [b for b, ready in zip(self._backends, answers, strict=True) if ready]
                await asyncio.sleep(self._interval_s)

    async def _is_ready(self, client: httpx.AsyncClient, backend: Backend) -> bool:
        try:
            return (await client.get(f"{backend.ops_url}/ready?scope=self")).is_success
        except httpx.TransportError:
            return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            backend = self._ready[next(self._turn) % len(self._ready)]
            behind = await asyncio.open_connection(LOOPBACK, backend.port)
        except (OSError, IndexError, ZeroDivisionError):
            writer.transport.abort()
            return
        await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes in goes out, to the end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
