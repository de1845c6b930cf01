"""What a client of the stream may say."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.stream.documents import Error
from services.gateway.stream.limits import Fragments, TokenBucket
from services.gateway.stream.requests import Ping, Resume, Subscribe, Unsubscribe, parse


def said(**document: Any) -> bytes:
    return json.dumps(document).encode()


ASKED: dict[str, Any] = {"op": "subscribe", "id": 1, "channel": "trades", "products": ["BTC-USD"]}


@pytest.mark.parametrize(
    ("payload", "request_"),
    [
        (said(**ASKED), Subscribe(1, "trades", ["BTC-USD"])),
        (said(**ASKED | {"id": "a", "exchange": "*"}), Subscribe("a", "trades", ["BTC-USD"], "*")),
        (said(**ASKED | {"op": "unsubscribe"}), Unsubscribe(1, "trades", ["BTC-USD"])),
        (
            said(op="resume", id=2, channel="ticker", exchange="kraken", product="X", sequence=0, log_id="l"),
            Resume(2, "ticker", "X", 0, "kraken", "l"),
        ),
        (b'{"op":"ping","id":-3,"more":true}', Ping(-3)),
    ],
)
def test_requests(payload: bytes, request_: object) -> None:
    assert parse(payload) == request_


@pytest.mark.parametrize(
    ("payload", "code", "own_id"),
    [
        (b"", "not_json", None),
        (b"{", "not_json", None),
        (b"\xff\xfe", "not_json", None),
        (b"[" * 4_000, "not_json", None),
        (b"[]", "not_an_object", None),
        (b'"subscribe"', "not_an_object", None),
        (b"{}", "bad_request", None),
        (b'{"op":7,"id":1}', "bad_request", 1),
        (b'{"op":"sell","id":1}', "unknown_op", 1),
        (b'{"op":"ping"}', "bad_request", None),
        (b'{"op":"ping","id":true}', "bad_request", None),
        (b'{"op":"ping","id":1.5}', "bad_request", None),
        (b'{"op":"ping","id":9007199254740993}', "bad_request", None),
        (said(op="ping", id="x" * 65), "bad_request", None),
        (said(**ASKED | {"products": "BTC-USD"}), "bad_request", 1),
        (said(**ASKED | {"products": []}), "bad_request", 1),
        (said(**ASKED | {"products": [""]}), "bad_request", 1),
        (said(**ASKED | {"products": ["P"] * 101}), "bad_request", 1),
        (said(**ASKED | {"channel": None}), "bad_request", 1),
        (said(op="resume", id=1, channel="trades", product="P", sequence="7"), "bad_request", 1),
        (said(op="resume", id=1, channel="trades", product="P", sequence=-1), "bad_request", 1),
    ],
)
def test_refusals(payload: bytes, code: str, own_id: object) -> None:
    refused = parse(payload)
    assert isinstance(refused, Error)
    assert (refused.code, refused.id) == (code, own_id)
    assert len(refused.detail) <= 300


def test_the_detail_names_the_path() -> None:
    refused = parse(said(**ASKED | {"products": ["BTC-USD", 5]}))
    assert isinstance(refused, Error)
    assert "$.products[1]" in refused.detail


@given(st.binary(max_size=300) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(repr))
def test_nothing_raises(payload: bytes | str) -> None:
    parse(payload if isinstance(payload, bytes) else payload.encode())


def test_a_bucket_gives_so_many_a_second() -> None:
    bucket = TokenBucket(10, 0.0)
    assert [bucket.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.take(0.5) for _ in range(6)] == [True] * 5 + [False]
    assert sum(bucket.take(100.0) for _ in range(20)) == 10


def test_fragments_are_put_together_up_to_a_bound() -> None:
    fragments = Fragments(4)
    assert fragments.add(b"ab")
    assert fragments.add(b"cd")
    assert fragments.whole == b"abcd"
    assert not fragments.add(b"e")
