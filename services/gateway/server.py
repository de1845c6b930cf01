"""The sockets: a thin shell of picows. It accepts within the limits, and sends everybody away when it stops.

https://picows.readthedocs.io/en/stable/reference.html
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from picows import (
    WSAutoPingStrategy,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from services.adapters.http.origins import Origins
from services.contracts.metrics import Metric
from services.gateway.addresses import Addresses
from services.gateway.clients import GOING_AWAY, SLOW_CLIENT, TOO_MANY_CONNECTIONS, Client, Host
from services.gateway.routes import Answer, Destination, Files, Follow, no_files, plain_route, problem, socket_route
from services.gateway.settings import GatewaySettings
from services.gateway.stream.outbox import WRITES_PER_TURN
from services.runtime import logging
from services.runtime.metrics import counter, gauge
from services.runtime.request_id import HEADER, request_id
from services.runtime.serve import Resource

READ_BUFFER_BYTES = 1_024
"""What a connection costs before it says anything; picows grows it."""
RETRY_AFTER_S = 5
REFUSED_OPEN_MAX = 500
"""Connections beyond the limit that may be open at once to be told so by a close code; more are answered 503."""
STOP_SHARE_OF_GRACE = 0.5
"""How much of the grace sending clients away may take."""

MakeClient = Callable[[Host, Any, str], Client]
"""(the server, the destination, the request's id) to the client."""


class Server(Resource):
    """``make`` has, for each kind of destination, who makes its clients; ``goodbye`` makes the frame that tells one
    to come back after some milliseconds."""

    def __init__(
        self,
        settings: GatewaySettings,
        make: dict[type[Destination], MakeClient],
        goodbye: Callable[[int], bytes],
        files: Files = no_files,
    ) -> None:
        self._settings = settings
        self._make = make
        self._goodbye = goodbye
        self._files = files
        self._origins = Origins(settings.websocket_origins)
        self._addresses = Addresses(settings.trusted_proxies, settings.gateway_address_connections_max)
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
        """Stop accepting, tell everyone when to come back, close them at that time, and wait for them to leave."""
        assert self._server is not None
        self._stopping = True
        self._server.close()
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for count, (after_s, client) in enumerate(self._farewells(), 1):
            if client.goodbye_frames:
                client.send(self._goodbye(round(after_s * 1_000)))
            loop.call_at(begun_s + after_s, client.send_away)
            if count % WRITES_PER_TURN == 0:
                await asyncio.sleep(0)
        if self._clients:
            self._empty.clear()
            await self._empty.wait()

    def opened(self, client: Client) -> None:
        """Let the client in, unless there are too many."""
        assert client.transport is not None
        peer = client.transport.underlying_transport.get_extra_info("peername") or ("",)
        client.address = self._addresses.client(peer[0], client.transport.request.headers.get("x-forwarded-for"))
        self._clients.add(client)
        _connections(client.kind).inc()
        self._log("client_connected", client)
        alone = self._addresses.enter(client.address)
        if self._stopping:
            client.close(GOING_AWAY, "the gateway restarts")
        elif len(self._clients) > self._settings.gateway_connections_max:
            self._refuse(client, "connections_max", "too many connections")
        elif not alone:
            self._refuse(client, "address_connections_max", "too many connections from one address")
        else:
            client.let_in = True
            client.entered()

    def closed(self, client: Client) -> None:
        self._clients.discard(client)
        self._addresses.leave(client.address)
        _connections(client.kind).dec()
        self._log("client_disconnected", client)
        if not self._clients:
            self._empty.set()

    def too_slow(self, client: Client) -> None:
        """Nothing more is put into its buffer but the close, which it gets if it reads in time."""
        counter(Metric.GATEWAY_SLOW_CLIENT_CLOSES).labels(client.kind).inc()
        self._log("client_too_slow", client)
        client.close(SLOW_CLIENT, "the client does not read")

    def cut_off_later(self, transport: WSTransport) -> None:
        asyncio.get_running_loop().call_later(self._settings.close_timeout_s, transport.disconnect, False)

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        own_id = request_id(request.headers.get(HEADER))
        if request.headers.get("upgrade", "").lower() != "websocket":
            return _answer(plain_route(request.path, request.headers.get("accept-encoding", ""), self._files), own_id)
        target = socket_route(request.path)
        if not isinstance(target, Answer):
            target = self._problem(request, target) or target
        if isinstance(target, Answer):
            return _answer(target, own_id)
        response = WSUpgradeResponse.create_101_response({HEADER: own_id})
        return WSUpgradeResponseWithListener(response, self._make[type(target)](self, target, own_id))

    def _problem(self, request: WSUpgradeRequest, target: Destination) -> Answer | None:
        """Why a socket is not opened at all. A client of a flat path is told by 503 that there are too many."""
        if type(target) not in self._make:
            return problem(HTTPStatus.NOT_FOUND, "there is no such WebSocket")
        if not self._origins.allow(request.headers.get("origin"), request.headers.get("host")):
            counter(Metric.GATEWAY_REFUSALS).labels("origin").inc()
            return problem(HTTPStatus.FORBIDDEN, "pages of this origin may not connect")
        most = self._settings.gateway_connections_max + (0 if isinstance(target, Follow) else REFUSED_OPEN_MAX)
        if len(self._clients) >= most:
            counter(Metric.GATEWAY_REFUSALS).labels("connections_max").inc()
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again soon")
        return None

    def _refuse(self, client: Client, why: str, reason: str) -> None:
        counter(Metric.GATEWAY_REFUSALS).labels(why).inc()
        client.close(TOO_MANY_CONNECTIONS, reason)

    def _farewells(self) -> Iterator[tuple[float, Client]]:
        """When each client is to leave, in seconds from now: at random, so that they do not come back all at once."""
        clients = list(self._clients)
        spread_s = min(self._settings.grace_s * STOP_SHARE_OF_GRACE, len(clients) / self._settings.goodbyes_per_second)
        for client in clients:
            yield random.uniform(0, spread_s), client

    def _log(self, event: str, client: Client) -> None:
        logging.logger().info(event, **client.about(), request_id=client.request_id)


def _answer(answer: Answer, own_id: str) -> WSUpgradeResponseWithListener:
    headers = {"Content-Type": answer.content_type, HEADER: own_id, **answer.headers}
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if answer.status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Upgrade"] = "websocket"
    if answer.status == HTTPStatus.OK:
        response = WSUpgradeResponse.create_ok_response(answer.body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(answer.status, answer.body, headers)
    return WSUpgradeResponseWithListener(response, None)


@lru_cache(100)
def _connections(kind: str) -> Any:
    return gauge(Metric.GATEWAY_CONNECTIONS).labels(kind)
