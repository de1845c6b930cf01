"""The gateway's copy of a book: it is the engine's book after each record, or it says that it is not known."""

import random
import zlib
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.lab import BookUpdate, OrderSide
from services.domain.book_feed import BookCopy, Fold
from tests.support.stream import LabBook

SIDES: tuple[OrderSide, OrderSide] = ("buy", "sell")
LEVELS_MAX = 1_000


def shown(copy: BookCopy) -> tuple[list[list[str]], list[list[str]]]:
    return [list(level) for level in copy.bids(LEVELS_MAX)], [list(level) for level in copy.asks(LEVELS_MAX)]


def some_change(book: LabBook, chance: random.Random) -> BookUpdate:
    """A few levels at once, some of which are taken away."""
    levels: dict[tuple[OrderSide, int], int] = {}
    for _ in range(chance.randint(1, 4)):
        side = chance.choice(SIDES)
        own = book.bids if side == "buy" else book.asks
        if own and chance.random() < 0.4:
            levels[side, chance.choice(sorted(own))] = 0
        else:
            levels[side, chance.randint(*((900, 999) if side == "buy" else (1_001, 1_100)))] = chance.randint(1, 50)
    return book.change(*((side, ticks, lots) for (side, ticks), lots in levels.items()))


@given(st.randoms(use_true_random=False), st.integers(0, 60), st.integers(0, 3))
def test_it_is_the_engines_book_after_every_change(chance: random.Random, before: int, window: int) -> None:
    book = LabBook()
    for _ in range(before):
        some_change(book, chance)
    copy = BookCopy()
    assert copy.fold(book.snapshot()) is Fold.FOUND
    for number in range(40):
        assert copy.fold(some_change(book, chance)) is Fold.FOLLOWED
        assert (shown(copy), copy.sequence) == (book.shown(), book.sequence)
        if window and number % window == 0:
            assert copy.fold(book.snapshot()) is Fold.FOLLOWED


@given(st.randoms(use_true_random=False), st.integers(0, 29))
def test_whichever_change_is_missing_the_copy_is_lost_until_the_next_snapshot(chance: random.Random, lost: int) -> None:
    book, copy = LabBook(), BookCopy()
    copy.fold(book.snapshot())
    for number in range(30):
        record = some_change(book, chance)
        if number == lost:
            continue
        fold = copy.fold(record)
        assert fold is (Fold.FOLLOWED if number < lost else Fold.HOLE if number == lost + 1 else Fold.UNKNOWN)
        assert shown(copy) == (book.shown() if number < lost else ([], []))
    assert copy.fold(book.snapshot()) is (Fold.HOLE if lost == 29 else Fold.FOUND)
    assert shown(copy) == book.shown()
    assert copy.fold(some_change(book, chance)) is Fold.FOLLOWED


def test_the_checksum_is_over_the_ten_best_of_each_side_as_the_docs_say() -> None:
    book, copy = LabBook(), BookCopy()
    for number in range(12):
        book.change(("buy", 950 + number, 2 + number))
    book.change(("sell", 1_000, 7))
    record = book.snapshot()
    text = ",".join([*(f"{961 - number}:{13 - number}" for number in range(10)), "1000:7"])
    assert record.checksum == zlib.crc32(text.encode())
    assert copy.fold(record) is Fold.FOUND
    assert copy.checksum == record.checksum


@pytest.mark.parametrize(
    "wrong",
    [
        {"checksum": 1},
        {"bids": ((Decimal("9.99"), Decimal("0.004")),)},
        {"bids": ()},
        {"bids": ((Decimal("9.991"), Decimal("0.003")),)},
        {"bids": ((Decimal("9.99"), Decimal("0.0035")),)},
        {"tick_size": Decimal("0.02")},
    ],
    ids=["checksum", "quantity", "level", "off the tick", "off the lot", "tick size"],
)
@pytest.mark.parametrize("kind", ["delta", "snapshot"])
def test_a_book_that_is_not_what_its_record_says_is_lost(kind: str, wrong: dict[str, object]) -> None:
    book, copy, control = LabBook(), BookCopy(), BookCopy()
    for one in (copy, control):
        one.fold(book.snapshot())
    good = book.change(("buy", 999, 3))
    good = good if kind == "delta" else book.snapshot()
    assert copy.fold(msgspec.structs.replace(good, **wrong)) is Fold.CHECKSUM
    assert (copy.sequence, shown(copy)) == (None, ([], []))
    assert control.fold(good) is (Fold.FOLLOWED if kind == "delta" else Fold.HOLE)
    assert shown(control) == book.shown()


def test_a_change_before_any_snapshot_is_not_known_but_a_books_first_is() -> None:
    book, late, first = LabBook(), BookCopy(), BookCopy()
    beginning = book.change(("buy", 999, 3), ("sell", 1_001, 4))
    assert first.fold(beginning) is Fold.FOUND
    second = book.change(("buy", 999, 0))
    assert (first.fold(second), late.fold(second)) == (Fold.FOLLOWED, Fold.UNKNOWN)
    assert shown(first) == book.shown() == ([], [["10.01", "0.004"]])
    assert late.sequence is None


def test_a_change_that_the_copy_has_changes_nothing() -> None:
    book, copy = LabBook(), BookCopy()
    old = book.change(("buy", 999, 3))
    book.change(("buy", 999, 0))
    copy.fold(book.snapshot())
    assert copy.fold(old) is Fold.FOLLOWED
    assert shown(copy) == ([], [])


def test_a_snapshot_with_fewer_levels_takes_none_away() -> None:
    book, copy = LabBook(), BookCopy()
    for number in range(30):
        copy.fold(book.change(("sell", 1_001 + number, 1)))
    assert copy.fold(book.snapshot(levels_max=12)) is Fold.FOLLOWED
    assert shown(copy) == book.shown()
    assert len(copy.asks(10)) == 10


def test_another_book_takes_its_place_also_an_older_one() -> None:
    book, copy = LabBook(), BookCopy()
    for number in range(3):
        copy.fold(book.change(("sell", 1_001 + number, 1)))
    anew = LabBook()
    anew.change(("buy", 500, 1))
    assert copy.fold(anew.snapshot()) is Fold.HOLE
    assert shown(copy) == anew.shown()
