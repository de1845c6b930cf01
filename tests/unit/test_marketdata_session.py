"""What becomes of ticks that are being written while the stream ends: the one order of events that real gRPC shows only
now and then."""

import asyncio
import json
from typing import Any

import pytest
from picows import WSMsgType
from picows.picows import _make_test_ws_frame

from services.adapters.grpc_stream import StreamBroken
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade
from services.gateway.clients import Client
from services.gateway.marketdata.broadcast import Broadcast
from services.gateway.marketdata.session import MarketDataClient, Shared
from services.gateway.settings import GatewaySettings
from services.gateway.stream.frames import payload_of
from services.runtime.clock import SystemClock

GONE = StreamBroken("UNAVAILABLE", "gone")


class Socket:
    """A WebSocket's transport, and the one below it."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.underlying_transport = self

    def write_nocheck(self, frame: bytes) -> None:
        self.frames.append(json.loads(payload_of(frame)))

    def set_write_buffer_limits(self, high: int) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def send_close(self, code: int, reason: str) -> None: ...


class Host:
    """Lets everyone in."""

    def opened(self, client: Client) -> None:
        client.let_in = True
        client.entered()

    def closed(self, client: Client) -> None: ...
    def too_slow(self, client: Client) -> None: ...
    def cut_off_later(self, transport: object) -> None: ...


class Stream:
    """Takes ticks; what it ``says`` is read in turn. ``writes`` cleared, a write lasts until it is set."""

    def __init__(self) -> None:
        self.written: list[RawMarketTick] = []
        self.writes = asyncio.Event()
        self.writes.set()
        self.says: asyncio.Queue[ValidatedTrade | StreamBroken | None] = asyncio.Queue()

    async def write(self, tick: RawMarketTick) -> None:
        self.written.append(tick)
        await self.writes.wait()

    async def read(self) -> ValidatedTrade | None:
        said = await self.says.get()
        if isinstance(said, StreamBroken):
            raise said
        return said

    async def half_close(self) -> None: ...
    def give_up(self, code: str) -> None:
        self.says.put_nowait(StreamBroken(code, "given up"))

    def answer(self, tick: RawMarketTick) -> None:
        self.says.put_nowait(ValidatedTrade(timestamp_ns=tick.timestamp_ns, volume=tick.volume))


class Upstream:
    def __init__(self, *streams: Stream) -> None:
        self._streams = list(streams)

    async def stream(self, patience_s: float) -> Stream:
        return self._streams.pop(0)

    def works(self) -> None: ...
    def broke(self, error: StreamBroken) -> None: ...


class Conversation:
    def __init__(self, *streams: Stream) -> None:
        self.socket = Socket()
        settings = GatewaySettings(_env_file=None)
        shared = Shared(settings, SystemClock(), Upstream(*streams), None, Broadcast())  # type: ignore[arg-type]
        self.client = MarketDataClient(Host(), shared, "id", broadcast=False)
        self.client.on_ws_connected(self.socket)  # type: ignore[arg-type]

    async def send(self, *volumes: int) -> None:
        for volume in volumes:
            message = b'{"instrumentId":"BTCUSD","price":1,"volume":%d}' % volume
            frame = _make_test_ws_frame(WSMsgType.TEXT, message, True, False)
            self.client.on_ws_frame(self.socket, frame)  # type: ignore[arg-type]
        await settled()

    async def end(self) -> None:
        task = self.client.task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Until nobody has anything to do."""
    for _ in range(20):
        await asyncio.sleep(0)


def volumes(ticks: list[RawMarketTick]) -> list[int]:
    return [tick.volume for tick in ticks]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_write_that_outlasts_a_stream_that_ends_in_order_is_made_again_in_its_place(count: int) -> None:
    first, second = Stream(), Stream()
    first.writes.clear()
    talk = Conversation(first, second)
    await settled()
    await talk.send(*range(count))
    first.says.put_nowait(None)
    await settled()
    first.writes.set()
    await settled()
    assert volumes(first.written) == [0]
    assert volumes(second.written) == list(range(count))
    for tick in second.written:
        second.answer(tick)
    await settled()
    assert [frame["volume"] for frame in talk.socket.frames] == [str(number) for number in range(count)]
    await talk.end()


async def test_a_write_that_outlasts_a_stream_that_broke_is_told_and_the_rest_goes_on() -> None:
    first, second = Stream(), Stream()
    first.writes.clear()
    talk = Conversation(first, second)
    await settled()
    await talk.send(0, 1, 2)
    first.says.put_nowait(GONE)
    await settled()
    first.writes.set()
    await settled()
    assert [frame["tick"]["volume"] for frame in talk.socket.frames] == ["0"]
    assert volumes(second.written) == [1, 2]
    for tick in second.written:
        second.answer(tick)
    await settled()
    assert [frame["volume"] for frame in talk.socket.frames[1:]] == ["1", "2"]
    await talk.end()


async def test_an_answer_to_another_tick_is_not_passed_on() -> None:
    first, second = Stream(), Stream()
    talk = Conversation(first, second)
    await settled()
    await talk.send(0)
    first.says.put_nowait(ValidatedTrade(timestamp_ns=1, volume=99))
    await settled()
    assert [frame["code"] for frame in talk.socket.frames] == ["unanswered"]
    await talk.end()
