"""Keeps a session with the exchange for ever, and takes what comes in order."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from services.adapters.venues.base import Event, Subscribed, Venue
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.feed.connection import LocalSession, Session, SessionEnded
from services.feed.intake import Intake
from services.feed.product import Product
from services.feed.publisher import Publisher
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.clock import Clock
from services.runtime.health import Health
from services.runtime.metrics import counter, gauge
from services.runtime.redaction import redacted

BACKOFF_BASE_S = 0.5
STABLE_S = 60.0
"""A session that lasted this long starts the backoff anew."""
HAND_OVER_PATIENCE_S = 30.0
RAW_BYTES_MAX = 900_000
"""The longest frame kept on ``raw_frames``: brokers take records of 1 MiB."""

_Item = tuple[Session, str | bytes, int, list[Event] | None]


class Feed:
    """A component of ``serve``."""

    def __init__(
        self,
        make_venue: Callable[[], Venue],
        endpoint: str | None,
        products: Mapping[str, Product],
        intake: Intake,
        publisher: Publisher,
        *,
        queue_frames_max: int,
        queue_bytes_max: int,
        frame_bytes_max: int,
        backoff_max_s: float,
        raw_frames: bool,
        health: Health,
        clock: Clock,
    ) -> None:
        self._make_venue = make_venue
        self._endpoint = endpoint
        self._products = products
        self._intake = intake
        self._publisher = publisher
        self._frame_bytes_max = frame_bytes_max
        self._raw_frames = raw_frames
        self._health = health
        self._health.begun = False
        self._clock = clock
        venue = make_venue()
        self._labels = (venue.label, venue.name)
        self._queue: asyncio.Queue[_Item] = asyncio.Queue(queue_frames_max)
        self._queue_bytes_max = queue_bytes_max
        self._queued_bytes = 0
        self._taken = asyncio.Event()
        self._backoff_max_s = backoff_max_s
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()
        self._session: Session | None = None
        self.connected = False
        self.reconnects = 0
        self.last_end = ""
        self._log = logging.logger().bind(exchange=venue.label, venue=venue.name)

    async def start(self) -> None:
        self._disconnected("not yet connected")

    async def run(self) -> None:
        intake = asyncio.create_task(self._take())
        measure = asyncio.create_task(self._measure())
        try:
            await self._unless_stopped(self._keep_session(), intake)
            await self._queue.join()
        finally:
            self._done.set()
            for task in (intake, measure):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def stop(self) -> None:
        """Stop reading. What was read is published before ``run`` ends."""
        self._stopping.set()
        await self._done.wait()

    # ---- sessions

    async def _keep_session(self) -> None:
        backoff = Backoff(BACKOFF_BASE_S, self._backoff_max_s)
        session, task = self._open()
        try:
            while True:
                hand_over = asyncio.create_task(session.hand_over.wait())
                await asyncio.wait([task, hand_over], return_when=asyncio.FIRST_COMPLETED)
                hand_over.cancel()
                if not task.done():
                    session, task = await self._hand_over(session, task)
                    continue
                self._ended(session, task)
                if session.opened_at and asyncio.get_running_loop().time() - session.opened_at > STABLE_S:
                    backoff.reset()
                await asyncio.sleep(backoff.next_s())
                session, task = self._open()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SessionEnded):
                await task

    def _open(self) -> tuple[Session, "asyncio.Task[None]"]:
        venue = self._make_venue()
        kind = LocalSession if self._endpoint is None else Session
        session = kind(
            venue, self._endpoint or "", self._deliver, self._deliver_events, self._frame_bytes_max, self._clock
        )
        self._session = session
        return session, asyncio.create_task(session.run())

    async def _hand_over(self, old: Session, old_task: "asyncio.Task[None]") -> tuple[Session, "asyncio.Task[None]"]:
        """A second session until it has acknowledged every product; then the first is closed. No hole between."""
        self._log.info("handing_over")
        session, task = self._open()
        wanted = {product_id for product_id, product in self._products.items() if not product.rejected}
        deadline = asyncio.get_running_loop().time() + HAND_OVER_PATIENCE_S
        while not (wanted <= session.subscribed or task.done() or asyncio.get_running_loop().time() > deadline):
            await asyncio.sleep(0.05)
        if task.done():
            self._count_end(task)
            old.hand_over.clear()
            self._session = old
            return old, old_task
        old_task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SessionEnded):
            await old_task
        return session, task

    def _ended(self, session: Session, task: "asyncio.Task[None]") -> None:
        error = self._count_end(task)
        for product_id in session.subscribed:
            self._products[product_id].subscribed = False
        self._intake.measure()
        self._disconnected(str(error))

    def _count_end(self, task: "asyncio.Task[None]") -> SessionEnded:
        error = task.exception()
        if not isinstance(error, SessionEnded):
            raise error or RuntimeError("a session ended without a reason")
        self.reconnects += 1
        counter(Metric.FEED_RECONNECTS).labels(*self._labels, error.reason).inc()
        self._log.warning("session_ended", reason=error.reason, detail=str(error))
        return error

    def _disconnected(self, why: str) -> None:
        self.connected, self.last_end = False, redacted(why)
        gauge(Metric.FEED_CONNECTED).labels(*self._labels).set(0)
        self._health.report(self._labels[0], False, why)

    # ---- frames

    async def _deliver(self, session: Session, frame: str | bytes, received_ns: int) -> None:
        while self._queued_bytes > self._queue_bytes_max:
            self._taken.clear()
            await self._taken.wait()
        self._queued_bytes += len(frame)
        await self._queue.put((session, frame, received_ns, None))

    async def _deliver_events(self, session: Session, events: list[Event]) -> None:
        await self._queue.put((session, "", self._clock.now_ns(), events))

    async def _take(self) -> None:
        while True:
            session, frame, received_ns, events = await self._queue.get()
            try:
                if events is None:
                    await self._keep_raw(frame, received_ns)
                    events = session.venue.on_frame(frame, received_ns)
                for event in events:
                    if isinstance(event, Subscribed):
                        self._acknowledged(session, event)
                await self._intake.take(events, frame, received_ns)
            finally:
                self._queued_bytes -= len(frame)
                self._taken.set()
                self._queue.task_done()

    def _acknowledged(self, session: Session, event: Subscribed) -> None:
        session.subscribed.update(name for name in event.products if name in self._products)
        # From the first one on: a rollout waits until the new pod streams, and an outage empties nothing later.
        self._health.begun = self._health.begun or bool(session.subscribed)
        if not self.connected:
            self.connected = True
            gauge(Metric.FEED_CONNECTED).labels(*self._labels).set(1)
            answered_s = asyncio.get_running_loop().time() - session.opened_at
            self._health.report(self._labels[0], True, latency_s=answered_s)
            self._log.info("subscribed", products=len(session.subscribed))

    async def _keep_raw(self, frame: str | bytes, received_ns: int) -> None:
        if self._raw_frames:
            raw = frame.encode() if isinstance(frame, str) else frame
            if len(raw) > RAW_BYTES_MAX:
                self._log.warning("raw_frame_too_long", bytes=len(raw), bytes_max=RAW_BYTES_MAX)
                return
            key = f"{self._labels[0]}:{self._labels[1]}:{received_ns}".encode()
            await self._publisher.publish(Topic.RAW_FRAMES, key, raw)

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            gauge(Metric.FEED_QUEUE_FRAMES).labels(*self._labels).set(self._queue.qsize())
            if self._session is not None and self._session.last_heard_at():
                age_s = loop.time() - self._session.last_heard_at()
                gauge(Metric.FEED_LAST_MESSAGE_AGE).labels(*self._labels).set(age_s)
            await asyncio.sleep(1)

    async def _unless_stopped(self, work: Any, beside: "asyncio.Task[None]") -> None:
        """Run until a stop is asked for, or until something fails."""
        task = asyncio.ensure_future(work)
        waiter = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([task, waiter, beside], return_when=asyncio.FIRST_COMPLETED)
            for each in (task, beside):
                if each.done():
                    each.result()
        finally:
            waiter.cancel()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
