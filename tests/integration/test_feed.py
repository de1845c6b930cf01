"""The feed against a fake exchange that speaks the real protocol, and the real Kafka: every id there, each once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest

from services.contracts.events import DeadLetter, FeedState, Trade
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.replay.exchange import FakeExchange
from services.replay.faults import (
    AnyAction,
    Close,
    Drop,
    Fault,
    Garbage,
    Reorder,
    Repeat,
    Reset,
    ServerShutdown,
    Silence,
    Slow,
)
from tests.conftest import StartService
from tests.support.log import records
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.services import Service

pytestmark = pytest.mark.parts

BTC, ETH = "BTC-USD", "ETH-USD"
PROTOCOLS = {"coinbase": BTC, "coinbase-exchange": BTC, "kraken": BTC, "binance": "BTC-USDT"}


async def _feed(service: StartService, exchange: FakeExchange, venue: str, *products: str, **env: object) -> Service:
    settings: dict[str, Any] = {
        "TICKPLANE_VENUE": venue,
        "TICKPLANE_PRODUCTS": ",".join(products),
        "TICKPLANE_ENDPOINT": exchange.endpoint,
        "TICKPLANE_STATE_INTERVAL_MS": 100,
        "TICKPLANE_RECONNECT_BACKOFF_MAX_S": 0.5,
    }
    return await service("feed", **{**settings, **env})


async def _trades(bootstrap_servers: str) -> list[Trade]:
    found = await records(bootstrap_servers, Topic.MARKET_TRADES)
    return [msgspec.json.decode(record.value, type=Trade) for record in found]


async def _states(bootstrap_servers: str) -> dict[str, FeedState]:
    found = [r for r in await records(bootstrap_servers, Topic.FEED_STATE) if r.key != LOG_IDENTITY_KEY]
    return {s.product_id: s for s in (msgspec.json.decode(record.value, type=FeedState) for record in found)}


def _has(bootstrap_servers: str, product: str, first: int, last: int) -> Callable[[], Awaitable[bool]]:
    """Whether the topic has every id of a product from ``first`` to ``last``."""

    async def check() -> bool:
        numbers = {t.trade_number for t in await _trades(bootstrap_servers) if t.product_id == product}
        missing = set(range(first, last + 1)) - numbers
        assert not missing, f"missing {sorted(missing)[:10]} of {product}"
        return True

    return check


def _connected_since(exchange: FakeExchange, connections: int) -> bool:
    return exchange.counters.connections > connections


def _burst(exchange: FakeExchange, product: str, count: int) -> int:
    """Some trades at once. Returns the newest number."""
    number = 0
    for index in range(count):
        number = exchange.emit(product, 50_000 + index, "0.01", "BUY" if index % 2 else "SELL").number
    return number


@pytest.mark.parametrize(("venue", "product"), PROTOCOLS.items())
async def test_each_protocol_end_to_end(
    service: StartService, bootstrap_servers: str, venue: str, product: str
) -> None:
    async with FakeExchange(venue, [product]) as exchange:
        feed = await _feed(service, exchange, venue, product)
        await exchange.subscribed(product)
        first = exchange.emit(product, "50000.5", "0.25", "SELL").number
        last = _burst(exchange, product, 20)
        await eventually(_has(bootstrap_servers, product, first, last))
        assert await feed.terminate() == 0
    trades = await _trades(bootstrap_servers)
    assert Counter(t.trade_number for t in trades).most_common(1)[0][1] == 1, "published twice"
    sold = next(t for t in trades if t.trade_number == first)
    assert (str(sold.price), str(sold.size), sold.side, sold.venue) == ("50000.5", "0.25", "SELL", venue)
    assert (await _states(bootstrap_servers))[product].contiguous_number == last


@pytest.mark.parametrize("venue", ["coinbase-exchange", "kraken", "coinbase"])
async def test_killed_while_the_exchange_goes_on_every_id_is_there(
    service: StartService, bootstrap_servers: str, venue: str
) -> None:
    async with FakeExchange(venue, [BTC]) as exchange:
        feed = await _feed(service, exchange, venue, BTC)
        await exchange.subscribed(BTC)
        first = exchange.emit(BTC, 50_000).number
        await eventually(_has(bootstrap_servers, BTC, first, _burst(exchange, BTC, 30)))
        await eventually(lambda: _states(bootstrap_servers))
        await feed.kill()
        await eventually(lambda: exchange.open_connections == 0)
        _burst(exchange, BTC, 700)
        await feed.start()
        await exchange.subscribed(BTC)
        last = _burst(exchange, BTC, 10)
        await eventually(_has(bootstrap_servers, BTC, first, last))


async def test_control_without_feed_state_ids_are_missing(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        never = {"TICKPLANE_STATE_INTERVAL_MS": 60_000}
        feed = await _feed(service, exchange, "coinbase-exchange", BTC, **never)
        await exchange.subscribed(BTC)
        first = exchange.emit(BTC, 50_000).number
        await eventually(_has(bootstrap_servers, BTC, first, _burst(exchange, BTC, 30)))
        await feed.kill()
        await eventually(lambda: exchange.open_connections == 0)
        _burst(exchange, BTC, 700)
        await feed.start()
        await exchange.subscribed(BTC)
        last = _burst(exchange, BTC, 10)
        await eventually(_has(bootstrap_servers, BTC, last - 9, last))
        with pytest.raises(AssertionError):
            await eventually(_has(bootstrap_servers, BTC, first, last), timeout_s=5)


async def test_twenty_forced_reconnects_with_snapshots(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("coinbase", [BTC]) as exchange:
        feed = await _feed(service, exchange, "coinbase", BTC)
        await exchange.subscribed(BTC)
        first = last = exchange.emit(BTC, 50_000).number
        for round_number in range(20):
            last = _burst(exchange, BTC, 7)
            connections = exchange.counters.connections
            exchange.inject(Close(1000) if round_number % 2 else Reset())
            last = _burst(exchange, BTC, 5)
            await eventually(partial(_connected_since, exchange, connections))
            await exchange.subscribed(BTC, timeout_s=45)
        await eventually(_has(bootstrap_servers, BTC, first, last), timeout_s=60)
        assert await feed.terminate() == 0
    repeats = {n: c for n, c in Counter(t.trade_number for t in await _trades(bootstrap_servers)).items() if c > 1}
    assert repeats == {}


@pytest.mark.parametrize(
    "action",
    [Close(1011), Close(1000), Reset(), Drop(5), Repeat(5), Reorder(4), Garbage(), Slow(0.05, 5), Silence(0)],
    ids=lambda action: type(action).__name__ + str(getattr(action, "code", "")),
)
async def test_whatever_the_exchange_does_every_id_arrives(
    service: StartService, bootstrap_servers: str, action: AnyAction
) -> None:
    faults = [Fault(action, connection=1, after_frames=10)]
    async with FakeExchange("kraken", [BTC, ETH], faults=faults) as exchange:
        await _feed(service, exchange, "kraken", BTC, ETH)
        await exchange.subscribed(BTC, ETH)
        first = {product: exchange.emit(product, 100).number for product in (BTC, ETH)}
        last = dict(first)
        for _ in range(30):
            for product in (BTC, ETH):
                last[product] = _burst(exchange, product, 1)
        again = isinstance(action, Close | Reset | Silence)
        await eventually(lambda: exchange.counters.connections >= 1 + again)
        await exchange.subscribed(BTC, ETH, timeout_s=45)
        for product in (BTC, ETH):
            last[product] = _burst(exchange, product, 1)
            await eventually(_has(bootstrap_servers, product, first[product], last[product]), timeout_s=45)


async def test_a_rejected_product_is_named_and_the_others_run_on(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("kraken", [BTC]) as exchange:
        feed = await _feed(service, exchange, "kraken", BTC, "NOPE-USD")
        await exchange.subscribed(BTC)
        number = exchange.emit(BTC, 100).number
        await eventually(_has(bootstrap_servers, BTC, number, number))

        async def rejected() -> bool:
            return bool((await feed.status())["products"]["NOPE-USD"]["rejected"])

        await eventually(rejected)
        assert (await feed.status())["products"][BTC]["subscribed"]


@pytest.mark.parametrize(("status", "reason"), [(451, "GeoBlocked"), (503, "Refused")])
async def test_a_refused_handshake_is_shown_and_retried(
    service: StartService, bootstrap_servers: str, status: int, reason: str
) -> None:
    async with FakeExchange("coinbase", [BTC]) as exchange:
        exchange.refusing = status
        feed = await _feed(service, exchange, "coinbase", BTC)

        async def said() -> bool:
            return str((await feed.status())["last_end"]).startswith(reason)

        await eventually(said)
        assert not (await feed.ready())["ready"]
        exchange.refusing = None
        await exchange.subscribed(BTC, timeout_s=30)


async def test_a_source_that_disagrees_with_the_socket_repairs_nothing(
    service: StartService, bootstrap_servers: str
) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        exchange.history_view = lambda trade: msgspec.structs.replace(trade, price=trade.price + 1)
        feed = await _feed(service, exchange, "coinbase-exchange", BTC)
        await exchange.subscribed(BTC)
        first = exchange.emit(BTC, 100).number
        await eventually(_has(bootstrap_servers, BTC, first, _burst(exchange, BTC, 5)))
        exchange.inject(Drop(3))
        last = _burst(exchange, BTC, 9)

        async def off() -> bool:
            return bool((await feed.status())["repair"] == "off")

        await eventually(off)
        with pytest.raises(AssertionError):
            await eventually(_has(bootstrap_servers, BTC, first, last), timeout_s=3)
        assert len((await feed.status())["products"][BTC]["open_gaps"]) == 1


async def test_ids_that_never_were_are_void(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        await _feed(service, exchange, "coinbase-exchange", BTC)
        await exchange.subscribed(BTC)
        _burst(exchange, BTC, 5)
        exchange.skip(BTC, 3)
        _burst(exchange, BTC, 5)

        async def void() -> bool:
            state = (await _states(bootstrap_servers)).get(BTC)
            return state is not None and [gap.status for gap in state.closed_gaps] == ["void"]

        await eventually(void)


async def test_a_history_that_is_away_leaves_the_gap_open_and_is_asked_again(
    service: StartService, bootstrap_servers: str
) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        exchange.history_refusing = 500
        feed = await _feed(service, exchange, "coinbase-exchange", BTC)
        await exchange.subscribed(BTC)
        first = exchange.emit(BTC, 100).number
        await eventually(_has(bootstrap_servers, BTC, first, _burst(exchange, BTC, 3)))
        exchange.inject(Drop(3))
        last = _burst(exchange, BTC, 9)

        async def reason() -> bool:
            gaps = (await feed.status())["products"][BTC]["open_gaps"]
            return len(gaps) == 1 and "500" in gaps[0]["reason"]

        await eventually(reason)
        exchange.history_refusing = None
        await eventually(_has(bootstrap_servers, BTC, first, last))


async def test_what_is_published_is_counted_and_what_is_missing_shows_from_the_start_on(
    service: StartService, bootstrap_servers: str
) -> None:
    async with FakeExchange("coinbase-exchange", [BTC, ETH]) as exchange:
        exchange.history_refusing = 500
        feed = await _feed(service, exchange, "coinbase-exchange", BTC, ETH)
        await exchange.subscribed(BTC)
        first = exchange.emit(BTC, 100).number
        await eventually(_has(bootstrap_servers, BTC, first, _burst(exchange, BTC, 3)))
        exchange.inject(Drop(3))
        last = _burst(exchange, BTC, 9)
        await eventually(_has(bootstrap_servers, BTC, last, last))

        async def figures() -> tuple[dict[str, float], dict[str, float]]:
            metrics = await feed.metrics()
            return metrics.by("feed_trades_total", "product_id"), metrics.by("feed_gaps_open", "product_id")

        async def counted() -> bool:
            assert await figures() == ({BTC: len(await _trades(bootstrap_servers)), ETH: 0}, {BTC: 1, ETH: 0})
            return True

        await eventually(counted)
        assert await feed.terminate() == 0
    await feed.start()

    async def resumed() -> bool:
        with suppress(httpx.ConnectError):
            assert await figures() == ({BTC: 0, ETH: 0}, {BTC: 1, ETH: 0})
            return True
        return False

    await eventually(resumed)


async def test_a_bad_trade_is_dead_lettered_and_the_rest_of_its_frame_goes_on(
    service: StartService, bootstrap_servers: str
) -> None:
    async with FakeExchange("coinbase", [BTC]) as exchange:
        await _feed(service, exchange, "coinbase", BTC)
        await exchange.subscribed(BTC)
        _burst(exchange, BTC, 1)
        good, bad, behind = (exchange.trade(BTC, price, 1, "BUY", None) for price in (100, 0, 101))
        numbered = [msgspec.structs.replace(t, number=good.number + i) for i, t in enumerate((good, bad, behind))]
        exchange.publish(numbered)
        await eventually(lambda: records(bootstrap_servers, Topic.MARKET_TRADES_DLQ))
        (record,) = await records(bootstrap_servers, Topic.MARKET_TRADES_DLQ)
        letter = msgspec.json.decode(record.value, type=DeadLetter)
        assert (letter.original_topic, letter.error_type) == (None, "price")
        assert '"market_trades"' in letter.original_value
        for trade in (numbered[0], numbered[2]):
            await eventually(_has(bootstrap_servers, BTC, trade.number, trade.number))


async def test_binance_shuts_down_and_nothing_is_missed(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("binance", ["BTC-USDT"]) as exchange:
        feed = await _feed(service, exchange, "binance", "BTC-USDT", TICKPLANE_GAP_REPAIR_ENABLED="false")
        await exchange.subscribed("BTC-USDT")
        first = exchange.emit("BTC-USDT", 100).number
        exchange.inject(ServerShutdown())
        last = first

        async def handed_over() -> bool:
            nonlocal last
            last = exchange.emit("BTC-USDT", 100).number
            return exchange.counters.connections == 2 and exchange.open_connections == 1

        await eventually(handed_over)
        last = _burst(exchange, "BTC-USDT", 20)
        await eventually(_has(bootstrap_servers, "BTC-USDT", first, last))
        assert (await feed.status())["products"]["BTC-USDT"]["open_gaps"] == []


async def test_kafka_away_for_a_while_loses_nothing(
    service: StartService, bootstrap_servers: str, parts: Parts
) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        feed = await _feed(service, exchange, "coinbase-exchange", BTC, TICKPLANE_QUEUE_FRAMES_MAX=50)
        await exchange.subscribed(BTC)
        first = last = exchange.emit(BTC, 100).number
        await eventually(_has(bootstrap_servers, BTC, first, last))
        await parts.kafka.stop()
        for _ in range(20):
            last = _burst(exchange, BTC, 50)
            await asyncio.sleep(0.25)

        async def away() -> bool:
            return not (await feed.ready())["dependencies"]["kafka"]["up"]

        await eventually(away, timeout_s=60)
        await parts.kafka.start()
        last = _burst(exchange, BTC, 5)
        await eventually(_has(bootstrap_servers, BTC, first, last), timeout_s=60)


async def test_two_feeds_at_once_are_one_to_those_who_drop_repeats(
    service: StartService, bootstrap_servers: str
) -> None:
    async with FakeExchange("kraken", [BTC]) as exchange:
        for _ in range(2):
            await _feed(service, exchange, "kraken", BTC)
        await eventually(lambda: exchange.open_connections == 2 and exchange.counters.subscriptions[BTC] == 2)
        first = exchange.emit(BTC, 100).number
        last = _burst(exchange, BTC, 50)
        await eventually(_has(bootstrap_servers, BTC, first, last))

        async def both() -> bool:
            return Counter(t.trade_number for t in await _trades(bootstrap_servers))[last] == 2

        with suppress(AssertionError):
            await eventually(both, timeout_s=5)
        alike = {(t.trade_number, t.price, t.size, t.side, t.time) for t in await _trades(bootstrap_servers)}
        assert len(alike) == last - first + 1


async def test_backfill_reaches_back_to_the_time_it_was_given(service: StartService, bootstrap_servers: str) -> None:
    async with FakeExchange("coinbase-exchange", [BTC]) as exchange:
        first = exchange.emit(BTC, 100).number
        _burst(exchange, BTC, 1_500)
        await _feed(service, exchange, "coinbase-exchange", BTC, TICKPLANE_BACKFILL_SINCE="2020-01-01T00:00:00Z")
        await exchange.subscribed(BTC)
        last = _burst(exchange, BTC, 3)
        await eventually(_has(bootstrap_servers, BTC, first, last))
        origins = Counter(trade.origin for trade in await _trades(bootstrap_servers))
        assert origins["backfill"] >= 1_000
