"""An exchange on loopback: its own protocol over WebSocket, its own history over REST, on one port.

Tests use it in their own process::

    async with FakeExchange("coinbase-exchange", ["BTC-USD"], faults=[Fault(Close(1011), after_frames=3)]) as exchange:
        ...  # a real adapter connects to exchange.endpoint and repairs from exchange.history_endpoint
        exchange.emit("BTC-USD", "50000.01", "0.1", "BUY")

Every trade ever emitted is in the history, also those that nobody was connected to hear.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from services.contracts.events import Side
from services.replay.client import Client
from services.replay.dialects import dialect_of
from services.replay.dialects.base import Answer, RecordedFrame
from services.replay.faults import AnyAction, Fault, Refuse
from services.replay.market import ExchangeTrade, Market
from services.replay.settings import ReplaySettings
from services.runtime.clock import Clock, SystemClock

LOOPBACK = "127.0.0.1"
CLOSE_TIMEOUT_S = 5.0
"""How long a client may take to answer a close, or to read a page of history."""


@dataclass
class Counters:
    """What happened so far."""

    handshakes: int = 0
    """Every attempt to connect, the refused ones too."""
    connections: int = 0
    """Attempts that were accepted."""
    refused: int = 0
    frames_sent: int = 0
    history_requests: list[str] = field(default_factory=list)
    """The path and query of each REST request."""
    subscriptions: Counter[str] = field(default_factory=Counter)
    """How often each product's trades were subscribed to."""


