"""The flow that matching engines are measured with is the one that the docs tell of."""

from collections import Counter

from tests.bench.books import MID, Tickplane, full_book, mixed_flow

LEVELS = 200


def test_the_book_is_full_on_both_sides_before_the_clock_starts() -> None:
    engine = Tickplane()
    engine.prepare(full_book(LEVELS, 3))()
    depth = engine.market.books["BENCH-USD"].depth()
    assert [price for price, _quantity in depth.bids] == list(range(MID - 1, MID - 1 - LEVELS // 2, -1))
    assert [price for price, _quantity in depth.asks] == list(range(MID + 1, MID + 1 + LEVELS // 2))


def test_six_commands_of_ten_are_limit_orders_three_cancels_and_one_a_market_order() -> None:
    steps = mixed_flow(10_000, LEVELS, 600)
    kinds = Counter(step.kind for step in steps)
    assert {kind: round(count / 1_000) for kind, count in kinds.items()} == {"limit": 6, "cancel": 3, "market": 1}
    cancelled = [step.number for step in steps if step.kind == "cancel"]
    assert len(cancelled) == len(set(cancelled)), "no order is cancelled twice"


def test_the_engine_takes_all_of_it_and_no_money_is_made() -> None:
    engine = Tickplane()
    engine.prepare(full_book(LEVELS, 3))()
    before = engine.market.position
    engine.prepare(mixed_flow(2_000, LEVELS, 600))()
    assert engine.market.position == before + 2_000
    assert engine.market.books["BENCH-USD"].last_price is not None
    assert not any(engine.market.ledger.totals().values())
