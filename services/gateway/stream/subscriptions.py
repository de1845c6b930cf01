"""What becomes of a client's requests: who follows what, from where on.

Everything here happens within one turn of the loop, but for a resume from Kafka: nothing can be delivered between a
snapshot, or the last update of a resume, and the first update after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import batched
from typing import Protocol

from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.gateway.hub import Product
from services.gateway.stream.backlog import conflated
from services.gateway.stream.channels import CHANNELS, Channel
from services.gateway.stream.cohorts import Pattern, Recipient
from services.gateway.stream.documents import PROTOCOL, Ack, ErrorCode, Goodbye, Hello, Limits, Pong
from services.gateway.stream.frames import frame_of, with_skipped
from services.gateway.stream.history import History, Missed, TooOld, UnknownSequence
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.gateway.stream.requests import ANY, Ping, Request, Resume, Subscribe, Unsubscribe, refusal
from services.gateway.stream.series import Series, Update, empty_snapshot
from services.runtime.backoff import Backoff
from services.runtime.clock import Clock, rfc3339
from services.runtime.metrics import counter

EXCHANGE_DEFAULT = "coinbase"
REPLAYED_PER_WRITE = 200
"""Updates of a resume that are written at once; then the client has to have read."""
REPLAYED_WHOLE_MAX = 1_000
"""A resume that missed more gets of each run of states only the newest."""


class Subscriber(Recipient, Protocol):
    """A client, as far as its requests go. ``resuming`` are the series it does not follow yet."""

    resuming: dict[Series, "asyncio.Task[None]"] | None

    async def has_read(self) -> None:
        """Wait until it reads what it is sent."""


class Refused(Exception):
    """A request that cannot be followed; the client is told."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Subscriptions:
    """``fill`` starts to look elsewhere for what the log read so far did not give; ``show_again`` shows it."""

    def __init__(
        self,
        market: Market,
        outbox: Outbox,
        history: History,
        clock: Clock,
        *,
        limits: Limits,
        heartbeat_interval_s: float,
        resumes_max: int,
        fill: Callable[[Product], None] = lambda _product: None,
    ) -> None:
        self._market = market
        self._outbox = outbox
        self._history = history
        self._clock = clock
        self._limits = limits
        self._heartbeat_interval_s = heartbeat_interval_s
        self._resumes_max = resumes_max
        self._fill = fill
        self._resumes = 0
        market.learned = self._learned

    def hello(self) -> bytes:
        now = rfc3339(self._clock.now_ns())
        return frame_of(Hello(PROTOCOL, self._market.log_id, now, self._heartbeat_interval_s, self._limits))

    def goodbye(self, reconnect_after_ms: int) -> bytes:
        return frame_of(Goodbye("the gateway restarts", reconnect_after_ms))

    def answer(self, client: Subscriber, request: Request) -> None:
        """Do what is asked, and say so; or say why not, and do nothing."""
        result: str = "ok"
        try:
            if isinstance(request, Ping):
                client.send(frame_of(Pong(request.id, rfc3339(self._clock.now_ns()))))
            elif isinstance(request, Subscribe):
                self._subscribe(client, request)
            elif isinstance(request, Unsubscribe):
                self._unsubscribe(client, request)
            else:
                self._resume(client, request)
        except Refused as error:
            result = error.code
            client.send(frame_of(refusal(request.id, error.code, error.detail)))
        counter(Metric.GATEWAY_REQUESTS).labels(type(request).__name__.lower(), result).inc()

    def show_again(self, series: Series) -> None:
        """The snapshot is another now, though there was no update."""
        for cohort in tuple(series.followers):
            for client in tuple(cohort.clients):
                client.send(series.snapshot(self._clock.now_ns()))

    def left(self, client: Subscriber) -> None:
        """The client is gone."""
        for task in (client.resuming or {}).values():
            task.cancel()

    def _subscribe(self, client: Subscriber, request: Subscribe) -> None:
        channel, exchange = _channel(request.channel), _exchange(request.channel, request.exchange)
        series: set[Series] = set()
        patterns: set[Pattern] = set()
        for product_id in request.products:
            found = self._market.find(channel.name, exchange, product_id)
            pattern = Pattern(channel.name, exchange, product_id)
            if not found and not self._may_come(channel, pattern):
                raise _unknown(exchange, product_id)
            series.update(found)
            if not found or _is_open(channel, pattern):
                patterns.add(pattern)
        new, awaited = series - client.cohort.series, patterns - client.cohort.patterns
        new -= (client.resuming or {}).keys()
        self._make_room(client, len(new) + len(awaited))
        self._outbox.move(client, client.cohort.series | new, client.cohort.patterns | awaited)
        client.send(frame_of(Ack(request.id, "subscribe", channel.name, exchange, request.products)))
        self._show(client, sorted(new, key=lambda one: one.product))
        self._show_nothing(client, channel, (one for one in awaited if not _is_open(channel, one)))

    def _unsubscribe(self, client: Subscriber, request: Unsubscribe) -> None:
        channel, exchange = _channel(request.channel), _exchange(request.channel, request.exchange)
        asked = [Pattern(channel.name, exchange, product_id) for product_id in request.products]
        kept = frozenset(one for one in client.cohort.series if not any(pattern.matches(one) for pattern in asked))
        patterns = frozenset(one for one in client.cohort.patterns if not any(pattern.covers(one) for pattern in asked))
        for one in [s for s in client.resuming or {} if any(pattern.matches(s) for pattern in asked)]:
            self._give_up(client, one)
        self._outbox.move(client, kept, patterns)
        client.send(frame_of(Ack(request.id, "unsubscribe", channel.name, exchange, request.products)))

    def _resume(self, client: Subscriber, request: Resume) -> None:
        channel, exchange = _channel(request.channel), _exchange(request.channel, request.exchange)
        if _is_open(channel, Pattern(channel.name, exchange, request.product)):
            raise Refused("bad_request", "a resume is of one product by name - at `$.product`")
        found = self._market.find(channel.name, exchange, request.product)
        if not found:
            raise _unknown(exchange, request.product)
        series = found[0]
        self._give_up(client, series)
        self._make_room(client, 0 if series in client.cohort.series else 1)
        if self._resumes >= self._resumes_max:
            raise Refused("rate_limited", "too many clients resume at once; ask again in a moment")
        self._outbox.move(client, client.cohort.series - {series}, client.cohort.patterns)
        client.send(frame_of(Ack(request.id, "resume", channel.name, exchange, [request.product])))
        if request.log_id is not None and request.log_id != self._market.log_id:
            self._begin_anew(client, series, request, "too_old", "the sequence is of another log, which is gone")
            return
        missed = series.after(request.sequence)
        if missed is not None and len(missed) <= REPLAYED_PER_WRITE:
            self._replay(client, missed)
            self._follow(client, series)
            counter(Metric.GATEWAY_RESUMES).labels("memory").inc()
            return
        self._start_catching_up(client, series, request)

    def _start_catching_up(self, client: Subscriber, series: Series, request: Resume) -> None:
        if client.resuming is None:
            client.resuming = {}
        self._resumes += 1
        task = asyncio.get_running_loop().create_task(self._catch_up(client, series, request))
        client.resuming[series] = task
        task.add_done_callback(lambda _task: self._caught_up(client, series, task))

    def _caught_up(self, client: Subscriber, series: Series, task: "asyncio.Task[None]") -> None:
        self._resumes -= 1
        if client.resuming is not None and client.resuming.get(series) is task:
            del client.resuming[series]
        if not task.cancelled():
            task.result()

    async def _catch_up(self, client: Subscriber, series: Series, request: Resume) -> None:
        try:
            missed = await _patiently(partial(self._history.after, series, request.sequence))
            if series.channel.conflates_to_snapshot:
                self._replay_or_show(client, series, missed.updates)
                return
            while True:
                next_offset = missed.next_offset
                await self._replay_in_parts(client, missed.updates)
                rest = series.since(next_offset)
                if rest is not None and len(rest) <= REPLAYED_PER_WRITE and client.backlog is None:
                    break
                missed = await _patiently(partial(self._history.since, series, next_offset))
        except TooOld as error:
            self._begin_anew(client, series, request, "too_old", str(error))
        except UnknownSequence as error:
            self._begin_anew(client, series, request, "unknown_sequence", str(error))
        else:
            self._replay(client, rest)
            self._follow(client, series)

    async def _replay_in_parts(self, client: Subscriber, updates: Sequence[Update]) -> None:
        if len(updates) > REPLAYED_WHOLE_MAX:
            frames: Iterable[bytes] = conflated(updates)
        else:
            frames = (update.frame for update in updates)
        for part in batched(frames, REPLAYED_PER_WRITE, strict=False):
            await client.has_read()
            client.send(b"".join(part))
        await client.has_read()

    def _replay(self, client: Subscriber, updates: Sequence[Update]) -> None:
        if updates:
            client.send(b"".join([update.frame for update in updates]))

    def _begin_anew(self, client: Subscriber, series: Series, request: Resume, code: ErrorCode, detail: str) -> None:
        client.send(frame_of(refusal(request.id, code, f"{detail}; a snapshot follows")))
        counter(Metric.GATEWAY_RESUMES).labels(code).inc()
        self._follow(client, series)
        self._show(client, [series])

    def _replay_or_show(self, client: Subscriber, series: Series, missed: Sequence[Update]) -> None:
        """Where much was missed the snapshot takes its place."""
        self._follow(client, series)
        if len(missed) <= REPLAYED_PER_WRITE:
            self._replay(client, missed)
        else:
            client.send(with_skipped(series.snapshot(self._clock.now_ns()), len(missed)))

    def _follow(self, client: Subscriber, series: Series) -> None:
        self._outbox.move(client, client.cohort.series | {series}, client.cohort.patterns)

    def _give_up(self, client: Subscriber, series: Series) -> None:
        task = (client.resuming or {}).pop(series, None)
        if task is not None:
            task.cancel()

    def _show(self, client: Recipient, series: Iterable[Series]) -> None:
        now_ns = self._clock.now_ns()
        for one in series:
            client.send(one.snapshot(now_ns))
            if self._market.lacks_values(one):
                self._fill(one.product)

    def _show_nothing(self, client: Recipient, channel: Channel, patterns: Iterable[Pattern]) -> None:
        """The snapshots of what has no record yet."""
        now_ns = self._clock.now_ns()
        for pattern in patterns:
            client.send(empty_snapshot(channel, Product(pattern.exchange, pattern.product_id), now_ns))

    def _may_come(self, channel: Channel, pattern: Pattern) -> bool:
        """Whether names for which there is nothing yet can be followed: instruments and symbols of the order lab are
        known only once the log shows them."""
        return not channel.has_exchanges or pattern.exchange == pattern.product_id == ANY

    def _make_room(self, client: Subscriber, more: int) -> None:
        count, most = client.cohort.size + len(client.resuming or ()) + more, self._limits.subscriptions_max
        if count > most:
            raise Refused("too_many_subscriptions", f"a connection may follow {most}, this would make {count}")

    def _learned(self, series: Series) -> None:
        """A product is new: whoever follows it by a pattern gets its snapshot, and what comes after it."""
        full = self._outbox.widen(series, self._limits.subscriptions_max)
        detail = f"{':'.join(series.product)} came, and there is no room for it"
        for cohort in full:
            for client in tuple(cohort.clients):
                client.send(frame_of(refusal(None, "too_many_subscriptions", detail)))
        self.show_again(series)


async def _patiently(ask: Callable[[], Awaitable[Missed]]) -> Missed:
    """Ask until Kafka is there to answer."""
    backoff = Backoff(0.2, 5)
    while True:
        try:
            return await ask()
        except InfraError:
            await asyncio.sleep(backoff.next_s())


def _channel(name: str) -> Channel:
    channel = CHANNELS.get(name)
    if channel is None:
        raise Refused("unknown_channel", f"there is no channel {name!r}; there are {', '.join(CHANNELS)}")
    return channel


def _exchange(channel: str, exchange: str | None) -> str:
    only = CHANNELS[channel].exchange
    if only is None:
        return exchange or EXCHANGE_DEFAULT
    if exchange not in (None, only):
        raise Refused("bad_request", f"the exchange of {channel} is {only!r}: leave it out - at `$.exchange`")
    return only


def _is_open(channel: Channel, pattern: Pattern) -> bool:
    """Whether it may stand for more than one series."""
    return pattern.product_id == ANY or (channel.has_exchanges and pattern.exchange == ANY)


def _unknown(exchange: str, product_id: str) -> Refused:
    return Refused("unknown_product", f"no feed has {product_id!r} of {exchange!r}; see /markets")
