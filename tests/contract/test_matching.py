"""The rules of the order lab, one by one, as one suite that the engine and its oracle both have to pass.

An order is named ``account-n``; prices are ticks, quantities lots. ``brief`` puts events into words.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from services.contracts.lab import OrderSide
from services.domain import orders
from services.domain.matching import CASCADE_MAX
from tests.support.lab import FREE, NOON, ONE, SYMBOL, TINY, Engine, Lab, Oracle, Script, brief

OPEN_ORDERS_MAX = 400
SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS

LOT = ONE // 1_000
"""Units of DEMO in a lot."""
TICK_LOT = ONE // 100_000
"""Units of USD that a lot costs at a tick."""


@pytest.fixture(params=[Engine, Oracle])
def lab(request: pytest.FixtureRequest) -> Script:
    make: Callable[[int], Lab] = request.param
    script = Script(make(OPEN_ORDERS_MAX))
    script.fund("alice", "bob", "carol")
    return script


# Priority


def test_the_better_price_trades_first_though_it_came_later(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_002)
    lab.limit("bob-1", "sell", 5, 1_001)
    assert brief(lab.limit("carol-1", "buy", 8, 1_002)) == [
        "carol-1 accepted",
        "carol-1 takes 5 at 1001 of bob-1",
        "carol-1 takes 3 at 1002 of alice-1",
    ]


def test_at_one_price_the_older_order_trades_first(lab: Script) -> None:
    lab.limit("bob-1", "buy", 5, 1_000)
    lab.limit("alice-1", "buy", 5, 1_000)
    assert brief(lab.limit("carol-1", "sell", 7, 1_000))[1:] == [
        "carol-1 takes 5 at 1000 of bob-1",
        "carol-1 takes 2 at 1000 of alice-1",
    ]


def test_a_maker_filled_in_part_keeps_its_place(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.limit("bob-1", "buy", 5, 1_000)
    lab.limit("carol-1", "sell", 2, 1_000)
    assert brief(lab.limit("carol-2", "sell", 4, 1_000))[1:] == [
        "carol-2 takes 3 at 1000 of alice-1",
        "carol-2 takes 1 at 1000 of bob-1",
    ]


def test_the_trade_is_at_the_makers_price_and_the_rest_of_the_taker_rests_at_its_own(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 990)
    assert brief(lab.limit("bob-1", "buy", 8, 1_000)) == [
        "bob-1 accepted",
        "bob-1 takes 5 at 990 of alice-1",
        "bob-1 rests 3 at 1000",
    ]
    assert lab.lab.depth(SYMBOL.symbol) == ([(1_000, 3)], [])


def test_depth_adds_up_a_levels_orders_best_price_first(lab: Script) -> None:
    for name, quantity, price in (("alice-1", 5, 999), ("bob-1", 6, 998), ("alice-2", 7, 999)):
        lab.limit(name, "buy", quantity, price)
    lab.limit("bob-2", "sell", 4, 1_003)
    lab.limit("bob-3", "sell", 3, 1_001)
    assert lab.lab.depth(SYMBOL.symbol) == ([(999, 12), (998, 6)], [(1_001, 3), (1_003, 4)])


# Time in force


def test_ioc_trades_what_it_can_and_the_rest_is_cancelled(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    assert brief(lab.limit("bob-1", "buy", 8, 1_000, time_in_force="IOC")) == [
        "bob-1 accepted",
        "bob-1 takes 5 at 1000 of alice-1",
        "bob-1 cancelled 3: unfilled",
    ]
    assert lab.lab.depth(SYMBOL.symbol) == ([], [])


def test_fok_that_cannot_fill_within_its_limit_trades_nothing(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("alice-2", "sell", 5, 1_002)
    assert brief(lab.limit("bob-1", "buy", 8, 1_001, time_in_force="FOK")) == [
        "bob-1 accepted",
        "bob-1 cancelled 8: fill_or_kill",
    ]
    assert lab.lab.depth(SYMBOL.symbol) == ([], [(1_000, 5), (1_002, 5)])


def test_fok_that_can_fill_over_several_levels_does(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("alice-2", "sell", 5, 1_002)
    assert brief(lab.limit("bob-1", "buy", 10, 1_002, time_in_force="FOK"))[1:] == [
        "bob-1 takes 5 at 1000 of alice-1",
        "bob-1 takes 5 at 1002 of alice-2",
    ]


def test_fok_that_would_meet_an_own_order_is_killed_because_that_would_not_be_a_fill(lab: Script) -> None:
    lab.limit("bob-1", "sell", 5, 1_000)
    lab.limit("alice-1", "sell", 5, 1_000)
    for number, instruction in enumerate(("cancel_newest", "cancel_both", "decrement_and_cancel"), 2):
        fields = {"time_in_force": "FOK", "self_trade": instruction}
        assert brief(lab.limit(f"bob-{number}", "buy", 5, 1_000, **fields))[1:] == [
            f"bob-{number} cancelled 5: fill_or_kill"
        ]


def test_fok_with_cancel_oldest_passes_over_its_own_orders_because_they_give_way(lab: Script) -> None:
    lab.limit("bob-1", "sell", 5, 1_000)
    lab.limit("alice-1", "sell", 5, 1_000)
    assert brief(lab.limit("bob-2", "buy", 5, 1_000, time_in_force="FOK", self_trade="cancel_oldest"))[1:] == [
        "bob-1 cancelled 5: self_trade",
        "bob-2 takes 5 at 1000 of alice-1",
    ]


def test_gtd_expires_at_its_time_and_not_before_also_on_a_quiet_book(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON + 10)
    lab.time = NOON + 9
    assert lab.do(orders.Clock()) == []
    lab.time = NOON + 10
    assert brief(lab.do(orders.Clock())) == ["alice-1 expired 5"]
    assert lab.lab.depth(SYMBOL.symbol) == ([], [])


def test_an_order_whose_time_is_up_does_not_trade_with_the_command_that_brings_the_time(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON + 10)
    lab.time = NOON + 10
    assert brief(lab.limit("bob-1", "sell", 5, 1_000)) == [
        "alice-1 expired 5",
        "bob-1 accepted, rests 5 at 1000",
    ]


def test_orders_expire_by_their_times_and_then_by_age(lab: Script) -> None:
    for name, expire_time in (("alice-1", NOON + 20), ("bob-1", NOON + 10), ("alice-2", NOON + 10)):
        lab.limit(name, "buy", 5, 1_000, time_in_force="GTD", expire_time=expire_time)
    lab.time = NOON + 30
    assert brief(lab.do(orders.Clock())) == ["bob-1 expired 5", "alice-2 expired 5", "alice-1 expired 5"]


def test_gtd_that_is_over_on_arrival_is_rejected(lab: Script) -> None:
    assert brief(lab.limit("alice-1", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON)) == [
        "alice-1 rejected: expire_time"
    ]


def test_time_does_not_go_back_when_a_broker_timestamp_does(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON + 10)
    lab.time = NOON + 10
    lab.do(orders.Clock())
    lab.time = NOON
    assert brief(lab.limit("alice-2", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON + 5)) == [
        "alice-2 rejected: expire_time"
    ]


def test_post_only_is_rejected_when_it_would_take_and_rests_when_it_would_not(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    assert brief(lab.limit("bob-1", "buy", 5, 1_000, post_only=True)) == ["bob-1 rejected: post_only_would_take"]
    assert brief(lab.limit("bob-2", "buy", 5, 999, post_only=True)) == ["bob-2 accepted, rests 5 at 999"]


def test_post_only_is_rejected_before_an_own_order_too_because_the_book_may_not_cross(lab: Script) -> None:
    lab.limit("bob-1", "sell", 5, 1_000)
    assert brief(lab.limit("bob-2", "buy", 5, 1_000, post_only=True, self_trade="cancel_oldest")) == [
        "bob-2 rejected: post_only_would_take"
    ]


# Market orders and the band


def test_a_market_order_trades_to_the_edge_of_the_band_and_the_rest_is_cancelled(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_100)
    lab.limit("alice-2", "sell", 5, 1_200)
    lab.limit("bob-1", "buy", 5, 1_100)
    lab.limit("alice-3", "sell", 5, 1_300)
    lab.limit("alice-4", "sell", 5, 900)
    assert brief(lab.market("bob-2", "buy", 20)) == [
        "bob-2 accepted",
        "bob-2 takes 5 at 900 of alice-4",
        "bob-2 takes 5 at 1200 of alice-2",
        "bob-2 takes 5 at 1300 of alice-3",
        "bob-2 cancelled 5: unfilled",
    ]
    assert brief(lab.limit("alice-5", "sell", 5, 1_300)) == ["alice-5 accepted, rests 5 at 1300"]
    assert brief(lab.limit("bob-3", "buy", 5, 1_039)) == ["bob-3 rejected: price_band"]


def test_a_market_order_does_not_trade_beyond_the_band(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_200)
    lab.limit("bob-1", "sell", 5, 1_200)
    lab.limit("alice-2", "buy", 5, 960)
    lab.limit("alice-3", "buy", 5, 1_440)
    lab.limit("bob-2", "sell", 5, 1_440)
    assert brief(lab.market("bob-3", "sell", 5)) == ["bob-3 accepted", "bob-3 cancelled 5: unfilled"]


def test_a_market_order_on_an_empty_book_is_cancelled(lab: Script) -> None:
    assert brief(lab.market("bob-1", "buy", 5)) == ["bob-1 accepted", "bob-1 cancelled 5: unfilled"]
    assert brief(lab.market("bob-2", "buy", 5, time_in_force="FOK"))[1:] == ["bob-2 cancelled 5: fill_or_kill"]


def test_a_limit_outside_the_band_around_the_reference_price_is_rejected_and_on_its_edge_is_not(lab: Script) -> None:
    assert brief(lab.limit("alice-1", "buy", 5, 799)) == ["alice-1 rejected: price_band"]
    assert brief(lab.limit("alice-2", "buy", 5, 800))[0].startswith("alice-2 accepted")
    assert brief(lab.limit("alice-3", "sell", 5, 1_201)) == ["alice-3 rejected: price_band"]
    assert brief(lab.limit("alice-4", "sell", 5, 1_200))[0].startswith("alice-4 accepted")


def test_the_band_follows_the_last_trade(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_200)
    lab.limit("bob-1", "buy", 5, 1_200)
    assert brief(lab.limit("alice-2", "sell", 5, 1_440))[0].startswith("alice-2 accepted")
    assert brief(lab.limit("alice-3", "buy", 5, 959)) == ["alice-3 rejected: price_band"]


# The symbol's rules


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        (1, 1_000, "notional"),
        (2, 1_000, None),
        (10_000, 1_000, None),
        (10_001, 1_000, "quantity"),
    ],
)
def test_quantity_and_notional_have_bounds_which_are_allowed_themselves(
    lab: Script, quantity: int, price: int, reason: str | None
) -> None:
    found = brief(lab.limit("alice-1", "buy", quantity, price))
    assert found == ([f"alice-1 rejected: {reason}"] if reason else [f"alice-1 accepted, rests {quantity} at {price}"])


def test_the_largest_notional_is_a_bound_too(lab: Script) -> None:
    lab.do(orders.ListSymbol(msgspec.structs.replace(SYMBOL, max_notional=Decimal("0.1"))))
    assert brief(lab.limit("alice-1", "buy", 10, 1_000))[0].startswith("alice-1 accepted")
    assert brief(lab.limit("alice-2", "buy", 10, 1_001)) == ["alice-2 rejected: notional"]


def test_an_unknown_symbol_is_rejected(lab: Script) -> None:
    assert brief(lab.limit("alice-1", "buy", 5, 1_000, symbol="NONE-USD")) == ["alice-1 rejected: unknown_symbol"]


def test_bounds_may_change_while_orders_rest_but_not_what_their_holds_are_made_of(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    narrow = msgspec.structs.replace(SYMBOL, band_bps=100)
    assert brief(lab.do(orders.ListSymbol(narrow))) == ["listed"]
    assert brief(lab.limit("alice-2", "buy", 5, 989)) == ["alice-2 rejected: price_band"]
    dearer = msgspec.structs.replace(SYMBOL, taker_fee_bps=26)
    assert brief(lab.do(orders.ListSymbol(dearer))) == ["list DEMO-USD refused: symbol_rules"]


def test_open_orders_of_an_account_are_limited_but_what_never_rests_is_not(lab: Script) -> None:
    for number in range(OPEN_ORDERS_MAX):
        lab.limit(f"alice-{number}", "buy", 2, 1_000)
    assert brief(lab.limit("alice-more", "buy", 2, 1_000)) == ["alice-more rejected: too_many_open_orders"]
    assert brief(lab.limit("alice-ioc", "buy", 2, 1_000, time_in_force="IOC"))[0].startswith("alice-ioc accepted")
    assert brief(lab.limit("bob-1", "buy", 2, 1_000))[0].startswith("bob-1 accepted")
    lab.cancel("alice-0")
    assert brief(lab.limit("alice-again", "buy", 2, 1_000))[0].startswith("alice-again accepted")


# Self-trade prevention


def test_cancel_newest_ends_the_taker_and_leaves_its_older_order_alone(lab: Script) -> None:
    lab.limit("bob-1", "sell", 3, 1_000)
    lab.limit("alice-1", "sell", 5, 1_000)
    assert brief(lab.limit("alice-2", "buy", 10, 1_000, self_trade="cancel_newest"))[1:] == [
        "alice-2 takes 3 at 1000 of bob-1",
        "alice-2 cancelled 7: self_trade",
    ]
    assert lab.lab.depth(SYMBOL.symbol) == ([], [(1_000, 5)])


def test_cancel_oldest_ends_the_resting_order_and_the_taker_goes_on(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 3, 1_000)
    assert brief(lab.limit("alice-2", "buy", 10, 1_000, self_trade="cancel_oldest"))[1:] == [
        "alice-1 cancelled 5: self_trade",
        "alice-2 takes 3 at 1000 of bob-1",
        "alice-2 rests 7 at 1000",
    ]


def test_cancel_both_ends_both_and_touches_no_third(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 3, 1_000)
    assert brief(lab.limit("alice-2", "buy", 10, 1_000, self_trade="cancel_both"))[1:] == [
        "alice-1 cancelled 5: self_trade",
        "alice-2 cancelled 10: self_trade",
    ]
    assert lab.lab.depth(SYMBOL.symbol) == ([], [(1_000, 3)])


@pytest.mark.parametrize(
    ("quantity", "told"),
    [
        (8, ["alice-1 cancelled 5: self_trade", "alice-2 loses 5, left 3", "alice-2 rests 3 at 1000"]),
        (3, ["alice-1 loses 3, left 2", "alice-2 cancelled 3: self_trade"]),
        (5, ["alice-1 cancelled 5: self_trade", "alice-2 cancelled 5: self_trade"]),
    ],
)
def test_decrement_and_cancel_ends_the_smaller_and_takes_as_much_off_the_larger(
    lab: Script, quantity: int, told: list[str]
) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    assert brief(lab.limit("alice-2", "buy", quantity, 1_000, self_trade="decrement_and_cancel"))[1:] == told


def test_what_self_trade_prevention_decrements_keeps_its_place(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 5, 1_000)
    lab.limit("alice-2", "buy", 2, 1_000, self_trade="decrement_and_cancel")
    assert brief(lab.limit("carol-1", "buy", 4, 1_000))[1:] == [
        "carol-1 takes 3 at 1000 of alice-1",
        "carol-1 takes 1 at 1000 of bob-1",
    ]


def test_the_takers_instruction_wins_over_the_resting_orders(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000, self_trade="cancel_newest")
    assert brief(lab.limit("alice-2", "buy", 5, 1_000, self_trade="cancel_oldest"))[1:] == [
        "alice-1 cancelled 5: self_trade",
        "alice-2 rests 5 at 1000",
    ]


# Cancelling and replacing


def test_cancel_ends_an_open_order_and_refuses_one_that_is_not_open(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.limit("bob-1", "sell", 2, 1_000)
    assert brief(lab.cancel("alice-1")) == ["alice-1 cancelled 3: requested"]
    assert brief(lab.cancel("alice-1")) == ["cancel alice-1 refused: unknown_order"]


def test_nobody_cancels_another_accounts_order(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    assert brief(lab.do(orders.Cancel("bob", "alice-1"))) == ["cancel alice-1 refused: unknown_order"]


def test_cancel_all_takes_an_accounts_orders_oldest_first_of_one_symbol_where_it_is_named(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.limit("alice-2", "buy", 5, 1_000, symbol=FREE.symbol)
    lab.stop("alice-3", "buy", 5, 1_100)
    lab.limit("bob-1", "buy", 5, 1_000)
    assert brief(lab.do(orders.CancelAll("alice", SYMBOL.symbol))) == [
        "alice-1 cancelled 5: requested",
        "alice-3 cancelled 5: requested",
    ]
    assert brief(lab.do(orders.CancelAll("alice"))) == ["alice-2 cancelled 5: requested"]


def test_reducing_the_quantity_keeps_priority(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 5, 1_000)
    assert brief(lab.replace("alice-1", quantity=3)) == ["alice-1 now 3 at 1000, keeps priority"]
    assert brief(lab.limit("carol-1", "buy", 4, 1_000))[1:] == [
        "carol-1 takes 3 at 1000 of alice-1",
        "carol-1 takes 1 at 1000 of bob-1",
    ]


def test_raising_the_quantity_loses_priority_because_others_were_there_for_it(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 5, 1_000)
    assert brief(lab.replace("alice-1", quantity=6)) == [
        "alice-1 now 6 at 1000, loses priority",
        "alice-1 rests 6 at 1000",
    ]
    assert brief(lab.limit("carol-1", "buy", 5, 1_000))[1:] == ["carol-1 takes 5 at 1000 of bob-1"]


def test_another_price_loses_priority_though_the_quantity_is_less(lab: Script) -> None:
    lab.limit("alice-1", "sell", 5, 1_000)
    lab.limit("bob-1", "sell", 5, 1_001)
    lab.replace("alice-1", price=1_001, quantity=3)
    assert brief(lab.limit("carol-1", "buy", 5, 1_001))[1:] == ["carol-1 takes 5 at 1001 of bob-1"]


def test_a_replaced_order_that_crosses_trades_as_a_taker(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 990)
    lab.limit("bob-1", "sell", 3, 1_000)
    assert brief(lab.replace("alice-1", price=1_000)) == [
        "alice-1 now 5 at 1000, loses priority",
        "alice-1 takes 3 at 1000 of bob-1",
        "alice-1 rests 2 at 1000",
    ]


def test_the_replaced_quantity_includes_what_is_filled_so_that_a_retry_changes_nothing(lab: Script) -> None:
    lab.limit("alice-1", "buy", 10, 1_000)
    lab.limit("bob-1", "sell", 4, 1_000)
    assert brief(lab.replace("alice-1", quantity=8)) == ["alice-1 now 4 at 1000, keeps priority"]
    assert brief(lab.replace("alice-1", quantity=8)) == ["alice-1 now 4 at 1000, keeps priority"]


def test_replacing_down_to_what_is_filled_cancels_the_rest(lab: Script) -> None:
    lab.limit("alice-1", "buy", 10, 1_000)
    lab.limit("bob-1", "sell", 4, 1_000)
    assert brief(lab.replace("alice-1", quantity=4)) == ["alice-1 cancelled 6: replaced"]


def test_a_replacement_that_is_refused_leaves_the_order_where_it_was(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000, post_only=True)
    lab.limit("bob-1", "buy", 5, 1_000)
    lab.limit("carol-1", "sell", 5, 1_001)
    for fields, reason in (
        ({"price": 1_001}, "post_only_would_take"),
        ({"price": 1_300}, "price_band"),
        ({"quantity": 10_001}, "quantity"),
        ({"quantity": 1}, "notional"),
        ({"stop_price": 1_000}, "stop_price"),
    ):
        assert brief(lab.replace("alice-1", **fields)) == [f"replace alice-1 refused: {reason}"]
    assert brief(lab.limit("carol-2", "sell", 5, 1_000))[1:] == ["carol-2 takes 5 at 1000 of alice-1"]


def test_a_replacement_must_be_paid_for_and_may_use_what_the_order_held(lab: Script) -> None:
    lab.do(orders.Deposit("dave", "fund", "FREE", 5 * LOT))
    lab.place("dave-1", "sell", 4, price=1_000, symbol=FREE.symbol)
    assert brief(lab.replace("dave-1", quantity=5))[0] == "dave-1 now 5 at 1000, loses priority"
    assert brief(lab.replace("dave-1", quantity=6)) == ["replace dave-1 refused: insufficient_balance"]
    assert lab.lab.balance("dave", "FREE") == (0, 5 * LOT)


# Stops


def trade_at(lab: Script, price: int) -> list[str]:
    """A trade of two lots at a price between two accounts that have nothing else there; what follows from it."""
    lab.limit(f"carol-ask{lab.position}", "sell", 2, price)
    return brief(lab.limit(f"dora-bid{lab.position}", "buy", 2, price))[2:]


@pytest.fixture
def traded(lab: Script) -> Script:
    """A lab whose last trade was at 1,000."""
    lab.fund("dora")
    trade_at(lab, 1_000)
    return lab


def test_a_buy_stop_waits_unseen_until_a_trade_at_its_price_or_above(traded: Script) -> None:
    assert brief(traded.stop("alice-1", "buy", 5, 1_005)) == ["alice-1 accepted"]
    assert traded.lab.depth(SYMBOL.symbol) == ([], [])
    assert trade_at(traded, 1_004) == []
    assert trade_at(traded, 1_005) == ["alice-1 triggered", "alice-1 cancelled 5: unfilled"]


def test_a_sell_stop_is_triggered_by_a_trade_at_its_price_or_below(traded: Script) -> None:
    traded.stop("alice-1", "sell", 5, 995)
    assert trade_at(traded, 996) == []
    traded.limit("bob-1", "buy", 5, 990)
    assert trade_at(traded, 994) == ["alice-1 triggered", "alice-1 takes 5 at 990 of bob-1"]


def test_only_trades_trigger_stops_not_quotes(traded: Script) -> None:
    traded.stop("alice-1", "buy", 5, 1_005)
    assert brief(traded.limit("bob-1", "buy", 5, 1_010)) == ["bob-1 accepted, rests 5 at 1010"]


def test_a_triggered_stop_limit_rests_at_its_limit(traded: Script) -> None:
    traded.stop("alice-1", "buy", 5, 1_005, price=1_006)
    assert trade_at(traded, 1_005) == ["alice-1 triggered", "alice-1 rests 5 at 1006"]
    assert traded.lab.depth(SYMBOL.symbol) == ([(1_006, 5)], [])


def test_a_stop_that_the_last_trade_has_already_reached_is_rejected(traded: Script) -> None:
    assert brief(traded.stop("alice-1", "buy", 5, 1_000)) == ["alice-1 rejected: stop_would_trigger"]
    assert brief(traded.stop("alice-2", "sell", 5, 1_000)) == ["alice-2 rejected: stop_would_trigger"]


def test_the_band_of_a_stop_is_around_its_own_price_because_it_will_trade_there(traded: Script) -> None:
    assert brief(traded.stop("alice-1", "buy", 5, 2_000, price=2_400)) == ["alice-1 accepted"]
    assert brief(traded.stop("alice-2", "buy", 5, 2_000, price=2_401)) == ["alice-2 rejected: price_band"]


def test_a_triggered_stop_trades_no_further_than_the_band_around_its_stop_price(traded: Script) -> None:
    trade_at(traded, 800)
    traded.limit("bob-1", "buy", 5, 700)
    trade_at(traded, 960)
    trade_at(traded, 1_000)
    assert traded.stop("alice-1", "sell", 5, 990)[0]["price"] == 792
    assert trade_at(traded, 990) == ["alice-1 triggered", "alice-1 cancelled 5: unfilled"]


def test_stops_trade_in_the_order_in_which_the_takers_prices_reach_them(traded: Script) -> None:
    """A sweep up from 1,001 to 1,005: 1,003 is passed before 1,005, and at 1,003 the older stop is first."""
    for name, price in (("alice-1", 1_005), ("alice-2", 1_003), ("alice-3", 1_003)):
        traded.stop(name, "buy", 2, price)
    for number, price in enumerate((1_001, 1_003, 1_005)):
        traded.limit(f"bob-{number}", "sell", 2, price)
    told = brief(traded.limit("carol-x", "buy", 6, 1_005))
    assert [line for line in told if "triggered" in line] == [
        "alice-2 triggered",
        "alice-3 triggered",
        "alice-1 triggered",
    ]


def test_a_sweep_that_begins_below_the_last_price_reaches_sell_stops_before_buy_stops(traded: Script) -> None:
    traded.stop("alice-1", "buy", 2, 1_003)
    traded.stop("alice-2", "sell", 2, 999)
    traded.limit("bob-1", "sell", 2, 998)
    traded.limit("bob-2", "sell", 2, 1_004)
    told = brief(traded.limit("carol-x", "buy", 4, 1_004))
    assert [line for line in told if "triggered" in line] == ["alice-2 triggered", "alice-1 triggered"]


def test_a_selling_sweep_that_begins_above_the_last_price_reaches_buy_stops_before_sell_stops(traded: Script) -> None:
    traded.stop("alice-1", "sell", 2, 997)
    traded.stop("alice-2", "buy", 2, 1_001)
    traded.limit("bob-1", "buy", 2, 1_002)
    traded.limit("bob-2", "buy", 2, 996)
    told = brief(traded.limit("carol-x", "sell", 4, 996))
    assert [line for line in told if "triggered" in line] == ["alice-2 triggered", "alice-1 triggered"]


def test_a_taker_is_done_before_the_stops_that_it_reaches_begin(traded: Script) -> None:
    traded.stop("alice-1", "buy", 2, 1_001)
    traded.limit("bob-1", "sell", 2, 1_001)
    traded.limit("bob-2", "sell", 2, 1_002)
    assert brief(traded.limit("carol-x", "buy", 4, 1_002))[1:] == [
        "carol-x takes 2 at 1001 of bob-1",
        "carol-x takes 2 at 1002 of bob-2",
        "alice-1 triggered",
        "alice-1 cancelled 2: unfilled",
    ]


def test_a_triggered_stop_may_trigger_another_and_each_but_once(traded: Script) -> None:
    traded.stop("alice-1", "buy", 2, 1_001)
    traded.stop("alice-2", "buy", 2, 1_002)
    for number, price in enumerate((1_001, 1_002, 1_003)):
        traded.limit(f"bob-{number}", "sell", 2, price)
    assert brief(traded.limit("carol-x", "buy", 2, 1_001))[2:] == [
        "alice-1 triggered",
        "alice-1 takes 2 at 1002 of bob-1",
        "alice-2 triggered",
        "alice-2 takes 2 at 1003 of bob-2",
    ]


def test_a_cascade_is_bounded_in_one_command_and_goes_on_with_the_next_before_it(traded: Script) -> None:
    for number in range(CASCADE_MAX + 3):
        traded.stop(f"alice-{number}", "buy", 2, 1_001)
    first = trade_at(traded, 1_001)
    assert sum("triggered" in line for line in first) == CASCADE_MAX
    assert brief(traded.cancel(f"alice-{CASCADE_MAX + 1}"))[:2] == [
        f"alice-{CASCADE_MAX} triggered",
        f"alice-{CASCADE_MAX} cancelled 2: unfilled",
    ]


def test_an_elected_stop_can_still_be_cancelled_but_not_moved(traded: Script) -> None:
    for number in range(2 * CASCADE_MAX + 3):
        traded.stop(f"alice-{number}", "buy", 3, 1_001)
    trade_at(traded, 1_001)
    last = f"alice-{2 * CASCADE_MAX + 2}"
    assert brief(traded.replace(last, stop_price=1_100))[-1] == f"replace {last} refused: stop_triggered"
    traded.do(orders.Halt(SYMBOL.symbol))
    assert brief(traded.lab.apply(10**6, NOON, orders.Clock())) == []


def test_a_stop_can_be_replaced_and_a_stop_order_has_no_limit_to_replace(traded: Script) -> None:
    traded.stop("alice-1", "buy", 5, 1_005)
    assert brief(traded.replace("alice-1", price=1_006)) == ["replace alice-1 refused: price"]
    assert brief(traded.replace("alice-1", stop_price=1_000)) == ["replace alice-1 refused: stop_would_trigger"]
    assert brief(traded.replace("alice-1", stop_price=1_010)) == ["alice-1 now 5 at 1212, loses priority"]
    assert trade_at(traded, 1_005) == []
    assert trade_at(traded, 1_010)[0] == "alice-1 triggered"


def test_a_waiting_stop_expires_too(traded: Script) -> None:
    traded.stop("alice-1", "buy", 5, 1_005, time_in_force="GTD", expire_time=NOON + 10)
    traded.time = NOON + 10
    assert brief(traded.do(orders.Clock())) == ["alice-1 expired 5"]


# Halts


def test_a_halted_symbol_takes_no_orders_but_lets_them_be_cancelled_reduced_and_expire(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.limit("alice-2", "buy", 5, 1_000)
    lab.limit("alice-3", "buy", 5, 1_000, time_in_force="GTD", expire_time=NOON + 1)
    assert brief(lab.do(orders.Halt(SYMBOL.symbol))) == ["halted"]
    assert brief(lab.market("bob-1", "sell", 5)) == ["bob-1 rejected: symbol_halted"]
    assert brief(lab.replace("alice-1", price=1_001)) == ["replace alice-1 refused: symbol_halted"]
    assert brief(lab.replace("alice-1", quantity=4)) == ["alice-1 now 4 at 1000, keeps priority"]
    assert brief(lab.cancel("alice-2")) == ["alice-2 cancelled 5: requested"]
    lab.time = NOON + 1
    assert brief(lab.do(orders.Clock())) == ["alice-3 expired 5"]


def test_other_symbols_trade_on_and_a_resumed_one_trades_again(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.do(orders.Halt(SYMBOL.symbol))
    assert brief(lab.limit("bob-1", "sell", 5, 1_000, symbol=FREE.symbol))[0].startswith("bob-1 accepted")
    assert brief(lab.do(orders.Resume(SYMBOL.symbol))) == ["resumed"]
    assert brief(lab.limit("bob-2", "sell", 5, 1_000))[1:] == ["bob-2 takes 5 at 1000 of alice-1"]


def test_stops_left_over_from_a_cascade_wait_for_the_resumption(traded: Script) -> None:
    for number in range(2 * CASCADE_MAX + 2):
        traded.stop(f"alice-{number}", "buy", 2, 1_001)
    trade_at(traded, 1_001)
    assert brief(traded.do(orders.Halt(SYMBOL.symbol)))[-1] == "halted"
    assert traded.do(orders.Clock()) == []
    assert brief(traded.do(orders.Resume(SYMBOL.symbol)))[:2] == ["resumed", f"alice-{2 * CASCADE_MAX} triggered"]


def test_a_cancelled_stop_takes_no_place_in_a_cascade(traded: Script) -> None:
    for number in range(3 * CASCADE_MAX):
        traded.stop(f"alice-{number}", "buy", 2, 1_001)
    trade_at(traded, 1_001)
    traded.do(orders.Halt(SYMBOL.symbol))
    for number in range(10):
        traded.cancel(f"alice-{2 * CASCADE_MAX + number}")
    traded.stop("alice-more", "buy", 2, 1_001)
    resumed = brief(traded.do(orders.Resume(SYMBOL.symbol)))
    assert sum("triggered" in line for line in resumed) == CASCADE_MAX - 10


def test_a_symbol_that_is_not_there_is_neither_halted_nor_resumed(lab: Script) -> None:
    assert brief(lab.do(orders.Halt("NONE-USD"))) == ["halt NONE-USD refused: unknown_symbol"]
    assert brief(lab.do(orders.Resume("NONE-USD"))) == ["resume NONE-USD refused: unknown_symbol"]


# Balances


def test_a_resting_buy_holds_its_price_and_the_makers_fee_and_a_sell_what_it_sells(lab: Script) -> None:
    lab.limit("alice-1", "buy", 10, 1_000)
    notional = 10 * 1_000 * TICK_LOT
    assert lab.lab.balance("alice", "USD") == (
        1_000 * ONE - notional - notional * 10 // 10_000,
        notional * 10_010 // 10_000,
    )
    lab.limit("bob-1", "sell", 10, 1_001)
    assert lab.lab.balance("bob", "DEMO") == (1_000 * ONE - 10 * LOT, 10 * LOT)


def test_an_order_that_may_take_has_to_cover_the_higher_fee_though_it_might_rest(lab: Script) -> None:
    notional = 10 * 1_000 * TICK_LOT
    lab.do(orders.Deposit("dave", "fund", "USD", notional + notional * 25 // 10_000 - 1))
    lab.limit("alice-1", "sell", 2, 1_000)
    assert brief(lab.limit("dave-1", "buy", 10, 1_000)) == ["dave-1 rejected: insufficient_balance"]
    assert brief(lab.stop("dave-2", "buy", 10, 1_000, price=1_000)) == ["dave-2 rejected: insufficient_balance"]
    lab.do(orders.Deposit("dave", "more", "USD", 1))
    assert brief(lab.limit("dave-3", "buy", 10, 1_000))[0] == "dave-3 accepted"


def test_cancelling_lets_go_of_the_whole_hold(lab: Script) -> None:
    lab.limit("alice-1", "buy", 10, 1_000)
    lab.limit("alice-2", "sell", 10, 1_001)
    lab.do(orders.CancelAll("alice"))
    assert lab.lab.balance("alice", "USD") == (1_000 * ONE, 0)
    assert lab.lab.balance("alice", "DEMO") == (1_000 * ONE, 0)


def test_a_better_price_than_the_limit_is_given_back_at_once(lab: Script) -> None:
    lab.limit("alice-1", "sell", 4, 990)
    lab.limit("bob-1", "buy", 10, 1_000)
    paid, rest = 4 * 990 * TICK_LOT, 6 * 1_000 * TICK_LOT
    fee = paid * 25 // 10_000
    held = rest + rest * 10 // 10_000
    assert lab.lab.balance("bob", "USD") == (1_000 * ONE - paid - fee - held, held)


def test_maker_and_taker_pay_their_own_rates_in_the_quote_asset(lab: Script) -> None:
    lab.limit("alice-1", "sell", 10, 1_000)
    execution = lab.limit("bob-1", "buy", 10, 1_000)[1]
    notional = 10 * 1_000 * TICK_LOT
    assert (execution["maker_fee"], execution["taker_fee"]) == (notional * 10 // 10_000, notional * 25 // 10_000)
    assert lab.lab.balance("alice", "USD")[0] == 1_000 * ONE + notional - execution["maker_fee"]
    assert lab.lab.balance("bob", "USD") == (1_000 * ONE - notional - execution["taker_fee"], 0)
    assert lab.lab.balance("bob", "DEMO") == (1_000 * ONE + 10 * LOT, 0)


def sell_tiny(lab: Script, *quantities: int) -> None:
    """Offers of alice at 1,000, where a lot is worth 1,000 units."""
    lab.do(orders.ListSymbol(TINY))
    lab.do(orders.Deposit("alice", "fund-TINY", "TINY", ONE))
    for number, quantity in enumerate(quantities):
        lab.limit(f"alice-{number}", "sell", quantity, 1_000, symbol=TINY.symbol)


def test_a_fee_rounds_up_once_per_order_however_many_fills_it_has(lab: Script) -> None:
    """Each fill of three lots owes 3 × 1,000 × 7/10,000 = 2.1 units."""
    sell_tiny(lab, 3, 3, 3)
    fills = lab.limit("bob-1", "buy", 9, 1_000, symbol=TINY.symbol)[1:]
    assert [fill["taker_fee"] for fill in fills] == [3, 2, 2], "2.1, 4.2 and 6.3 in all, rounded up to 3, 5 and 7"


def test_a_replaced_order_goes_on_with_the_fees_it_owes(lab: Script) -> None:
    """3 lots owe 2.1 units and pay 3; 6 more owe 6.3 in all, rounded up to 7: 4 more are due, where 4.2 would be 5."""
    sell_tiny(lab, 3)
    assert lab.limit("bob-1", "buy", 9, 999, symbol=TINY.symbol)[0]["rests"]
    assert lab.do(orders.Replace("bob", "bob-1", price=1_000))[1]["taker_fee"] == 3
    lab.limit("alice-9", "sell", 6, 1_001, symbol=TINY.symbol)
    assert lab.do(orders.Replace("bob", "bob-1", price=1_001))[1]["taker_fee"] == 4


def test_a_hold_rounds_its_fee_up_so_that_it_always_suffices(lab: Script) -> None:
    lab.do(orders.ListSymbol(TINY))
    lab.limit("bob-1", "buy", 5, 1_000, symbol=TINY.symbol)
    assert lab.lab.balance("bob", "USD")[1] == 5_000 + 2, "5,000 × 3/10,000 is 1.5"


@pytest.mark.parametrize(("asset", "side"), [("USD", "buy"), ("DEMO", "sell")])
def test_an_order_that_is_not_covered_is_rejected_and_one_that_just_is_is_not(
    lab: Script, asset: str, side: OrderSide
) -> None:
    notional = 10 * 1_000 * TICK_LOT
    enough = notional + notional * 10 // 10_000 if side == "buy" else 10 * LOT
    lab.do(orders.Deposit("dave", "fund", asset, enough - 1))
    assert brief(lab.limit("dave-1", side, 10, 1_000)) == ["dave-1 rejected: insufficient_balance"]
    lab.do(orders.Deposit("dave", "more", asset, 1))
    assert brief(lab.limit("dave-2", side, 10, 1_000))[0].startswith("dave-2 accepted")
    assert brief(lab.limit("dave-3", side, 2, 1_000)) == ["dave-3 rejected: insufficient_balance"]


def test_a_market_buy_holds_its_price_at_the_edge_of_the_band(lab: Script) -> None:
    lab.do(orders.Deposit("dave", "fund", "USD", 10 * 1_200 * TICK_LOT))
    assert brief(lab.market("dave-1", "buy", 10, symbol=FREE.symbol))[0].startswith("dave-1 accepted")
    assert brief(lab.market("dave-2", "buy", 11, symbol=FREE.symbol)) == ["dave-2 rejected: insufficient_balance"]


def test_symbols_of_a_group_share_balances(lab: Script) -> None:
    lab.do(orders.Deposit("dave", "fund", "USD", 10 * 1_000 * TICK_LOT))
    lab.limit("dave-1", "buy", 9, 1_000)
    assert brief(lab.limit("dave-2", "buy", 9, 1_000, symbol=FREE.symbol)) == ["dave-2 rejected: insufficient_balance"]


def test_what_is_held_cannot_be_withdrawn(lab: Script) -> None:
    lab.limit("alice-1", "sell", 10, 1_000)
    free = 1_000 * ONE - 10 * LOT
    assert brief(lab.do(orders.Withdraw("alice", "w1", "DEMO", free + 1))) == [
        "withdraw w1 refused: insufficient_balance"
    ]
    assert brief(lab.do(orders.Withdraw("alice", "w2", "DEMO", free))) == ["transferred"]
    assert lab.lab.balance("alice", "DEMO") == (0, 10 * LOT)


# Repeats


def test_an_id_that_an_account_has_used_is_dropped_whatever_came_of_it(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.limit("alice-2", "buy", 5, 1)
    lab.cancel("alice-1")
    assert lab.limit("alice-1", "buy", 5, 1_000) == []
    assert lab.limit("alice-2", "buy", 5, 1_000) == []
    assert lab.do(orders.Deposit("alice", "fund-USD", "USD", 1)) == []
    others = orders.Place("bob", "alice-1", SYMBOL.symbol, 5, price=1_000)
    assert brief(lab.do(others)) == ["alice-1 accepted, rests 5 at 1000"]


def test_an_id_is_free_again_after_a_day_of_journal_time_and_not_a_moment_before(lab: Script) -> None:
    lab.time = NOON + DAY_NS // 2
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.cancel("alice-1")
    lab.time = NOON + DAY_NS + 1
    lab.do(orders.Deposit("bob", "another", "USD", 1))
    lab.time = NOON + DAY_NS // 2 + DAY_NS - 1
    assert lab.limit("alice-1", "buy", 5, 1_000) == []
    lab.time += 1
    assert brief(lab.limit("alice-1", "buy", 5, 1_000))[0].startswith("alice-1 accepted")


def test_the_id_of_an_open_order_is_never_free(lab: Script) -> None:
    lab.limit("alice-1", "buy", 5, 1_000)
    lab.time = NOON + 5 * DAY_NS
    lab.do(orders.Deposit("bob", "another", "USD", 1))
    assert lab.limit("alice-1", "buy", 5, 1_000) == []
