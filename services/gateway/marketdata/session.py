"""One socket of ``/ws/marketdata`` and its stream to the validator.

The socket is read as long as there is room for what it says; what has to wait waits there, unread. One task a socket
opens the stream, reads the answers, and opens it again where it broke; another lives only while there is something to
write. What was read is answered, or the client is told that it will not be, or the socket closes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from picows import WSFrame, WSMsgType

from services.adapters.grpc_stream import Stream, StreamBroken
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.proto import SERVICE
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade
from services.gateway.clients import Client, Host
from services.gateway.marketdata.broadcast import Broadcast
from services.gateway.marketdata.ticks import BadTick, Messages, answer_frame, parse, unanswered_frame
from services.gateway.marketdata.upstream import Upstream
from services.gateway.marketdata.window import Pace, Passage, Window
from services.gateway.routes import MARKETDATA_PATH
from services.gateway.settings import GatewaySettings
from services.gateway.stream.frames import text_frame
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import counter, histogram

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

METHOD = f"{SERVICE}/ProcessStream"
INTERNAL_ERROR = 1011


class Pause(StrEnum):
    """Why the socket is not read."""

    IN_FLIGHT = "in_flight"
    RATE = "rate"
    SLOW_CLIENT = "slow_client"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Shared:
    """What the sockets share. ``open`` are those whose stream is not closed yet; their clients may have left."""

    settings: GatewaySettings
    clock: Clock
    upstream: Upstream
    tracing: Tracing | None
    broadcast: Broadcast
    open: set[MarketDataClient] = field(default_factory=set)


class MarketDataClient(Client):
    """One connection: ticks in, answers out; and with ``broadcast`` everybody's trades."""

    __slots__ = (
        "_follows", "_left", "_messages", "_pace", "_pauses", "_progress_s", "_reads",
        "_shared", "_stream", "_window", "_writer", "task",
    )  # fmt: skip

    kind = "marketdata"

    def __init__(self, host: Host, shared: Shared, request_id: str, *, broadcast: bool) -> None:
        super().__init__(host, request_id)
        settings = shared.settings
        self.task: asyncio.Task[None] | None = None
        self._shared = shared
        self._follows = broadcast
        self._messages = Messages(settings.tick_bytes_max)
        self._window = Window(settings.ticks_in_flight_max)
        self._pace = Pace(settings.ticks_per_second_max)
        self._pauses: set[Pause] = set()
        self._reads = asyncio.Event()
        self._reads.set()
        self._stream: Stream | None = None
        self._writer: asyncio.Task[None] | None = None
        self._left = False
        self._progress_s = 0.0

    # The client comes, does not read, and goes.

    def entered(self) -> None:
        assert self.transport is not None
        self.transport.underlying_transport.set_write_buffer_limits(high=self._shared.settings.client_buffer_bytes_max)
        self._shared.open.add(self)
        if self._follows:
            self._shared.broadcast.followers.add(self)
        self.task = asyncio.create_task(self._run())

    def left(self) -> None:
        self._shared.broadcast.followers.discard(self)
        self._left = True
        self._progress_s = self._shared.clock.monotonic()
        self._reads.set()
        self._write_soon()
        if self._stream is None and not self._window.waits and self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """Its own answers can wait in the stream, and its ticks in the socket; everybody's trades cannot."""
        if self._follows:
            self.overflow()
        elif not self._left:
            self._reads.clear()
            self._pause(Pause.SLOW_CLIENT)

    def resume_writing(self) -> None:
        self._progress_s = self._shared.clock.monotonic()
        self._reads.set()
        self._go_on(Pause.SLOW_CLIENT)

    def send_away(self) -> None:
        """Hear no more, and close once everything that was heard is answered."""
        if not self._left:
            self._pause(Pause.STOPPING)
            asyncio.get_running_loop().call_later(self._shared.settings.close_timeout_s, super().send_away)
            self._make_room()

    def check(self) -> None:
        """Give the stream up where an answer, or its end after the client left, is overdue. Call it now and then."""
        is_due = self._reads.is_set() and (self._window.is_unanswered or self._left)
        idle_s = self._shared.clock.monotonic() - self._progress_s
        if self._stream is not None and is_due and idle_s > self._shared.settings.validator_answer_timeout_s:
            self._stream.give_up("DEADLINE_EXCEEDED")

    # From the client.

    def said(self, frame: WSFrame) -> None:
        if frame.msg_type in (WSMsgType.PING, WSMsgType.PONG):
            return
        try:
            message = self._messages.add(
                frame.get_payload_as_bytes(),
                is_text=frame.msg_type == WSMsgType.TEXT,
                is_continuation=frame.msg_type == WSMsgType.CONTINUATION,
                is_last=bool(frame.fin),
            )
            if message is not None:
                self._take(message)
        except BadTick as error:
            _ticks("refused").inc()
            self.send(text_frame(error.payload))
        self._pace.take(self._shared.clock.monotonic())
        if Pause.RATE not in self._pauses:
            self._keep_pace()

    def _take(self, message: bytes) -> None:
        """Stamp a tick and put it on its way. Raises BadTick."""
        tick = parse(message)
        now_ns = self._shared.clock.now_ns()
        passage = Passage(
            RawMarketTick(instrument_id=tick.instrument_id, price=tick.price, volume=tick.volume, timestamp_ns=now_ns)
        )
        tracing = self._shared.tracing
        if tracing is not None and tracing.samples():
            passage.whole = tracing.socket_message(MARKETDATA_PATH)
        self._window.add(passage)
        if self._window.is_full:
            self._pause(Pause.IN_FLIGHT)
        self._write_soon()

    def _keep_pace(self) -> None:
        wait_s = self._pace.wait_s(self._shared.clock.monotonic())
        if wait_s > 0:
            self._pause(Pause.RATE)
            asyncio.get_running_loop().call_later(wait_s, self._keep_pace)
        else:
            self._go_on(Pause.RATE)

    def _pause(self, reason: Pause) -> None:
        if reason in self._pauses:
            return
        counter(Metric.GATEWAY_READ_PAUSES).labels(reason).inc()
        if not self._pauses and self.transport is not None:
            self.transport.underlying_transport.pause_reading()
        self._pauses.add(reason)

    def _go_on(self, reason: Pause) -> None:
        if reason not in self._pauses:
            return
        self._pauses.discard(reason)
        if not self._pauses and not self._left and self.transport is not None:
            self.transport.underlying_transport.resume_reading()

    # To the validator.

    async def _run(self) -> None:
        try:
            while not self._left or self._window.waits:
                self._stream = await self._shared.upstream.stream(self._patience_s)
                self._write_soon()
                broken = await self._answers(self._stream)
                await self._written()
                self._settle(broken)
        except InfraError:
            pass  # it has been waited for, and counted
        finally:
            self._lost(self._window.clear(), "UNAVAILABLE")
            self._shared.open.discard(self)
            self.close(INTERNAL_ERROR, "Backend processing error")

    @property
    def _patience_s(self) -> float:
        """Nobody waits any more for the answers to what a client left behind."""
        return self._shared.settings.close_timeout_s if self._left else self._shared.settings.validator_patience_s

    def _write_soon(self) -> None:
        if self._stream is not None and self._writer is None and (self._window.waits or self._left):
            self._writer = asyncio.create_task(self._write(self._stream))

    async def _write(self, stream: Stream) -> None:
        try:
            while self._window.waits and self._stream is stream:
                await stream.write(self._next())
            if self._left:
                await stream.half_close()
        except StreamBroken:
            pass  # who reads the stream is told why
        finally:
            self._writer = None

    def _next(self) -> RawMarketTick:
        if not self._window.is_unanswered:
            self._progress_s = self._shared.clock.monotonic()
        passage = self._window.next()
        tracing = self._shared.tracing
        if tracing is not None and passage.whole is not None:
            if passage.call is not None:
                tracing.fail(passage.call, "UNAVAILABLE")  # of the stream before, which did not take it
            passage.call = tracing.call(METHOD, passage.whole)
            passage.tick.traceparent = tracing.traceparent(passage.call)
        return passage.tick

    async def _written(self) -> None:
        """The stream has ended: wait until nothing is written to it any more, so that the window stands still."""
        self._stream = None
        if self._writer is not None:
            await asyncio.wait([self._writer])

    # From the validator.

    async def _answers(self, stream: Stream) -> StreamBroken | None:
        """Pass the answers on until the stream ends. Returns why; None where it ended in order."""
        try:
            while (trade := await stream.read()) is not None:
                if self._window.is_due(trade.timestamp_ns):
                    self._answer(trade)
                else:
                    stream.give_up("INTERNAL")
                if not self._reads.is_set():
                    await self._reads.wait()
        except StreamBroken as error:
            return error
        return None

    def _settle(self, broken: StreamBroken | None) -> None:
        """What a stream that ended in order did not answer it did not take: it is written to the next one. Of one that
        broke that is not known, and the client is told."""
        if broken is None:
            self._window.take_back()
            return
        self._shared.upstream.broke(broken)
        lost = self._window.lose()
        for passage in lost:
            self.send(text_frame(unanswered_frame(passage.tick)))
        self._lost(lost, broken.code)
        self._make_room()

    def _answer(self, trade: ValidatedTrade) -> None:
        self._shared.upstream.works()
        passage = self._window.answered()
        clock = self._shared.clock
        self._progress_s = clock.monotonic()
        self.send(text_frame(answer_frame(trade)))
        _ticks("answered").inc()
        histogram(Metric.GATEWAY_TICK_SECONDS).observe((clock.now_ns() - passage.tick.timestamp_ns) / NS_PER_S)
        for span in passage.spans:
            span.end()
        self._make_room()

    def _lost(self, passages: list[Passage], code: str) -> None:
        tracing = self._shared.tracing
        for passage in passages:
            _ticks("unanswered").inc()
            for span in passage.spans:
                assert tracing is not None, "no span without tracing"
                tracing.fail(span, code)

    def _make_room(self) -> None:
        if self._window.has_room:
            self._go_on(Pause.IN_FLIGHT)
        if Pause.STOPPING in self._pauses and not self._window:
            super().send_away()


@cache
def _ticks(result: str) -> Any:
    return counter(Metric.GATEWAY_TICKS).labels(result)
