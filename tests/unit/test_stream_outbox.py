"""Who gets which update: once each, in order, whatever clients do between two flushes."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.topics import Topic
from services.gateway.hub import Product
from services.gateway.stream.backlog import Backlog, conflated
from services.gateway.stream.cohorts import Cohort, Cohorts, Pattern
from services.gateway.stream.heartbeats import Heartbeats, Wheel
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.gateway.stream.series import Series, Update
from services.runtime.clock import FakeClock
from tests.support.stream import Frame, candle, frames_in, trade


@dataclass(eq=False)
class FakeClient:
    """What a socket is to the outbox."""

    cohort: Cohort
    backlog: Backlog | None = None
    written: list[bytes] = field(default_factory=list)
    overflows: int = 0
    sent_s: float = 0.0
    closing: bool = False
    resuming: dict[Series, "asyncio.Task[None]"] | None = None

    def write(self, data: bytes, /) -> None:
        self.written.append(data)

    def send(self, frame: bytes) -> None:
        if self.backlog is None:
            self.write(frame)
        elif not self.backlog.add_frame(frame):
            self.overflow()

    def overflow(self) -> None:
        self.overflows += 1

    async def has_read(self) -> None:
        assert self.backlog is None

    @property
    def frames(self) -> list[Frame]:
        return [frame for data in self.written for frame in frames_in(data)]


class World:
    """A market of products P0, P1, … of one exchange, and whom it is brought to."""

    def __init__(self, products: int = 3) -> None:
        self.clock = FakeClock()
        self.market = Market(dedup_window=0, partitions=1, updates_max=1_000, series_max=10_000)
        self.cohorts = Cohorts()
        self.outbox = Outbox(self.cohorts, self.clock)
        self._offset = 0
        for number in range(products):
            self.market.learn(Product("x", f"P{number}"))

    def client(self, *follows: str) -> FakeClient:
        client = FakeClient(self.cohorts.none)
        self.outbox.enter(client)
        self.follow(client, *follows)
        return client

    def series(self, name: str) -> Series:
        channel, _, product = name.rpartition(":")
        (found,) = self.market.find(channel, "x", product)
        return found

    def follow(self, client: FakeClient, *names: str) -> None:
        self.outbox.move(client, frozenset(self.series(name) for name in names), frozenset())

    def trade(self, product: str = "P0", price: int = 100) -> int:
        self._offset += 1
        event = trade(self._offset, price, ("x", product))
        for update in self.market.absorb(Topic.MARKET_TRADES, 0, self._offset, event) or ():
            self.outbox.publish(update)
        return self._offset

    def flush(self) -> None:
        asyncio.run(self.outbox.flush())


def sequences(client: FakeClient) -> list[int]:
    return [frame["sequence"] for frame in client.frames]


def test_clients_that_follow_the_same_get_the_same_bytes_in_one_write() -> None:
    world = World()
    ann, bob, eve = world.client("trades:P0"), world.client("trades:P0"), world.client("trades:P0", "trades:P1")
    offsets = [world.trade("P0"), world.trade("P0"), world.trade("P1")]
    world.flush()
    assert (len(ann.written), len(eve.written)) == (1, 1)
    assert ann.written[0] is bob.written[0]
    assert sequences(ann) == offsets[:2]
    assert sequences(eve) == offsets


def test_nothing_is_encoded_where_nobody_follows() -> None:
    world = World()
    ann = world.client("trades:P0")
    world.trade("P1")
    world.flush()
    assert ann.written == []
    (update,) = world.series("trades:P1").updates
    assert update._frame is None


def test_who_comes_between_two_flushes_gets_only_what_comes_after() -> None:
    world = World()
    ann = world.client("trades:P0")
    first = world.trade()
    bob = world.client("trades:P0")
    second = world.trade()
    world.flush()
    assert (sequences(ann), sequences(bob)) == ([first, second], [second])


def test_who_follows_more_keeps_what_it_was_due() -> None:
    world = World()
    ann = world.client("trades:P0")
    first = world.trade("P0")
    world.follow(ann, "trades:P0", "trades:P1")
    assert sequences(ann) == [first]
    second = world.trade("P1")
    world.flush()
    assert sequences(ann) == [first, second]


def test_who_left_gets_nothing() -> None:
    world = World()
    ann = world.client("trades:P0")
    world.trade()
    world.outbox.freeze()
    world.outbox.leave(ann)
    world.flush()
    assert ann.written == []
    assert len(list(world.cohorts)) == 1


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["trade", "follow", "freeze", "write", "flush"]), st.integers(0, 7)), min_size=10
)


@settings(max_examples=500)
@given(ACTIONS)
def test_each_update_once_and_in_order_whatever_happens_between(actions: list[tuple[str, int]]) -> None:
    world = World()
    names = ["trades:P0", "trades:P1"]
    clients = [world.client(*names), world.client("trades:P0")]
    due: dict[FakeClient, list[int]] = defaultdict(list)
    for action, number in actions:
        client = clients[number % 2]
        if action == "trade":
            series = world.series(names[number // 2 % 2])
            offset = world.trade(series.product.product_id)
            for one in clients:
                if series in one.cohort.series:
                    due[one].append(offset)
        elif action == "follow":
            before = client.cohort.series
            world.follow(client, *(name for bit, name in enumerate(names, 1) if number >> bit & 1))
            for series in client.cohort.series - before:
                client.send(series.snapshot(0))
        elif action == "freeze":
            world.outbox.freeze()
        elif action == "write":
            world.outbox._write_some()
        else:
            world.flush()
    world.flush()
    for one in clients:
        assert [frame["sequence"] for frame in one.frames if frame["type"] == "update"] == due[one]
        for product in ("P0", "P1"):
            assert_goes_on([frame for frame in one.frames if frame["product"] == product])


def test_who_follows_again_is_not_sent_what_the_snapshot_shows() -> None:
    world = World()
    ann = world.client("trades:P0")
    offset = world.trade()
    world.outbox.freeze()
    world.follow(ann)
    world.follow(ann, "trades:P0")
    ann.send(world.series("trades:P0").snapshot(0))
    world.flush()
    assert [(frame["type"], frame["sequence"]) for frame in ann.frames] == [("update", offset), ("snapshot", offset)]


def assert_goes_on(frames: list[Frame]) -> None:
    """Each update is the one after what was last shown of its product."""
    last = None
    for frame in frames:
        assert frame["type"] == "snapshot" or frame["previous"] == last
        last = frame["sequence"]


def test_a_new_product_is_followed_by_those_with_a_pattern_for_it() -> None:
    world = World(products=0)
    every, named, full = (world.client() for _ in range(3))
    world.outbox.move(every, frozenset(), frozenset({Pattern("trades", "*", "*")}))
    world.outbox.move(named, frozenset(), frozenset({Pattern("trades", "*", "P1")}))
    extra = frozenset(Pattern("ticker", "x", f"Q{n}") for n in range(9))
    world.outbox.move(full, frozenset(), extra | {Pattern("trades", "*", "*")})
    world.market.learned = lambda series: _note(world.outbox.widen(series, 10))
    crowded: list[Cohort] = []

    def _note(cohorts: list[Cohort]) -> None:
        crowded.extend(cohorts)

    for product in ("P0", "P1"):
        world.market.learn(Product("x", product))
        world.trade(product)
    world.flush()
    assert sequences(every) == [1, 2]
    assert sequences(named) == [2]
    assert sequences(full) == []
    assert {client for cohort in crowded for client in cohort.clients} == {full}


@pytest.mark.parametrize(
    ("pattern", "other", "covers"),
    [
        (Pattern("trades", "*", "*"), Pattern("trades", "x", "P"), True),
        (Pattern("trades", "x", "*"), Pattern("trades", "*", "P"), False),
        (Pattern("trades", "x", "P"), Pattern("trades", "x", "P"), True),
        (Pattern("trades", "*", "*"), Pattern("ticker", "x", "P"), False),
    ],
)
def test_what_a_pattern_stands_for(pattern: Pattern, other: Pattern, covers: bool) -> None:
    assert pattern.covers(other) is covers


def backlog(messages_max: int = 100, bytes_max: int = 1 << 20) -> Backlog:
    return Backlog(messages_max, bytes_max)


def updates(world: World, *names: str) -> list[Update]:
    """One update of each series named, in this order. ``bar`` is an open bar of P0, ``closed`` a closed one."""
    found: list[Update] = []
    for name in names:
        world._offset += 1
        if name in ("bar", "closed"):
            event: Any = candle(0, closed=name == "closed", count=1, sequence=world._offset, product=("x", "P0"))
            made = world.market.absorb(Topic.CANDLES, 0, world._offset, event)
        else:
            made = world.market.absorb(Topic.MARKET_TRADES, 0, world._offset, trade(world._offset, 1, ("x", name[-2:])))
        updates = [one for one in made or () if isinstance(one, Update)]
        found += [one for one in updates if one.series.channel.name == name.partition(":")[0] or ":" not in name]
    return found


def shown(data: bytes) -> list[tuple[int, int | None, int]]:
    return [(frame["sequence"], frame["previous"], frame.get("skipped", 0)) for frame in frames_in(data)]


def test_of_a_state_only_the_newest_waits_and_it_says_how_many_were_skipped() -> None:
    waiting = backlog()
    for update in updates(World(), "ticker:P0", "ticker:P1", "ticker:P0", "ticker:P0"):
        assert waiting.add(update)
    assert len(waiting) == 2
    assert waiting.skipped == 2
    assert shown(waiting.take(1 << 20, 0)) == [(4, 3, 2), (2, None, 0)]


def test_events_all_wait_in_order() -> None:
    waiting = backlog()
    for update in updates(World(), "trades:P0", "trades:P1", "trades:P0"):
        assert waiting.add(update)
    assert shown(waiting.take(1 << 20, 0)) == [(1, None, 0), (2, None, 0), (3, 1, 0)]


def test_a_state_before_an_event_of_its_series_stays() -> None:
    waiting = backlog()
    for update in updates(World(), "bar", "bar", "closed", "bar", "bar"):
        waiting.add(update)
    assert shown(waiting.take(1 << 20, 0)) == [(2, 1, 1), (3, 2, 0), (5, 4, 1)]


def test_a_backlog_is_bounded_in_messages_and_in_bytes() -> None:
    frames = updates(World(), *["trades:P0"] * 4)
    few = backlog(messages_max=3)
    assert [few.add(update) for update in frames] == [True, True, True, False]
    small = backlog(bytes_max=3 * len(frames[0].frame) + 50)
    assert [small.add(update) for update in frames] == [True, True, True, False]
    many = backlog(messages_max=1)
    assert all(many.add(update) for update in updates(World(), *["ticker:P0"] * 50))


def test_what_is_taken_makes_room() -> None:
    frames = updates(World(), *["trades:P0"] * 3, *["ticker:P0"] * 3)
    waiting = backlog(bytes_max=sum(len(update.frame) for update in frames))
    for update in frames:
        waiting.add(update)
    waiting.add_frame(b"\x81\x02{}")
    taken = b""
    while waiting:
        taken += waiting.take(1, 0)
    assert [frame.get("sequence") for frame in frames_in(taken)] == [1, 2, 3, 6, None]
    assert waiting._bytes == 0


def test_runs_of_states_are_conflated_for_who_missed_many() -> None:
    frames = b"".join(conflated(updates(World(), "bar", "bar", "closed", "closed", "bar")))
    assert shown(frames) == [(2, 1, 1), (3, 2, 0), (4, 3, 0), (5, 4, 0)]


def test_a_slow_client_gets_nothing_written_and_loses_nothing() -> None:
    world = World()
    slow, quick = world.client("trades:P0"), world.client("trades:P0")
    first = world.trade()
    world.outbox.freeze()
    slow.backlog = backlog()
    world.outbox.slow(slow)
    second = world.trade()
    world.flush()
    assert sequences(quick) == [first, second]
    assert slow.written == []
    waiting, slow.backlog = slow.backlog, None
    slow.write(waiting.take(1 << 20, 0))
    world.outbox.quick(slow)
    third = world.trade()
    world.flush()
    assert sequences(slow) == [first, second, third]


def test_a_backlog_that_is_full_closes_the_client() -> None:
    world = World()
    slow = world.client("trades:P0")
    slow.backlog = backlog(messages_max=2)
    world.outbox.slow(slow)
    for _ in range(3):
        world.trade()
    world.flush()
    assert slow.overflows


def test_the_wheel_turns() -> None:
    wheel: Wheel[str] = Wheel(4)
    wheel.add("a", 1)
    wheel.add("b", 4)
    wheel.add("c", 9)
    wheel.add("d", 0)
    assert [wheel.turn() for _ in range(4)] == [["a", "d"], [], [], ["b", "c"]]


def test_a_heartbeat_comes_after_silence_only_and_names_the_newest_sequences() -> None:
    world = World()
    heartbeats = Heartbeats(world.clock, 5)
    quiet, busy, slow = world.client("trades:P1"), world.client("trades:P0"), world.client()
    slow.backlog = backlog()
    offset = world.trade("P1")
    world.flush()
    for client in (quiet, busy, slow):
        client.sent_s = world.clock.monotonic()
        heartbeats.add(client)
    for _ in range(20):
        world.clock.advance(0.25)
        world.trade("P0")
        world.flush()
        for _ in heartbeats.turn():
            pass
    assert [frame["type"] for frame in quiet.frames] == ["update", "heartbeat"]
    assert quiet.frames[1]["sequences"] == [{"channel": "trades", "exchange": "x", "product": "P1", "sequence": offset}]
    assert {frame["type"] for frame in busy.frames} == {"update"}
    assert len(slow.backlog) == 0


def test_heartbeats_of_those_who_follow_the_same_are_made_once() -> None:
    world = World()
    heartbeats = Heartbeats(world.clock, 5)
    clients = [world.client("trades:P0", "trades:P1") for _ in range(3)]
    for client in clients:
        client.sent_s = world.clock.monotonic()
        heartbeats.add(client)
    for _ in range(20):
        world.clock.advance(0.25)
        for _ in heartbeats.turn():
            pass
    assert len({id(client.written[0]) for client in clients}) == 1
