"""The order lab's channels: what is public, what is a repeat, and a book without a hole that nobody is told of."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.records import Counts
from services.contracts.lab import BookUpdate, Execution
from services.contracts.topics import Topic
from services.gateway.fanout import begin
from services.gateway.hub import Product
from services.gateway.records import READERS
from services.gateway.stream.backlog import Backlog
from services.gateway.stream.cohorts import Cohort, Cohorts
from services.gateway.stream.market import Market
from services.gateway.stream.outbox import Outbox
from services.gateway.stream.series import Refresh, Series
from services.runtime.clock import FakeClock
from tests.support.stream import START_NS, BookReader, Frame, LabBook, execution, frames_in
from tests.support.stream import trade as market_trade

WINDOW = 8
DEMO = ("lab", "DEMO-USD")


def market(window: int = WINDOW, start: int = 0, end: int = 0) -> Market:
    made = Market(dedup_window=window, partitions=6, updates_max=100, series_max=1_000)
    for topic in (Topic.EXECUTIONS, Topic.BOOK):
        for partition in range(2):
            made.begin(topic, partition, start, end)
    return made


def absorb(made: Market, offset: int, event: Execution | BookUpdate) -> list[Frame] | None:
    """The frames of what one record is."""
    topic = Topic.BOOK if isinstance(event, BookUpdate) else Topic.EXECUTIONS
    updates = made.absorb(topic, event.market_group, offset, event)
    return None if updates is None else [frames_in(update.frame)[0] for update in updates]


def series(of: Market, channel: str, product: tuple[str, str] = DEMO) -> Series:
    (found,) = of.find(channel, *product)
    return found


def snapshot(of: Market, channel: str) -> Frame:
    return frames_in(series(of, channel).snapshot(START_NS))[0]


def test_an_execution_is_public_and_whose_it_was_is_not() -> None:
    made = market()
    frames = absorb(made, 41, execution(7))
    assert frames == [
        {
            "type": "update",
            "channel": "executions",
            "exchange": "lab",
            "product": "DEMO-USD",
            "sequence": 41,
            "previous": None,
            "time": "2026-01-01T00:00:00.000000007Z",
            "data": {"execution_id": "0-7", "price": "100.1", "quantity": "0.5", "taker_side": "buy"},
        }
    ]
    (shown,) = snapshot(made, "executions")["data"]["executions"]
    assert shown == frames[0]["data"] | {"sequence": 41, "time": frames[0]["time"]}


def test_what_an_engine_publishes_again_after_a_crash_is_a_repeat_and_without_a_window_it_is_not() -> None:
    one, control = market(), market(window=0)
    for made in (one, control):
        for number in (1, 2, 3):
            absorb(made, number, execution(number))
    assert [absorb(one, 3 + number, execution(number)) for number in (1, 2, 3)] == [None] * 3
    (update,) = absorb(one, 7, execution(4)) or []
    assert (update["sequence"], update["previous"]) == (7, 3)
    assert absorb(control, 4, execution(1))


def test_symbols_of_one_group_and_groups_of_one_number_do_not_mix() -> None:
    made = market()
    absorb(made, 1, execution(1, "A-USD"))
    absorb(made, 2, execution(2, "B-USD"))
    absorb(made, 1, execution(1, "C-USD", group=1))
    found = {one.product.product_id: (one.partition, one.sequence) for one in made.find("executions", "lab", "*")}
    assert found == {"A-USD": (0, 1), "B-USD": (0, 2), "C-USD": (1, 1)}


def test_a_product_has_the_channels_of_its_exchange() -> None:
    made = market()
    made.absorb(Topic.MARKET_TRADES, 0, 1, market_trade(1))
    absorb(made, 1, execution(1))
    assert made.learn(Product(*DEMO)).keys() == {"executions", "book"}
    assert not {"executions", "book"} & made.learn(Product("coinbase", "BTC-USD")).keys()
    assert made.find("trades", "lab", "*") == made.find("book", "coinbase", "*") == []


def test_a_book_begins_with_its_depth_and_goes_on_with_what_changes() -> None:
    made, book = market(), LabBook()
    book.change(("buy", 999, 1_500), ("sell", 1_001, 2_000), ("sell", 1_002, 3))
    first = absorb(made, 5, book.snapshot())
    assert [(frame["type"], frame["sequence"]) for frame in first or ()] == [("snapshot", None)]
    record = book.change(("buy", 999, 0), ("sell", 1_001, 1_000))
    assert absorb(made, 6, record) == [
        {
            "type": "update",
            "channel": "book",
            "exchange": "lab",
            "product": "DEMO-USD",
            "sequence": 6,
            "previous": None,
            "time": "2026-01-01T00:00:00.000000003Z",
            "data": {
                "book_sequence": 5,
                "book_previous": 3,
                "bids": [["9.99", "0"]],
                "asks": [["10.01", "1"]],
                "best_bid": None,
                "best_ask": ["10.01", "1"],
                "checksum": record.checksum,
            },
        }
    ]
    assert snapshot(made, "book") == {
        "type": "snapshot",
        "channel": "book",
        "exchange": "lab",
        "product": "DEMO-USD",
        "sequence": 6,
        "time": "2026-01-01T00:00:00.000000003Z",
        "data": {
            "book_sequence": 5,
            "bids": [],
            "asks": [["10.01", "1"], ["10.02", "0.003"]],
            "checksum": record.checksum,
            "tick_size": "0.01",
            "lot_size": "0.001",
        },
    }


def test_the_topics_snapshots_are_no_updates_while_the_copy_is_good() -> None:
    made, book = market(), LabBook()
    absorb(made, 1, book.change(("buy", 999, 1)))
    assert absorb(made, 2, book.snapshot()) == []
    (update,) = absorb(made, 3, book.change(("buy", 999, 2))) or []
    assert update["previous"] == 1


def test_a_hole_in_the_topic_is_told_and_the_book_shown_again_with_the_next_snapshot() -> None:
    made, book, reader = market(), LabBook(), BookReader()
    absorb(made, 1, book.change(("buy", 999, 1)))
    reader.take(snapshot(made, "book"))
    book.change(("buy", 998, 1))
    told = absorb(made, 2, book.change(("buy", 997, 1))) or []
    assert [(frame["type"], frame["sequence"]) for frame in told] == [("update", 2), ("snapshot", 2)]
    assert told[1]["data"] is None
    assert snapshot(made, "book")["data"] is None
    for frame in told:
        reader.take(frame)
        assert not reader.known
    for frame in absorb(made, 3, book.change(("buy", 996, 1))) or ():
        reader.take(frame)
    assert not reader.known
    (again,) = absorb(made, 4, book.snapshot()) or []
    reader.take(again)
    assert (reader.known, reader.shown(), reader.sequence) == (True, book.shown(), 3)


def test_a_repeated_change_is_dropped_and_without_a_window_it_is_an_update_that_changes_no_book() -> None:
    for made, expected in ((market(), None), (market(window=0), 1)):
        book = LabBook()
        first = book.change(("buy", 999, 1))
        for offset, record in enumerate((first, book.change(("buy", 999, 2)))):
            absorb(made, offset, record)
        repeated = absorb(made, 2, first)
        assert (None if repeated is None else len(repeated)) == expected
        assert snapshot(made, "book")["data"]["bids"] == [["9.99", "0.002"]]


def records(chance: random.Random, length: int) -> list[BookUpdate]:
    """A topic: two books of a group, a snapshot of each now and then, and runs that a crash repeated."""
    numbers = count(1)
    books = [LabBook(symbol, numbers=numbers) for symbol in ("A-USD", "B-USD")]
    log: list[BookUpdate] = []
    while len(log) < length:
        if chance.random() < 0.15:
            log += [book.snapshot() for book in books]
        elif chance.random() < 0.1:
            log += log[-chance.randint(1, WINDOW // 2) :]
        else:
            log.append(chance.choice(books).change(("buy", chance.randint(1, 20), chance.randint(1, 9))))
    return log


@settings(max_examples=200)
@given(st.randoms(use_true_random=False), st.integers(1, 60))
def test_a_gateway_that_began_later_says_the_same(chance: random.Random, start: int) -> None:
    log = records(chance, 80)
    everything, later = market(), market(start=start, end=len(log))
    expected: dict[tuple[str, int], Frame] = {}
    for offset, record in enumerate(log):
        for frame in absorb(everything, offset, record) or ():
            expected[frame["product"], frame["sequence"]] = frame
    seen: Counter[str] = Counter()
    for offset, record in list(enumerate(log))[start:]:
        for frame in absorb(later, offset, record) or ():
            if frame["type"] == "update":
                seen[frame["product"]] += 1
                known = expected[frame["product"], frame["sequence"]]
                assert frame == (known if seen[frame["product"]] > 1 else known | {"previous": None})
    for symbol in {record.symbol for record in log[start:] if record.kind == "snapshot"}:
        shown = [frames_in(series(of, "book", ("lab", symbol)).snapshot(0))[0]["data"] for of in (everything, later)]
        assert shown[0] == shown[1]


@dataclass(eq=False)
class Client:
    """A socket that reads its book as a careful client does; ``pause`` and ``read`` are what the network does."""

    cohort: Cohort
    backlog: Backlog | None = None
    reader: BookReader = field(default_factory=BookReader)
    snapshots: int = 0
    overflows: int = 0

    def write(self, data: bytes, /) -> None:
        for frame in frames_in(data):
            self.snapshots += frame["type"] == "snapshot"
            self.reader.take(frame)

    def send(self, frame: bytes) -> None:
        if self.backlog is None:
            self.write(frame)
        elif not self.backlog.add_frame(frame):
            self.overflow()

    def overflow(self) -> None:
        self.overflows += 1


class World:
    """One book, its engine, and clients that follow it."""

    def __init__(self) -> None:
        self.cohorts = Cohorts()
        self.outbox = Outbox(self.cohorts, FakeClock())
        self.market = market()
        self.book = LabBook()
        self.published = 0
        self._offset = 0
        self.put(self.book.snapshot())

    def client(self) -> Client:
        client = Client(self.cohorts.none)
        self.outbox.enter(client)
        self.outbox.move(client, frozenset({series(self.market, "book")}), frozenset())
        client.send(series(self.market, "book").snapshot(0))
        return client

    def put(self, record: BookUpdate) -> None:
        self._offset += 1
        for update in self.market.absorb(Topic.BOOK, 0, self._offset, record) or ():
            self.published += not isinstance(update, Refresh)
            self.outbox.publish(update)

    def change(self, ticks: int, lots: int) -> None:
        self.put(self.book.change(("buy", ticks, lots)))

    def flush(self) -> None:
        asyncio.run(self.outbox.flush())

    def pause(self, client: Client) -> None:
        client.backlog = client.backlog or Backlog(100, 1 << 20)
        self.outbox.slow(client)

    def read(self, client: Client, bytes_max: int) -> None:
        """Take what waits, a part at a time."""
        while client.backlog:
            client.write(client.backlog.take(bytes_max, 0))
        client.backlog = None
        self.outbox.quick(client)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["change", "change", "change", "snapshot", "lose", "flush", "pause", "read", "again"]),
        st.integers(1, 20),
    ),
    max_size=60,
)


@settings(max_examples=500)
@given(ACTIONS)
def test_nobody_has_a_hole_however_slowly_they_read_and_whatever_the_topic_lacks(
    actions: list[tuple[str, int]],
) -> None:
    world = World()
    quick, slow = world.client(), world.client()
    for action, number in actions:
        if action == "change":
            world.change(number, number)
        elif action == "snapshot":
            world.put(world.book.snapshot())
        elif action == "lose":
            world.book.change(("buy", number, number))
        elif action == "flush":
            world.flush()
        elif action == "pause":
            world.outbox.freeze()
            world.pause(slow)
        elif action == "again":
            world.outbox.move(slow, slow.cohort.series, frozenset())
            slow.send(series(world.market, "book").snapshot(0))
        elif slow.backlog is not None:
            world.outbox.freeze()
            world.read(slow, number)
    world.put(world.book.snapshot())
    world.flush()
    world.read(slow, 1)
    for client in (quick, slow):
        assert client.reader.known
        assert client.reader.shown() == world.book.shown()
        assert client.reader.updates + client.reader.skipped == world.published
        assert client.overflows == 0
    assert quick.reader.skipped == 0


def test_who_does_not_read_is_sent_one_snapshot_in_place_of_what_it_missed() -> None:
    world = World()
    slow = world.client()
    world.pause(slow)
    for number in range(1, 301):
        world.change(number, 1)
        world.flush()
    assert slow.backlog is not None
    assert (len(slow.backlog), slow.backlog.skipped) == (1, 300)
    world.read(slow, 1 << 20)
    assert (slow.reader.updates, slow.reader.skipped, slow.snapshots) == (0, 300, 2)
    assert slow.reader.shown() == world.book.shown()
    world.change(301, 1)
    world.flush()
    assert (slow.reader.updates, slow.reader.shown()) == (1, world.book.shown())


def test_the_control_without_a_snapshot_in_its_place_has_a_hole() -> None:
    world = World()
    book = series(world.market, "book")
    book.channel = replace(book.channel, conflates_to_snapshot=False)
    slow = world.client()
    world.pause(slow)
    for number in (1, 2):
        world.change(number, 1)
    world.flush()
    with pytest.raises(AssertionError, match="a hole after"):
        world.read(slow, 1 << 20)


def test_executions_all_wait_until_there_is_no_room() -> None:
    world = World()
    client = world.client()
    absorb(world.market, 1, execution(1))
    world.outbox.move(client, frozenset({series(world.market, "executions")}), frozenset())
    client.backlog = Backlog(3, 1 << 20)
    world.outbox.slow(client)
    for number in range(2, 6):
        for update in world.market.absorb(Topic.EXECUTIONS, 0, number, execution(number)) or ():
            world.outbox.publish(update)
    world.flush()
    assert (len(client.backlog), client.backlog.skipped, client.overflows) == (4, 0, 1)


@pytest.mark.parametrize(("end", "start"), [(90_000, 40_000), (30_000, 0)])
def test_a_gateway_begins_far_enough_back_for_a_snapshot_of_each_book(end: int, start: int) -> None:
    spans = {TopicPartition(topic, 0): (0, end) for topic in (Topic.BOOK, Topic.EXECUTIONS)}
    offsets = begin(market(window=100), spans, 50_000)
    assert offsets == {TopicPartition(Topic.BOOK, 0): start, TopicPartition(Topic.EXECUTIONS, 0): end - 200}


def record(event: Any, *, key: bytes | None = b"0", partition: int = 0) -> ConsumerRecord[bytes, bytes]:
    topic = Topic.BOOK if isinstance(event, BookUpdate) else Topic.EXECUTIONS
    value = msgspec.json.encode(event)
    return ConsumerRecord(topic, partition, 5, 0, 0, key, value, None, len(key or b""), len(value), ())


BOOK = LabBook().change(("buy", 999, 1))
NAN, HUGE = Decimal("NaN"), Decimal("1E+400")


@pytest.mark.parametrize(
    ("event", "changes", "error_type"),
    [
        (execution(1), {"symbol": "DEMO USD"}, "product"),
        (execution(1), {"market_group": 1}, "key"),
        (execution(1), {"price": NAN}, "price"),
        (execution(1), {"quantity": Decimal(0)}, "price"),
        (execution(1), {"execution_id": ""}, "execution_id"),
        (execution(1), {"time": 0}, "time"),
        (execution(1), {"input_sequence": -1}, "number"),
        (BOOK, {"bids": ((HUGE, Decimal(1)),)}, "price"),
        (BOOK, {"asks": ((Decimal(1), NAN),)}, "price"),
        (BOOK, {"best_bid": (NAN, Decimal(1))}, "price"),
        (BOOK, {"tick_size": Decimal(0)}, "price"),
        (BOOK, {"previous": 2}, "number"),
        (BOOK, {"checksum": 1 << 32}, "checksum"),
    ],
)
def test_what_is_no_record_of_the_lab_is_refused_and_what_is_behind_it_goes_on(
    event: Any, changes: dict[str, Any], error_type: str
) -> None:
    counts = Counts("gateway", 6)
    bad, good = record(msgspec.structs.replace(event, **changes)), record(event)
    assert list(READERS[bad.topic]([bad, good], counts)) == [(5, event)]
    assert [error.error_type for _, error in counts.refused] == [error_type]


def test_a_record_in_another_groups_partition_is_refused() -> None:
    counts = Counts("gateway", 6)
    assert list(READERS[Topic.EXECUTIONS]([record(execution(1), partition=1)], counts)) == []
    assert list(READERS[Topic.EXECUTIONS]([record(execution(1, group=1), key=b"1", partition=1)], counts))
    assert [error.error_type for _, error in counts.refused] == ["partition"]
