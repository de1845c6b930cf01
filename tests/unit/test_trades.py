"""What may enter the log and what a consumer takes from it."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import PeerError
from services.contracts.events import Trade, product_key
from services.domain import money, trades
from services.domain.trades import EARLIEST_NS, FUTURE_NS_MAX, LATEST_NS, VALUE_BYTES_MAX, check, decode

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND

GOOD = Trade(
    exchange="coinbase",
    product_id="BTC-USD",
    trade_id="42",
    trade_number=42,
    price=Decimal("61837.63000000"),
    size=Decimal("0.02"),
    side="BUY",
    time=NOW_NS,
    received_time=NOW_NS,
    origin="live",
    venue="coinbase",
)
KEY = b"coinbase:BTC-USD"


def trade(**changes: Any) -> Trade:
    return msgspec.structs.replace(GOOD, **changes)


def record(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(GOOD) | changes)


def refusal(key: bytes | None, value: bytes | None) -> str:
    with pytest.raises(PeerError) as refused:
        decode(key, value)
    return refused.value.error_type


def test_a_good_trade_goes_in_and_comes_out() -> None:
    check(GOOD, future_ns=0)
    assert decode(KEY, msgspec.json.encode(GOOD)) == GOOD
    assert decode(KEY, record(trade_number=None)).trade_number is None


@pytest.mark.parametrize(
    ("changes", "error_type"),
    [
        ({"price": Decimal(0)}, "price"),
        ({"price": Decimal(-1)}, "price"),
        ({"price": Decimal("NaN")}, "price"),
        ({"price": Decimal("sNaN")}, "price"),
        ({"price": Decimal("Infinity")}, "price"),
        ({"price": Decimal("1e39")}, "price"),
        ({"size": Decimal(0)}, "size"),
        ({"size": Decimal("1e-19")}, "size"),
        ({"size": Decimal("-Infinity")}, "size"),
        ({"time": EARLIEST_NS - 1}, "time_early"),
        ({"time": NOW_NS + 60 * SECOND + 1}, "time_future"),
        ({"received_time": LATEST_NS + 1}, "received_time"),
        ({"trade_number": -1}, "trade_number"),
        ({"trade_number": 2**63}, "trade_number"),
        ({"trade_id": ""}, "trade_id"),
        ({"trade_id": "x" * 129}, "trade_id"),
        ({"trade_id": "a\x00b"}, "trade_id"),
        ({"product_id": ""}, "product"),
        ({"product_id": "BTC:USD"}, "product"),
        ({"product_id": "BTC USD"}, "product"),
        ({"exchange": ""}, "exchange"),
        ({"exchange": "a:b"}, "exchange"),
        ({"venue": "\x00"}, "venue"),
    ],
)
def test_a_bad_trade_names_its_field(changes: dict[str, object], error_type: str) -> None:
    with pytest.raises(PeerError) as refused:
        check(trade(**changes), future_ns=60 * SECOND)
    assert refused.value.error_type == error_type


def test_old_trades_and_the_edges_are_fine() -> None:
    check(trade(time=EARLIEST_NS), future_ns=0)
    check(trade(time=NOW_NS + 60 * SECOND), future_ns=60 * SECOND)
    check(trade(price=Decimal("9" * 38), size=Decimal("1e-18")), future_ns=0)


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        (None, "empty"),
        (b"", "empty"),
        (msgspec.json.encode(GOOD)[:-20], "json"),
        (b"NaN", "json"),
        (b"not json", "json"),
        (b"[" * 50_000, "type"),
        (b"[1]", "type"),
        (b"5", "type"),
        (b'"x"', "type"),
        (b"null", "type"),
        (b"{}", "type"),
        (record(price="NaN"), "price"),
        (record(price="1e99999999999999999999"), "type"),
        (record(price=True), "type"),
        (record(side="HOLD"), "type"),
        (record(time="now"), "type"),
        (record(time=NOW_NS + FUTURE_NS_MAX + 1), "time_future"),
        (record(trade_id="\x00"), "trade_id"),
        (msgspec.json.encode(GOOD).replace(b"BTC", b"B\xffC"), "utf8"),
        (record(trade_id="x" * VALUE_BYTES_MAX), "too_big"),
        (record(trade_id="x" * 10_000_000), "too_big"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(value: bytes | None, error_type: str) -> None:
    assert refusal(KEY, value) == error_type


@pytest.mark.parametrize("key", [None, b"", b"kraken:BTC-USD", b"coinbase:ETH-USD", b"coinbase:BTC-USD ", b"\xff"])
def test_a_wrong_key_is_refused_before_and_after_the_right_one(key: bytes | None) -> None:
    value = msgspec.json.encode(GOOD)
    assert refusal(key, value) == "key"
    decode(KEY, value)
    assert refusal(key, value) == "key"


def test_names_are_looked_at_in_records_too() -> None:
    assert refusal(b"a:b:BTC-USD", record(exchange="a:b")) == "exchange"
    assert refusal(b"coinbase:BTC USD", record(product_id="BTC USD")) == "product"
    assert refusal(KEY, record(venue="")) == "venue"


def test_the_names_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "NAMES_MAX", 3)
    for number in range(10):
        product = f"P{number}-USD"
        decode(product_key("coinbase", product), record(product_id=product))
        assert len(trades._known_names) <= max(3, number)
    assert len(trades._known_names) <= 3


@given(st.binary(max_size=300))
def test_any_bytes_are_a_trade_or_a_peer_error(value: bytes) -> None:
    with pytest.raises(PeerError):
        decode(KEY, value)


@given(st.binary(max_size=8), st.integers(0, 250), st.integers(0, 20))
def test_any_damage_is_a_trade_or_a_peer_error(scrap: bytes, at: int, length: int) -> None:
    value = msgspec.json.encode(GOOD)
    try:
        damaged = decode(KEY, value[:at] + scrap + value[at + length :])
    except PeerError:
        return
    assert money.is_amount(damaged.price)
    assert money.is_amount(damaged.size)


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_an_amount_is_judged_by_its_digits_and_places(value: Decimal) -> None:
    def by_the_digits() -> bool:
        if not value.is_finite() or value <= 0:
            return False
        _sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        few = len(digits) <= money.DIGITS_MAX and value.adjusted() < money.DIGITS_MAX
        return few and -money.PLACES_MAX <= exponent <= money.DIGITS_MAX

    assert money.is_amount(value) == by_the_digits()
