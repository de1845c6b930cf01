"""A market maker, and a taker who now and then trades with it, so that the order lab's book is alive.

Both are clients like others, over REST. What is wanted on the book is worked out anew at every step from the time and
from what rests there (``quoting``), so nothing is lost when an engine, the order entry or this process starts again.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from services.local.quoting import Resting, changes, fair_price, quotes, taken
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock, SystemClock

SYMBOL = "DEMO-USD"
INTERVAL_S = 2.0
STEPS_PER_TAKE = 3
REFUSED_WAIT_S = 30.0
"""After an order that the engine refused: nobody has money for ever, and every order is kept in the journal."""
RETRY_MAX_S = 30.0
TIMEOUT_S = 10.0
OPEN_MAX = 200
AWAY = (httpx.HTTPError, KeyError, ValueError)
"""What a step meets while the order lab is away; ValueError is what is no JSON."""


@dataclass(frozen=True)
class Client:
    """One account's orders in ``SYMBOL``. All of it raises httpx.HTTPError."""

    http: httpx.AsyncClient
    key: str

    async def reference_price(self) -> Decimal:
        """The price that the symbol's rules begin at. Raises ValueError while it is not listed."""
        symbols = {each["symbol"]: each for each in await self._ask("GET", "/v1/symbols")}
        if SYMBOL not in symbols:
            raise ValueError(f"{SYMBOL} is not listed")
        return Decimal(symbols[SYMBOL]["reference_price"])

    async def place(self, **order: str) -> str:
        """Returns the order's id, once it is on the journal."""
        order_id = uuid.uuid4().hex
        await self._ask("POST", "/v1/orders", json={"id": order_id, "symbol": SYMBOL, **order})
        return order_id

    async def cancel(self, order_id: str) -> None:
        await self._ask("DELETE", f"/v1/orders/{order_id}")

    async def resting(self) -> list[Resting]:
        answer = await self._ask("GET", "/v1/orders", params={"state": "open", "symbol": SYMBOL, "limit": OPEN_MAX})
        return [
            Resting(order["id"], order["side"], Decimal(order["price"]), Decimal(order["remaining"]))
            for order in answer["orders"]
        ]

    async def state(self, order_id: str) -> str | None:
        """What the engine has made of the order; None before it has come to it."""
        try:
            answer = await self._ask("GET", f"/v1/orders/{order_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return None if answer["state"] == "received" else str(answer["state"])

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.http.request(method, path, headers={"X-API-Key": self.key}, **options)
        return answer.raise_for_status().json()


class MarketMaker:
    """Keeps the quotes of the account ``maker`` where they are wanted, and has ``taker`` trade with them."""

    def __init__(
        self, edge_url: str, keys: Mapping[str, str], say: Callable[[str], None], clock: Clock | None = None
    ) -> None:
        self._edge_url = edge_url
        self._keys = keys
        self._say = say
        self._clock = clock or SystemClock()
        self._placed: dict[str, str] = {}
        """The last order of each account that the engine may not have come to."""
        self._cancelled: set[str] = set()
        self._reference: Decimal | None = None
        self._steps = 0

    async def run(self) -> None:
        """Until it is cancelled. Whatever is away is tried again, more and more slowly."""
        backoff = Backoff(INTERVAL_S, RETRY_MAX_S)
        async with httpx.AsyncClient(base_url=self._edge_url, timeout=TIMEOUT_S) as http:
            while True:
                try:
                    wait_s = await self.step(http)
                except AWAY as error:
                    if backoff.attempt == 0:
                        self._say(
                            f"market maker: {type(error).__name__}: {str(error).partition('\n')[0]}; trying again"
                        )
                    wait_s = INTERVAL_S + backoff.next_s()
                else:
                    backoff.reset()
                await asyncio.sleep(wait_s)

    async def step(self, http: httpx.AsyncClient) -> float:
        """Bring the book to the quotes of this moment, once the engine has done what the step before asked for: so
        there is never more under way than one step's. Returns how long to wait, in seconds."""
        maker, taker = (Client(http, self._keys[name]) for name in ("maker", "taker"))
        states = [await Client(http, self._keys[name]).state(order) for name, order in self._placed.items()]
        resting = await maker.resting()
        if None in states or self._cancelled & {order.id for order in resting}:
            return INTERVAL_S
        self._placed.clear()
        self._cancelled.clear()
        if "rejected" in states:
            return REFUSED_WAIT_S
        if self._reference is None:
            self._reference = await maker.reference_price()
        await self._quote(maker, resting, self._reference)
        if self._steps % STEPS_PER_TAKE == 0:
            await self._take(taker, self._steps // STEPS_PER_TAKE)
        self._steps += 1
        return INTERVAL_S

    async def _take(self, taker: Client, number: int) -> None:
        side, quantity = taken(number)
        self._placed["taker"] = await taker.place(side=side, type="market", quantity=str(quantity))

    async def _quote(self, maker: Client, resting: list[Resting], reference: Decimal) -> None:
        wanted = quotes(fair_price(reference, self._clock.now_ns() / NS_PER_S))
        found = changes(wanted, resting)
        for order_id in found.cancel:
            await maker.cancel(order_id)
            self._cancelled.add(order_id)
        for quote in found.place:
            self._placed["maker"] = await maker.place(
                side=quote.side, price=str(quote.price), quantity=str(quote.quantity)
            )
