"""A client of ``/v1/stream``, and what the gateway reads, from a test's side."""

import asyncio
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.contracts.events import Candle, FeedState, Indicators, Trade, ValidatedTrade, product_key
from services.contracts.lab import BookKind, BookLevel, BookUpdate, Execution, OrderCommand, OrderSide, group_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from tests.conftest import StartService
from tests.support.services import Service

TIMEOUT_S = 20.0
START_NS = 1_767_225_600_000_000_000
BTC = ("coinbase", "BTC-USD")

Frame = dict[str, Any]


def trade(
    number: int, price: int = 100, product: tuple[str, str] = BTC, *, ordered: bool = True, trade_id: str = ""
) -> Trade:
    """Without ``ordered`` the exchange gives no number: only the id tells trades apart."""
    return Trade(
        *product, trade_id or str(number), number if ordered else None, Decimal(price), Decimal(1), "BUY",
        START_NS + number, time.time_ns(), "live", product[0],
    )  # fmt: skip


def candle(minute: int, *, closed: bool, count: int, sequence: int, product: tuple[str, str] = BTC) -> Candle:
    amount = Decimal(100)
    return Candle(
        *product, "1m", START_NS + minute * 60_000_000_000, *(amount,) * 6, count, "1", str(count),
        closed, closed, int(closed), sequence,
    )  # fmt: skip


def validated(trade_id: str, instrument_id: str = "AAPL", *, valid: bool = True) -> ValidatedTrade:
    return ValidatedTrade(
        trade_id, instrument_id, 101.5, 10, START_NS, "VALID" if valid else "INVALID",
        "" if valid else "Price out of acceptable range", 100.25 if valid else 0.0, START_NS, "stream", "one", 0,
    )  # fmt: skip


def execution(number: int, symbol: str = "DEMO-USD", *, group: int = 0) -> Execution:
    """One of alice's sells, taken by bob."""
    return Execution(
        f"{group}-{number}", group, number, symbol, Decimal("100.10"), Decimal("0.500"), "buy",
        "alice", "a1", Decimal(1), Decimal("0.05"), "bob", "b1", Decimal(0), Decimal("0.1"), START_NS + number, number,
    )  # fmt: skip


class LabBook:
    """A symbol's book in ticks and lots, and the records that its engine would publish. ``numbers`` are the group's."""

    TICK, LOT = Decimal("0.01"), Decimal("0.001")

    def __init__(self, symbol: str = "DEMO-USD", *, group: int = 0, numbers: Iterator[int] | None = None) -> None:
        self.symbol = symbol
        self.group = group
        self.sequence = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._numbers = numbers or count(1)

    def change(self, *levels: tuple[OrderSide, int, int]) -> BookUpdate:
        """Set the lots of some levels, as one command would. Nothing is left of those with 0."""
        previous = self.sequence
        changed: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}
        for side, ticks, lots in levels:
            self.sequence += 1
            changed[side][ticks] = lots
            own = self.bids if side == "buy" else self.asks
            own[ticks] = lots
            if not lots:
                del own[ticks]
        return self._record("delta", previous, list(changed["buy"].items()), list(changed["sell"].items()))

    def snapshot(self, levels_max: int = 1_000) -> BookUpdate:
        bids, asks = self.best_first()
        return self._record("snapshot", self.sequence, bids[:levels_max], asks[:levels_max])

    def best_first(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The levels in ticks and lots."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

    def shown(self) -> tuple[list[list[str]], list[list[str]]]:
        """The levels as clients have them."""
        bids, asks = self.best_first()
        return [_texts(level) for level in bids], [_texts(level) for level in asks]

    def _record(
        self, kind: BookKind, previous: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]
    ) -> BookUpdate:
        best_bids, best_asks = self.best_first()
        number = next(self._numbers)
        return BookUpdate(
            self.group, self.symbol, kind, self.sequence, previous, _decimals(bids), _decimals(asks),
            next(iter(_decimals(best_bids)), None), next(iter(_decimals(best_asks)), None), self.TICK, self.LOT,
            book_checksum(best_bids, best_asks), START_NS + number, number,
        )  # fmt: skip


def _decimals(levels: list[tuple[int, int]]) -> tuple[BookLevel, ...]:
    return tuple((ticks * LabBook.TICK, lots * LabBook.LOT) for ticks, lots in levels)


