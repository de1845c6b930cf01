"""What readers of the book are told: levels, BBO, depth and a checksum they can work out themselves."""

import zlib

import msgspec

from services.domain import orders
from services.domain.orders import numbered
from tests.support.lab import SYMBOL, Engine, Event, Script


def opened() -> tuple[Engine, Script]:
    engine = Engine(100)
    lab = Script(engine)
    lab.fund("alice", "bob")
    return engine, lab


def told(engine: Engine, kind: str) -> list[Event]:
    return [event for event in engine.market_data if event["event"] == kind]


def test_a_sweep_tells_each_level_once_with_what_is_left_there() -> None:
    engine, lab = opened()
    for number, price in enumerate((1_000, 1_000, 1_001, 1_002)):
        lab.limit(f"alice-{number}", "sell", 5, price)
    lab.limit("bob-1", "buy", 17, 1_002)
    assert [(level["price"], level["quantity"]) for level in told(engine, "level")] == [
        (1_000, 0),
        (1_001, 0),
        (1_002, 3),
    ]


def test_levels_are_numbered_without_a_hole_and_the_depth_says_up_to_which_it_goes() -> None:
    engine, lab = opened()
    for number in range(5):
        lab.limit(f"alice-{number}", "buy", 5, 990 + number)
        assert [level["sequence"] for level in told(engine, "level")] == [number + 1]
    assert engine.market.books[SYMBOL.symbol].depth().sequence == 5


def test_bbo_is_told_after_a_command_that_changed_it_and_only_then() -> None:
    engine, lab = opened()
    lab.limit("alice-1", "buy", 5, 990)
    best = {"event": "best", "symbol": SYMBOL.symbol, "ask_price": 0, "ask_quantity": 0}
    assert told(engine, "best") == [best | {"bid_price": 990, "bid_quantity": 5}]
    lab.limit("alice-2", "buy", 5, 989)
    assert told(engine, "best") == []
    lab.limit("alice-3", "buy", 5, 990)
    assert told(engine, "best") == [best | {"bid_price": 990, "bid_quantity": 10}]
    lab.do(orders.CancelAll("alice"))
    assert told(engine, "best") == [best | {"bid_price": 0, "bid_quantity": 0}]


def test_waiting_stops_are_no_market_data() -> None:
    engine, lab = opened()
    lab.stop("alice-1", "buy", 5, 1_010)
    lab.cancel("alice-1")
    assert engine.market_data == []


def test_the_checksum_is_over_the_ten_best_of_each_side_as_the_docs_say() -> None:
    engine, lab = opened()
    for number in range(12):
        lab.limit(f"alice-{number}", "buy", 2 + number, 950 + number)
    lab.limit("bob-1", "sell", 7, 1_000)
    depth = engine.market.books[SYMBOL.symbol].depth(3)
    best = [f"{961 - number}:{13 - number}" for number in range(10)]
    assert depth.checksum == zlib.crc32(",".join([*best, "1000:7"]).encode())
    assert depth.bids == [(961, 13), (960, 12), (959, 11)]
    lab.cancel("alice-0")
    assert engine.market.books[SYMBOL.symbol].checksum() == depth.checksum, "the eleventh best is not in it"
    lab.cancel("alice-11")
    assert engine.market.books[SYMBOL.symbol].checksum() != depth.checksum


def test_events_are_numbered_through_the_group() -> None:
    events: list[orders.Event] = [orders.Halted("A"), orders.Resumed("A")]
    assert list(numbered(41, events)) == [(41, events[0]), (42, events[1])]


def test_every_event_and_command_is_json_that_says_what_it_is() -> None:
    event = orders.Cancelled("alice", "a1", 5, "requested")
    assert msgspec.json.decode(msgspec.json.encode(event), type=orders.Event) == event
    command = orders.Deposit("alice", "d1", "USD", 10**30)
    assert msgspec.json.decode(msgspec.json.encode(command), type=orders.Command) == command
