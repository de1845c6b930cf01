"""The market maker's quotes: what it wants, and how it gets there from what is on the book."""

from decimal import Decimal
from itertools import pairwise

import pytest

from services.local.quoting import LEVELS, STEP, Changes, Quote, Resting, changes, fair_price, quotes, taken

REFERENCE = Decimal(100)
DAY_S = 86_400


def rested(wanted: list[Quote]) -> list[Resting]:
    return [Resting(str(number), each.side, each.price, each.quantity) for number, each in enumerate(wanted)]


def test_the_price_depends_on_the_time_alone_and_stays_in_the_band_for_ever() -> None:
    prices = [fair_price(REFERENCE, second) for second in range(0, DAY_S, 7)]
    assert prices == [fair_price(REFERENCE, second) for second in range(0, DAY_S, 7)]
    assert max(prices) / min(prices) < Decimal("1.1"), "so an old last trade is never too far away to quote"
    assert len(set(prices)) > 10_000, "it moves"


def test_the_price_moves_by_less_than_a_level_in_a_second() -> None:
    prices = [fair_price(REFERENCE, second) for second in range(DAY_S // 4)]
    assert max(abs(after - before) for before, after in pairwise(prices)) < STEP


@pytest.mark.parametrize("fair", ["100", "99.9999", "100.0501", "97.123456789012345"])
def test_there_are_levels_a_side_around_the_price_and_never_crossed(fair: str) -> None:
    wanted = quotes(Decimal(fair))
    bids = [quote.price for quote in wanted if quote.side == "buy"]
    asks = [quote.price for quote in wanted if quote.side == "sell"]
    assert len(bids) == len(asks) == LEVELS
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < Decimal(fair) < asks[0]
    assert all(price % STEP == 0 for price in (*bids, *asks))


def test_an_empty_book_is_filled_and_one_as_wanted_is_left_alone() -> None:
    wanted = quotes(REFERENCE)
    assert changes(wanted, []) == Changes((), tuple(wanted))
    assert changes(wanted, rested(wanted)) == Changes((), ())


def test_a_move_by_a_level_changes_the_ends_only() -> None:
    before, after = quotes(REFERENCE), quotes(REFERENCE + STEP)
    found = changes(after, rested(before))
    gone = [before[int(order_id)] for order_id in found.cancel]
    assert [quote.side for quote in gone] == ["buy", "sell"]
    assert sorted(quote.side for quote in found.place) == ["buy", "sell"]


def test_what_is_nearly_used_up_is_made_anew_and_what_is_not_keeps_its_place() -> None:
    wanted = quotes(REFERENCE)[-1]
    half = wanted.quantity / 2
    assert changes([wanted], [Resting("a", "sell", wanted.price, half)]) == Changes((), ())
    assert changes([wanted], [Resting("a", "sell", wanted.price, half - STEP)]) == Changes(("a",), (wanted,))


def test_a_second_order_at_a_wanted_price_is_cancelled_so_that_there_is_never_more_than_is_wanted() -> None:
    wanted = quotes(REFERENCE)
    twice = [
        *rested(wanted),
        *(Resting(f"again-{each.id}", each.side, each.price, each.remaining) for each in rested(wanted)),
    ]
    found = changes(wanted, twice)
    assert set(found.cancel) == {f"again-{number}" for number in range(len(wanted))}
    assert found.place == ()


def test_takers_buy_and_sell_the_same_amounts() -> None:
    first = [taken(number) for number in range(60)]
    bought = sum(quantity for side, quantity in first if side == "buy")
    assert bought == sum(quantity for side, quantity in first if side == "sell") > 0
    assert len({quantity for _, quantity in first}) == 3
