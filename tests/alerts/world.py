"""A release that is busy: feeds of three exchanges, REST, streams, ticks and orders. What fails is tried again."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx
import websockets

from tests.alerts.prometheus import Prometheus
from tests.e2e.conftest import Release
from tests.e2e.market import PRODUCTS, VENUE, Market

FEED = "busy"
DISCONNECTED, HOLED = "disconnected", "holed"
"""Feeds to be broken, each of an exchange of its own."""
SIDE_VENUES = {DISCONNECTED: "binance", HOLED: "kraken"}
SIDE_PRODUCT = "S-USD"
SIDE_TRADES_PER_S = 20
RETRY_S = 0.5
CLIENTS = 3
"""Of REST and of orders: one request that hangs does not keep all others from being made."""
REQUEST_INTERVAL_S = 1.2
TICK_INTERVAL_S = 0.2
ORDER_INTERVAL_S = 0.6
SYMBOL = "DEMO-USD"
CHANNELS: tuple[dict[str, Any], ...] = (
    {"channel": "trades", "exchange": "coinbase", "products": ["*"]},
    {"channel": "ticker", "exchange": "coinbase", "products": ["*"]},
    {"channel": "candles:1m", "exchange": "coinbase", "products": ["*"]},
    {"channel": "indicators", "exchange": "coinbase", "products": ["*"]},
    {"channel": "book", "products": [SYMBOL]},
    {"channel": "executions", "products": [SYMBOL]},
)


class World:
    def __init__(
        self, release: Release, prometheus: Prometheus, market: Market, host: str, api_keys: dict[str, str]
    ) -> None:
        self.release = release
        self.cluster = release.cluster
        self.parts = release.parts
        self.prometheus = prometheus
        self.market = market
        self.side = {
            name: Market(host, venue, [SIDE_PRODUCT], SIDE_TRADES_PER_S) for name, venue in SIDE_VENUES.items()
        }
        self._keys = api_keys
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = itertools.count()

    async def __aenter__(self) -> Self:
        for side in self.side.values():
            await self._stack.enter_async_context(side)
        await self.apply_feed(FEED, VENUE, PRODUCTS, self.market.exchange.endpoint)
        for name, side in self.side.items():
            await self.apply_feed(name, SIDE_VENUES[name], [SIDE_PRODUCT], side.exchange.endpoint)
        for name in (FEED, *self.side):
            await self.cluster.until(name, "Ready", "True")
        self._http = await self._stack.enter_async_context(httpx.AsyncClient(timeout=10))
        await self._deposit()
        loads = (*[self._rest, self._orders] * CLIENTS, self._stream, self._flat, self._ticks)
        self._tasks = [asyncio.create_task(_again_and_again(load)) for load in loads]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def apply_feed(self, name: str, venue: str, products: Any, endpoint: str, **more: Any) -> None:
        spec = {"venue": venue, "products": list(products), "endpoint": endpoint, **more}
        resources = {"requests": {"cpu": "20m"}}
        await self.cluster.apply(
            {
                "apiVersion": "tickplane.io/v1alpha1",
                "kind": "MarketFeed",
                "metadata": {"name": name},
                "spec": {"resources": resources, **spec},
            }
        )

    async def request(self, service: str, path: str) -> httpx.Response:
        """A request of its own connection, as from a new client."""
        return await self._http.get(
            f"http://{await self.cluster.address(service)}{path}", headers={"Connection": "close"}
        )

    async def websocket(self, path: str, *, unreading: bool = False) -> websockets.connect:
        """``unreading``: with the smallest of buffers, so that who does not read is noticed."""
        address = await self.cluster.address("gateway")
        options: dict[str, Any] = {}
        if unreading:
            behind = socket.socket()
            behind.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            host, _, port = address.rpartition(":")
            behind.connect((host, int(port)))
            options = {"sock": behind, "max_queue": 1, "ping_interval": None, "close_timeout": 0.1}
        return websockets.connect(f"ws://{address}{path}", proxy=None, **options)

    # ---- the loads

    async def _rest(self) -> None:
        for path in itertools.cycle((f"/candles/{PRODUCTS[0]}/1m", "/v1/status", "/markets", "/v1/gaps")):
            await self.request("api", path)
            await asyncio.sleep(REQUEST_INTERVAL_S)

    async def _stream(self) -> None:
        async with await self.websocket("/v1/stream") as socket:
            for number, channel in enumerate(CHANNELS, 1):
                await socket.send(json.dumps({"op": "subscribe", "id": number, **channel}))
            async for _frame in socket:
                pass

    async def _flat(self) -> None:
        async with await self.websocket(f"/crypto/{PRODUCTS[0]}?exchange=coinbase") as socket:
            async for _frame in socket:
                pass

    async def _ticks(self) -> None:
        async with await self.websocket("/ws/marketdata") as socket:
            while True:
                await socket.send(json.dumps({"instrumentId": "AAPL", "price": 101.5, "volume": 10}))
                await asyncio.wait_for(socket.recv(), 10)
                await asyncio.sleep(TICK_INTERVAL_S)

    async def _orders(self) -> None:
        for number in self._numbers:
            account, side = (("seller", "sell"), ("buyer", "buy"))[number % 2]
            order = {"symbol": SYMBOL, "side": side, "price": "100", "quantity": "0.001"}
            answer = await self._post(account, "/v1/orders", {"id": f"{side}-{number}", **order})
            if answer.status_code == 202:
                await self._http.get(
                    f"http://{await self.cluster.address('orders')}/trade/{side}-{number}",
                    headers={"X-API-Key": self._keys[account]},
                )
            await asyncio.sleep(ORDER_INTERVAL_S)

    async def _deposit(self) -> None:
        for account, asset in (("seller", "DEMO"), ("buyer", "USD")):
            deposit = {"id": f"deposit-{asset}", "asset": asset, "amount": "1000000"}
            answer = await self._post("operations", f"/v1/accounts/{account}/deposits", deposit)
            assert answer.status_code == 202, answer.text

    async def _post(self, account: str, path: str, body: dict[str, str]) -> httpx.Response:
        url = f"http://{await self.cluster.address('orders')}{path}"
        return await self._http.post(url, json=body, headers={"X-API-Key": self._keys[account]})


async def _again_and_again(load: Callable[[], Awaitable[None]]) -> None:
    """A client that is cut off, or refused, comes back: things are broken here all the time."""
    while True:
        with contextlib.suppress(OSError, httpx.HTTPError, websockets.WebSocketException, TimeoutError):
            await load()
        await asyncio.sleep(RETRY_S)
