"""Bytes of the journal to the engine's commands."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.contracts import lab
from services.contracts.errors import PeerError
from services.domain import lab_commands, orders
from services.domain.matching import Market, apply
from tests.support.journal import order

RULES = lab.SymbolRules("DEMO-USD", "DEMO", "USD", Decimal("0.01"), Decimal("0.001"), Decimal(100))


@pytest.fixture
def market() -> Market:
    made = Market("0")
    do(made, lab.ListSymbolRules(RULES))
    return made


def do(market: Market, given: lab.OrderCommand) -> list[orders.Event]:
    read = lab_commands.decode(msgspec.json.encode(given))
    return apply(market, market.position + 1, 1, lab_commands.command(market, read))


def command(market: Market, given: lab.OrderCommand) -> orders.Command:
    return lab_commands.command(market, lab_commands.decode(msgspec.json.encode(given)))


def test_decimals_become_ticks_lots_and_units(market: Market) -> None:
    placed = command(market, order("alice", "a1", "sell", "1.5", "100.25", self_trade="cancel_both"))
    assert placed == orders.Place("alice", "a1", "DEMO-USD", 1_500, "sell", "limit", 10_025, self_trade="cancel_both")
    deposit = command(market, lab.DepositFunds("alice", "d1", "USD", Decimal("0.000000000000000001")))
    assert deposit == orders.Deposit("alice", "d1", "USD", 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price": Decimal("100.001")}, "price"),
        ({"price": Decimal(10**17)}, "price"),
        ({"quantity": Decimal("0.0001")}, "quantity"),
        ({"quantity": Decimal(10**17)}, "quantity"),
        ({"type": "stop", "price": None, "stop_price": Decimal("0.001")}, "stop_price"),
        ({"symbol": "NO-USD"}, "unknown_symbol"),
    ],
)
def test_an_order_that_cannot_be_said_in_ticks_and_lots_is_rejected_once(
    market: Market, fields: dict[str, Any], reason: str
) -> None:
    given = msgspec.structs.replace(order("alice", "a1", "buy", "1", "100"), **fields)
    assert do(market, given) == [orders.Rejected("alice", "a1", reason)]  # type: ignore[arg-type]
    assert do(market, given) == [], "the id is used"


def test_a_replacement_that_cannot_be_said_is_refused_and_the_order_stays(market: Market) -> None:
    do(market, lab.DepositFunds("alice", "d1", "USD", Decimal(1_000)))
    do(market, order("alice", "a1", "buy", "1", "100"))
    refused = do(market, lab.ReplaceOrder("alice", "a1", price=Decimal("99.999")))
    assert refused == [orders.Refused("replace", "alice", "a1", "price")]
    refused = do(market, lab.ReplaceOrder("alice", "a1", quantity=Decimal("0.0005")))
    assert refused == [orders.Refused("replace", "alice", "a1", "quantity")]
    assert market.accounts["alice"].orders["a1"].price == 10_000
    unknown = do(market, lab.ReplaceOrder("alice", "a2", price=Decimal("99.999")))
    assert unknown == [orders.Refused("replace", "alice", "a2", "unknown_order")]


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"quantity": Decimal("NaN")}, "quantity"),
        ({"quantity": Decimal(0)}, "quantity"),
        ({"price": Decimal("1e400")}, "price"),
        ({"price": Decimal("-1")}, "price"),
        ({"account": ""}, "account"),
        ({"account": "world"}, "account"),
        ({"account": "fees"}, "account"),
        ({"account": "a:b"}, "account"),
        ({"id": "a\x00"}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"symbol": "\n"}, "symbol"),
        ({"received_time": -1}, "received_time"),
        ({"received_time": 1 << 63}, "received_time"),
        ({"expire_time": 1 << 63}, "expire_time"),
    ],
)
def test_what_the_stores_could_not_take_is_no_command(fields: dict[str, Any], error_type: str) -> None:
    given = msgspec.structs.replace(order("alice", "a1", "buy", "1", "100"), **fields)
    with pytest.raises(PeerError) as refused:
        lab_commands.decode(msgspec.json.encode(given))
    assert refused.value.error_type == error_type


def test_fields_that_do_not_go_together_are_no_command(market: Market) -> None:
    given = order("alice", "a1", "buy", "1", "100", time_in_force="GTD")
    with pytest.raises(PeerError) as refused:
        command(market, given)
    assert refused.value.error_type == "expire_time"


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"market_group": 1}, "market_group"),
        ({"band_bps": 0}, "rules"),
        ({"quote": "DEMO"}, "rules"),
        ({"reference_price": Decimal("0.001")}, "rules"),
        ({"min_notional": Decimal("1e99")}, "min_notional"),
        ({"min_notional": Decimal("0E-20000")}, "min_notional"),
        ({"min_notional": Decimal("NaN")}, "min_notional"),
        ({"tick_size": Decimal("Infinity")}, "tick_size"),
    ],
)
def test_rules_that_cannot_be_traded_are_no_command(market: Market, fields: dict[str, Any], error_type: str) -> None:
    with pytest.raises(PeerError) as refused:
        command(market, lab.ListSymbolRules(msgspec.structs.replace(RULES, **fields)))
    assert refused.value.error_type == error_type
