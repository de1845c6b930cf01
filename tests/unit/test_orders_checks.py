"""What an order can be held against without any state; what its id stands for; and pages."""

import contextlib
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.lab import DepositFunds, PlaceOrder, WithdrawFunds
from services.domain.matching import ID_MEMORY_NS
from services.domain.symbols import symbol_of
from services.orders.checks import check_order
from services.orders.journal import FREE_NS, RETRY_NS, body_hash
from services.orders.parameters import Cursor, read_cursor, write_cursor
from services.orders.problems import Refusal
from services.orders.symbols import ListedSymbol

RULES = ListedSymbol(
    "DEMO-USD",
    "DEMO",
    "USD",
    Decimal("0.01"),
    Decimal("0.001"),
    Decimal(100),
    min_quantity=Decimal("0.002"),
    max_quantity=Decimal(1_000),
    min_notional=Decimal(1),
    max_notional=Decimal(50_000),
)
ORDER = PlaceOrder("alice", "a-1", "DEMO-USD", Decimal(2), 5, price=Decimal(100))


def place(**changed: Any) -> PlaceOrder:
    return msgspec.structs.replace(ORDER, **changed)


GOOD: list[PlaceOrder] = [
    place(),
    place(quantity=Decimal("0.010"), price=Decimal("100.00")),
    place(quantity=Decimal(1_000), price=Decimal(50)),
    place(type="market", time_in_force="IOC", price=None),
    place(type="stop", stop_price=Decimal(110), price=None),
    place(type="stop_limit", stop_price=Decimal(110), price=Decimal(111)),
    place(time_in_force="GTD", expire_time=1),
    place(post_only=True),
    # The band moves: the engine knows it.
    place(price=Decimal(9_999)),
]


@pytest.mark.parametrize("order", GOOD)
def test_what_no_rule_is_against_goes_on(order: PlaceOrder) -> None:
    check_order(order, symbol_of(RULES), "qty")


BAD: list[tuple[PlaceOrder, int, str, str]] = [
    (place(price=Decimal("100.001")), 400, "tick_size", "price"),
    (place(price=Decimal("1e-18")), 400, "tick_size", "price"),
    (place(price=Decimal(10**37)), 400, "tick_size", "price"),
    (place(quantity=Decimal("0.0015")), 400, "lot_size", "qty"),
    (place(quantity=Decimal(10**37)), 400, "lot_size", "qty"),
    (place(quantity=Decimal("0.001")), 400, "quantity", "qty"),
    (place(quantity=Decimal("1000.001")), 400, "quantity", "qty"),
    (place(quantity=Decimal("0.009")), 400, "notional", "qty"),
    (place(quantity=Decimal("500.001")), 400, "notional", "qty"),
    (place(type="stop", stop_price=Decimal("1.005"), price=None), 400, "tick_size", "stop_price"),
    (place(price=None), 422, "invalid_request", "price"),
    (place(type="market", time_in_force="IOC"), 422, "invalid_request", "price"),
    (place(type="market", price=None), 422, "invalid_request", "time_in_force"),
    (place(stop_price=Decimal(1)), 422, "invalid_request", "stop_price"),
    (place(type="stop", price=None), 422, "invalid_request", "stop_price"),
    (place(time_in_force="GTD"), 422, "invalid_request", "expire_time"),
    (place(expire_time=1), 422, "invalid_request", "expire_time"),
    (place(post_only=True, time_in_force="IOC"), 422, "invalid_request", "post_only"),
]


@pytest.mark.parametrize(("order", "status", "code", "path"), BAD)
def test_what_a_rule_is_against_is_refused_and_the_field_named(
    order: PlaceOrder, status: int, code: str, path: str
) -> None:
    with pytest.raises(Refusal) as caught:
        check_order(order, symbol_of(RULES), "qty")
    error = caught.value.problem.error
    assert (caught.value.status, error.code, [field.path for field in error.fields]) == (status, code, [path])


def test_a_request_is_the_same_whenever_it_came_and_another_in_any_other_field() -> None:
    assert body_hash(place(received_time=9), 0) == body_hash(ORDER, 0)
    others: list[PlaceOrder | DepositFunds | WithdrawFunds] = [
        place(account="bob"),
        place(id="a-2"),
        place(symbol="BTC-USD"),
        place(quantity=Decimal("2.001")),
        place(price=Decimal("100.01")),
        place(side="sell"),
        place(time_in_force="IOC"),
        place(post_only=True),
        place(self_trade="cancel_oldest"),
        DepositFunds("alice", "a-1", "USD", Decimal(2)),
        WithdrawFunds("alice", "a-1", "USD", Decimal(2)),
    ]
    hashes = {body_hash(command, 0) for command in (ORDER, *others)}
    assert len(hashes | {body_hash(ORDER, 1)}) == len(others) + 2


def test_an_id_is_republished_only_while_the_engine_knows_it_and_free_only_when_it_does_not() -> None:
    hour_ns = ID_MEMORY_NS // 24
    assert RETRY_NS + hour_ns <= ID_MEMORY_NS
    assert FREE_NS - hour_ns >= RETRY_NS + ID_MEMORY_NS, "the last retry may be the first to arrive"


@given(st.builds(Cursor, *[st.integers(0, most) for most in Cursor()]))
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert read_cursor(write_cursor(cursor)) == cursor


@given(st.text() | st.binary().map(lambda data: data.hex()))
def test_no_other_text_breaks_the_cursor(text: str) -> None:
    with contextlib.suppress(Refusal):
        assert len(read_cursor(text)) == 3


@pytest.mark.parametrize(
    "changed",
    [{"tick_size": Decimal(0)}, {"lot_size": Decimal("NaN")}, {"reference_price": Decimal("100.001")}, {"base": "USD"}],
)
def test_rules_that_do_not_go_together_are_no_symbol(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"DEMO-USD"):
        symbol_of(msgspec.structs.replace(RULES, **changed))
