"""Brings updates to those who follow them: encoded once each, joined once a cohort, written once a client and flush.

A flush has two steps. ``freeze`` settles what is due to whom, at once; ``drain`` writes it, a few clients a turn of the
loop. In between a client may come, go or follow something else: it is given its due first, so that nobody gets an
update twice or not at all.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from services.contracts.metrics import Metric
from services.gateway.stream.cohorts import Cohort, Cohorts, Pattern, Recipient
from services.gateway.stream.series import Refresh, Series, Update
from services.runtime.clock import Clock
from services.runtime.metrics import counter, histogram

WRITES_PER_TURN = 200
"""After so many writes, a millisecond or so, the event loop gets a turn: a burst does not starve pings and others."""


class _Nobody:
    def write(self, _data: bytes) -> None:
        """Where the frames go of who has taken them already."""


_NOBODY: Any = _Nobody()


class Portion:
    """The same frames for some clients, one after the other. A list, and nothing looked up for a client: the loop is
    most of what is ours in a delivery, and whatever it touches beside the client's transport is a miss in the cache."""

    __slots__ = ("_begin", "_clients", "_frames")

    def __init__(self, clients: list[Recipient], frames: bytes) -> None:
        self._clients = clients
        self._frames = frames
        self._begin = 0

    @property
    def is_written(self) -> bool:
        return self._begin >= len(self._clients)

    def write_some(self) -> None:
        part = self._clients[self._begin : self._begin + WRITES_PER_TURN]
        self._begin += len(part)
        frames = self._frames
        for client in part:
            client.write(frames)

    def take(self, client: Recipient) -> bytes:
        """The frames, where the client is still to get them: now it will not."""
        try:
            at = self._clients.index(client, self._begin)
        except ValueError:
            return b""
        self._clients[at] = _NOBODY
        return self._frames


class Outbox:
    def __init__(self, cohorts: Cohorts, clock: Clock) -> None:
        self._cohorts = cohorts
        self._clock = clock
        self._waiting: set[Cohort] = set()
        self._portions: deque[Portion] = deque()
        self._owed: dict[Recipient, bytes] = {}

    def publish(self, update: Update | Refresh) -> bool:
        """Put an update aside for the next flush. Whether anyone follows it."""
        followers = update.series.followers
        for cohort in followers:
            cohort.pending.append(update)
        self._waiting |= followers
        return bool(followers)

    def owe(self, clients: Iterable[Recipient], frame: bytes) -> None:
        """Add a frame to the next flush of these clients."""
        for client in clients:
            self._owed[client] = self._owed.get(client, b"") + frame

    async def flush(self) -> None:
        self.freeze()
        if not self._portions and not self._owed:
            return
        begun_s = self._clock.monotonic()
        while self._portions or self._owed:
            self._write_some()
            await asyncio.sleep(0)
        histogram(Metric.GATEWAY_FLUSH_SECONDS).observe(self._clock.monotonic() - begun_s)

    def freeze(self) -> None:
        """Settle who gets what of the updates published so far."""
        if not self._waiting:
            return
        sent: Counter[str] = Counter()
        now_s = self._clock.monotonic()
        for cohort in self._waiting:
            pending, cohort.pending = cohort.pending, []
            cohort.sent_s = now_s
            for update in pending:
                sent[update.series.channel.name] += len(cohort.clients)
            self._share(cohort, pending)
        self._waiting.clear()
        for channel, count in sent.items():
            counter(Metric.GATEWAY_FRAMES_SENT).labels(channel).inc(count)

    def settle(self, client: Recipient) -> None:
        """Give a client what it is due, so that what it is sent next comes after it."""
        frames = self._take(client)
        if frames:
            client.send(frames)

    def move(self, client: Recipient, series: frozenset[Series], patterns: frozenset[Pattern]) -> None:
        """From here on the client follows just this."""
        self.freeze()
        self.settle(client)
        self._cohorts.leave(client)
        self._cohorts.enter(client, series, patterns)

    def enter(self, client: Recipient) -> None:
        """A new client, which follows nothing yet."""
        self._cohorts.enter(client, frozenset(), frozenset())

    def leave(self, client: Recipient) -> None:
        """The client is gone."""
        self.forget(client)
        self._cohorts.leave(client)

    def forget(self, client: Recipient) -> None:
        """What the client is due is not owed any more."""
        self._take(client)

    def widen(self, series: Series, subscriptions_max: int) -> list[Cohort]:
        """Follow a new series wherever a pattern stands for it. Returns the cohorts without room for it."""
        self.freeze()
        matching = [cohort for cohort in self._cohorts if any(pattern.matches(series) for pattern in cohort.patterns)]
        full = [cohort for cohort in matching if cohort.size >= subscriptions_max]
        for cohort in matching:
            if cohort not in full and series not in cohort.series:
                self._cohorts.widen(cohort, series)
        return full

    def slow(self, client: Recipient) -> None:
        """The client does not read: what it is due goes to its backlog."""
        client.cohort.slow.add(client)
        self.settle(client)

    def quick(self, client: Recipient) -> None:
        """The client reads again, and has read its backlog."""
        client.cohort.slow.discard(client)

    def _share(self, cohort: Cohort, pending: list[Update | Refresh]) -> None:
        for client in tuple(cohort.slow):
            backlog = client.backlog
            assert backlog is not None, "slow clients have a backlog"
            skipped = backlog.skipped
            if not all(backlog.add(update) for update in pending):
                client.overflow()
            if backlog.skipped > skipped:
                counter(Metric.GATEWAY_UPDATES_SKIPPED).inc(backlog.skipped - skipped)
        quick = [client for client in cohort.clients if client not in cohort.slow] if cohort.slow else [*cohort.clients]
        if quick:
            self._portions.append(Portion(quick, b"".join([update.frame for update in pending])))

    def _take(self, client: Recipient) -> bytes:
        """What the client is due, which it is not due any more."""
        return b"".join([portion.take(client) for portion in self._portions]) + self._owed.pop(client, b"")

    def _write_some(self) -> None:
        if self._portions:
            portion = self._portions[0]
            portion.write_some()
            # A write can end in `slow`, which looks at the portions: this one stays until it is over.
            if portion.is_written:
                self._portions.popleft()
            return
        owed = self._owed
        for _ in range(min(WRITES_PER_TURN, len(owed))):
            if not owed:
                return
            client, frames = owed.popitem()
            client.write(frames)
