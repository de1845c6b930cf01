"""A sign of life for connections that are sent nothing, spread over time, made once for all who follow the same."""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from services.contracts.metrics import Metric
from services.gateway.stream.backlog import Backlog
from services.gateway.stream.cohorts import Cohort
from services.gateway.stream.documents import Heartbeat, NewestSequence
from services.gateway.stream.frames import frame_of
from services.gateway.stream.outbox import WRITES_PER_TURN
from services.runtime.clock import Clock, rfc3339
from services.runtime.metrics import counter
from services.runtime.serve import Resource

TICK_S = 0.25
"""How precisely a connection's silence is measured."""


class Quiet(Protocol):
    """A client, as far as its silence goes. Times are the monotonic clock's."""

    cohort: Cohort
    backlog: Backlog | None
    sent_s: float
    closing: bool

    def send(self, frame: bytes) -> None: ...


class Wheel[C]:
    """Who is due in how many ticks. Pure."""

    def __init__(self, ticks_max: int) -> None:
        self._ticks: list[list[C]] = [[] for _ in range(ticks_max + 1)]
        self._now = 0

    def add(self, client: C, ticks: int) -> None:
        """Due after ``ticks`` turns, one at least."""
        ticks = min(max(ticks, 1), len(self._ticks) - 1)
        self._ticks[(self._now + ticks) % len(self._ticks)].append(client)

    def turn(self) -> list[C]:
        """Those who are due now."""
        self._now = (self._now + 1) % len(self._ticks)
        due, self._ticks[self._now] = self._ticks[self._now], []
        return due


class Heartbeats(Resource):
    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._wheel: Wheel[Quiet] = Wheel(max(1, round(interval_s / TICK_S)))
        self._stopping = False
        self._ended = asyncio.Event()

    def add(self, client: Quiet) -> None:
        """Watch a client until it closes."""
        self._wheel.add(client, round(self._interval_s / TICK_S))

    async def run(self) -> None:
        try:
            due_s = self._clock.monotonic()
            while not self._stopping:
                due_s += TICK_S
                await asyncio.sleep(max(0.0, due_s - self._clock.monotonic()))
                for _ in self.turn():
                    await asyncio.sleep(0)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._stopping = True
        await self._ended.wait()

    def turn(self) -> Iterator[None]:
        """One tick: look at those who are due. Yields now and then."""
        made: dict[Cohort, bytes] = {}
        for count, client in enumerate(self._wheel.turn(), 1):
            if client.closing:
                continue
            now_s = self._clock.monotonic()
            left_s = max(client.sent_s, client.cohort.sent_s) + self._interval_s - now_s
            if left_s < TICK_S / 2 and client.backlog is None:
                frame = made.get(client.cohort)
                if frame is None:
                    frame = made[client.cohort] = self._frame(client.cohort)
                client.send(frame)
                counter(Metric.GATEWAY_HEARTBEATS).inc()
                left_s = self._interval_s
            self._wheel.add(client, round(left_s / TICK_S))
            if count % WRITES_PER_TURN == 0:
                yield

    def _frame(self, cohort: Cohort) -> bytes:
        sequences = [NewestSequence(one.channel.name, *one.product, one.sequence) for one in cohort.series]
        return frame_of(Heartbeat(rfc3339(self._clock.now_ns()), sequences))