def _texts(level: tuple[int, int]) -> list[str]:
    ticks, lots = level
    return [f"{ticks / 100:.2f}".rstrip("0").rstrip("."), f"{lots / 1_000:.3f}".rstrip("0").rstrip(".")]


def book_checksum(bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]) -> int:
    """Of levels in ticks and lots, best first: CRC32 over ten of each side."""
    return zlib.crc32(",".join(f"{ticks}:{lots}" for ticks, lots in [*bids[:10], *asks[:10]]).encode())


class BookReader:
    """What a careful client does with the frames of a book: it asserts that nothing is missing and nothing is wrong.

    ``known`` is false before a book is shown, and after the gateway or the log said that it is lost.
    """

    def __init__(self) -> None:
        self.known = False
        self.sequence: int | None = None
        self.updates = 0
        self.skipped = 0
        self._book_sequence = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def take(self, frame: Frame) -> None:
        data = frame["data"]
        self.skipped += frame.get("skipped", 0)
        if frame["type"] == "snapshot":
            self.known = data is not None
            self._bids, self._asks = {}, {}
        else:
            assert frame["previous"] == self.sequence, f"a hole after {self.sequence}: {frame}"
            self.updates += 1
            self.known = self.known and data["book_previous"] == self._book_sequence
        self.sequence = frame["sequence"]
        if self.known:
            self._fold(data)

    def shown(self) -> tuple[list[list[str]], list[list[str]]]:
        bids, asks = self._best_first()
        return [_texts(level) for level in bids], [_texts(level) for level in asks]

    def _best_first(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return sorted(self._bids.items(), reverse=True), sorted(self._asks.items())

    def _fold(self, data: Frame) -> None:
        for side, levels in ((self._bids, data["bids"]), (self._asks, data["asks"])):
            for price, quantity in levels:
                ticks, lots = int(Decimal(price) / LabBook.TICK), int(Decimal(quantity) / LabBook.LOT)
                side[ticks] = lots
                if not lots:
                    del side[ticks]
        self._book_sequence = data["book_sequence"]
        bids, asks = self._best_first()
        assert data["checksum"] == book_checksum(bids, asks), f"not the book that it says: {data}"
        if "best_bid" in data:
            best = [_texts(levels[0]) if levels else None for levels in (bids, asks)]
            assert best == [data["best_bid"], data["best_ask"]]


class Log:
    """Writes to the topics; each method returns the offsets."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client

    async def trades(self, *trades: Trade) -> list[int]:
        return await self._put(Topic.MARKET_TRADES, trades)

    async def candles(self, *candles: Candle) -> list[int]:
        return await self._put(Topic.CANDLES, candles)

    async def indicators(self, *values: dict[str, float], first: int = 1, product: tuple[str, str] = BTC) -> list[int]:
        """Numbered on from ``first``."""
        return await self._put(
            Topic.INDICATORS,
            [Indicators(*product, "trade", START_NS + n, one, n) for n, one in enumerate(values, first)],
        )

    async def validated(self, *trades: ValidatedTrade) -> list[int]:
        sends = [
            await self._client.send(Topic.VALIDATED_TRADES, msgspec.json.encode(one), key=one.instrument_id.encode())
            for one in trades
        ]
        return [(await send).offset for send in sends]

    async def lab(self, *events: Execution | BookUpdate) -> list[int]:
        """On the topic of each, in the partition of its market group."""
        sends = [
            await self._client.send(
                Topic.BOOK if isinstance(event, BookUpdate) else Topic.EXECUTIONS,
                msgspec.json.encode(event),
                key=group_key(event.market_group),
                partition=event.market_group,
            )
            for event in events
        ]
        return [(await send).offset for send in sends]

    async def orders(self, *commands: OrderCommand, group: int = 0) -> list[int]:
        """On the journal of a market group."""
        sends = [
            await self._client.send(Topic.ORDERS, msgspec.json.encode(command), key=group_key(group), partition=group)
            for command in commands
        ]
        return [(await send).offset for send in sends]

    async def feed_state(self, exchange: str, product_id: str) -> None:
        state = FeedState(exchange, product_id, exchange, None, None, None)
        key = product_key(exchange, product_id)
        await self._client.send_and_wait(Topic.FEED_STATE, msgspec.json.encode(state), key=key)

    async def _put(self, topic: Topic, events: Sequence[Trade | Candle | Indicators]) -> list[int]:
        sends = [
            await self._client.send(
                topic, msgspec.json.encode(event), key=product_key(event.exchange, event.product_id)
            )
            for event in events
        ]
        return [(await send).offset for send in sends]


class StreamGateway:
    """A gateway that runs."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.port = port

    def client(self, **options: Any) -> "StreamClient":
        return StreamClient(self.port, **options)

    def unreading(self) -> "StreamClient":
        """A client that takes a few frames and then no more until it is asked."""
        behind = socket.socket()
        behind.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        behind.connect(("127.0.0.1", self.port))
        return StreamClient(self.port, sock=behind, max_queue=1, ping_interval=None)

    async def metric(self, metric: Metric, **labels: str) -> float:
        return (await self.service.metrics()).total(metric.value.name, **labels)


async def start_gateway(start_service: StartService, port: int, **env: object) -> StreamGateway:
    """One on the test's Kafka and Valkey, ready."""
    usual: dict[str, Any] = {"TICKPLANE_DEPENDENCY_CHECK_INTERVAL_S": 0.3}
    service = await start_service("gateway", **(usual | env), TICKPLANE_GATEWAY_PORT=port)
    await service.wait_ready()
    return StreamGateway(service, port)


class StreamClient:
    """``async with StreamClient(port) as client``; ``hello`` has come by then."""

    def __init__(self, port: int, path: str = "/v1/stream", **options: Any) -> None:
        # With a bounded queue of the library's own, a close waits until what came before it is read.
        usual: dict[str, Any] = {"compression": None, "max_queue": None, "close_timeout": 2}
        self._connect = connect(f"ws://127.0.0.1:{port}{path}", proxy=None, **(usual | options))
        self.socket: ClientConnection
        self.hello: Frame = {}
        self._next_id = 0

    async def __aenter__(self) -> Self:
        self.socket = await self._connect.__aenter__()
        self.hello = await self.frame()
        assert self.hello["type"] == "hello", self.hello
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connect.__aexit__(kind, error, trace)

    async def frame(self, timeout_s: float = TIMEOUT_S) -> Frame:
        async with asyncio.timeout(timeout_s):
            document: Frame = json.loads(await self.socket.recv())
            return document

    async def until(self, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """The frames up to the first that is wanted, it included."""
        frames = [await self.frame()]
        while not wanted(frames[-1]):
            frames.append(await self.frame())
        return frames

    async def ask(self, op: str, **fields: Any) -> Frame:
        """Send a request, and return the ack or the error: what comes before it is passed over."""
        self._next_id += 1
        await self.socket.send(json.dumps({"op": op, "id": self._next_id, **fields}))
        return (await self.until(lambda frame: frame.get("id") == self._next_id))[-1]

    async def subscribe(self, channel: str, *products: str, **fields: Any) -> Frame:
        return await self.ask("subscribe", channel=channel, products=list(products or ("BTC-USD",)), **fields)

    async def resume(self, channel: str, sequence: int, product: str = "BTC-USD", **fields: Any) -> Frame:
        return await self.ask("resume", channel=channel, product=product, sequence=sequence, **fields)

    async def updates(self, count: int) -> list[Frame]:
        """The next ``count`` frames, all of them updates."""
        frames = [await self.frame() for _ in range(count)]
        assert all(frame["type"] == "update" for frame in frames), frames
        return frames

    async def until_closed(self) -> tuple[list[Frame], int]:
        """The frames up to the close, and its code; 1006 without one."""
        frames = []
        while True:
            try:
                frames.append(await self.frame())
            except ConnectionClosed as error:
                return frames, 1006 if error.rcvd is None else error.rcvd.code

    async def silence(self) -> list[Frame]:
        """What had come before a ping was answered: nothing more is on its way."""
        self._next_id += 1
        await self.socket.send(json.dumps({"op": "ping", "id": self._next_id}))
        return (await self.until(lambda frame: frame["type"] == "pong" and frame["id"] == self._next_id))[:-1]


def places(frames: Sequence[Frame]) -> list[tuple[int, int | None]]:
    """(sequence, previous) of each."""
    return [(frame["sequence"], frame["previous"]) for frame in frames]


def frames_in(data: bytes) -> list[Frame]:
    """The documents of whole text frames that a server wrote one after the other."""
    frames = []
    while data:
        size, begin = data[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin])
        frames.append(json.loads(data[begin : begin + size]))
        data = data[begin + size :]
    return frames
