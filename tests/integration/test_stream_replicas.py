"""The promise of the stream: each event once and in order, whatever happens between a client and the log.

Two feeds publish every trade, two replicas of the gateway stand behind the edge and are restarted in turn, and clients
come back through the edge every moment, to whichever replica it gives them, and resume.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from services.contracts.events import Trade
from services.contracts.topics import Topic
from services.local.parts import Caddy
from services.local.ports import LOOPBACK
from tests.conftest import StartService
from tests.support.balancer import Backend, Balancer
from tests.support.log import records
from tests.support.polling import eventually
from tests.support.stream import Frame, StreamClient, StreamGateway, start_gateway

pytestmark = pytest.mark.parts

EXCHANGE = "demo"
PRODUCTS = ("BTC-USD", "ETH-USD")
CHANNELS = ("trades", "ticker")
CLIENTS = 6
HOP_S = (0.5, 1.5)
"""How long a client stays, at random."""
RESTARTS = 4
NOT_NOW = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, TimeoutError)
"""What a client may meet at the edge while a replica is away."""

Followed = tuple[str, str]
"""A channel and a product."""


@dataclass
class Traveller:
    """A client that comes and goes. ``seen`` is what it was sent, by channel and product."""

    seed: int
    last: dict[Followed, int] = field(default_factory=dict)
    seen: defaultdict[Followed, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    troubles: list[str] = field(default_factory=list)
    stays: int = 0
    log_id: str = ""

    async def travel(self, port: int, stopping: asyncio.Event) -> None:
        """Until told, and then once more until nothing is missing up to where the log ends."""
        chance = random.Random(self.seed)
        while not stopping.is_set():
            with contextlib.suppress(*NOT_NOW):
                async with asyncio.timeout(chance.uniform(*HOP_S)):
                    await self._stay(port)
            await asyncio.sleep(chance.uniform(0, 0.1))

    async def arrive(self, port: int, ends: dict[Followed, int]) -> None:
        """Stay until the newest update of everything followed was received."""

        async def arrived() -> bool:
            with contextlib.suppress(*NOT_NOW):
                async with asyncio.timeout(2):
                    await self._stay(port, ends)
            return self._is_at(ends)

        await eventually(arrived)

    def _is_at(self, ends: dict[Followed, int]) -> bool:
        return all(self.last.get(followed, -1) >= end for followed, end in ends.items())

    async def _stay(self, port: int, ends: dict[Followed, int] | None = None) -> None:
        async with StreamClient(port) as client:
            self.stays += 1
            self.log_id = self.log_id or client.hello["log_id"]
            for channel in CHANNELS:
                for product in PRODUCTS:
                    await self._follow(client, channel, product)
            while ends is None or not self._is_at(ends):
                self._take(await client.frame())

    async def _follow(self, client: StreamClient, channel: str, product: str) -> None:
        common = {"id": 0, "channel": channel, "exchange": EXCHANGE}
        last = self.last.get((channel, product))
        if last is None:
            asked: Frame = {"op": "subscribe", "products": [product]}
        else:
            asked = {"op": "resume", "product": product, "sequence": last, "log_id": self.log_id}
        await client.socket.send(msgspec.json.encode(common | asked).decode())

    def _take(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "error":
            self.troubles.append(f"{frame['code']}: {frame['detail']}")
        if kind in ("snapshot", "update"):
            followed = (frame["channel"], frame["product"])
            if frame["sequence"] is not None:
                self.last[followed] = frame["sequence"]
            self.seen[followed].append(frame)


def problems(traveller: Traveller, expected: dict[Followed, list[int]]) -> Iterator[str]:
    """What is wrong with what one client was sent."""
    yield from traveller.troubles
    for followed, frames in traveller.seen.items():
        first, *updates = frames
        if first["type"] != "snapshot" or any(frame["type"] != "update" for frame in updates):
            yield f"{followed}: a snapshot is not the first frame, or not the only one"
        sequences = [frame["sequence"] for frame in frames]
        for frame, before in zip(updates, sequences, strict=False):
            if frame["previous"] not in (None, before):
                yield f"{followed}: {frame['sequence']} follows {frame['previous']}, and {before} was received"
        ids = Counter(frame["data"]["trade_id"] for frame in updates)
        yield from (f"{followed}: trade {one} came {count} times" for one, count in ids.items() if count > 1)
        from_the_first = [offset for offset in expected[followed] if offset >= sequences[0]]
        if sequences != from_the_first[: len(sequences)]:
            yield f"{followed}: not what the log holds from {sequences[0]} on"


async def held(bootstrap_servers: str) -> dict[Followed, list[int]]:
    """The offsets of each trade's first record, and of those that were the newest of their product."""
    offsets: defaultdict[Followed, list[int]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    newest: defaultdict[str, int] = defaultdict(int)
    for record in await records(bootstrap_servers, Topic.MARKET_TRADES):
        trade = msgspec.json.decode(record.value, type=Trade)
        number = trade.trade_number
        assert number is not None
        if (trade.product_id, trade.trade_id) in seen:
            continue
        seen.add((trade.product_id, trade.trade_id))
        offsets["trades", trade.product_id].append(record.offset)
        if number >= newest[trade.product_id]:
            newest[trade.product_id] = number
            offsets["ticker", trade.product_id].append(record.offset)
    return offsets


@dataclass
class Replicas:
    """Two gateways behind a Service, behind the edge."""

    gateways: list[StreamGateway]
    backends: list[Backend]
    balancer: Balancer
    edge: Caddy

    async def restart_each(self, times: int) -> None:
        """One after the other, each once the edge sends clients to it."""
        for turn in range(times):
            service = self.gateways[turn % 2].service
            assert await service.terminate() == 0
            await service.start()
            await service.wait_ready()
            await eventually(lambda: all(self.balancer.sends_to(one) for one in self.backends))


@asynccontextmanager
async def replicas(
    service: StartService, free_port: Callable[[], int], folder: Path, **env: object
) -> AsyncIterator[Replicas]:
    usual: dict[str, Any] = {"TICKPLANE_DRAIN_S": 0.5}
    gateways = [await start_gateway(service, free_port(), **usual, **env) for _ in range(2)]
    backends = [Backend(one.port, one.service.ops_url) for one in gateways]
    balancer = Balancer(backends, interval_s=0.1)
    async with balancer.running():
        edge = Caddy(folder, LOOPBACK, free_port(), api=free_port(), gateway=balancer.port, orders=free_port())
        await edge.start()
        try:
            yield Replicas(gateways, backends, balancer, edge)
        finally:
            await edge.stop()


async def travelled(
    service: StartService, free_port: Callable[[], int], folder: Path, bootstrap_servers: str, **env: object
) -> list[list[str]]:
    """The problems of each client, once all is over."""
    feeds = [await _feed(service), await _feed(service)]
    stopping = asyncio.Event()
    travellers = [Traveller(seed) for seed in range(CLIENTS)]
    async with replicas(service, free_port, folder, **env) as behind:
        async with asyncio.TaskGroup() as group:
            for traveller in travellers:
                group.create_task(traveller.travel(behind.edge.port, stopping))
            await behind.restart_each(RESTARTS)
            await asyncio.gather(*(feed.terminate() for feed in feeds))
            stopping.set()
        expected = await held(bootstrap_servers)
        ends = {followed: offsets[-1] for followed, offsets in expected.items()}
        await asyncio.gather(*(traveller.arrive(behind.edge.port, ends) for traveller in travellers))
    assert all(len(offsets) > 200 for offsets in expected.values())
    assert all(traveller.stays > RESTARTS for traveller in travellers)
    return [list(problems(traveller, expected)) for traveller in travellers]


async def _feed(service: StartService) -> Any:
    feed = await service(
        "feed",
        TICKPLANE_VENUE="demo",
        TICKPLANE_PRODUCTS=",".join(PRODUCTS),
        TICKPLANE_VENUE_SETTINGS='{"interval_ms": "20"}',
    )
    await feed.wait_ready()
    return feed


async def test_each_event_once_whatever_happens_between_a_client_and_the_log(
    service: StartService, free_port: Callable[[], int], tmp_path: Path, bootstrap_servers: str
) -> None:
    assert await travelled(service, free_port, tmp_path / "edge", bootstrap_servers) == [[]] * CLIENTS


async def test_control_without_a_window_events_come_twice(
    service: StartService, free_port: Callable[[], int], tmp_path: Path, bootstrap_servers: str
) -> None:
    found = await travelled(service, free_port, tmp_path / "edge", bootstrap_servers, TICKPLANE_DEDUP_WINDOW=0)
    assert any("times" in problem for problems_ in found for problem in problems_)
