"""What a fake exchange remembers, and the ways in which it misbehaves, each without a socket."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.faults import (
    AnyAction,
    Close,
    Distortion,
    Drop,
    Fault,
    Garbage,
    Refuse,
    Reorder,
    Repeat,
    Reset,
    ServerShutdown,
    Silence,
    Slow,
    read_script,
)
from services.replay.market import ExchangeTrade, Market

ACTIONS: Sequence[AnyAction] = [
    Close(1000),
    Reset(),
    Refuse(451),
    Silence(2.5),
    Slow(0.1, 3),
    Drop(2),
    Repeat(2),
    Reorder(3),
    Garbage(),
    ServerShutdown(),
]


def trade(number: int, time_ns: int | None = None) -> ExchangeTrade:
    return ExchangeTrade(
        "BTC-USD", number, Decimal(100), Decimal(1), "BUY", number * 1_000 if time_ns is None else time_ns
    )


def numbers(trades: Sequence[ExchangeTrade]) -> list[int]:
    return [known.number for known in trades]


@given(st.lists(st.integers(1, 60)))
def test_each_number_is_kept_once_and_in_order(arrived: list[int]) -> None:
    market = Market(["BTC-USD"], 1_000)
    added = [market.add(trade(number)) for number in arrived]

    assert numbers(market.trades("BTC-USD")) == sorted(set(arrived))
    assert sum(added) == len(set(arrived))
    assert market.next_number("BTC-USD") == max(arrived, default=0) + 1


def test_pages_end_where_they_are_asked_to() -> None:
    market = Market(["BTC-USD"], 1_000)
    for number in (1, 2, 5, 6):
        market.add(trade(number))

    assert numbers(market.above("BTC-USD", 2)) == [5, 6]
    assert numbers(market.above("BTC-USD", 3)) == [5, 6]
    assert numbers(market.below("BTC-USD", 5)) == [1, 2]
    assert numbers(market.newest("BTC-USD", 2)) == [5, 6]
    assert numbers(market.newest("BTC-USD", 9)) == [1, 2, 5, 6]


def test_pages_by_time_leave_no_trade_out() -> None:
    """Neither a late one nor one of several at the same time, wherever the page ends."""
    market = Market(["BTC-USD"], 1_000)
    for known in (trade(1, 10), trade(2, 20), trade(3, 15), trade(4, 20), trade(5, 20), trade(6, 30)):
        market.add(known)

    pages, since_ns = [], 10
    for _ in range(3):
        page, since_ns = market.after("BTC-USD", since_ns, 2)
        pages.append(numbers(page))

    assert pages == [[2, 3], [4, 5], [6]]
    assert market.after("BTC-USD", since_ns, 2) == ([], since_ns)


def test_old_trades_are_forgotten_and_numbers_go_on() -> None:
    market = Market(["BTC-USD"], 100)
    for number in range(1, 501):
        market.add(trade(number))

    kept = numbers(market.trades("BTC-USD"))
    assert 100 <= len(kept) <= 110
    assert kept[-1] == 500
    assert market.next_number("BTC-USD") == 501


def test_skipped_numbers_are_never_used() -> None:
    market = Market(["BTC-USD"], 100)
    market.add(trade(7))
    market.skip("BTC-USD", 3)

    assert market.next_number("BTC-USD") == 11


def test_a_view_changes_and_hides() -> None:
    market = Market(["BTC-USD"], 100)
    for number in (1, 2, 3):
        market.add(trade(number))

    seen = market.seen_as(
        lambda known: None if known.number == 2 else msgspec.structs.replace(known, price=known.price + 1)
    )

    assert numbers(seen.trades("BTC-USD")) == [1, 3]
    assert {known.price for known in seen.trades("BTC-USD")} == {Decimal(101)}
    assert numbers(market.trades("BTC-USD")) == [1, 2, 3]


def distorted(action: Drop | Repeat | Reorder, frames: str) -> str:
    distortion = Distortion()
    distortion.begin(action)
    return "".join(out for frame in frames for out in distortion.through(frame))


@pytest.mark.parametrize(
    ("action", "expected"),
    [(Drop(2), "cde"), (Repeat(2), "aabbcde"), (Reorder(3), "cbade"), (Reorder(1), "abcde")],
)
def test_distortions_end_where_they_should(action: Drop | Repeat | Reorder, expected: str) -> None:
    assert distorted(action, "abcde") == expected


@pytest.mark.parametrize("action", ACTIONS)
def test_a_script_can_be_written_as_json(action: AnyAction) -> None:
    fault = Fault(action, connection=None, after_frames=7)

    assert read_script(msgspec.json.encode([fault])) == [fault]


def test_the_documented_script_is_read() -> None:
    script = b'[{"action":{"do":"close","code":1000},"after_frames":100},{"action":{"do":"reset"},"after_s":1.5}]'

    assert read_script(script) == [Fault(Close(1000), after_frames=100), Fault(Reset(), after_s=1.5)]


@pytest.mark.parametrize("script", [b"{}", b"[{}]", b'[{"action":{"do":"explode"}}]', b"not json"])
def test_a_wrong_script_says_so(script: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_script(script)


def test_a_fault_is_for_its_connection() -> None:
    assert [Fault(Reset(), connection=2).is_for(number) for number in (1, 2, 3)] == [False, True, False]
    assert Fault(Reset(), connection=None).is_for(9)
