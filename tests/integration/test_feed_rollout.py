"""What a rollout relies on: ready when the new feed streams, and nothing lost while two of them do."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from services.contracts.events import FeedState, Trade
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.replay.exchange import FakeExchange
from services.replay.faults import Close
from tests.conftest import StartService
from tests.support.log import records
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

BTC, NOT_LISTED = "BTC-USD", "NOT-LISTED"
UNAVAILABLE = 503


async def _feed(service: StartService, exchange: FakeExchange, *products: str, **env: object) -> Service:
    settings: dict[str, Any] = {
        "TICKPLANE_VENUE": "coinbase-exchange",
        "TICKPLANE_PRODUCTS": ",".join(products or (BTC,)),
        "TICKPLANE_ENDPOINT": exchange.endpoint,
        "TICKPLANE_STATE_INTERVAL_MS": 100,
        "TICKPLANE_RECONNECT_BACKOFF_MAX_S": 0.5,
    }
    return await service("feed", **{**settings, **env})


async def _is_ready(feed: Service, query: str = "?scope=self") -> bool:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{feed.ops_url}/ready{query}")).is_success


async def _numbers(bootstrap_servers: str) -> set[int | None]:
    found = await records(bootstrap_servers, Topic.MARKET_TRADES)
    return {msgspec.json.decode(record.value, type=Trade).trade_number for record in found}


async def _contiguous(bootstrap_servers: str) -> int | None:
    """What the state written last says."""
    found = [r for r in await records(bootstrap_servers, Topic.FEED_STATE) if r.key != LOG_IDENTITY_KEY]
    return msgspec.json.decode(found[-1].value, type=FeedState).contiguous_number if found else None


async def _emit(exchange: FakeExchange, count: int, until: asyncio.Event | None = None) -> int:
    """Some trades, or trades until told. Returns the newest number."""
    number = 0
    while count > 0 or (until is not None and not until.is_set()):
        number = exchange.emit(BTC, 50_000 + count, "0.01", "BUY").number
        count -= 1
        await asyncio.sleep(0.002)
    return number


async def test_ready_from_the_first_acknowledged_subscription_on(service: StartService) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        exchange.refusing = UNAVAILABLE
        feed = await _feed(service, exchange)
        await eventually(lambda: _has_started(feed))
        assert not await _is_ready(feed)
        exchange.refusing = None
        await eventually(lambda: _is_ready(feed))
        exchange.refusing = UNAVAILABLE
        exchange.inject(Close(1000))
        await eventually(lambda: _is_away(feed))
        assert await _is_ready(feed), "an outage of the exchange empties nothing"


async def _has_started(feed: Service) -> bool:
    return bool((await feed.ready())["started"])


async def _is_away(feed: Service) -> bool:
    return not await _is_ready(feed, "")


async def test_the_status_says_why_a_product_does_not_come(service: StartService) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        feed = await _feed(service, exchange, BTC, NOT_LISTED)

        async def the_other_streams() -> bool:
            return bool((await feed.status())["products"][BTC]["subscribed"])

        await eventually(the_other_streams)
        status = await feed.status()
        assert NOT_LISTED in status["products"][NOT_LISTED]["rejected"]
        assert status["dependencies"]["kafka"]["up"]
        assert status["products"][BTC]["last_received_time"] is None
        exchange.emit(BTC, 50_000)

        async def received() -> str | None:
            found: str | None = (await feed.status())["products"][BTC]["last_received_time"]
            return found

        await eventually(received)


async def test_a_rollout_loses_nothing(service: StartService, bootstrap_servers: str) -> None:
    """Without repairs, so that nothing but the overlap can have kept it whole."""
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        no_repair = {"TICKPLANE_GAP_REPAIR_ENABLED": "false"}
        old = await _feed(service, exchange, **no_repair)
        await exchange.subscribed(BTC)
        first = await _emit(exchange, 1)
        over = asyncio.Event()
        trading = asyncio.create_task(_emit(exchange, 0, over))
        new = await _feed(service, exchange, **no_repair)
        await eventually(lambda: _is_ready(new))
        await old.terminate()
        over.set()
        await trading
        last = await _emit(exchange, 10)

        async def complete() -> bool:
            missing = set(range(first, last + 1)) - await _numbers(bootstrap_servers)
            assert not missing, sorted(missing)[:10]
            return await _contiguous(bootstrap_servers) == last

        await eventually(complete)


async def test_control_without_overlap_trades_are_missing(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        no_repair = {"TICKPLANE_GAP_REPAIR_ENABLED": "false"}
        old = await _feed(service, exchange, **no_repair)
        await exchange.subscribed(BTC)
        first = await _emit(exchange, 1)
        over = asyncio.Event()
        trading = asyncio.create_task(_emit(exchange, 0, over))
        await old.terminate()
        new = await _feed(service, exchange, **no_repair)
        await eventually(lambda: _is_ready(new))
        over.set()
        await trading
        last = await _emit(exchange, 10)

        async def has_the_last() -> bool:
            return last in await _numbers(bootstrap_servers)

        await eventually(has_the_last)
        assert set(range(first, last + 1)) - await _numbers(bootstrap_servers)
