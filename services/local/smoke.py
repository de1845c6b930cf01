"""``make smoke``: try every piece of a running stack, one line each. Exit code 1 where one is broken.

It works under an exchange label of its own, with a new product for every run, so it neither disturbs nor needs the
feeds.
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
POLL_S = 0.25
MINUTE_NS = 60 * NS_PER_S
TRUNCATED = b'{"exchange":"smoke","product_id":'
AWAY = (httpx.HTTPError, KafkaError, OSError, KeyError)


@dataclass(frozen=True)
class Smoke:
    """One run against one stack."""

    endpoints: dict[str, Any]
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
    if not asyncio.run(smoke(read_endpoints(LocalSettings.load().folder))):
        raise SystemExit(1)


def read_endpoints(folder: Path) -> dict[str, Any]:
    file = folder / "endpoints.json"
    try:
        endpoints: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"there is no {file}: start `make run`, or set TICKPLANE_FOLDER to its folder") from None
    return endpoints


async def smoke(endpoints: dict[str, Any]) -> bool:
    """Try every piece, each though another is broken. Whether all work."""
    now_ns = time.time_ns()
    producer = AIOKafkaProducer(bootstrap_servers=endpoints["kafka"])
    try:
        await producer.start()
    except AWAY as error:
        print(f"broken  Kafka at {endpoints['kafka']}: {error}", file=sys.stderr)
        return False
    try:
        async with httpx.AsyncClient(base_url=endpoints["edge"], timeout=10) as http:
            run = Smoke(endpoints, http, producer, f"SMOKE{now_ns // NS_PER_S}-USD", now_ns)
            return await _try_all(run)
    finally:
        await producer.stop()


async def _try_all(run: Smoke) -> bool:
    sound = True
    for check in (run.is_ready, run.makes_candles, run.refuses_unknown_resolutions, run.counts_dead_letters):
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
