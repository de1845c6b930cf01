"""The gRPC methods without a server: what is answered, what is published of it, and which trace it is part of."""

import msgspec
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.contracts import events
from services.contracts.proto.market_data_pb2 import (
    RawMarketTick,
    RawMarketTickBatch,
    ValidatedTrade,
    ValidatedTradeBatch,
)
from services.domain.validation import Limits, RuleBook
from services.domain.vwap import Windows
from services.runtime.clock import NS_PER_S, FakeClock
from services.runtime.spans import Tracing
from services.validator.judge import Judge
from services.validator.sharing import SOURCES_MAX, Repeats
from services.validator.streams import Streams

NOW_NS = 1_800_000_000 * NS_PER_S


class Published:
    """Keeps what is added."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.trades: list[events.ValidatedTrade] = []
        self.headers: list[tuple[str, bytes]] = []

    def add(
        self, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None, span: object = None
    ) -> None:
        self.keys.append(key)
        self.trades.append(msgspec.json.decode(value, type=events.ValidatedTrade))
        self.headers += headers or []


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.code: object = None

    def send(self, message: bytes) -> None:
        self.messages.append(message)

    def finish(self, code: object, details: str = "") -> None:
        self.code = code


def streams(published: Published, tracing: Tracing | None = None, instance_id: str = "me") -> Streams:
    judge = Judge(RuleBook(Limits()), Windows(1_000, 10, 0), instance_id)
    return Streams(judge, published, FakeClock(NOW_NS), 1_000, tracing)  # type: ignore[arg-type]


def tick(price: float = 10.0, **fields: object) -> RawMarketTick:
    return RawMarketTick(instrument_id="ABC", price=price, volume=1, timestamp_ns=NOW_NS, **fields)  # type: ignore[arg-type]


def one(mine: Streams, message: bytes) -> ValidatedTrade:
    sent = Sent()
    mine.one(sent, message)  # type: ignore[arg-type]
    (answer,) = sent.messages
    return ValidatedTrade.FromString(answer)


def test_what_is_published_is_what_was_answered() -> None:
    published = Published()
    mine = streams(published)
    answers = [one(mine, tick(price).SerializeToString()) for price in (10, -1, 20)]
    assert published.keys == [b"ABC"] * 3
    for answer, trade in zip(answers, published.trades, strict=True):
        assert (trade.trade_id, trade.price, trade.vwap_20m) == (answer.trade_id, answer.price, answer.vwap_20m)
        assert (trade.reason, trade.validated_time, trade.origin) == (answer.reason, NOW_NS, "stream")
    assert [trade.input_sequence for trade in published.trades] == [1, 2, 3]


def test_trade_ids_differ_for_equal_ticks_and_among_processes() -> None:
    same = tick().SerializeToString()
    first, second = streams(Published(), instance_id="a"), streams(Published(), instance_id="b")
    ids = [one(mine, same).trade_id for mine in (first, second) for _ in range(100)]
    assert len(set(ids)) == 200


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05AB", b"\x0a\x02\xff\xff"])
def test_what_is_no_tick_is_answered_too(message: bytes) -> None:
    answer = one(streams(Published()), message)
    assert answer.status == ValidatedTrade.INVALID
    assert answer.reason.startswith("Processing error: ")


def test_a_batch_that_is_none_ends_the_call() -> None:
    sent = Sent()
    streams(Published()).many(sent, b"\xff")  # type: ignore[arg-type]
    assert sent.messages == []
    assert str(sent.code) == "StatusCode.INVALID_ARGUMENT"


def test_a_batch_is_answered_as_one_message() -> None:
    sent = Sent()
    batch = RawMarketTickBatch(ticks=[tick(10), tick(20)])
    streams(Published()).many(sent, batch.SerializeToString())  # type: ignore[arg-type]
    (message,) = sent.messages
    assert [trade.vwap_20m for trade in ValidatedTradeBatch.FromString(message).trades] == [10, 15]


def test_a_traced_tick_goes_on_in_its_trace_to_the_topic() -> None:
    exporter, published = InMemorySpanExporter(), Published()
    tracing = Tracing("validator", 1, exporter)
    mine = streams(published, tracing)
    trace = "0af7651916cd43dd8448eb211c80319c"
    one(mine, tick(traceparent=f"00-{trace}-b7ad6b7169203331-01").SerializeToString())
    one(mine, tick(traceparent=f"00-{trace}-b7ad6b7169203331-00").SerializeToString())
    one(mine, tick().SerializeToString())
    tracing.flush()
    (span,) = exporter.get_finished_spans()
    assert span.name == "marketdata.MarketDataProcessor/ProcessStream"
    assert f"{span.context.trace_id:032x}" == trace
    ((name, value),) = published.headers
    assert name == "traceparent"
    assert value.decode().split("-")[1] == trace
    assert len(published.trades) == 3


def test_a_traced_tick_that_cannot_be_answered_is_a_span_that_says_so() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing("validator", 1, exporter)
    mine = Streams(None, None, FakeClock(NOW_NS), 1_000, tracing)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        one(mine, tick(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").SerializeToString())
    tracing.flush()
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "AttributeError"


def test_a_repeat_is_not_above_the_highest_of_its_source() -> None:
    repeats = Repeats()
    assert repeats.is_new((0, "a"), 5)
    assert not repeats.is_new((0, "a"), 5)
    assert not repeats.is_new((0, "a"), 4)
    assert repeats.is_new((1, "a"), 4)
    assert repeats.is_new((0, "a"), 6)


def test_sources_are_bounded_and_the_longest_silent_is_forgotten() -> None:
    repeats = Repeats()
    for number in range(SOURCES_MAX):
        repeats.is_new((number, "a"), 1)
    repeats.is_new((0, "a"), 2)
    repeats.is_new((-1, "a"), 1)
    assert not repeats.is_new((0, "a"), 2)
    assert repeats.is_new((1, "a"), 1)
