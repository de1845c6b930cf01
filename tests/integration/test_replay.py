"""The fake exchange on loopback, as a client meets it: its protocol, its history, and everything it does wrong."""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.adapters.venues import registry
from services.adapters.venues.base import Send
from services.replay.dialects import dialect_of, names
from services.replay.exchange import FakeExchange
from services.replay.faults import (
    AnyAction,
    Close,
    Drop,
    Fault,
    Garbage,
    Refuse,
    Reorder,
    Repeat,
    Reset,
    ServerShutdown,
    Silence,
    Slow,
)
from services.replay.market import ExchangeTrade
from services.replay.playback import play
from services.replay.record import FrameFiles, record
from services.replay.recordings import read_recording
from services.replay.settings import ReplaySettings
from services.runtime.clock import SystemClock
from tests.support.polling import eventually
from tests.support.services import ROOT, clean_environment
from tests.unit.test_replay_recordings import recording_named

PRODUCT = "BTC-USDT"
SETTINGS = ReplaySettings(replay_lead_s=0.0)


@asynccontextmanager
async def subscribed_client(
    exchange: FakeExchange, products: Sequence[str] = (PRODUCT,)
) -> AsyncIterator[ClientConnection]:
    """A client that has sent what the real adapter sends."""
    venue = registry.load(exchange.dialect.name)(products)
    async with connect(venue.url(exchange.endpoint), compression=None, ping_interval=None, close_timeout=1) as client:
        for action in venue.on_open(SystemClock().now_ns()):
            if isinstance(action, Send):
                await client.send(action.text)
        await exchange.subscribed(*products)
        yield client


async def numbers(exchange: FakeExchange, client: ClientConnection, until: int) -> list[int]:
    """The ids of live trades as they come, up to the frame that ends with ``until``."""
    heard: list[int] = []
    async with asyncio.timeout(10):
        while until not in heard[-1:]:
            frame = exchange.dialect.read(str(await client.recv()))
            if frame is not None and not frame.snapshot:
                heard += [trade.number for trade in frame.trades]
    return heard


def emit(exchange: FakeExchange, count: int) -> list[int]:
    return [exchange.emit(PRODUCT, "50000.01", "0.1", "SELL").number for _ in range(count)]


async def history(exchange: FakeExchange) -> list[int]:
    """The ids of the newest page, in the exchange's own words."""
    paths = {
        "binance": f"/api/v3/trades?symbol={PRODUCT.replace('-', '')}&limit=1000",
        "kraken": f"/0/public/Trades?pair={PRODUCT.replace('-', '').replace('BTC', 'XBT')}&since=0",
    }
    path = paths.get(exchange.dialect.name, f"/products/{PRODUCT}/trades")
    async with httpx.AsyncClient(base_url=exchange.history_endpoint) as client:
        body = (await client.get(path)).raise_for_status().content
    rows = msgspec.json.decode(body)
    if exchange.dialect.name == "kraken":
        return [row[6] for row in next(iter(rows["result"].values()))]
    return sorted(row["id" if exchange.dialect.name == "binance" else "trade_id"] for row in rows)


@pytest.mark.parametrize("protocol", names())
async def test_one_port_has_the_socket_and_all_of_the_history(protocol: str) -> None:
    async with FakeExchange(protocol, [PRODUCT], settings=SETTINGS) as exchange:
        async with subscribed_client(exchange) as client:
            first = emit(exchange, 5)
            assert await numbers(exchange, client, first[-1]) == first
        await eventually(lambda: exchange.open_connections == 0)
        missed = emit(exchange, 3)
        async with subscribed_client(exchange) as client:
            last = emit(exchange, 2)
            assert await numbers(exchange, client, last[-1]) == last

        assert await history(exchange) == [*first, *missed, *last] == list(range(1, 11))
        assert exchange.counters.connections == 2
        assert exchange.counters.subscriptions == Counter({PRODUCT: 2})
        assert exchange.counters.frames_sent > 10 - 3
        assert len(exchange.counters.history_requests) == 1


async def test_a_page_of_a_thousand_arrives_whole() -> None:
    async with FakeExchange("kraken", [PRODUCT], settings=SETTINGS) as exchange:
        emit(exchange, 2_500)

        assert await history(exchange) == list(range(1, 1001))


