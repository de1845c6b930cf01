"""What a client of ``/ws/marketdata`` may say, and what it is told."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts import events
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade
from services.gateway.marketdata.ticks import (
    INT64_MAX,
    INT64_MIN,
    BadTick,
    Messages,
    Tick,
    answer_frame,
    broadcast_frame,
    parse,
    unanswered_frame,
)

GOOD: dict[str, Any] = {"instrumentId": "BTCUSD", "price": 100.5, "volume": 10}


def refusal(message: bytes) -> tuple[str, str]:
    with pytest.raises(BadTick) as refused:
        parse(message)
    document = json.loads(refused.value.payload)
    assert document["type"] == "error"
    return document["code"], document["detail"]


@pytest.mark.parametrize(
    ("changed", "tick"),
    [
        ({}, Tick("BTCUSD", 100.5, 10)),
        ({"price": 100}, Tick("BTCUSD", 100.0, 10)),
        ({"price": -1.0, "volume": 0, "instrumentId": ""}, Tick("", -1.0, 0)),
        ({"volume": INT64_MAX}, Tick("BTCUSD", 100.5, INT64_MAX)),
        ({"volume": INT64_MIN}, Tick("BTCUSD", 100.5, INT64_MIN)),
        ({"timestampNs": "now", "other": [1, {"x": None}]}, Tick("BTCUSD", 100.5, 10)),
    ],
)
def test_a_tick_is_taken_whatever_the_rules_will_say_of_it(changed: dict[str, Any], tick: Tick) -> None:
    assert parse(json.dumps(GOOD | changed).encode()) == tick


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (b"", "not_json", ""),
        (b"hello", "not_json", ""),
        (b'{"instrumentId":"BTCUSD","price":', "not_json", ""),
        (b'{"instrumentId":"BTCUSD","price":NaN,"volume":1}', "not_json", "byte 33"),
        (b'{"instrumentId":"BTCUSD","price":Infinity,"volume":1}', "not_json", "byte 33"),
        (b'{"instrumentId":"\\ud800","price":1,"volume":1}', "not_json", "surrogate"),
        (b"\xff\xfe", "not_json", ""),
        (b"[" * 5_000, "not_an_object", ""),
        (b"[1]", "not_an_object", "array"),
        (b"1", "not_an_object", "int"),
        (b"null", "not_an_object", "null"),
        (b' "x"', "not_an_object", "str"),
    ],
)
def test_what_is_no_object_is_refused(message: bytes, code: str, said: str) -> None:
    found, detail = refusal(message)
    assert found == code
    assert said in detail


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"price": "100.5"}, "$.price"),
        ({"price": None}, "$.price"),
        ({"price": True}, "$.price"),
        ({"price": [1]}, "$.price"),
        ({"volume": 1.5}, "$.volume"),
        ({"volume": 1.0}, "$.volume"),
        ({"volume": "1"}, "$.volume"),
        ({"volume": False}, "$.volume"),
        ({"volume": INT64_MAX + 1}, "$.volume"),
        ({"volume": INT64_MIN - 1}, "$.volume"),
        ({"volume": 10**40}, "$.volume"),
        ({"instrumentId": 7}, "$.instrumentId"),
    ],
)
def test_a_wrong_type_is_refused_and_the_detail_says_where(changed: dict[str, Any], where: str) -> None:
    code, detail = refusal(json.dumps(GOOD | changed).encode())
    assert code == "bad_request"
    assert where in detail


@pytest.mark.parametrize("price", ["1e999", "-1e999", "9" * 400])
def test_a_price_that_is_no_double_is_refused(price: str) -> None:
    assert refusal(b'{"instrumentId":"A","price":%b,"volume":1}' % price.encode())[0] == "bad_request"


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_named(missing: str) -> None:
    code, detail = refusal(json.dumps({name: GOOD[name] for name in GOOD if name != missing}).encode())
    assert code == "bad_request"
    assert missing in detail


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_nothing_else_is_raised(message: bytes) -> None:
    with contextlib.suppress(BadTick):
        parse(message)


def whole(messages: Messages, *frames: bytes, is_text: bool = True) -> bytes | None:
    found = None
    for number, payload in enumerate(frames):
        found = messages.add(
            payload, is_text=is_text and not number, is_continuation=bool(number), is_last=number == len(frames) - 1
        )
    return found


def test_frames_are_joined_to_messages() -> None:
    messages = Messages(10)
    assert messages.add(b"ab", is_text=True, is_continuation=False, is_last=False) is None
    assert messages.add(b"cd", is_text=False, is_continuation=True, is_last=True) == b"abcd"
    assert whole(messages, b"0123456789") == b"0123456789"
    assert whole(messages, b"", b"", b"x") == b"x"


@pytest.mark.parametrize("frames", [(b"01234567890",), (b"012345", b"67890"), (b"01234567890", b"", b"")])
def test_a_message_that_is_too_long_is_one_refusal_and_the_next_is_heard(frames: tuple[bytes, ...]) -> None:
    messages = Messages(10)
    with pytest.raises(BadTick) as refused:
        whole(messages, *frames)
    document = json.loads(refused.value.payload)
    assert (document["code"], document["detail"]) == ("too_long", "a tick is at most 10 bytes, not 11")
    assert whole(messages, b"ok") == b"ok"


@pytest.mark.parametrize("frames", [(b"{}",), (b"{", b"}")])
def test_a_binary_message_is_refused(frames: tuple[bytes, ...]) -> None:
    messages = Messages(10)
    with pytest.raises(BadTick) as refused:
        whole(messages, *frames, is_text=False)
    assert json.loads(refused.value.payload)["code"] == "binary_frame"
    assert whole(messages, b"ok") == b"ok"


def test_an_answer_has_its_large_integers_as_text() -> None:
    trade = ValidatedTrade(
        trade_id="t-1", instrument_id="BTCUSD", price=100.5, volume=INT64_MAX, timestamp_ns=1_700_000_000_000_000_001,
        status=ValidatedTrade.VALID, vwap_20m=99.25,
    )  # fmt: skip
    assert json.loads(answer_frame(trade)) == {
        "tradeId": "t-1", "instrumentId": "BTCUSD", "price": 100.5, "volume": "9223372036854775807",
        "timestampNs": "1700000000000000001", "status": "VALID", "vwap20m": 99.25,
    }  # fmt: skip


def test_an_invalid_answer_says_why() -> None:
    trade = ValidatedTrade(trade_id="t-1", status=ValidatedTrade.INVALID, reason="Price out of acceptable range")
    answer = json.loads(answer_frame(trade))
    assert (answer["status"], answer["reason"], answer["vwap20m"]) == ("INVALID", "Price out of acceptable range", 0)


@pytest.mark.parametrize(("status", "name"), [(0, "UNKNOWN"), (17, "UNKNOWN")])
def test_a_status_of_a_later_contract_is_unknown(status: int, name: str) -> None:
    assert json.loads(answer_frame(ValidatedTrade(trade_id="t", status=status)))["status"] == name  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["", "Price out of acceptable range"])
def test_a_broadcast_trade_is_an_answer_that_says_so(reason: str) -> None:
    status: Any = "INVALID" if reason else "VALID"
    trade = events.ValidatedTrade("t-1", "BTCUSD", 100.5, 7, 17, status, reason, 99.25, 18, "stream", "one", 5)
    document = {
        "tradeId": "t-1", "instrumentId": "BTCUSD", "price": 100.5, "volume": "7", "timestampNs": "17",
        "status": status, "vwap20m": 99.25, "broadcast": True,
    }  # fmt: skip
    assert json.loads(broadcast_frame(trade)) == document | ({"reason": reason} if reason else {})


def test_a_tick_without_an_answer_is_named() -> None:
    tick = RawMarketTick(instrument_id="BTCUSD", price=100.5, volume=7, timestamp_ns=17)
    document = json.loads(unanswered_frame(tick))
    assert (document["type"], document["code"]) == ("error", "unanswered")
    assert document["tick"] == {"instrumentId": "BTCUSD", "price": 100.5, "volume": "7", "timestampNs": "17"}
