"""One client of the fake exchange: its socket, its session, and what goes wrong on it."""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.replay.dialects.base import Dialect, RecordedFrame, Session
from services.replay.dialects.binance import server_shutdown
from services.replay.faults import (
    AnyAction,
    Close,
    Distortion,
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
from services.runtime.clock import Clock

SLOW_CONSUMER = Close(1008, "slow consumer")
LINGER_RESET = struct.pack("ii", 1, 0)
"""``struct linger`` on, zero seconds: closing sends RST instead of FIN."""


class _Frame(NamedTuple):
    text: str
    has_trades: bool


class _Ping(NamedTuple):
    """A WebSocket ping."""


class Client:
    """Everything for the client goes through one queue, in order, so that a fault meets all of it.

    ``sent`` is called with each frame that is really sent.
    """

    def __init__(
        self,
        connection: ServerConnection,
        session: Session,
        faults: Iterable[Fault],
        clock: Clock,
        queue_max: int,
        sent: Callable[[], None],
    ) -> None:
        self.session = session
        self.ended = asyncio.Event()
        """Set when the connection is gone."""
        self._connection = connection
        self._clock = clock
        self._queue: deque[_Frame | _Ping | AnyAction] = deque()
        self._queue_max = queue_max
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._faults = sorted(
            (fault for fault in faults if fault.after_s is None), key=lambda fault: fault.after_frames
        )
        self._timed = [fault for fault in faults if fault.after_s is not None]
        self._distortion = Distortion()
        self._trade_frames = 0
        self._slow_frames = 0
        self._slow_s = 0.0
        self._silent = False
        self._sent = sent

    async def run(self, dialect: Dialect, heard: Callable[[], None]) -> None:
        """Talk until the connection ends. ``heard`` is called at the start and after each message of the client."""
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(fault.after_s or 0, self.inject, fault.action) for fault in self._timed]
        self._begin_due_faults()
        self._say(self.session.on_open(self._clock.now_ns()))
        heard()
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._beat(dialect))]
        try:
            async for message in self._connection:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                self._say(self.session.on_text(text, self._clock.now_ns()))
                heard()
        except ConnectionClosed:
            pass
        finally:
            for timer in timers:
                timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._room.set()

    def push(self, trades: Sequence[ExchangeTrade]) -> None:
        self._queue_frames(self.session.on_trades(trades, self._clock.now_ns()), has_trades=True)

    def push_recorded(self, frame: RecordedFrame) -> None:
        frames = self.session.on_recorded(frame, self._clock.now_ns())
        self._queue_frames(frames, has_trades=bool(frame.trades))

    def inject(self, action: AnyAction) -> None:
        """Let this happen now, before anything that waits to be sent."""
        self._queue.appendleft(action)
        self._filled.set()

    async def drained(self) -> None:
        """Wait until at most half of the queue is taken, or the connection is gone."""
        await self._room.wait()

    def finish(self) -> None:
        """Close normally, behind everything that waits to be sent."""
        self._queue.append(Close(1000))
        self._filled.set()

    def abort(self) -> None:
        self._connection.transport.abort()

    def _say(self, texts: Sequence[str]) -> None:
        self._queue_frames(texts, has_trades=False)

    def _queue_frames(self, texts: Sequence[str], *, has_trades: bool) -> None:
        if len(self._queue) + len(texts) > self._queue_max:
            self._queue.clear()
            self._queue.append(SLOW_CONSUMER)
        else:
            self._queue.extend(_Frame(text, has_trades) for text in texts)
        if len(self._queue) > self._queue_max // 2:
            self._room.clear()
        self._filled.set()

    async def _beat(self, dialect: Dialect) -> None:
        while True:
            await asyncio.sleep(dialect.beat_s)
            self._say(self.session.on_beat(self._clock.now_ns()))
            if dialect.pings:
                self._queue.append(_Ping())
                self._filled.set()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                while not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                await self._handle(self._queue.popleft())
                if len(self._queue) <= self._queue_max // 2:
                    self._room.set()
        self._room.set()

    async def _handle(self, item: _Frame | _Ping | AnyAction) -> None:
        match item:
            case _Frame():
                await self._pass_on(item)
            case _Ping():
                if not self._silent:
                    await self._connection.ping()
            case _:
                await self._act(item)

    async def _pass_on(self, frame: _Frame) -> None:
        for text in self._distortion.through(frame.text) if frame.has_trades else [frame.text]:
            if self._slow_frames:
                self._slow_frames -= 1
                await asyncio.sleep(self._slow_s)
            await self._send(text)
        if frame.has_trades:
            self._trade_frames += 1
            self._begin_due_faults()

    async def _send(self, text: str) -> None:
        if not self._silent:
            await self._connection.send(text)
            self._sent()

    def _begin_due_faults(self) -> None:
        while self._faults and self._faults[0].after_frames <= self._trade_frames:
            self.inject(self._faults.pop(0).action)

    async def _act(self, action: AnyAction) -> None:
        match action:
            case Close():
                await self._connection.close(action.code, action.reason)
            case Reset():
                self._reset()
            case Silence():
                self._be_silent(action.seconds)
            case Slow():
                self._slow_frames, self._slow_s = action.frames, action.delay_s
            case Drop() | Repeat() | Reorder():
                self._distortion.begin(action)
            case Garbage():
                await self._send(action.text)
            case ServerShutdown():
                await self._send(server_shutdown(self._clock.now_ns()))
            case Refuse():
                pass  # it had its effect on the handshake

    def _reset(self) -> None:
        raw: socket.socket | None = self._connection.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self._connection.transport.abort()

    def _be_silent(self, seconds: float) -> None:
        """Not reading keeps the library from answering pings, and from noticing that the client goes."""
        self._silent = True
        self._connection.transport.pause_reading()
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._speak)

    def _speak(self) -> None:
        self._silent = False
        if not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()
