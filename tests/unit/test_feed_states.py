"""What of ``feed_state`` and ``candles`` is taken in; everything else is a PeerError."""

from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from services.adapters.records import Counts, check_partition, feed_states
from services.contracts.errors import PeerError
from services.contracts.events import FeedState, Gap, product_key
from services.contracts.topics import LOG_IDENTITY_KEY, Topic
from services.domain import candle_records
from services.domain.decoding import MESSAGE_MAX
from services.domain.feed_states import REASON_MAX, VALUE_BYTES_MAX, decode
from services.domain.trades import NUMBER_MAX

NOW_NS = 1_800_000_000_000_000_000
PARTITIONS = 6
KEY = b"test:A-B"
GAP = Gap(first=3, last=9, missing=7, status="open", opened_time=NOW_NS)
GOOD = FeedState("test", "A-B", "kraken", 20, NOW_NS, NOW_NS, open_gaps=(GAP,), voids=((1, 2),), written_time=NOW_NS)
CANDLE = {
    "exchange": "test",
    "product_id": "A-B",
    "resolution": "1m",
    "timestamp": NOW_NS,
    **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), "1"),
    "trade_count": 1,
    "first_trade_id": "1",
    "last_trade_id": "1",
    "closed": True,
    "complete": True,
    "revision": 1,
    "input_sequence": 5,
}


def state(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(GOOD) | changes)


def gap(**changes: object) -> dict[str, Any]:
    return {**msgspec.to_builtins(GAP), **changes}


def candle(**changes: object) -> bytes:
    return msgspec.json.encode(CANDLE | changes)


def home(key: bytes, partitions: int = PARTITIONS) -> int:
    """By the partitioner that every producer has."""
    return int(DefaultPartitioner()(key, list(range(partitions)), list(range(partitions))))


def record(key: bytes | None, value: bytes | None, partition: int | None = None) -> ConsumerRecord[Any, Any]:
    where = home(key or b"") if partition is None else partition
    return ConsumerRecord(Topic.FEED_STATE, where, 0, 0, 0, key, value, None, 0, 0, ())


def test_a_good_state_comes_out_as_it_went_in() -> None:
    assert decode(KEY, state()) == GOOD
    nothing_yet: dict[str, object] = {
        "contiguous_number": None,
        "last_trade_time": None,
        "last_message_time": None,
        "open_gaps": [],
    }
    assert decode(KEY, state(**nothing_yet)).contiguous_number is None
    assert decode(KEY, state(contiguous_number=NUMBER_MAX, voids=[[0, NUMBER_MAX]])).voids == ((0, NUMBER_MAX),)
    assert decode(KEY, state(closed_gaps=[gap(first=4, reason="é" * REASON_MAX)])).closed_gaps[0].first == 4


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b" " * (VALUE_BYTES_MAX + 1), "too_big"),
        (state(venue="x" * 5_000_000), "too_big"),
        (b'{"exchange":"\xff\xfe"}', "utf8"),
        (b'{"exchange":"\\ud800"}', "json"),
        (b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "type"),
        (state()[:-20], "json"),
        (b"[1]", "type"),
        (b"null", "type"),
        (state(voids=[[1, 10**30]]), "void"),
        (state(open_gaps=[gap(status="closed")]), "type"),
        (state(exchange="t\x00"), "exchange"),
        (state(product_id="A\x00B"), "product"),
        (state(product_id=""), "product"),
        (state(venue="a\x00b"), "venue"),
        (state(contiguous_number=2**63), "number"),
        (state(contiguous_number=-1), "number"),
        (state(last_trade_time=2**63), "time"),
        (state(last_message_time=-1), "time"),
        (state(backfilled_since=2**63), "time"),
        (state(written_time=2**63), "time"),
        (state(open_gaps=[gap(opened_time=2**63)]), "time"),
        (state(open_gaps=[gap(closed_time=-1)]), "time"),
        (state(open_gaps=[gap(before_time=2**63)]), "time"),
        (state(open_gaps=[gap(first=10)]), "gap"),
        (state(open_gaps=[gap(first=-1)]), "gap"),
        (state(open_gaps=[gap(last=2**63)]), "gap"),
        (state(open_gaps=[gap(missing=-1)]), "gap"),
        (state(open_gaps=[gap(missing=2**63)]), "gap"),
        (state(open_gaps=[gap(reason="a\x00b")]), "gap"),
        (state(open_gaps=[gap(reason="x" * (REASON_MAX + 1))]), "gap"),
        (state(open_gaps=[gap(), gap()]), "gap"),
        (state(open_gaps=[gap()], closed_gaps=[gap(status="repaired")]), "gap"),
        (state(voids=[[9, 3]]), "void"),
        (state(voids=[[-1, 3]]), "void"),
        (state(voids=[[0, 2**63]]), "void"),
    ],
)
def test_a_bad_state_says_why(value: bytes | None, error_type: str) -> None:
    with pytest.raises(PeerError) as refused:
        decode(KEY, value)
    assert refused.value.error_type == error_type
    assert len(str(refused.value)) <= MESSAGE_MAX