class FakeExchange:
    """A server for one protocol: ``coinbase-exchange``, ``coinbase``, ``kraken`` or ``binance``.

    ``products`` (``BASE-QUOTE``) are those that exist from the start; any other is refused as that exchange does, until
    a trade of it is emitted. ``history`` are trades from before. ``port`` 0 takes a free one.
    """

    def __init__(
        self,
        protocol: str,
        products: Iterable[str] = (),
        *,
        history: Iterable[ExchangeTrade] = (),
        faults: Sequence[Fault] = (),
        host: str = LOOPBACK,
        port: int = 0,
        clock: Clock | None = None,
        settings: ReplaySettings | None = None,
    ) -> None:
        self.dialect = dialect_of(protocol)
        self.settings = settings or ReplaySettings.load()
        self.market = Market(products, self.settings.replay_history_trades_max)
        self.counters = Counters()
        self.faults = list(faults)
        self.refusing: int | None = None
        """While set, every handshake is answered with this HTTP status."""
        self.history_refusing: int | None = None
        """While set, every REST request is answered with this HTTP status."""
        self.history_view: Callable[[ExchangeTrade], ExchangeTrade | None] | None = None
        """How the REST history shows each trade: changed, or not at all. None: as it is."""
        self._host, self._port = host, port
        self._clock = clock or SystemClock()
        self._clients: list[Client] = []
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._heard = asyncio.Event()
        self._stack = AsyncExitStack()
        self.preload(history)

    async def __aenter__(self) -> Self:
        server = await self._stack.enter_async_context(
            serve(
                self._on_connection,
                self._host,
                self._port,
                process_request=self._on_request,
                compression=None,
                ping_interval=None,
                close_timeout=CLOSE_TIMEOUT_S,
                server_header=None,
            )
        )
        self._port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everybody is cut off at once, as when an exchange falls over."""
        for client in self._clients:
            client.abort()
        await self._stack.aclose()

    @property
    def endpoint(self) -> str:
        """What an adapter takes for the exchange's WebSocket URL."""
        return f"ws://{self._host}:{self._port}{self.dialect.path}"

    @property
    def history_endpoint(self) -> str:
        """The base URL of the REST history."""
        return f"http://{self._host}:{self._port}"

    def trade(
        self, product_id: str, price: Decimal | str | int, size: Decimal | str | int, side: Side, time_ns: int | None
    ) -> ExchangeTrade:
        """The product's next trade, not yet published. Its time (default: now) is as fine as the protocol's."""
        time_ns = self._clock.now_ns() if time_ns is None else time_ns
        time_ns -= time_ns % self.dialect.time_resolution_ns
        number = self.market.next_number(product_id)
        return ExchangeTrade(product_id, number, Decimal(price), Decimal(size), side, time_ns)

    def emit(
        self,
        product_id: str,
        price: Decimal | str | int,
        size: Decimal | str | int = 1,
        side: Side = "BUY",
        *,
        time_ns: int | None = None,
    ) -> ExchangeTrade:
        """A trade happens: it gets the product's next number, goes to who subscribed, and stays in the history."""
        trade = self.trade(product_id, price, size, side, time_ns)
        self.publish([trade])
        return trade

    def publish(self, trades: Sequence[ExchangeTrade]) -> None:
        """These happen together: protocols with several trades to a frame send them in one. Known ones are repeated."""
        self.preload(trades)
        for client in self._clients:
            client.push(trades)

    def publish_recorded(self, frame: RecordedFrame) -> None:
        """A frame of a recording is sent to who subscribed to its stream; its trades are in the history from now on."""
        self.preload(frame.trades)
        for client in self._clients:
            client.push_recorded(frame)

    def preload(self, trades: Iterable[ExchangeTrade]) -> None:
        """These happened, and nobody was told."""
        for trade in trades:
            self.market.add(trade)

    def skip(self, product_id: str, count: int = 1) -> None:
        """The product's next ``count`` numbers will never be a trade's."""
        self.market.skip(product_id, count)

    def inject(self, action: AnyAction) -> None:
        """Let this happen now on every open connection."""
        for client in self._clients:
            client.inject(action)

    async def drained(self) -> None:
        """Wait until every client has room for more."""
        for client in list(self._clients):
            await client.drained()

    async def finish(self) -> None:
        """Close every connection normally, once everything was sent on it, and wait until they are gone."""
        for client in self._clients:
            client.finish()
        while self._clients:
            await self._clients[0].ended.wait()

    async def subscribed(self, *products: str, timeout_s: float = 10.0) -> None:
        """Wait until somebody is subscribed to each of these products' trades. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not all(self._is_followed(product) for product in products):
                self._heard.clear()
                await self._heard.wait()

    async def followed(self) -> None:
        """Wait until somebody is subscribed to any product's trades."""
        while not any(self._is_followed(product) for product in self.market.products):
            self._heard.clear()
            await self._heard.wait()

    @property
    def open_connections(self) -> int:
        return len(self._clients)

    def _is_followed(self, product: str) -> bool:
        return any(client.session.follows(product) for client in self._clients)

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """REST requests are answered; handshakes are counted, and refused where the script says so."""
        if "Upgrade" not in request.headers:
            return _response(self._on_history(request.path))
        self.counters.handshakes += 1
        number = self.counters.handshakes
        self._numbers[connection] = number
        status = self.refusing or self._refusal(number)
        if status is None:
            self.counters.connections += 1
            return None
        self.counters.refused += 1
        return _response(Answer(status, b"refused\n"))

    def _refusal(self, connection: int) -> int | None:
        for fault in self.faults:
            if isinstance(fault.action, Refuse) and fault.is_for(connection):
                return fault.action.status
        return None

    def _on_history(self, target: str) -> Answer:
        self.counters.history_requests.append(target)
        if self.history_refusing is not None:
            return Answer(self.history_refusing, b"{}")
        address = urlsplit(target)
        market = self.market if self.history_view is None else self.market.seen_as(self.history_view)
        return self.dialect.history(market, address.path, dict(parse_qsl(address.query)))

    async def _on_connection(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        number = self._numbers[connection]
        client = Client(
            connection,
            self.dialect.session(self.market, path),
            [fault for fault in self.faults if fault.is_for(number)],
            self._clock,
            self.settings.replay_queue_frames_max,
            self._count_frame,
        )
        self._clients.append(client)
        followed: set[str] = set()
        try:
            await client.run(self.dialect, lambda: self._on_heard(client, followed))
        finally:
            self._clients.remove(client)
            client.ended.set()

    def _on_heard(self, client: Client, followed: set[str]) -> None:
        """Count what is new among the products that a client follows."""
        now = {product for product in self.market.products if client.session.follows(product)}
        self.counters.subscriptions.update(now - followed)
        followed.clear()
        followed.update(now)
        self._heard.set()

    def _count_frame(self) -> None:
        self.counters.frames_sent += 1


def _response(answer: Answer) -> Response:
    headers = Headers(answer.headers)
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(answer.body))
    headers["Connection"] = "close"
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)
