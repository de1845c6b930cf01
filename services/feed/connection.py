"""One WebSocket session with an exchange: bytes in, frames with their time of arrival out. Knows no protocol."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from services.adapters.venues.base import Action, Emit, Event, HandOver, Reconnect, Send, Venue
from services.runtime.clock import Clock

TICK_INTERVAL_S = 0.1
OPEN_TIMEOUT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
UNAVAILABLE_FOR_LEGAL_REASONS = 451

Deliver = Callable[["Session", str | bytes, int], Awaitable[None]]
DeliverEvents = Callable[["Session", list[Event]], Awaitable[None]]


class SessionEnded(Exception):
    """Why a session is over: a short, bounded label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class _Connection(ClientConnection):
    """Notes when any bytes came: pings count as messages, and the library answers them by itself."""

    heard_at = 0.0

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)


class Session:
    """``run`` opens the socket, delivers frames, ticks the venue, and raises SessionEnded when it is over."""

    def __init__(
        self, venue: Venue, endpoint: str, deliver: Deliver, emit: DeliverEvents, frame_bytes_max: int, clock: Clock
    ) -> None:
        self.venue = venue
        self.subscribed: set[str] = set()
        self.hand_over = asyncio.Event()
        self.opened_at = 0.0
        self._endpoint = endpoint
        self._deliver = deliver
        self._emit = emit
        self._frame_bytes_max = frame_bytes_max
        self._clock = clock
        self._delivering = False
        self._socket: _Connection | None = None

    async def run(self) -> None:
        try:
            self._socket = await self._open()
        except InvalidStatus as error:
            code = error.response.status_code
            reason = "GeoBlocked" if code == UNAVAILABLE_FOR_LEGAL_REASONS else "Refused"
            raise SessionEnded(reason, f"HTTP {code}") from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise SessionEnded("Unreachable", f"{type(error).__name__}: {error}") from None
        self.opened_at = asyncio.get_running_loop().time()
        try:
            await self._act(self.venue.on_open(self._clock.now_ns()))
            await self._race(self._read(), self._tick())
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else 1006
            raise SessionEnded("Closed", f"code {code}") from None
        finally:
            await self.close()

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    def last_heard_at(self) -> float:
        """On the loop's clock; 0 before the first bytes."""
        return self._socket.heard_at if self._socket is not None else 0.0

    async def _open(self) -> _Connection:
        socket = await connect(
            self.venue.url(self._endpoint),
            create_connection=_Connection,
            compression=None,
            max_size=self._frame_bytes_max,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,
        )
        assert isinstance(socket, _Connection)
        return socket

    async def _read(self) -> None:
        assert self._socket is not None
        async for frame in self._socket:
            received_ns = self._clock.now_ns()
            self._delivering = True
            await self._deliver(self, frame, received_ns)
            self._delivering = False
        raise SessionEnded("Closed", "normally")

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_INTERVAL_S)
            silent_s = loop.time() - max(self.last_heard_at(), self.opened_at)
            # While we do not take frames ourselves, silence says nothing of the exchange.
            if silent_s > self.venue.silence_limit_s and not self._delivering:
                raise SessionEnded("Silent", f"nothing for {silent_s:.1f} s")
            await self._act(self.venue.on_tick(self._clock.now_ns()))

    async def _act(self, actions: list[Action]) -> None:
        assert self._socket is not None
        for action in actions:
            match action:
                case Send(text):
                    await self._socket.send(text)
                case Reconnect(reason):
                    raise SessionEnded("Venue", reason)
                case HandOver():
                    self.hand_over.set()
                case Emit(events):
                    await self._emit(self, events)

    async def _race(self, *work: Any) -> None:
        """Run all until the first ends, by its exception."""
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed, SessionEnded):
                    await task


class LocalSession(Session):
    """A venue without a socket: it makes its events when ticked."""

    async def run(self) -> None:
        self.opened_at = asyncio.get_running_loop().time()
        for action in self.venue.on_open(self._clock.now_ns()):
            await self._local(action)
        while True:
            await asyncio.sleep(TICK_INTERVAL_S)
            for action in self.venue.on_tick(self._clock.now_ns()):
                await self._local(action)

    async def close(self) -> None:
        return None

    def last_heard_at(self) -> float:
        return asyncio.get_running_loop().time()

    async def _local(self, action: Action) -> None:
        if isinstance(action, Emit):
            await self._emit(self, action.events)
