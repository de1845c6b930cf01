"""Orders' words: which orders can be made at all, an order's life, and a symbol's integers."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.lab import OrderState
from services.domain import orders
from services.domain.orders import TRANSITIONS, Place, step, steps
from services.domain.symbols import PRICE_MAX_TICKS, QUANTITY_MAX_LOTS, amount_of, exact_units
from tests.support.lab import SYMBOL

LIMIT: dict[str, Any] = {"command": "place", "account": "alice", "id": "a1", "symbol": "A", "quantity": 5, "price": 10}


def without(*names: str, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (LIMIT | fields).items() if name not in names}


@pytest.mark.parametrize(
    "fields",
    [
        LIMIT,
        without(time_in_force="GTD", expire_time=1),
        without(post_only=True),
        without("price", type="market", time_in_force="IOC"),
        without("price", type="stop", stop_price=9),
        without(type="stop_limit", stop_price=9),
    ],
)
def test_orders_whose_fields_go_together_can_be_made(fields: dict[str, Any]) -> None:
    assert isinstance(msgspec.json.decode(msgspec.json.encode(fields), type=orders.Command), Place)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("quantity", without(quantity=0)),
        ("quantity", without(quantity=QUANTITY_MAX_LOTS + 1)),
        ("price", without("price")),
        ("price", without(price=0)),
        ("price", without(price=PRICE_MAX_TICKS + 1)),
        ("price", without(type="market", time_in_force="IOC")),
        ("stop_price", without(stop_price=9)),
        ("stop_price", without("price", type="stop")),
        ("time_in_force", without("price", type="market")),
        ("time_in_force", without("price", type="stop", stop_price=9, time_in_force="IOC")),
        ("expire_time", without(time_in_force="GTD")),
        ("expire_time", without(expire_time=1)),
        ("post_only", without(post_only=True, time_in_force="IOC")),
        ("post_only", without(post_only=True, type="stop_limit", stop_price=9)),
    ],
)
def test_an_order_whose_fields_do_not_go_together_cannot_be_made(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"^{reason} does not go"):
        msgspec.json.decode(msgspec.json.encode(fields), type=orders.Command)


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "replace", "account": "alice", "id": "a1", "quantity": 0},
        {"command": "replace", "account": "alice", "id": "a1", "price": 0},
        {"command": "deposit", "account": "alice", "id": "d1", "asset": "USD", "amount": 0},
        {"command": "withdraw", "account": "alice", "id": "d1", "asset": "USD", "amount": -1},
        {"command": "place", "account": "alice"},
        {"command": "steal"},
    ],
)
def test_other_commands_are_checked_as_well(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(fields), type=orders.Command)


def test_what_is_over_stays_over() -> None:
    over: tuple[OrderState, ...] = ("filled", "cancelled", "rejected", "expired")
    for state in over:
        assert TRANSITIONS[state] == ()
        with pytest.raises(ValueError, match=state):
            step(state, "resting")
    assert {following for states in TRANSITIONS.values() for following in states} == set(TRANSITIONS) - {"received"}


def test_an_execution_is_a_step_of_both_orders_the_makers_first() -> None:
    execution = orders.Execution("A", 10, 5, "buy", "alice", "a1", 0, 0, "bob", "b1", 3, 0)
    assert steps(execution) == [("alice", "a1", "filled"), ("bob", "b1", "partially_filled")]


def test_an_order_that_rests_at_once_is_accepted_and_resting() -> None:
    assert steps(orders.Accepted("alice", "a1", "A", "buy", 10, 5, rests=True)) == [
        ("alice", "a1", "accepted"),
        ("alice", "a1", "resting"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"base": "USD"},
        {"tick_size": Decimal(0)},
        {"lot_size": Decimal("-0.1")},
        {"lot_size": Decimal("1e-19")},
        {"tick_size": Decimal("1e-10"), "lot_size": Decimal("1e-10")},
        {"min_notional": Decimal("1e-19")},
        {"min_notional": Decimal(-1)},
        {"max_notional": Decimal("0.001")},
        {"min_quantity": 0},
        {"max_quantity": 0},
        {"reference_price": 0},
        {"band_bps": 10_000},
        {"maker_fee_bps": -1},
        {"taker_fee_bps": 10_001},
    ],
)
def test_a_symbol_that_could_not_be_traded_exactly_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"DEMO-USD: |not a multiple of one unit"):
        msgspec.structs.replace(SYMBOL, **fields)


def test_prices_are_ticks_and_quantities_lots_and_nothing_is_rounded() -> None:
    assert SYMBOL.ticks(Decimal("10.03")) == 1_003
    assert SYMBOL.ticks(Decimal("10.035")) is None
    assert SYMBOL.lots(Decimal("0.002")) == 2
    assert SYMBOL.lots(Decimal("0.0025")) is None
    assert SYMBOL.ticks(Decimal("1e30")) == 10**32
    assert SYMBOL.price(1_003) == Decimal("10.03")
    assert SYMBOL.quantity(2) == Decimal("0.002")


@given(st.integers(-(10**40), 10**40))
def test_amounts_and_units_are_each_others_inverse(units: int) -> None:
    assert exact_units(amount_of(units)) == units


def test_the_band_is_rounded_inwards() -> None:
    assert msgspec.structs.replace(SYMBOL, band_bps=1).band(1_000) == (1_000, 1_000)
    assert SYMBOL.band(1_003) == (803, 1_203)
    assert SYMBOL.band(1) == (1, 1)
