"""``make smoke``: try every piece of a running stack, one line each. Exit code 1 where one is broken.

It works under an exchange label of its own, with a new product for every run, so it neither disturbs nor needs the
feeds. In the order lab it trades the smallest quantity between alice and bob.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from services.contracts.errors import ConfigError
from services.contracts.events import Trade, product_key
from services.contracts.metrics import Metric
from services.contracts.topics import Group, Topic
from services.local.scrape import scrape
from services.local.settings import LocalSettings
from services.runtime.clock import NS_PER_S, parse_rfc3339

EXCHANGE = "smoke"
AGES_S = (190, 130, 70)
READY_TIMEOUT_S = 15.0
CANDLES_TIMEOUT_S = 30.0
COUNTED_TIMEOUT_S = 15.0
EXECUTED_TIMEOUT_S = 15.0
FRAME_TIMEOUT_S = 10.0
POLL_S = 0.25
MINUTE_NS = 60 * NS_PER_S
TRUNCATED = b'{"exchange":"smoke","product_id":'
INSTRUMENT, PRICE_OUT_OF_RANGE = "SMOKE", 1e9
SYMBOL = "BTC-USD"
"""Where nobody makes a market: the two orders find each other."""
AWAY = (httpx.HTTPError, KafkaError, OSError, KeyError, ValueError, WebSocketException)
"""What a broken piece makes of a check; TimeoutError is an OSError, and ValueError is what is no JSON."""


@dataclass(frozen=True)
class Smoke:
    """One run against one stack."""

    endpoints: dict[str, Any]
    keys: dict[str, str]
    http: httpx.AsyncClient
    producer: AIOKafkaProducer
    product_id: str
    now_ns: int

    async def is_ready(self) -> str | None:
        async def ready() -> str | None:
            answer = await self.http.get("/ready")
            return None if answer.is_success else f"/ready says {answer.status_code}: {answer.text}"

        return await _until(ready, READY_TIMEOUT_S)

    async def makes_candles(self) -> str | None:
        """Emit trades aged 70, 130 and 190 s and wait for the minutes they belong to."""
        trades = [self._trade(number, age_s) for number, age_s in enumerate(AGES_S, start=1)]
        for trade in trades:
            await self._send(msgspec.json.encode(trade))
        wanted = Counter(trade.time // MINUTE_NS * MINUTE_NS for trade in trades)
        path = f"/candles/{self.product_id}/1m?exchange={EXCHANGE}"

        async def are_there() -> str | None:
            answer = await self.http.get(path)
            if not answer.is_success:
                return f"{path} says {answer.status_code}: {answer.text}"
            got = {parse_rfc3339(candle["timestamp"]): candle["trade_count"] for candle in answer.json()}
            return None if got == wanted else f"{path} has {answer.text}"

        return await _until(are_there, CANDLES_TIMEOUT_S)

    async def streams_trades(self) -> str | None:
        """Follow the trades emitted on `/v1/stream`; its snapshot has them all."""
        request = {"op": "subscribe", "id": 1, "channel": "trades", "exchange": EXCHANGE, "products": [self.product_id]}
        async with connect(self._websocket("/v1/stream")) as socket, asyncio.timeout(FRAME_TIMEOUT_S):
            await socket.send(json.dumps(request))
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "snapshot":
                    ids = [trade["trade_id"] for trade in frame["data"]["trades"]]
                    return None if ids == ["1", "2", "3"] else f"the snapshot of the trades is {text!r}"
                if frame["type"] == "error":
                    return f"a subscription is answered {text!r}"
        return "the stream ended before the snapshot"

    async def validates_ticks(self) -> str | None:
        """A good and a bad tick on `/ws/marketdata`."""
        async with connect(self._websocket("/ws/marketdata")) as socket, asyncio.timeout(FRAME_TIMEOUT_S):
            for price, wanted in ((1.0, "VALID"), (PRICE_OUT_OF_RANGE, "INVALID")):
                await socket.send(json.dumps({"instrumentId": INSTRUMENT, "price": price, "volume": 1}))
                answer = await socket.recv()
                if json.loads(answer).get("status") != wanted:
                    return f"a tick at {price} is answered {answer!r}"
        return None

    async def matches_orders(self) -> str | None:
        """Cross two orders of two accounts, and wait for the execution."""
        selling, buying = (f"{self.product_id}-{side}" for side in ("sell", "buy"))
        price, quantity = await self._price_and_quantity()
        for account, side, order_id in (("alice", "sell", selling), ("bob", "buy", buying)):
            order = {"id": order_id, "symbol": SYMBOL, "side": side, "price": str(price), "quantity": quantity}
            answer = await self.http.post("/v1/orders", json=order, headers=self._as(account))
            if answer.status_code != 202:
                return f"an order is answered {answer.status_code}: {answer.text}"

        async def is_executed() -> str | None:
            answer = await self.http.get(f"/trade/{buying}", headers=self._as("bob"))
            found = answer.json()
            return None if found.get("found") and found["trade"]["qty"] == quantity else f"/trade says {answer.text}"

        wrong = await _until(is_executed, EXECUTED_TIMEOUT_S)
        # Where somebody else sold for less, ours is still there.
        await self.http.delete(f"/v1/orders/{selling}", headers=self._as("alice"))
        return wrong

    async def _price_and_quantity(self) -> tuple[Decimal, str]:
        """A price between what is bid and asked, and the smallest quantity."""
        alice = self._as("alice")
        symbols = {each["symbol"]: each for each in (await self.http.get("/v1/symbols", headers=alice)).json()}
        rules = symbols[SYMBOL]
        book = (await self.http.get(f"/v1/book/{SYMBOL}", params={"depth": 1}, headers=alice)).json()
        newest = f"/v1/executions?scope=public&symbol={SYMBOL}&limit=1"
        executions = (await self.http.get(newest, headers=alice)).json()["executions"]
        if book["bids"]:
            price = Decimal(book["bids"][0][0]) + Decimal(rules["tick_size"])
        elif book["asks"]:
            price = Decimal(book["asks"][0][0]) - Decimal(rules["tick_size"])
        else:
            price = Decimal(executions[0]["price"] if executions else rules["reference_price"])
        return price, rules["min_quantity"] or rules["lot_size"]

    def _as(self, account: str) -> dict[str, str]:
        return {"X-API-Key": self.keys[account]}

    async def refuses_unknown_resolutions(self) -> str | None:
        answer = await self.http.get(f"/candles/{self.product_id}/7m?exchange={EXCHANGE}")
        if answer.status_code != 400 or "detail" not in answer.json():
            return f"a resolution that is not there is answered {answer.status_code}: {answer.text}"
        return None

    async def counts_dead_letters(self) -> str | None:
        before = await self._dead_letters()
        await self._send(TRUNCATED)

        async def counted() -> str | None:
            return None if await self._dead_letters() > before else "dlq_messages_total did not rise"

        return await _until(counted, COUNTED_TIMEOUT_S)

    def _websocket(self, path: str) -> str:
        return str(self.endpoints["edge"]).replace("http", "ws", 1) + path

    async def _dead_letters(self) -> float:
        page = await scrape(self.http, self.endpoints["metrics"]["recorder"])
        return page.total(Metric.DLQ_MESSAGES.value.name, consumer_group=Group.RECORDER, topic=Topic.MARKET_TRADES)

    async def _send(self, value: bytes) -> None:
        await self.producer.send_and_wait(Topic.MARKET_TRADES, value, key=product_key(EXCHANGE, self.product_id))

    def _trade(self, number: int, age_s: int) -> Trade:
        return Trade(
            exchange=EXCHANGE,
            product_id=self.product_id,
            trade_id=str(number),
            trade_number=number,
            price=Decimal(100 + number),
            size=Decimal(number),
            side="BUY",
            time=self.now_ns - age_s * NS_PER_S,
            received_time=self.now_ns,
            origin="live",
            venue=EXCHANGE,
        )


def main() -> None:
    """Try every piece of what `make run` started. Exits 1 where one is broken."""
    folder = LocalSettings.load().folder
    if not asyncio.run(smoke(_read(folder, "endpoints.json"), _read(folder, "keys.json"))):
        raise SystemExit(1)


def _read(folder: Path, name: str) -> dict[str, Any]:
    """One of the files that a run leaves for others."""
    file = folder / name
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}: start `make run`, or set TICKPLANE_FOLDER to its folder") from None
    return found


async def smoke(endpoints: dict[str, Any], keys: dict[str, str]) -> bool:
    """Try every piece, each though another is broken; ``keys`` are the order lab's accounts'. Whether all work."""
    now_ns = time.time_ns()
    producer = AIOKafkaProducer(bootstrap_servers=endpoints["kafka"])
    try:
        await producer.start()
    except AWAY as error:
        print(f"broken  Kafka at {endpoints['kafka']}: {error}", file=sys.stderr)
        return False
    try:
        async with httpx.AsyncClient(base_url=endpoints["edge"], timeout=10) as http:
            run = Smoke(endpoints, keys, http, producer, f"SMOKE{now_ns // NS_PER_S}-USD", now_ns)
            return await _try_all(run)
    finally:
        await producer.stop()


async def _try_all(run: Smoke) -> bool:
    sound = True
    checks = (
        run.is_ready,
        run.makes_candles,
        run.streams_trades,
        run.validates_ticks,
        run.matches_orders,
        run.refuses_unknown_resolutions,
        run.counts_dead_letters,
    )
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            wrong = await check()
        except AWAY as error:
            wrong = f"{type(error).__name__}: {error}"
        print(f"ok      {name}" if wrong is None else f"broken  {name}: {wrong}")
        sound = sound and wrong is None
    return sound


async def _until(check: Callable[[], Awaitable[str | None]], timeout_s: float) -> str | None:
    """None once the check says so, or what it said last."""
    deadline = time.monotonic() + timeout_s
    while True:
        wrong = await check()
        if wrong is None or time.monotonic() >= deadline:
            return wrong
        await asyncio.sleep(POLL_S)
