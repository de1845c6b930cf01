"""The real adapters, on real sockets, at the other end of the fake exchange: every trade arrives as it happened."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.adapters.venues import registry
from services.adapters.venues.base import (
    Action,
    BadFrame,
    Event,
    FramesLost,
    HistoryRequest,
    Send,
    Subscribed,
    Trades,
    Venue,
)
from services.contracts.events import Trade
from services.replay.dialects import names
from services.replay.exchange import FakeExchange
from services.replay.faults import Drop, Fault, Garbage
from services.replay.market import ExchangeTrade
from services.replay.playback import play, restamp
from services.replay.recordings import read_recording
from services.runtime.clock import NS_PER_S, SystemClock
from tests.support.polling import eventually
from tests.unit.test_replay_recordings import recording_named

PROTOCOLS = names()
PRODUCT = "BTC-USD"
FRAMES_MAX = 1_000_000
DAY_NS = 86_400 * NS_PER_S
TICK_S = 0.05


class Adapter:
    """A venue and its socket, until the socket ends."""

    def __init__(self, venue: Venue, connection: ClientConnection) -> None:
        self.venue = venue
        self.connection = connection
        self.events: list[Event] = []

    @property
    def trades(self) -> list[Trade]:
        return [trade for event in self.events if isinstance(event, Trades) for trade in event.trades]

    @property
    def subscribed(self) -> set[str]:
        return {product for event in self.events if isinstance(event, Subscribed) for product in event.products}

    async def run(self) -> None:
        await self._send(self.venue.on_open(SystemClock().now_ns()))
        ticking = asyncio.create_task(self._tick())
        try:
            async for frame in self.connection:
                self.events += self.venue.on_frame(frame, SystemClock().now_ns())
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        """Products beyond what one message may ask for are asked for here."""
        while True:
            await asyncio.sleep(TICK_S)
            await self._send(self.venue.on_tick(SystemClock().now_ns()))

    async def _send(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                await self.connection.send(action.text)


@asynccontextmanager
async def adapter(exchange: FakeExchange, *products: str) -> AsyncIterator[Adapter]:
    """An adapter that has subscribed."""
    venue = registry.load(exchange.dialect.name)(products)
    async with connect(venue.url(exchange.endpoint), compression=None) as connection:
        client = Adapter(venue, connection)
        running = asyncio.create_task(client.run())
        try:
            await eventually(lambda: client.subscribed >= set(products), 10)
            yield client
        finally:
            running.cancel()
            (ended,) = await asyncio.gather(running, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError | ConnectionClosed | None)


def emit(exchange: FakeExchange, count: int, product: str = PRODUCT) -> list[ExchangeTrade]:
    return [
        exchange.emit(product, f"{50_000 + index}.01", "0.25", "SELL" if index % 3 else "BUY") for index in range(count)
    ]


def core(trade: Trade) -> tuple[object, ...]:
    return trade.product_id, trade.trade_number, trade.price, trade.size, trade.side, trade.time


def truth(trade: ExchangeTrade) -> tuple[object, ...]:
    return trade.product_id, trade.number, trade.price, trade.size, trade.side, trade.time_ns


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_trades_arrive_as_they_happened_and_garbage_ends_nothing(protocol: str) -> None:
    async with (
        FakeExchange(protocol, [PRODUCT, "ETH-USD"]) as exchange,
        adapter(exchange, PRODUCT) as client,
    ):
        exchange.inject(Garbage())
        emitted = emit(exchange, 2_000)
        emit(exchange, 5, "ETH-USD")
        await eventually(lambda: len(client.trades) >= 2_000, 10)
        assert [core(trade) for trade in client.trades] == [truth(trade) for trade in emitted]
        assert sum(isinstance(event, BadFrame) for event in client.events) == 1


async def test_dropped_frames_have_used_up_their_sequence_numbers() -> None:
    faults = [Fault(Drop(2), after_frames=3)]
    async with FakeExchange("coinbase", [PRODUCT], faults=faults) as exchange, adapter(exchange, PRODUCT) as client:
        emit(exchange, 8)
        await eventually(lambda: len(client.trades) == 6, 10)
        assert [event for event in client.events if isinstance(event, FramesLost)] == [FramesLost(2)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_nobody_heard_is_repaired_over_rest(protocol: str) -> None:
    first, last = 100, 2_400
    async with FakeExchange(protocol, [PRODUCT]) as exchange:
        emitted = emit(exchange, 2_500)
        found = await repaired(exchange, first, last, emitted[first - 2].time_ns, emitted[last].time_ns)
    neighbours_too = range(first - 1, last + 2)
    assert [core(found[number]) for number in neighbours_too] == [
        truth(emitted[number - 1]) for number in neighbours_too
    ]


async def repaired(exchange: FakeExchange, first: int, last: int, before_ns: int, after_ns: int) -> dict[int, Trade]:
    """By number, what the adapter reads from the pages that it asks for."""
    venue = registry.load(exchange.dialect.name)([PRODUCT])
    request: HistoryRequest | None = venue.history_request(
        PRODUCT, first, last, before_time_ns=before_ns, after_time_ns=after_ns
    )
    found: dict[int, Trade] = {}
    async with httpx.AsyncClient(base_url=exchange.history_endpoint) as http:
        while request is not None:
            answer = (await http.get(request.path, params=dict(request.query))).raise_for_status()
            page = venue.on_history(
                PRODUCT, request, answer.content, answer.headers, 0, first=first, last=last, origin="repair"
            )
            found |= {int(trade.trade_id): trade for trade in page.trades}
            request = page.next
    return found


@dataclass(frozen=True)
class Case:
    """Recordings, the protocol they are played in, and how many trades they hold."""

    name: str
    files: tuple[str, ...]
    protocol: str
    trades: int


COINBASE = ("coinbase/exchange_ws_20210417.frames.gz",)
BINANCE = ("binance/spot_btcusdt_20240808.frames.gz",)
KRAKEN_CSV = ("kraken/trades_BTC-USD_20190701.csv.gz",)
BINANCE_CSV = ("binance/trades_spot_BTC-USDT_20240808.csv.gz", "binance/trades_spot_ETH-USDT_20240808.csv.gz")
CASES = [
    Case("coinbase frames", COINBASE, "coinbase-exchange", 107),
    Case("binance frames", BINANCE, "binance", 9_757),
    Case("kraken table", KRAKEN_CSV, "kraken", 2_672),
    Case("kraken table as matches", KRAKEN_CSV, "coinbase-exchange", 2_672),
    Case("binance tables", BINANCE_CSV, "binance", 34_419),
    Case("binance tables as market_trades", BINANCE_CSV, "coinbase", 34_419),
]


@pytest.mark.recorded
@pytest.mark.parametrize("moved", [False, True], ids=["as recorded", "restamped"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_trade_of_a_recording_arrives_once(case: Case, moved: bool) -> None:
    recording = read_recording([recording_named(name) for name in case.files], case.protocol, FRAMES_MAX)
    if moved:
        recording = recording.shifted(restamp(recording, SystemClock().now_ns(), None))
    known = {(trade.product_id, trade.number): truth(trade) for trade in recording.trades}
    async with (
        FakeExchange(case.protocol, recording.products, history=recording.history) as exchange,
        adapter(exchange, *recording.products) as client,
    ):
        await play(recording, exchange, None)
        await eventually(lambda: len(client.trades) >= case.trades, 60)
        arrived = client.trades
    assert len(arrived) == len(known) == case.trades
    assert {(trade.product_id, trade.trade_number): core(trade) for trade in arrived} == known
    ages_ns = [SystemClock().now_ns() - trade.time for trade in arrived]
    assert min(ages_ns) >= 0
    assert (max(ages_ns) < DAY_NS) == moved


@pytest.mark.recorded
async def test_a_recorded_frame_goes_out_as_it_came() -> None:
    path: Path = recording_named(COINBASE[0])
    with gzip.open(path, "rt") as file:
        matches = [line.partition(": ")[2].strip() for line in file if '"type":"match"' in line]
    recording = read_recording([path], None, FRAMES_MAX)
    subscribe = {"type": "subscribe", "product_ids": recording.products, "channels": ["matches"]}
    heard: list[str] = []
    async with (
        FakeExchange(recording.protocol, recording.products) as exchange,
        connect(exchange.endpoint) as connection,
    ):
        await connection.send(msgspec.json.encode(subscribe).decode())
        await exchange.subscribed(*recording.products)
        await play(recording, exchange, None)
        while len(heard) < len(matches):
            frame = str(await asyncio.wait_for(connection.recv(), 10))
            heard += [frame] if '"type":"match"' in frame else []
    assert heard == matches
