"""One socket of ``/v1/stream``: frames in to requests, updates out, and what becomes of it while it does not read."""

import asyncio
import socket
from dataclasses import dataclass

from picows import WSFrame, WSMsgType

from services.contracts.metrics import Metric
from services.gateway.clients import BAD_FRAMES, Client, Host
from services.gateway.stream.backlog import Backlog
from services.gateway.stream.cohorts import Cohort, Cohorts
from services.gateway.stream.documents import Error
from services.gateway.stream.frames import frame_of
from services.gateway.stream.heartbeats import Heartbeats
from services.gateway.stream.limits import Fragments, TokenBucket
from services.gateway.stream.outbox import Outbox
from services.gateway.stream.requests import parse, refusal
from services.gateway.stream.series import Series
from services.gateway.stream.subscriptions import Subscriptions
from services.runtime.clock import Clock
from services.runtime.metrics import counter, gauge

MESSAGE_TOO_BIG = 1009
UNREAD_BYTES_MAX = 64 * 1024
"""What a client may leave unread in the buffers of its socket before its updates go to its backlog, where they can be
conflated: the kernel's is asked to hold no more of what is not sent yet, and ours no more again."""


@dataclass(frozen=True)
class Streams:
    """What the sockets share."""

    cohorts: Cohorts
    outbox: Outbox
    subscriptions: Subscriptions
    heartbeats: Heartbeats
    clock: Clock
    backlog_frames_max: int
    backlog_bytes_max: int
    frame_bytes_max: int
    requests_per_second_max: int
    bad_frames_max: int


class StreamClient(Client):
    """One connection that says itself what it follows. ``backlog`` is there while it does not read."""

    __slots__ = (
        "_bad_frames", "_bucket", "_fragments", "_paused", "_reads", "_streams",
        "backlog", "cohort", "resuming", "sent_s",
    )  # fmt: skip

    kind = "stream"
    goodbye_frames = True

    def __init__(self, host: Host, streams: Streams, request_id: str) -> None:
        super().__init__(host, request_id)
        self._streams = streams
        self.cohort: Cohort = streams.cohorts.none
        self.backlog: Backlog | None = None
        self.resuming: dict[Series, asyncio.Task[None]] | None = None
        self.sent_s = streams.clock.monotonic()
        self._bucket = TokenBucket(streams.requests_per_second_max, self.sent_s)
        self._bad_frames = 0
        self._fragments: Fragments | None = None
        self._paused = False
        self._reads: asyncio.Future[None] | None = None

    def entered(self) -> None:
        assert self.transport is not None
        transport = self.transport.underlying_transport
        transport.set_write_buffer_limits(high=min(UNREAD_BYTES_MAX, self._streams.backlog_bytes_max))
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNREAD_BYTES_MAX)
        self._streams.outbox.enter(self)
        self._streams.heartbeats.add(self)
        self.send(self._streams.subscriptions.hello())

    def left(self) -> None:
        self._streams.subscriptions.left(self)
        self._streams.outbox.leave(self)
        if self.backlog is not None:
            gauge(Metric.GATEWAY_SLOW_CLIENTS).dec()
        self.backlog = None

    def send(self, frame: bytes) -> None:
        self.sent_s = self._streams.clock.monotonic()
        if self.backlog is None:
            self.write(frame)
        elif not self.backlog.add_frame(frame):
            self.overflow()

    def said(self, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in (WSMsgType.PING, WSMsgType.PONG):
            return
        if not self._bucket.take(self._streams.clock.monotonic()):
            self._refuse(refusal(None, "rate_limited", "too many frames in a second; wait, and ask again"))
        elif kind == WSMsgType.TEXT and frame.fin:
            self._message(frame.get_payload_as_bytes())
        elif kind == WSMsgType.TEXT or (kind == WSMsgType.CONTINUATION and self._fragments is not None):
            self._fragment(frame)
        elif kind == WSMsgType.BINARY:
            self._refuse(refusal(None, "binary_frame", "requests are text frames"))

    def pause_writing(self) -> None:
        """What it is due waits in its backlog, and it is not read from: its answers would have nowhere to go."""
        self._paused = True
        if self.backlog is None and not self.closing:
            assert self.transport is not None
            self.backlog = Backlog(self._streams.backlog_frames_max, self._streams.backlog_bytes_max)
            gauge(Metric.GATEWAY_SLOW_CLIENTS).inc()
            self._streams.outbox.slow(self)
            self.transport.underlying_transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        while self.backlog and not self._paused:
            self.write(self.backlog.take(UNREAD_BYTES_MAX, self._streams.clock.now_ns()))
        if self.backlog is None or self._paused:
            return
        assert self.transport is not None
        self.backlog = None
        gauge(Metric.GATEWAY_SLOW_CLIENTS).dec()
        self._streams.outbox.quick(self)
        self.transport.underlying_transport.resume_reading()
        if self._reads is not None:
            self._reads.set_result(None)
            self._reads = None

    async def has_read(self) -> None:
        """Wait until it reads again. Who waits is cancelled when it leaves."""
        while self.backlog is not None:
            if self._reads is None:
                self._reads = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._reads)

    def _message(self, payload: bytes) -> None:
        request = parse(payload)
        if isinstance(request, Error):
            self._refuse(request)
            return
        self._bad_frames = 0
        self._streams.subscriptions.answer(self, request)

    def _fragment(self, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT or self._fragments is None:
            self._fragments = Fragments(self._streams.frame_bytes_max)
        fragments = self._fragments
        if not fragments.add(frame.get_payload_as_bytes()):
            self.close(MESSAGE_TOO_BIG, "the message is too big")
        elif frame.fin:
            self._fragments = None
            self._message(fragments.whole)

    def _refuse(self, error: Error) -> None:
        counter(Metric.GATEWAY_REQUESTS).labels("none", error.code).inc()
        self.send(frame_of(error))
        self._bad_frames += 1
        if self._bad_frames > self._streams.bad_frames_max:
            self.close(BAD_FRAMES, "too many bad frames")
