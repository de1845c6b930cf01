"""The sockets: a thin shell of picows around the hub. One write a client and frame, no task a client.

https://picows.readthedocs.io/en/stable/reference.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from services.contracts.metrics import Metric
from services.gateway.hub import Channel, Delivery, Hub, Product
from services.gateway.routes import Answer, Follow, plain_route, problem, socket_route
from services.gateway.settings import GatewaySettings
from services.runtime import logging
from services.runtime.metrics import counter, gauge
from services.runtime.request_id import HEADER, request_id
from services.runtime.serve import Resource

GOING_AWAY = 1001
SLOW_CLIENT = 4008
UNKNOWN_PRODUCT = 4504
"""1001 and 4000 to 4499 invite the client back, 4500 to 4999 do not."""

READ_BUFFER_BYTES = 1_024
"""What a connection costs before it says anything; picows grows it."""
RETRY_AFTER_S = 5
TEXT_SHOWN_MAX = 128

Fill = Callable[[Product], Awaitable[list["Delivery[Client]"]]]


class Client(WSListener):
    """One connection that follows one product."""

    def __init__(self, server: "Server", follow: Follow, own_id: str) -> None:
        self._server = server
        self.follow = follow
        self.request_id = own_id
        self.transport: WSTransport | None = None

    def send(self, frame: bytes) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, frame)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye, and cut the client off when it does not answer in time."""
        assert self.transport is not None
        self.transport.send_close(code, reason)  # type: ignore[arg-type]  # the stub knows the standard codes only
        asyncio.get_running_loop().call_later(self._server.close_timeout_s, self.transport.disconnect, False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=self._server.client_buffer_bytes_max)
        self._server.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._server.closed(self)

    def pause_writing(self) -> None:
        self._server.too_slow(self)

    def resume_writing(self) -> None:
        """A client that was too slow stays closed."""


class Server(Resource):
    """Accepts clients, subscribes them to the hub, writes what it delivers."""

    def __init__(self, hub: Hub[Client], settings: GatewaySettings, fill: Fill) -> None:
        self.close_timeout_s = settings.close_timeout_s
        self.client_buffer_bytes_max = settings.client_buffer_bytes_max
        self._hub = hub
        self._settings = settings
        self._fill = fill
        self._fills: set[asyncio.Task[None]] = set()
        self._clients: set[Client] = set()
        self._server: asyncio.Server | None = None
        self._stopping = False
        self._empty = asyncio.Event()

    async def start(self) -> None:
        settings = self._settings
        self._server = await ws_create_server(
            self._accept,
            settings.gateway_host,
            settings.gateway_port,
            websocket_handshake_timeout=settings.handshake_timeout_s,
            enable_auto_ping=True,
            auto_ping_idle_timeout=settings.ping_interval_s,
            auto_ping_reply_timeout=settings.ping_timeout_s,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            max_frame_size=settings.client_frame_bytes_max,
            read_buffer_init_size=READ_BUFFER_BYTES,
        )

    async def stop(self) -> None:
        """Stop accepting, tell everyone to come back, and wait for them to leave."""
        assert self._server is not None
        self._stopping = True
        self._server.close()
        for client in list(self._clients):
            client.close(GOING_AWAY, "the gateway restarts")
        if self._clients:
            self._empty.clear()
            await self._empty.wait()

    def deliver(self, deliveries: Iterable[Delivery[Client]]) -> None:
        for channel, subscribers, frame in deliveries:
            for client in subscribers:
                client.send(frame)
            _frames_sent(channel).inc(len(subscribers))

    def opened(self, client: Client) -> None:
        """The current values at once, and what comes after them; 4504 for a product that nobody has."""
        self._clients.add(client)
        _connections(client.follow.channel).inc()
        self._log("client_connected", client)
        channel, product = client.follow.channel, client.follow.product
        if self._stopping:
            client.close(GOING_AWAY, "the gateway restarts")
            return
        if not self._hub.knows(product):
            self._refuse_unknown(client)
            return
        frame = self._hub.subscribe(channel, product, client)
        if frame is not None:
            self.deliver([Delivery(channel, (client,), frame)])
        if self._hub.lacks_values(product):
            self._start_fill(product)

    def closed(self, client: Client) -> None:
        self._hub.unsubscribe(client.follow.channel, client.follow.product, client)
        self._clients.discard(client)
        _connections(client.follow.channel).dec()
        self._log("client_disconnected", client)
        if not self._clients:
            self._empty.set()

    def too_slow(self, client: Client) -> None:
        """Nothing more is put into its buffer but the close, which it gets if it reads in time."""
        channel, product = client.follow.channel, client.follow.product
        counter(Metric.GATEWAY_SLOW_CLIENT_CLOSES).labels(channel).inc()
        self._hub.unsubscribe(channel, product, client)
        self._log("client_too_slow", client)
        client.close(SLOW_CLIENT, "the client does not read")

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        own_id = request_id(request.headers.get(HEADER))
        if request.headers.get("upgrade", "").lower() != "websocket":
            return _answer(plain_route(request.path), own_id)
        target = socket_route(request.path)
        if isinstance(target, Follow) and len(self._clients) >= self._settings.gateway_connections_max:
            counter(Metric.GATEWAY_REFUSALS).labels("connections_max").inc()
            target = problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again soon")
        if isinstance(target, Answer):
            return _answer(target, own_id)
        response = WSUpgradeResponse.create_101_response({HEADER: own_id})
        return WSUpgradeResponseWithListener(response, Client(self, target, own_id))

    def _refuse_unknown(self, client: Client) -> None:
        exchange, product_id = client.follow.product
        counter(Metric.GATEWAY_REFUSALS).labels("unknown_product").inc()
        detail = f"no feed has {product_id[:TEXT_SHOWN_MAX]} of {exchange[:TEXT_SHOWN_MAX]}; see /markets"
        client.send(msgspec.json.encode({"error": "unknown_product", "detail": detail}))
        client.close(UNKNOWN_PRODUCT, "unknown product")

    def _start_fill(self, product: Product) -> None:
        async def fill() -> None:
            self.deliver(await self._fill(product))

        task = asyncio.create_task(fill())
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    def _log(self, event: str, client: Client) -> None:
        exchange, product_id = client.follow.product
        logging.logger().info(
            event,
            channel=client.follow.channel,
            exchange=exchange[:TEXT_SHOWN_MAX],
            product_id=product_id[:TEXT_SHOWN_MAX],
            request_id=client.request_id,
        )


def _answer(answer: Answer, own_id: str) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": answer.content_type, HEADER: own_id}
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if answer.status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Upgrade"] = "websocket"
    if answer.status == HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(answer.body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(answer.status, answer.body, headers)
    return WSUpgradeResponseWithListener(response, None)


@lru_cache(len(Channel))
def _frames_sent(channel: Channel) -> Any:
    return counter(Metric.GATEWAY_FRAMES_SENT).labels(channel)


@lru_cache(len(Channel))
def _connections(channel: Channel) -> Any:
    return gauge(Metric.GATEWAY_CONNECTIONS).labels(channel)
