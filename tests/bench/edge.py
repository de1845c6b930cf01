"""Exchange, feed, Kafka, gateway and its WebSocket clients, as processes: what `latency` and `flood` measure."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.gateway.fanout import GROUP
from services.local.ports import LOOPBACK, free_port
from services.local.process import Process
from tests.bench import exchange
from tests.bench.servers import Servers, servers
from tests.support.polling import eventually
from tests.support.services import Service, clean_environment

TRADES_BEFORE_GATEWAY = 2_000
"""By then each product has traded, so that the gateway knows them all when it is ready."""

OnFrame = Callable[[int, str], None]


@dataclass(frozen=True)
class Edge:
    feed: Service
    gateway: Service

    async def published(self) -> int:
        """Trades that the feed has in Kafka."""
        page = await self.feed.metrics()
        return int(page.total(Metric.MESSAGES_PUBLISHED.value.name, topic=str(Topic.MARKET_TRADES)))

    async def read(self) -> int:
        """Trades that the gateway has read."""
        return int((await self.gateway.metrics()).total(Metric.MESSAGES_CONSUMED.value.name, consumer_group=GROUP))


class _Frame(msgspec.Struct):
    time: str


class _Client(WSListener):
    """Calls ``on_frame`` with the time of receipt (ns) and the frame's own ``time``."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._on_frame = on_frame
        self._decode = msgspec.json.Decoder(_Frame).decode

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now_ns = time.time_ns()
        if frame.msg_type == WSMsgType.TEXT:
            self._on_frame(now_ns, self._decode(frame.get_payload_as_memoryview()).time)


@asynccontextmanager
async def edge(products: int, rate: float, on_frame: OnFrame) -> AsyncIterator[Edge]:
    """All of it running, a client to each product. ``rate`` is trades a second; 0 is as many as there can be."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(servers())
        names = exchange.product_names("P", products)
        port = await _start_exchange(stack, made, names, rate)
        feed = await made.service(
            "feed",
            TICKPLANE_VENUE=exchange.PROTOCOL,
            TICKPLANE_PRODUCTS=",".join(names),
            TICKPLANE_ENDPOINT=f"ws://{LOOPBACK}:{port}",
        )
        gateway_port = free_port()
        gateway = await _start_gateway(made, feed, gateway_port)
        for name in names:
            url = f"ws://{LOOPBACK}:{gateway_port}/crypto/{name}?exchange={exchange.PROTOCOL}"
            transport, _ = await ws_connect(lambda: _Client(on_frame), url)
            stack.callback(transport.disconnect)
        yield Edge(feed, gateway)


async def _start_exchange(stack: AsyncExitStack, made: Servers, names: Sequence[str], rate: float) -> int:
    port = free_port()
    process = Process("exchange", made.folder / "exchange.log")
    command = [sys.executable, "-m", exchange.__name__, str(port), ",".join(names), str(rate)]
    await process.start(command, env=clean_environment())
    stack.push_async_callback(process.stop)
    return port


async def _start_gateway(made: Servers, feed: Service, port: int) -> Service:
    async def enough() -> bool:
        page = await feed.metrics()
        return page.total(Metric.MESSAGES_PUBLISHED.value.name) >= TRADES_BEFORE_GATEWAY

    await eventually(enough)
    return await made.service("gateway", TICKPLANE_GATEWAY_PORT=port)