@pytest.mark.parametrize("key", [None, b"", b"whatever", b"test:C-D", b"\xff"])
def test_a_wrong_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(PeerError) as refused:
        decode(key, state())
    assert refused.value.error_type == "key"


def test_a_long_word_does_not_make_a_long_message() -> None:
    with pytest.raises(PeerError) as refused:
        decode(KEY, state(open_gaps=[gap(status="x" * 900_000)]))
    assert len(str(refused.value)) <= MESSAGE_MAX


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
)
NUMBERS = st.none() | st.integers(-(2**70), 2**70)
GAPS = st.lists(
    st.fixed_dictionaries(dict.fromkeys(("first", "last", "missing", "opened_time"), NUMBERS)).map(
        lambda fields: gap(**fields)
    )
    | ANYTHING,
    max_size=3,
)
CHANGES = st.dictionaries(st.sampled_from(FeedState.__struct_fields__), ANYTHING | NUMBERS | GAPS)


@given(st.binary(max_size=300) | CHANGES.map(lambda changes: state(**changes)), st.none() | st.just(KEY) | st.binary())
def test_any_record_is_a_state_or_a_peer_error(value: bytes, key: bytes | None) -> None:
    try:
        found = decode(key, value)
    except PeerError:
        return
    assert key == product_key(found.exchange, found.product_id)
    assert all(0 <= x.first <= x.last <= NUMBER_MAX for x in (*found.open_gaps, *found.closed_gaps))


def test_what_is_refused_is_counted_and_what_is_no_state_is_passed_over() -> None:
    counts = Counts("some_group", PARTITIONS)
    bad = record(KEY, b"\xff")
    misplaced = record(KEY, state(), (home(KEY) + 1) % PARTITIONS)
    others = [record(LOG_IDENTITY_KEY, b'{"log_id":"x"}'), record(KEY, None)]
    assert list(feed_states([bad, misplaced, *others, record(KEY, state())], counts)) == [GOOD]
    assert [(refused, error.error_type) for refused, error in counts.refused] == [
        (bad, "json"),
        (misplaced, "partition"),
    ]


@given(st.binary(max_size=50), st.integers(1, 1_000))
def test_a_key_belongs_where_the_producers_put_it(key: bytes, partitions: int) -> None:
    right = home(key, partitions)
    check_partition(record(key, b"", right), partitions)
    with pytest.raises(PeerError, match="partition"):
        check_partition(record(key, b"", right + 1), partitions)


def test_a_good_candle_comes_out() -> None:
    assert candle_records.decode(KEY, candle()).input_sequence == 5


@pytest.mark.parametrize(
    ("key", "value", "error_type"),
    [
        (KEY, None, "empty"),
        (KEY, b'"\xff"', "type"),
        (KEY, candle().replace(b"A-B", b"A\xffB"), "utf8"),
        (KEY, candle()[:-9], "json"),
        (KEY, candle(first_trade_id="x" * 100_000), "too_big"),
        (b"test:A\x00", candle(product_id="A\x00"), "product"),
        ("test:é".encode(), candle(product_id="é"), "product"),
        (b"t\x00:A-B", candle(exchange="t\x00"), "exchange"),
        (b"test:C-D", candle(), "key"),
        (None, candle(), "key"),
        (KEY, candle(resolution="1m\x00"), "resolution"),
        (KEY, candle(timestamp=NOW_NS + 1), "time"),
        (KEY, candle(timestamp=0), "time"),
        (KEY, candle(timestamp=2**63), "time"),
        (KEY, candle(close="NaN"), "price"),
        (KEY, candle(input_sequence=2**63), "number"),
        (KEY, candle(input_sequence=-1), "number"),
        (KEY, candle(trade_count=2**63), "number"),
        (KEY, candle(revision=-1), "number"),
    ],
)
def test_a_bad_candle_says_why(key: bytes | None, value: bytes | None, error_type: str) -> None:
    with pytest.raises(PeerError) as refused:
        candle_records.decode(key, value)
    assert refused.value.error_type == error_type
