"""The market maker against an order entry that answers as the real one does; its engine runs when it is told to."""

import json
from decimal import Decimal

import httpx
import pytest

from services.local.market_maker import INTERVAL_S, REFUSED_WAIT_S, SYMBOL, MarketMaker
from services.local.quoting import LEVELS
from services.runtime.clock import FakeClock

KEYS = {"maker": "the maker's key", "taker": "the taker's key"}
QUOTES = 2 * LEVELS
MINUTE_S = 60


class Lab:
    """Orders by their ids. What is asked for waits until ``engine`` does it; nothing is ever filled."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, str]] = {}
        self.asked: list[httpx.Request] = []
        self.outcome = "resting"
        self.away = False

    def engine(self) -> None:
        for request in self.asked:
            if request.method == "POST":
                order = json.loads(request.content)
                state = "cancelled" if order.get("type") == "market" else self.outcome
                self.orders[order["id"]] = {**order, "remaining": order["quantity"], "state": state}
            else:
                self.orders[request.url.path.rpartition("/")[2]]["state"] = "cancelled"
        self.asked.clear()

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method != "GET" and self.away:
            return httpx.Response(503, json={"error": {"code": "unavailable", "message": "kafka is away"}})
        if request.method != "GET":
            self.asked.append(request)
            return httpx.Response(202, json={"status": "received"})
        if path == "/v1/symbols":
            return httpx.Response(200, json=[{"symbol": SYMBOL, "reference_price": "100"}])
        if path == "/v1/orders":
            return httpx.Response(200, json={"orders": self.resting()})
        found = self.orders.get(path.rpartition("/")[2])
        return httpx.Response(404, json={}) if found is None else httpx.Response(200, json=found)

    def resting(self) -> list[dict[str, str]]:
        return [order for order in self.orders.values() if order["state"] == "resting"]


class Bot:
    def __init__(self) -> None:
        self.lab = Lab()
        self.clock = FakeClock()
        self.maker = MarketMaker("http://lab", KEYS, lambda _line: None, self.clock)

    async def step(self) -> float:
        transport = httpx.MockTransport(self.lab.answer)
        async with httpx.AsyncClient(base_url="http://lab", transport=transport) as http:
            return await self.maker.step(http)


async def test_the_first_step_fills_the_book_and_the_next_has_nothing_to_do() -> None:
    bot = Bot()
    await bot.step()
    bot.lab.engine()
    assert len(bot.lab.resting()) == QUOTES
    await bot.step()
    assert bot.lab.asked == []


async def test_as_the_price_moves_old_quotes_are_cancelled_and_there_are_never_more() -> None:
    bot = Bot()
    prices = set()
    for _ in range(200):
        await bot.step()
        bot.lab.engine()
        bot.clock.advance(MINUTE_S)
        assert len(bot.lab.resting()) <= QUOTES
        prices |= {order["price"] for order in bot.lab.resting()}
    assert len(prices) > 3 * QUOTES, "it did not move"


async def test_nothing_more_is_asked_for_while_the_engine_is_away() -> None:
    bot = Bot()
    await bot.step()
    asked = len(bot.lab.asked)
    assert asked == QUOTES + 1, "the quotes, and the taker's order"
    for _ in range(20):
        bot.clock.advance(MINUTE_S)
        assert await bot.step() == INTERVAL_S
    assert len(bot.lab.asked) == asked
    bot.lab.engine()
    await bot.step()
    assert bot.lab.asked != [], "the engine is back, and the price is another"


async def test_a_cancel_that_was_not_taken_is_asked_for_again() -> None:
    bot = Bot()
    await bot.step()
    bot.lab.engine()
    bot.clock.advance(MINUTE_S)
    bot.lab.away = True
    with pytest.raises(httpx.HTTPError):
        await bot.step()
    bot.lab.away = False
    await bot.step()
    assert "DELETE" in {request.method for request in bot.lab.asked}


async def test_cancels_that_are_under_way_are_waited_for() -> None:
    bot = Bot()
    await bot.step()
    bot.lab.engine()
    # Twice what is wanted, as after a start over: there is only to cancel.
    for order in list(bot.lab.orders.values()):
        bot.lab.orders[f"{order['id']}-again"] = {**order, "id": f"{order['id']}-again"}
    await bot.step()
    asked = len(bot.lab.asked)
    assert asked == QUOTES
    await bot.step()
    assert len(bot.lab.asked) == asked
    bot.lab.engine()
    assert len(bot.lab.resting()) == QUOTES


async def test_after_a_refusal_it_waits_longer() -> None:
    bot = Bot()
    bot.lab.outcome = "rejected"
    await bot.step()
    bot.lab.engine()
    assert await bot.step() == REFUSED_WAIT_S
    assert bot.lab.asked == []
    assert await bot.step() == INTERVAL_S


async def test_quotes_are_the_makers_and_takes_the_takers() -> None:
    bot = Bot()
    await bot.step()
    found = {
        (request.headers["x-api-key"], json.loads(request.content).get("type", "limit")) for request in bot.lab.asked
    }
    assert found == {(KEYS["maker"], "limit"), (KEYS["taker"], "market")}
    assert all(Decimal(json.loads(request.content)["quantity"]) > 0 for request in bot.lab.asked)
