"""What a request may say to the api."""

import pytest
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from services.adapters.http.asgi import request_id_of
from services.adapters.http.parameters import storable
from services.api.documents import candle
from services.api.parameters import check_resolution, read_cursor, span, write_cursor
from services.api.store import TIME_MAX_NS, Span, TradeKey


def test_times_are_rfc_3339_with_any_offset() -> None:
    assert span("1970-01-01T00:00:01.000000002Z", "1970-01-01T01:00:02+01:00") == Span(1_000_000_002, 2_000_000_000)
    assert span(None, None) == Span(0, TIME_MAX_NS)
    assert span("9999-12-31T23:59:59Z", None).start_ns == TIME_MAX_NS


@pytest.mark.parametrize("text", ["", "yesterday", "1700000000", "2026-01-01T00:00:00", "2026-01-01T00:00:00 00:00"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(RequestValidationError):
        span(text, None)


@given(st.text())
def test_no_text_breaks_the_times(text: str) -> None:
    try:
        wanted = span(text, text)
    except RequestValidationError:
        return
    assert -(2**63) <= wanted.start_ns < 2**63


@given(st.integers(0, TIME_MAX_NS), st.text().filter(storable))
def test_a_cursor_comes_back_as_it_was(time_ns: int, trade_id: str) -> None:
    key = TradeKey(time_ns, trade_id)
    assert read_cursor(write_cursor(key)) == key


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_no_text_breaks_the_cursor(text: str) -> None:
    try:
        key = read_cursor(text)
    except RequestValidationError:
        return
    assert abs(key.time_ns) <= TIME_MAX_NS


def test_a_resolution_that_no_bar_has_is_a_400() -> None:
    check_resolution("1m")
    with pytest.raises(HTTPException) as raised:
        check_resolution("2m")
    assert raised.value.status_code == 400


def test_a_candles_row_has_its_vwap_rounded_once() -> None:
    row = (60_000_000_000, "1", "3", "1", "2", "3", "4", 2, "a", "b", True, False, 1)
    document = candle("demo", "BTC-USD", row)
    assert document.vwap == "1.333333333333"
    assert document.timestamp == "1970-01-01T00:01:00Z"
    assert (document.closed, document.complete, document.revision) == (True, False, 1)


@pytest.mark.parametrize("given_id", ["abc-1", "A.b_c:9", "x" * 128])
def test_a_plain_request_id_is_kept(given_id: str) -> None:
    assert request_id_of({"headers": [(b"x-request-id", given_id.encode())]}) == given_id


@pytest.mark.parametrize("given_id", ["", "x" * 129, "a b", 'a"b', "a\n", "é", "a\x00"])
def test_another_request_id_is_replaced(given_id: str) -> None:
    made = request_id_of({"headers": [(b"x-request-id", given_id.encode())]})
    assert made != given_id
    assert len(made) == 16
