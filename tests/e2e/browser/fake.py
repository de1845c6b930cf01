"""An edge in front of nothing: the dashboard's files as the gateway serves them, a made-up market behind `/v1/stream`.

For what a real stack cannot be made to do at will: a hole in the sequences, a silent network, 200 updates a second.
"""

import asyncio
import contextlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, Route, WebSocketRoute

from services.gateway.static import Dashboard
from tests.e2e.browser.lab import SYMBOL, Asked, FakeLab

ORIGIN = "http://tickplane.test"
EXCHANGE = "demo"
LAB = "lab"
LAB_CHANNELS = ("book", "executions")
LAB_PATHS = ("/v1/orders", "/v1/executions", "/v1/symbols", "/v1/accounts")
Document = dict[str, Any]


class FakeEdge:
    """One browser page's whole world, ``lab`` its order lab. ``requests`` are what it asked for over `/v1/stream`."""

    def __init__(self, products: list[str], bars: int = 300) -> None:
        self.products = products
        self.bars = bars
        self.lab = FakeLab()
        self.requests: list[Document] = []
        self.accepting = True
        self.refused = 0
        """Connections that came while it was not."""
        self._dashboard = Dashboard()
        self._socket: WebSocketRoute | None = None
        self._sequences = dict.fromkeys([*products, SYMBOL], 0)
        self._followed: set[str] = set()

    async def serve(self, page: Page) -> None:
        await page.route(f"{ORIGIN}/**", self._answer)
        await page.route_web_socket("**/v1/stream", self._connected)
        await page.route_web_socket("**/ws/marketdata*", lambda _socket: None)

    def say(self, frame: Document) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps(frame))

    def trade(self, product: str, price: float, *, lost: bool = False) -> None:
        """A trade, to the channels that are followed; ``lost`` ones are numbered and not sent."""
        previous = self._sequences[product]
        self._sequences[product] = sequence = previous + 1
        if lost:
            return
        for channel in self._followed & {"ticker", "trades"}:
            self.say(self._frame("update", channel, product, sequence, price) | {"previous": previous})

    def tell(self, channel: str, data: Document, *, lost: bool = False) -> None:
        """What happened in the order lab, where that channel is followed; what is ``lost`` is not sent."""
        previous = self._sequences[SYMBOL]
        self._sequences[SYMBOL] = sequence = previous + 1
        if not lost and channel in self._followed:
            self.say(self._lab_frame("update", channel, sequence, data) | {"previous": previous})

    async def drop(self) -> None:
        """Close the connection as a process that dies does."""
        assert self._socket is not None
        await self._socket.close(code=1011)
        self._socket = None

    def _connected(self, socket: WebSocketRoute) -> None:
        if not self.accepting:
            self.refused += 1
            asyncio.ensure_future(socket.close(code=1011))  # noqa: RUF006 (it ends with the page)
            return
        self._socket = socket
        socket.on_message(self._asked)
        self.say(
            {
                "type": "hello",
                "protocol": 1,
                "log_id": "log",
                "time": _now(),
                "heartbeat_interval_s": 5,
                "limits": {"subscriptions_max": 1000, "frame_bytes_max": 4096, "requests_per_second_max": 100},
            }
        )

    def _asked(self, text: str | bytes) -> None:
        request = json.loads(text)
        self.requests.append(request)
        if request["op"] == "unsubscribe":
            self._followed.discard(request["channel"])
        if request["op"] == "subscribe":
            self._followed.add(request["channel"])
            self.say({"type": "ack", "id": request["id"], "op": "subscribe"})
            products = self.products if request["products"] == ["*"] else request["products"]
            for product in products:
                self.say(self._snapshot(request["channel"], product))
        if request["op"] == "ping":
            self.say({"type": "pong", "id": request["id"], "time": _now()})

    def replay(self, product: str, first: int) -> None:
        """The trades from this sequence on, as a resume is answered."""
        for sequence in range(first, self._sequences[product] + 1):
            self.say(self._frame("update", "trades", product, sequence, 100.0) | {"previous": sequence - 1})

    def _lab_frame(self, kind: str, channel: str, sequence: int, data: Document) -> Document:
        frame = self._frame(kind, channel, SYMBOL, sequence, 100.0)
        return frame | {"exchange": LAB, "data": data}

    def _snapshot(self, channel: str, product: str) -> Document:
        if channel in LAB_CHANNELS:
            return self._lab_frame("snapshot", channel, self._sequences[SYMBOL], self.lab.snapshot(channel))
        frame = self._frame("snapshot", channel, product, self._sequences[product], 100.0)
        if channel == "trades":
            frame["data"] = {"trades": []}
        if channel == "validated":
            frame |= {"exchange": "*", "data": {"trades": []}}
        if channel.startswith("candles"):
            frame["data"] = {"candles": [self._bar(0, channel.partition(":")[2])] if self.bars else []}
        if channel == "indicators":
            frame["data"] = {"values": {"sma_5": 100.0, "ema_12": 100.2, "rsi_14": 55.1}}
        return frame

    def _frame(self, kind: str, channel: str, product: str, sequence: int, price: float) -> Document:
        data = {
            "trade_id": str(sequence),
            "price": f"{price:.2f}",
            "size": "0.5000",
            "last_size": "0.5000",
            "side": "BUY" if sequence % 3 else "SELL",
            "origin": "live",
        }
        return {
            "type": kind,
            "channel": channel,
            "exchange": EXCHANGE,
            "product": product,
            "sequence": sequence,
            "time": _now(),
            "data": data,
        }

    def _bar(self, ago: int, resolution: str) -> Document:
        """The bar ``ago`` bars before the newest: a slow wave; the tenth is incomplete and the twentieth revised."""
        length = timedelta(days=1) if resolution == "1d" else timedelta(minutes=1)
        start = (int(datetime.now(UTC).timestamp() // length.total_seconds()) - ago) * length.total_seconds()
        opened, closed = (100 + 5 * math.sin(at / 9) + math.sin(at / 2) for at in (ago + 1, ago))
        return {
            "timestamp": datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z"),
            "open": f"{opened:.2f}",
            "high": f"{max(opened, closed) + 0.4:.2f}",
            "low": f"{min(opened, closed) - 0.4:.2f}",
            "close": f"{closed:.2f}",
            "volume": f"{40 + 30 * math.sin(ago):.4f}",
            "vwap": f"{(opened + closed) / 2:.2f}",
            "trade_count": 300,
            "closed": ago > 0,
            "complete": ago != 10,
            "revision": 2 if ago == 20 else int(ago > 0),
        }

    async def _answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        file = self._dashboard.find(url.path)
        if file is not None:
            headers = {**file.headers, "Content-Type": file.content_type}
            await route.fulfill(status=file.status, headers=headers, body=file.body)
            return
        if url.path == "/whoami" or url.path.startswith(LAB_PATHS):
            await self._answer_of_lab(route, url.path, parse_qs(url.query))
            return
        document = self._document(url.path, parse_qs(url.query))
        with contextlib.suppress(Exception):  # the page may be gone by then
            await route.fulfill(status=404 if document is None else 200, json=document)

    async def _answer_of_lab(self, route: Route, path: str, query: dict[str, list[str]]) -> None:
        request = route.request
        body = json.loads(request.post_data) if request.post_data else None
        answer = self.lab.answer(Asked(request.method, path, query, request.headers.get("x-api-key"), body))
        with contextlib.suppress(Exception):  # the page may be gone by then
            if answer is None:
                await route.abort()
            else:
                await route.fulfill(status=answer[0], json=answer[1])

    def _document(self, path: str, query: dict[str, list[str]]) -> Any:
        if path == "/markets":
            products = [{"exchange": EXCHANGE, "product_id": each, "last_trade_time": _now()} for each in self.products]
            return {"exchanges": [EXCHANGE], "products": products, "resolutions": ["1m"]}
        if path.startswith("/candles/"):
            newest = 0 if "end" not in query else self._bars_since(query["end"][0])
            limit = int(query["limit"][0])
            return [self._bar(ago, "1m") for ago in range(newest, min(newest + limit, self.bars))]
        return {"/v1/status": STATUS, "/v1/gaps": []}.get(path)

    def _bars_since(self, end: str) -> int:
        return int((datetime.now(UTC) - datetime.fromisoformat(end)).total_seconds() // 60) + 1


STATUS: Document = {"ready": True, "dependencies": {}, "feeds": [], "lag": [], "gaps": []}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