@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_it_closes_after_some_frames_and_only_then(code: int) -> None:
    faults = [Fault(Close(code, "script"), after_frames=3)]
    async with FakeExchange("coinbase-exchange", [PRODUCT], faults=faults, settings=SETTINGS) as exchange:
        async with subscribed_client(exchange) as client:
            emit(exchange, 10)
            assert await numbers(exchange, client, 3) == [1, 2, 3]
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (code, "script")
        async with subscribed_client(exchange) as client:
            emit(exchange, 10)
            assert await numbers(exchange, client, 20) == list(range(11, 21))


async def test_a_reset_is_one_of_tcp() -> None:
    async with FakeExchange("coinbase-exchange", [PRODUCT], settings=SETTINGS) as exchange:
        async with subscribed_client(exchange) as client:
            exchange.inject(Reset())
            with pytest.raises(ConnectionClosed) as closed:
                await numbers(exchange, client, 1)
        assert closed.value.rcvd is None
        assert isinstance(closed.value.__cause__, ConnectionResetError)


async def test_silence_is_complete_and_what_it_swallowed_is_history() -> None:
    async with FakeExchange("coinbase-exchange", [PRODUCT], settings=SETTINGS) as exchange:
        async with subscribed_client(exchange) as client:
            while not str(await client.recv()).startswith('{"type":"subscriptions"'):
                pass
            exchange.inject(Silence(1.5))
            emit(exchange, 2)
            ponged = asyncio.ensure_future(await client.ping())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.2):
                    await client.recv()
            assert not ponged.done()
            async with asyncio.timeout(10):
                await ponged
            after = emit(exchange, 1)
            assert await numbers(exchange, client, after[-1]) == [3]
        assert await history(exchange) == [1, 2, 3]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Drop(2), [1, 2, 5, 6]),
        (Repeat(2), [1, 2, 3, 3, 4, 4, 5, 6]),
        (Reorder(3), [1, 2, 5, 4, 3, 6]),
        (Garbage("}{"), [1, 2, 3, 4, 5, 6]),
    ],
)
async def test_frames_are_distorted_from_the_third_on(action: AnyAction, expected: list[int]) -> None:
    faults = [Fault(action, after_frames=2)]
    async with (
        FakeExchange("coinbase-exchange", [PRODUCT], faults=faults, settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
    ):
        emit(exchange, 6)
        assert await numbers(exchange, client, 6) == expected


async def test_garbage_and_a_shutdown_are_sent_as_they_are() -> None:
    async with (
        FakeExchange("binance", [PRODUCT], settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
    ):
        exchange.inject(Garbage("}{"))
        exchange.inject(ServerShutdown())
        heard = [str(await client.recv()) for _ in range(3)]
        assert "}{" in heard
        assert [text for text in heard if "serverShutdown" in text]


async def test_slow_frames_wait_and_hold_up_the_others() -> None:
    faults = [Fault(Slow(delay_s=0.2, frames=2))]
    async with (
        FakeExchange("coinbase-exchange", [PRODUCT], faults=faults, settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
    ):
        started_s = time.monotonic()
        emit(exchange, 5)
        assert await numbers(exchange, client, 5) == [1, 2, 3, 4, 5]
        assert time.monotonic() - started_s >= 0.4


async def test_a_fault_may_come_with_time() -> None:
    faults = [Fault(Close(1011), after_s=0.3)]
    async with FakeExchange("kraken", [PRODUCT], faults=faults, settings=SETTINGS) as exchange:
        started_s = time.monotonic()
        async with subscribed_client(exchange) as client:
            await client.wait_closed()
        assert client.close_code == 1011
        assert time.monotonic() - started_s >= 0.3


async def test_it_refuses_by_script_and_by_hand() -> None:
    faults = [Fault(Refuse(451), connection=1), Fault(Refuse(503), connection=2)]
    async with FakeExchange("kraken", [PRODUCT], faults=faults, settings=SETTINGS) as exchange:
        for status in (451, 503):
            with pytest.raises(InvalidStatus) as refused:
                await connect(exchange.endpoint)
            assert refused.value.response.status_code == status
        async with connect(exchange.endpoint) as client:
            assert '"system":"online"' in str(await client.recv())
        exchange.refusing = 429
        with pytest.raises(InvalidStatus):
            await connect(exchange.endpoint)
        assert (exchange.counters.handshakes, exchange.counters.refused) == (4, 3)


async def test_the_history_may_be_away_or_lie() -> None:
    async with FakeExchange("binance", [PRODUCT], settings=SETTINGS) as exchange:
        emit(exchange, 3)
        exchange.history_refusing = 503
        with pytest.raises(httpx.HTTPStatusError):
            await history(exchange)
        exchange.history_refusing = None
        exchange.history_view = lambda trade: None if trade.number == 2 else trade
        assert await history(exchange) == [1, 3]


async def test_heartbeats_come_of_themselves() -> None:
    async with (
        FakeExchange("coinbase-exchange", [PRODUCT], settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
        asyncio.timeout(10),
    ):
        emit(exchange, 4)
        while '"heartbeat","last_trade_id":4' not in str(await client.recv()):
            pass


async def test_a_client_that_does_not_read_is_closed() -> None:
    settings = ReplaySettings(replay_queue_frames_max=100)
    async with (
        FakeExchange("coinbase-exchange", [PRODUCT], settings=settings) as exchange,
        subscribed_client(exchange) as client,
    ):
        emit(exchange, 150)
        await client.wait_closed()
        assert client.close_code == 1008


async def test_five_thousand_trades_a_second_and_more() -> None:
    count = 20_000
    async with (
        FakeExchange("coinbase", [PRODUCT], settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
    ):
        hearing = asyncio.create_task(numbers(exchange, client, count))
        started_s = time.monotonic()
        for _ in range(count // 100):
            emit(exchange, 100)
            await exchange.drained()
            await asyncio.sleep(0)
        heard = await hearing
        elapsed_s = time.monotonic() - started_s

    assert heard == list(range(1, count + 1))
    assert count / elapsed_s >= 5_000


def some_trades(count: int) -> list[ExchangeTrade]:
    now_ns = SystemClock().now_ns() // 1_000_000 * 1_000_000
    return [
        ExchangeTrade(PRODUCT, number, Decimal(number), Decimal("0.5"), "SELL", now_ns + number * 1_000_000)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("protocol", names())
async def test_what_is_recorded_is_what_can_be_replayed(protocol: str, tmp_path: Path) -> None:
    stopping = asyncio.Event()
    path = tmp_path / "some.frames.gz"
    trades = some_trades(300)
    async with FakeExchange(
        protocol, [PRODUCT], faults=[Fault(Close(), after_frames=2)], settings=SETTINGS
    ) as exchange:
        with FrameFiles(path, bytes_max=1 << 20, files_max=2) as files:
            venue = registry.load(protocol)
            recording = asyncio.create_task(
                record(venue, [PRODUCT], exchange.endpoint, files, stopping, SystemClock(), SETTINGS)
            )
            await exchange.subscribed(PRODUCT)
            for part in (trades[:100], trades[100:200]):
                exchange.publish(part)
            await eventually(lambda: exchange.counters.connections == 2)
            await exchange.subscribed(PRODUCT)
            sent = exchange.counters.frames_sent
            exchange.publish(trades[200:])
            await eventually(lambda: exchange.counters.frames_sent > sent)
            await eventually(lambda: files.frames >= exchange.counters.frames_sent)
            stopping.set()
            await recording

    again = read_recording([path], protocol, 10_000)
    known = {trade.number: trade for trade in again.trades}
    assert [known[trade.number] for trade in trades[200:]] == trades[200:]

    async with FakeExchange(protocol, again.products, history=again.history, settings=SETTINGS) as exchange:
        async with subscribed_client(exchange) as client:
            playing = asyncio.create_task(play(again, exchange, speed=None))
            heard = await numbers(exchange, client, 300)
            await playing
        assert set(range(201, 301)) <= set(heard)
        assert len(heard) == len(set(heard))


async def test_the_pace_is_the_recorded_one_times_the_speed(tmp_path: Path) -> None:
    rows = [f"kraken,{PRODUCT},2019-07-01T00:00:0{second}Z,1,1,buy" for second in range(5)]
    path = tmp_path / "trades.csv"
    path.write_text("\n".join(["venue,symbol,exchange_ts,price,size,taker_side", *rows]) + "\n")
    recording = read_recording([path], None, 100)
    async with (
        FakeExchange("kraken", recording.products, settings=SETTINGS) as exchange,
        subscribed_client(exchange) as client,
    ):
        started_s = time.monotonic()
        playing = asyncio.create_task(play(recording, exchange, speed=10))
        assert await numbers(exchange, client, 5) == [1, 2, 3, 4, 5]
        assert await playing == 5
        assert time.monotonic() - started_s >= 0.4


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", *arguments),
        env=clean_environment() | {"TICKPLANE_REPLAY_LEAD_S": "0"},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line(process: asyncio.subprocess.Process, words: str) -> str:
    """The next line of its output that has these words."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while text := (await process.stdout.readline()).decode():
            if words in text:
                return text
    raise AssertionError((await process.communicate())[1].decode())


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("name", "trades", "stream"),
    [
        ("coinbase/exchange_ws_20210417.frames.gz", 97, "matches"),
        ("binance/spot_btcusdt_20240808.frames.gz", 9757, "@trade"),
        ("kraken/trades_BTC-USD_20190701.csv.gz", 2672, "trade"),
    ],
)
async def test_a_recording_is_replayed_by_the_command(name: str, trades: int, stream: str) -> None:
    path = recording_named(name)
    recording = read_recording([path], None, 1_000_000)
    process = await start("replay", str(path), "--speed", "max", "--port", "0")
    endpoint = (await line(process, "ws://")).split()[1].rstrip(",")
    dialect, venue = dialect_of(recording.protocol), registry.load(recording.protocol)(recording.products)
    heard: list[ExchangeTrade] = []
    async with connect(venue.url(endpoint), compression=None) as client, asyncio.timeout(30):
        for action in venue.on_open(SystemClock().now_ns()):
            if isinstance(action, Send):
                await client.send(action.text)
        while len(heard) < trades:
            frame = dialect.read(str(await client.recv()))
            if frame is not None and not frame.snapshot:
                assert stream in frame.stream
                heard += frame.trades
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0

    played = [trade for timed in recording.frames for trade in timed.frame.trades]
    assert sorted(heard, key=repr) == sorted(played, key=repr)


@pytest.mark.recorded
async def test_leaving_when_all_is_played_leaves_nothing_unsent() -> None:
    path = recording_named("kraken/trades_BTC-USD_20190701.csv.gz")
    process = await start("replay", str(path), "--speed", "max", "--port", "0", "--exit")
    endpoint = (await line(process, "ws://")).split()[1].rstrip(",")
    dialect, heard = dialect_of("kraken"), 0
    async with connect(endpoint, compression=None) as client, asyncio.timeout(30):
        await client.send('{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],"snapshot":false}}')
        async for text in client:
            frame = dialect.read(str(text))
            heard += len(frame.trades) if frame else 0
    assert client.close_code == 1000
    assert heard == 2672
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_record_command_stops_cleanly_at_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "kraken.frames.gz"
    async with FakeExchange("kraken", [PRODUCT], settings=SETTINGS) as exchange:
        process = await start("record", "kraken", PRODUCT, "-o", str(path), "--endpoint", exchange.endpoint)
        await exchange.subscribed(PRODUCT, timeout_s=30)
        emitted = emit(exchange, 20)
        frames = exchange.counters.frames_sent
        await eventually(lambda: exchange.counters.frames_sent >= frames + 20)
        await eventually(lambda: path.exists() and path.stat().st_size > 0)
        process.send_signal(signal.SIGINT)
        assert await line(process, "frames in")
        assert await asyncio.wait_for(process.wait(), 10) == 0

    recording = read_recording([path], None, 1_000)
    assert [trade.number for trade in recording.trades] == emitted


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.frames"], "cannot be read"),
        (["nothing.frames", "--speed", "fast"], "--speed"),
        (["nothing.frames", "--script", "nothing.json"], "--script"),
    ],
)
async def test_a_wrong_option_is_one_line_and_exit_2(arguments: list[str], words: str) -> None:
    process = await start("replay", *arguments)
    _output, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 2
    assert words in errors.decode()
    assert len(errors.decode().splitlines()) == 1
