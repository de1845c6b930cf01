"""``/v1/stream`` of a gateway process: records produced to the topics on one side, WebSocket clients on the other."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import redis.asyncio as redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.adapters.records import partition_of
from services.adapters.redis import price_key
from services.contracts.events import product_key
from services.contracts.metrics import Metric
from tests.conftest import StartService
from tests.support import stream
from tests.support.asyncapi import messages, messages_of, published
from tests.support.log import producer
from tests.support.parts import Parts
from tests.support.polling import eventually
from tests.support.stream import (
    BTC,
    START_NS,
    Frame,
    LabBook,
    Log,
    StreamClient,
    candle,
    execution,
    places,
    trade,
    validated,
)
from tests.support.stream import StreamGateway as Gateway

pytestmark = pytest.mark.parts

ETH = ("coinbase", "ETH-USD")


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def log(bootstrap_servers: str) -> AsyncIterator[Log]:
    async with producer(bootstrap_servers) as client:
        yield Log(client)


@pytest.fixture
async def start_gateway(service: StartService, free_port: Callable[[], int]) -> StartGateway:
    async def start(**env: object) -> Gateway:
        return await stream.start_gateway(service, free_port(), **env)

    return start


@pytest.fixture
async def gateway(start_gateway: StartGateway, log: Log) -> Gateway:
    """One that knows BTC-USD by a trade, and ETH-USD by a feed."""
    await log.feed_state(*ETH)
    await log.trades(trade(1))
    return await start_gateway()


async def test_hello_then_an_ack_a_snapshot_and_updates(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as client:
        assert client.hello["protocol"] == 1
        assert len(client.hello["log_id"]) == 16
        assert client.hello["limits"]["subscriptions_max"] == 1_000
        ack = await client.subscribe("trades", "BTC-USD", "ETH-USD")
        assert (ack["type"], ack["op"], ack["products"]) == ("ack", "subscribe", ["BTC-USD", "ETH-USD"])
        btc, eth = await client.frame(), await client.frame()
        assert (btc["type"], btc["product"], len(btc["data"]["trades"])) == ("snapshot", "BTC-USD", 1)
        assert (eth["type"], eth["product"], eth["sequence"], eth["data"]) == (
            "snapshot", "ETH-USD", None, {"trades": []},
        )  # fmt: skip
        offsets = await log.trades(trade(2), trade(2), trade(3))
        assert places(await client.updates(2)) == [(offsets[0], btc["sequence"]), (offsets[2], offsets[0])]


async def test_every_channel(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as client:
        for channel in ("ticker", "candles:1m", "indicators"):
            await client.subscribe(channel)
            assert (await client.frame())["channel"] == channel
        await client.subscribe("validated", "AAPL")
        assert (await client.frame())["data"] == {"trades": []}
        (offset,) = await log.trades(trade(2, 101))
        (update,) = await client.updates(1)
        assert (update["channel"], update["sequence"], update["data"]["price"]) == ("ticker", offset, "101")
        await log.candles(candle(0, closed=False, count=1, sequence=1), candle(0, closed=True, count=2, sequence=2))
        opened, closed = await client.updates(2)
        assert (opened["data"]["closed"], closed["data"]["closed"], closed["data"]["vwap"]) == (False, True, "1")
        await log.indicators({"ema_12": 1.5})
        (update,) = await client.updates(1)
        assert update["data"] == {"source": "trade", "values": {"ema_12": 1.5}}
        await log.validated(validated("a"), validated("b", "MSFT"))
        snapshot, update = await client.frame(), await client.frame()
        assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", None)
        assert (update["exchange"], update["product"], update["data"]["trade_id"]) == ("*", "AAPL", "a")
        assert await client.silence() == []
    async with gateway.client() as client:
        seen = {}
        for channel in ("ticker", "candles:1m", "indicators"):
            await client.subscribe(channel)
            seen[channel] = (await client.frame())["data"]
        await client.subscribe("validated", "*")
        seen["validated"] = [
            frame["data"]["trades"][0]["trade_id"] for frame in (await client.frame(), await client.frame())
        ]
    assert seen["ticker"]["price"] == "101"
    assert [bar["trade_count"] for bar in seen["candles:1m"]["candles"]] == [2]
    assert seen["indicators"]["values"] == {"ema_12": 1.5}
    assert seen["validated"] == ["a", "b"]


async def test_subscriptions_add_up_and_are_taken_back(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as client:
        await client.subscribe("trades")
        await client.subscribe("ticker")
        await client.subscribe("trades", "ETH-USD", "BTC-USD")
        assert [frame["product"] for frame in await client.silence()] == ["ETH-USD"]
        await client.ask("unsubscribe", channel="ticker", products=["BTC-USD"])
        await log.trades(trade(2), trade(1, product=ETH))
        updates = await client.updates(2)
        assert {(frame["channel"], frame["product"]) for frame in updates} == {
            ("trades", "BTC-USD"), ("trades", "ETH-USD"),
        }  # fmt: skip
        await client.ask("unsubscribe", channel="trades", exchange="*", products=["*"])
        await log.trades(trade(3))
        await gateway_has_read(gateway, 2)
        assert await client.silence() == []


async def gateway_has_read(gateway: Gateway, sequence: int) -> None:
    async with gateway.client() as other:
        await other.subscribe("trades")
        await other.until(lambda frame: (frame["sequence"] or -1) >= sequence)


async def test_stars_stand_for_products_that_come_later_too(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as client:
        await client.subscribe("trades", "*", exchange="*")
        assert {frame["product"] for frame in await client.silence()} == {"BTC-USD", "ETH-USD"}
        await log.trades(trade(1, product=("kraken", "SOL-USD")))
        snapshot, update = await client.frame(), await client.frame()
        assert (snapshot["type"], snapshot["exchange"], snapshot["sequence"]) == ("snapshot", "kraken", None)
        assert (update["product"], update["previous"]) == ("SOL-USD", None)


BAD: list[tuple[str | bytes, str]] = [
    ("{", "not_json"),
    ("[1, 2]", "not_an_object"),
    ('{"op":"sell","id":1}', "unknown_op"),
    ('{"op":"subscribe","id":1,"channel":"orders","products":["BTC-USD"]}', "unknown_channel"),
    ('{"op":"subscribe","id":1,"channel":"trades","products":["NONE-USD"]}', "unknown_product"),
    ('{"op":"subscribe","id":1,"channel":"trades","exchange":"none","products":["*"]}', "unknown_product"),
    ('{"op":"subscribe","id":1,"channel":"trades","products":["BTC-USD","NONE-USD"]}', "unknown_product"),
    ('{"op":"subscribe","id":1,"channel":"trades","products":["\\ud800"]}', "not_json"),
    ('{"op":"subscribe","id":1,"channel":"validated","exchange":"coinbase","products":["AAPL"]}', "bad_request"),
    ('{"op":"subscribe","id":1,"channel":"trades","products":"BTC-USD"}', "bad_request"),
    ('{"op":"subscribe","channel":"trades","products":["BTC-USD"]}', "bad_request"),
    ('{"op":"resume","id":1,"channel":"trades","exchange":"*","product":"BTC-USD","sequence":1}', "bad_request"),
    ('{"op":"resume","id":1,"channel":"trades","product":"NONE-USD","sequence":1}', "unknown_product"),
    (b'{"op":"ping","id":1}', "binary_frame"),
]


async def test_bad_input_is_an_error_frame_and_harms_nobody(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as other, gateway.client() as client:
        await other.subscribe("trades")
        await other.frame()
        for payload, code in BAD:
            await client.socket.send(payload)
            refused = await client.frame()
            assert (refused["type"], refused["code"]) == ("error", code), payload
            assert refused["detail"]
        assert (await client.subscribe("trades"))["type"] == "ack"
        offsets = await log.trades(trade(2))
        assert [frame["sequence"] for frame in await other.updates(1)] == offsets


async def test_a_message_of_several_frames_is_one_request(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await client.socket.send(['{"op":"pi', 'ng","id', '":9}'])
        assert (await client.frame())["id"] == 9


@pytest.mark.parametrize("pieces", [1, 100])
async def test_a_megabyte_is_closed_with_1009(gateway: Gateway, pieces: int) -> None:
    async with gateway.client() as client:
        text = "x" * ((1 << 20) // pieces)
        with contextlib.suppress(ConnectionClosed):
            await client.socket.send(text if pieces == 1 else [text] * pieces)
        assert (await client.until_closed())[1] == 1009


async def test_who_goes_on_with_bad_frames_is_closed_with_4400(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_CLIENT_BAD_FRAMES_MAX=3)
    async with gateway.client() as client:
        for text in ("{", "{", '{"op":"ping","id":1}', "{", "{", "{", "{"):
            await client.socket.send(text)
        frames, code = await client.until_closed()
    assert [frame["type"] for frame in frames] == ["error", "error", "pong", "error", "error", "error", "error"]
    assert code == 4400


async def test_ten_thousand_subscriptions_are_too_many(start_gateway: StartGateway, log: Log) -> None:
    for number in range(120):
        await log.feed_state("coinbase", f"P{number}")
    gateway = await start_gateway(TICKPLANE_SUBSCRIPTIONS_MAX=300, TICKPLANE_CLIENT_REQUESTS_PER_SECOND_MAX=1_000)
    async with gateway.client() as client:
        products = [f"P{number}" for number in range(100)]
        channels = ("trades", "ticker", "candles:1m", "candles:5m", "indicators")
        answers = [await client.subscribe(channel, *products) for _ in range(20) for channel in channels]
        assert [answer["type"] for answer in answers[:3]] == ["ack"] * 3
        assert {answer.get("code") for answer in answers[3:5]} == {"too_many_subscriptions"}
        assert [answer["type"] for answer in answers[5:8]] == ["ack"] * 3
        assert (await client.subscribe("trades", "*"))["code"] == "too_many_subscriptions"


async def test_a_flood_of_requests_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_CLIENT_REQUESTS_PER_SECOND_MAX=10, TICKPLANE_CLIENT_BAD_FRAMES_MAX=1_000)
    async with gateway.client() as client:
        for number in range(50):
            await client.socket.send(json.dumps({"op": "ping", "id": number}))
        answers = [await client.frame() for _ in range(50)]
        assert sum(answer["type"] == "pong" for answer in answers) < 20
        assert {answer.get("code") for answer in answers if answer["type"] == "error"} == {"rate_limited"}


@pytest.mark.parametrize("setting", ["GATEWAY_CONNECTIONS_MAX", "GATEWAY_ADDRESS_CONNECTIONS_MAX"])
async def test_connections_beyond_a_limit_are_closed_with_4429(start_gateway: StartGateway, setting: str) -> None:
    gateway = await start_gateway(**{f"TICKPLANE_{setting}": 2})
    async with gateway.client(), gateway.client() as second:
        with pytest.raises(ConnectionClosed) as closed:
            async with gateway.client():
                pass
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        assert await second.silence() == []
    assert await gateway.metric(Metric.GATEWAY_REFUSALS) == 1

    async def comes_in() -> bool:
        try:
            async with gateway.client():
                return True
        except ConnectionClosed:
            return False

    await eventually(comes_in)


async def test_the_edge_says_who_the_client_is(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_GATEWAY_ADDRESS_CONNECTIONS_MAX=1)
    headers = [{"X-Forwarded-For": address} for address in ("8.8.8.8", "9.9.9.9")]
    async with gateway.client(additional_headers=headers[0]), gateway.client(additional_headers=headers[1]):
        with pytest.raises(ConnectionClosed):
            async with gateway.client(additional_headers=headers[0]):
                pass


async def test_pages_of_other_origins_are_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(TICKPLANE_WEBSOCKET_ORIGINS="https://good.example")
    async with gateway.client(origin="https://good.example"), gateway.client():
        pass
    with pytest.raises(InvalidStatus) as refused:
        async with gateway.client(origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_a_heartbeat_on_a_quiet_connection(start_gateway: StartGateway, log: Log) -> None:
    offsets = await log.trades(trade(1))
    gateway = await start_gateway(TICKPLANE_HEARTBEAT_INTERVAL_S=0.5)
    async with gateway.client() as client:
        assert client.hello["heartbeat_interval_s"] == 0.5
        await client.subscribe("trades")
        await client.frame()
        for _ in range(2):
            beat = await client.frame(timeout_s=2)
            assert beat["type"] == "heartbeat"
            assert beat["sequences"] == [
                {"channel": "trades", "exchange": "coinbase", "product": "BTC-USD", "sequence": offsets[0]}
            ]


async def test_resume_from_memory_goes_on_without_a_hole_or_a_repeat(gateway: Gateway, log: Log) -> None:
    offsets = await log.trades(*(trade(number) for number in range(2, 12)))
    await gateway_has_read(gateway, offsets[-1])
    async with gateway.client() as client:
        assert (await client.resume("trades", offsets[3], log_id=client.hello["log_id"]))["op"] == "resume"
        offsets += await log.trades(trade(12))
        updates = await client.updates(7)
        assert places(updates) == list(zip(offsets[4:], offsets[3:], strict=False))
        await client.resume("trades", offsets[-1])
        assert await client.silence() == []
    assert await gateway.metric(Metric.GATEWAY_RESUMES, source="memory") == 2
    assert await gateway.metric(Metric.GATEWAY_RESUMES, source="kafka") == 0


async def test_resume_from_kafka_while_trades_flow(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(0, product=ETH))
    offsets = await log.trades(*(trade(number) for number in (*range(100), *range(90, 100), *range(100, 400))))
    kept = offsets[:100] + offsets[110:]
    gateway = await start_gateway(TICKPLANE_STREAM_UPDATES_MAX=50, TICKPLANE_DEDUP_WINDOW=20)
    async with gateway.client() as client, gateway.client() as state:
        flow = asyncio.create_task(log.trades(*(trade(number) for number in range(400, 700))))
        await asyncio.gather(client.resume("trades", kept[80]), state.resume("ticker", kept[80]))
        kept += await flow
        expected = list(zip(kept[81:], kept[80:], strict=False))
        assert places(await client.updates(len(expected))) == expected
        assert places(await state.updates(len(expected))) == expected
        assert await client.silence() == []
    assert await gateway.metric(Metric.GATEWAY_RESUMES, source="kafka") == 2


async def test_resume_of_a_quiet_product_learns_what_was_before(start_gateway: StartGateway, log: Log) -> None:
    """Its last trade is further back than a gateway reads when it starts."""
    first, last = await log.trades(trade(1), trade(2))
    same_partition = neighbour()
    await log.trades(*(trade(number, product=("coinbase", same_partition)) for number in range(100)))
    await log.feed_state(*BTC)
    gateway = await start_gateway(TICKPLANE_DEDUP_WINDOW=10)
    async with gateway.client() as client, gateway.client() as stale:
        await stale.subscribe("trades")
        assert (await stale.frame())["sequence"] is None
        await client.resume("trades", first)
        assert places(await client.updates(1)) == [(last, first)]
        offsets = await log.trades(trade(3))
        assert places(await client.updates(1)) == [(offsets[0], last)]


def neighbour() -> str:
    """Another product in the partition of BTC-USD."""
    names = (f"P{number}-USD" for number in range(100))
    return next(name for name in names if partition(name) == partition("BTC-USD"))


def partition(product_id: str) -> int:
    return partition_of(product_key("coinbase", product_id), 6)


async def test_resumes_that_cannot_be_answered_say_so_and_give_a_snapshot(
    start_gateway: StartGateway, log: Log
) -> None:
    await log.trades(trade(0, product=ETH))
    offsets = await log.trades(*(trade(number) for number in range(400)))
    gateway = await start_gateway(
        TICKPLANE_STREAM_UPDATES_MAX=50,
        TICKPLANE_DEDUP_WINDOW=20,
        TICKPLANE_RESUME_UPDATES_MAX=100,
        TICKPLANE_RESUME_AHEAD_TIMEOUT_S=0.3,
    )
    async with gateway.client() as client:
        for sequence, fields, code in [
            (offsets[10], {}, "too_old"),
            (offsets[-1], {"log_id": "another"}, "too_old"),
            (offsets[-1] + 1_000, {}, "unknown_sequence"),
        ]:
            assert (await client.resume("trades", sequence, **fields))["type"] == "ack"
            refused, snapshot = await client.frame(), await client.frame()
            assert (refused["type"], refused["code"]) == ("error", code)
            assert (snapshot["type"], snapshot["sequence"]) == ("snapshot", offsets[-1])
            offsets += await log.trades(trade(len(offsets)))
            assert places(await client.updates(1)) == [(offsets[-1], offsets[-2])]


async def test_a_sequence_of_another_product_is_unknown(gateway: Gateway, log: Log) -> None:
    same_partition = neighbour()
    (offset,) = await log.trades(trade(1, product=("coinbase", same_partition)))
    await log.trades(trade(2))
    await gateway_has_read(gateway, offset + 1)
    async with gateway.client() as client:
        await client.resume("trades", offset)
        assert (await client.frame())["code"] == "unknown_sequence"
        assert (await client.frame())["type"] == "snapshot"


async def test_a_gateway_that_is_behind_waits_for_the_sequence(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as client:
        asked = asyncio.create_task(client.resume("trades", 2))
        await asyncio.sleep(0.2)
        _second, third, fourth = await log.trades(trade(2), trade(3), trade(4))
        await asked
        assert places(await client.updates(1)) == [(fourth, third)]


async def test_resume_on_the_other_replica(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(1))
    one, other = await start_gateway(), await start_gateway()
    async with one.client() as client:
        await client.subscribe("ticker")
        await client.subscribe("candles:1m")
        await client.silence()
        bars = await log.candles(*(candle(0, closed=False, count=n, sequence=n) for n in range(1, 5)))
        offsets = await log.trades(trade(2), trade(3))
        await client.updates(6)
    async with other.client() as client:
        await client.resume("ticker", offsets[0])
        assert places(await client.updates(1)) == [(offsets[1], offsets[0])]
        await client.resume("candles:1m", bars[0])
        assert places(await client.updates(3)) == list(zip(bars[1:], bars, strict=False))


async def test_redis_gives_what_the_log_does_not(start_gateway: StartGateway, log: Log, redis_url: str) -> None:
    await log.feed_state(*BTC)
    price: dict[Any, Any] = {"price": "42.5", "size": "2", "side": "BUY", "time": str(START_NS), "trade_id": "1"}
    async with redis.Redis.from_url(redis_url) as cache:
        await cache.hset(price_key(*BTC), mapping=price)
    gateway = await start_gateway()
    async with gateway.client() as client:
        await client.subscribe("ticker")
        assert (await client.frame())["data"] is None
        filled = await client.frame()
        assert (filled["type"], filled["sequence"]) == ("snapshot", None)
        assert filled["data"] == {"price": "42.5", "last_size": "2", "trade_id": "1", "side": "BUY"}
        await log.trades(trade(1, 43))
        (update,) = await client.updates(1)
        assert (update["previous"], update["data"]["price"]) == (None, "43")


async def test_a_sequence_of_topics_that_were_made_anew_is_too_old(
    start_gateway: StartGateway, parts: Parts, log: Log
) -> None:
    offsets = await log.trades(*(trade(number) for number in range(10)))
    gateway = await start_gateway()
    async with gateway.client() as client:
        log_id = client.hello["log_id"]
    await gateway.service.kill()
    servers = await parts.fresh_kafka()
    async with producer(servers) as again:
        await Log(again).trades(*(trade(number, 7) for number in range(10)))
    await gateway.service.start()
    await gateway.service.wait_ready()
    async with gateway.client() as client:
        assert client.hello["log_id"] != log_id
        await client.resume("trades", offsets[3], log_id=log_id)
        assert (await client.frame())["code"] == "too_old"
        assert (await client.frame())["type"] == "snapshot"


COUNT = 20_000


async def flow(log: Log, reader: StreamClient) -> list[int]:
    """So many trades that they fill every buffer of who does not read; the reader gets each, and in time."""
    offsets: list[int] = []
    for first in range(2, COUNT, 400):
        more = await log.trades(*(trade(number, 100 + number) for number in range(first, first + 400)))
        updates = await reader.updates(len(more))
        assert places(updates)[1:] == list(zip(more[1:], more, strict=False))
        assert not any("skipped" in frame for frame in updates)
        offsets += more
    return offsets


async def test_a_client_that_does_not_read_is_spared_states_and_told_how_many(gateway: Gateway, log: Log) -> None:
    async with gateway.client() as other, gateway.unreading() as slow:
        for client in (other, slow):
            await client.subscribe("ticker")
            await client.frame()
        offsets = await flow(log, other)
        frames = await slow.until(lambda frame: frame["sequence"] == offsets[-1])
        assert sum(1 + frame.get("skipped", 0) for frame in frames) == len(offsets)
        assert any("skipped" in frame for frame in frames)
        (offset,) = await log.trades(trade(2 * COUNT, 1))
        assert places(await slow.updates(1)) == [(offset, offsets[-1])]


async def test_a_client_that_does_not_read_events_is_closed_and_comes_back_without_loss(
    start_gateway: StartGateway, log: Log
) -> None:
    await log.trades(trade(1))
    gateway = await start_gateway(TICKPLANE_RESUME_UPDATES_MAX=2 * COUNT)
    async with gateway.client() as other, gateway.unreading() as slow:
        for client in (other, slow):
            await client.subscribe("trades")
            await client.frame()
        offsets = await flow(log, other)
        frames, code = await slow.until_closed()
    assert code in (4008, 1006), "the close comes only if it reads in time"
    seen = [frame["sequence"] for frame in frames]
    assert await gateway.metric(Metric.GATEWAY_SLOW_CLIENT_CLOSES, channel="stream") == 1
    assert 0 < len(seen) < len(offsets)
    assert seen == offsets[: len(seen)]
    async with gateway.client() as client:
        await client.resume("trades", seen[-1])
        more = await client.updates(len(offsets) - len(seen))
        assert [frame["sequence"] for frame in more] == offsets[len(seen) :]


async def test_sigterm_says_when_to_come_back_and_spreads_it(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(1))
    gateway = await start_gateway(TICKPLANE_GOODBYES_PER_SECOND=10)
    clients = [gateway.client() for _ in range(10)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.__aenter__())
    ended = asyncio.create_task(gateway.service.terminate())
    began = asyncio.get_running_loop().time()

    async def sent_away(client: StreamClient) -> tuple[int, float, int]:
        (goodbye,), code = await client.until_closed()
        assert goodbye["type"] == "goodbye"
        return goodbye["reconnect_after_ms"], asyncio.get_running_loop().time() - began, code

    seen = await asyncio.gather(*(sent_away(client) for client in clients))
    assert {code for *_, code in seen} == {1001}
    assert len({after_ms for after_ms, *_ in seen}) > 5
    assert all(0 <= after_ms <= 1_000 for after_ms, *_ in seen)
    assert all(after_ms / 1_000 - 0.05 <= gone_s for after_ms, gone_s, _ in seen)
    assert await ended == 0


async def test_updates_come_until_the_goodbye_is_due(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(1))
    gateway = await start_gateway(TICKPLANE_GOODBYES_PER_SECOND=0.2)
    async with gateway.client() as client:
        await client.subscribe("trades")
        await client.frame()
        ended = asyncio.create_task(gateway.service.terminate())
        assert (await client.frame())["reconnect_after_ms"] > 100
        offsets = await log.trades(trade(2))
        assert [frame["sequence"] for frame in await client.updates(1)] == offsets
        with pytest.raises(ConnectionClosed):
            await client.frame()
    assert await ended == 0


async def test_metrics_say_what_is_followed(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await client.subscribe("trades", "*")

        async def counted() -> bool:
            return await gateway.metric(Metric.GATEWAY_SUBSCRIPTIONS, channel="trades") == 2

        await eventually(counted)
        assert await gateway.metric(Metric.GATEWAY_CONNECTIONS, channel="stream") == 1
        assert await gateway.metric(Metric.GATEWAY_REQUESTS, op="subscribe", result="ok") == 1


async def test_a_plain_request_is_told_that_this_is_a_socket(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{gateway.port}/v1/stream")
    assert answer.status_code == 426


async def test_the_frames_of_a_running_gateway_are_as_the_document_says(start_gateway: StartGateway, log: Log) -> None:
    await log.trades(trade(1))
    gateway = await start_gateway(TICKPLANE_HEARTBEAT_INTERVAL_S=0.5)
    of = published()
    seen: dict[str, Frame] = {}
    frames: list[Frame] = []
    async with gateway.client() as client:
        frames.append(client.hello)
        for channel in ("trades", "ticker", "candles:1m", "candles:1d", "indicators"):
            frames += [await client.subscribe(channel), *await client.silence()]
        for channel in ("validated", "executions", "book"):
            frames.append(await client.subscribe(channel, "*"))
        frames.append(await client.subscribe("nothing"))
        book = LabBook()
        await log.lab(execution(1), book.snapshot(), book.change(("buy", 999, 1), ("sell", 1_001, 2)))
        await log.trades(trade(2))
        await log.candles(candle(0, closed=False, count=1, sequence=1), candle(0, closed=True, count=1, sequence=2))
        await log.indicators({"ema_12": 1.5})
        await log.validated(validated("a"), validated("b", valid=False))
        frames += await client.until(lambda frame: frame["type"] == "heartbeat")
        frames.append(await client.ask("ping"))
        frames.append(await client.subscribe("indicators", "*"))
        for channel in ("trades", "ticker", "candles:1m", "indicators"):
            await client.ask("unsubscribe", channel=channel, products=["*"])
            await client.subscribe(channel)
            frames += await client.silence()
        ended = asyncio.create_task(gateway.service.terminate())
        frames += (await client.until_closed())[0]
    assert await ended == 0
    for frame in frames:
        names = messages_of(frame, "sendFrame", of)
        assert len(names) == 1, (frame, names)
        seen[names[0]] = frame
    assert seen.keys() == messages("sendFrame", of).keys()
    for name, frame in seen.items():
        assert messages_of(frame | {"type": 7}, "sendFrame", of) == [], name
