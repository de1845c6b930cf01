"""What a request to ``orders`` may have in its body, and what is said of anything else."""

import contextlib
import json
from collections.abc import Iterator, MutableMapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.lab import is_client_account, is_name
from services.orders.bodies import BODY_BYTES_MAX, NewOrder, Replacement, ShortOrder, Transfer, read, time_ns
from services.orders.problems import Refusal


def request(*chunks: bytes) -> Request:
    """A request whose body comes in these pieces."""
    pieces: Iterator[bytes] = iter(chunks)

    async def receive() -> MutableMapping[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def refusal(body: bytes, kind: type[msgspec.Struct] = ShortOrder) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await read(request(body), kind)
    return caught.value


def order(**changed: Any) -> bytes:
    """An order as JSON; ``changed`` values are given as they are to be written."""
    fields = {"id": '"a-1"', "symbol": '"DEMO-USD"', "price": "100.5", "qty": "2"} | changed
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}").encode()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0.1", "0.1"),
        ('"0.1"', "0.1"),
        ("0.100", "0.1"),
        ("1e2", "100"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
async def test_numbers_and_strings_keep_every_digit(written: str, value: str) -> None:
    body = await read(request(order(qty=written)), ShortOrder)
    assert str(body.quantity) == value


BAD: list[tuple[bytes, str]] = [
    (order(qty="0"), "qty"),
    (order(qty="-1"), "qty"),
    (order(qty="-0"), "qty"),
    (order(qty='"NaN"'), "qty"),
    (order(qty='"sNaN"'), "qty"),
    (order(qty='"Infinity"'), "qty"),
    (order(qty="1e400"), "qty"),
    (order(qty="1e-400"), "qty"),
    (order(qty="1e99999999999999999999"), "qty"),
    (order(qty="0.1234567890123456789"), "qty"),
    (order(qty="9" * 39), "qty"),
    (order(qty="true"), "qty"),
    (order(qty="[1]"), "qty"),
    (order(qty="null"), "qty"),
    (order(price="-1"), "price"),
    (order(price='"ten"'), "price"),
    (order(id="1"), "id"),
    (order(id='""'), "id"),
    (order(id=json.dumps("x" * 65)), "id"),
    (order(id='"a b"'), "id"),
    (order(id='"a:b"'), "id"),
    (order(id='"a/b"'), "id"),
    (order(id='"a\\n"'), "id"),
    (order(id='"\\u0000"'), "id"),
    (order(id='"💩"'), "id"),
    (order(symbol='"DEMO USD"'), "symbol"),
    (order(account='"bob\\u0000"'), "account"),
    (order(side='"both"'), "side"),
    (order(type='"iceberg"'), "type"),
    (order(time_in_force='"DAY"'), "time_in_force"),
    (order(post_only='"yes"'), "post_only"),
    (order(quantity="1"), "quantity"),
    (b'{"id": "a", "symbol": "DEMO-USD", "price": 1}', "qty"),
    (b"[]", ""),
    (b"", ""),
    (b"{", ""),
    (b"null", ""),
    (b"\xff\xfe", ""),
    (b'{"id": "\xff"}', ""),
    (order(qty="NaN"), ""),
    (b'{"id":' + b"[" * 8_000, "id"),
]


@pytest.mark.parametrize(("body", "path"), BAD)
async def test_what_has_not_the_shape_is_422_and_says_where(body: bytes, path: str) -> None:
    refused = await refusal(body)
    assert (refused.status, refused.problem.error.code) == (422, "invalid_request")
    (field,) = refused.problem.error.fields
    assert field.path == path
    assert field.message
    assert "$" not in refused.problem.error.message


@given(st.binary(max_size=200) | st.text().map(str.encode))
async def test_no_bytes_break_the_reading(body: bytes) -> None:
    statuses = set()
    for kind in (ShortOrder, NewOrder, Replacement, Transfer):
        try:
            await read(request(body), kind)
        except Refusal as refused:
            statuses.add(refused.status)
    assert statuses <= {422}


async def test_a_body_has_a_bound_however_it_comes() -> None:
    fits = order(account=json.dumps("x" * 64)).ljust(BODY_BYTES_MAX)
    assert (await read(request(fits[:100], fits[100:]), ShortOrder)).id == "a-1"
    with pytest.raises(Refusal) as caught:
        await read(request(*[b" " * 1_000] * 17), ShortOrder)
    assert caught.value.status == 413


@given(st.text())
def test_no_text_breaks_the_times_and_names(text: str) -> None:
    assert is_client_account(text) <= is_name(text)
    with contextlib.suppress(Refusal):
        assert isinstance(time_ns("expire_time", text), int)


def test_reserved_accounts_are_no_clients_however_they_are_written() -> None:
    assert [is_client_account(name) for name in ("alice", "world", "WORLD", "Fees", "")] == [True, *[False] * 4]


async def test_what_is_left_out_is_the_plain_limit_buy() -> None:
    body = await read(request(order()), ShortOrder)
    assert (body.side, body.type, body.time_in_force, body.quantity) == ("buy", "limit", None, Decimal(2))
