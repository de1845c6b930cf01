"""The methods of the gRPC interface: bytes of ticks in, bytes of answers out, and a record of each verdict."""

import itertools
from typing import TYPE_CHECKING

import grpc
import msgspec
from google.protobuf.message import DecodeError

from services.adapters.grpc_server import Call
from services.contracts import events
from services.contracts.events import RawTick
from services.contracts.metrics import Metric
from services.contracts.proto import PROCESS_STREAM
from services.contracts.proto.market_data_pb2 import (
    RawMarketTick,
    RawMarketTickBatch,
    ValidatedTrade,
    ValidatedTradeBatch,
)
from services.contracts.topics import Topic
from services.domain.validation import Verdict, processing_error
from services.runtime.clock import Clock
from services.runtime.metrics import counter
from services.validator.judge import Judge
from services.validator.publisher import Publisher

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from services.runtime.spans import Tracing

VALID, INVALID = ValidatedTrade.VALID, ValidatedTrade.INVALID
"""To look them up in the message's class costs more than to set them."""

_encode = msgspec.json.Encoder().encode


class Streams:
    """``publisher`` is None where verdicts are not published, ``tracing`` where there are no traces."""

    def __init__(
        self,
        judge: Judge,
        publisher: Publisher | None,
        clock: Clock,
        batch_ticks_max: int,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._judge = judge
        self._publisher = publisher
        self._clock = clock
        self._batch_ticks_max = batch_ticks_max
        self._tracing = tracing
        self._numbers = itertools.count(1)
        ticks = counter(Metric.VALIDATOR_TICKS)
        self._valid, self._invalid = ticks.labels("stream", "VALID"), ticks.labels("stream", "INVALID")
        self._uncounted_invalid = 0

    def one(self, call: Call, message: bytes) -> None:
        """``ProcessStream``: what is no tick at all is answered too."""
        answer, now_ns = ValidatedTrade(), self._clock.now_ns()
        try:
            raw = RawMarketTick.FromString(message)
        except DecodeError as error:
            self._fill(answer, _tick(RawMarketTick()), processing_error(error), 0.0, now_ns)
        else:
            if self._tracing is not None and raw.traceparent:
                self._answer_traced(answer, raw, now_ns, self._tracing)
            else:
                self._answer(answer, _tick(raw), now_ns)
        self._count(1)
        call.send(answer.SerializeToString())

    def many(self, call: Call, message: bytes) -> None:
        """``ProcessBatch``."""
        try:
            ticks = RawMarketTickBatch.FromString(message).ticks
        except DecodeError as error:
            call.finish(grpc.StatusCode.INVALID_ARGUMENT, f"not a RawMarketTickBatch: {error}")
            return
        if len(ticks) > self._batch_ticks_max:
            details = f"a batch of {len(ticks)} ticks, of which there may be {self._batch_ticks_max}"
            call.finish(grpc.StatusCode.INVALID_ARGUMENT, details)
            return
        now_ns = self._clock.now_ns()
        answers = ValidatedTradeBatch()
        add, answer = answers.trades.add, self._answer
        for raw in ticks:
            answer(add(), _tick(raw), now_ns)
        self._count(len(ticks))
        call.send(answers.SerializeToString())

    def _answer(self, answer: ValidatedTrade, tick: RawTick, now_ns: int, span: "Span | None" = None) -> None:
        verdict, vwap = self._judge.verdict(tick, now_ns)
        self._fill(answer, tick, verdict, vwap, now_ns, span)

    def _answer_traced(self, answer: ValidatedTrade, raw: RawMarketTick, now_ns: int, tracing: "Tracing") -> None:
        span = tracing.serve_call(PROCESS_STREAM.removeprefix("/"), raw.traceparent)
        with tracing.ending([] if span is None else [span]):
            self._answer(answer, _tick(raw), now_ns, span)

    def _fill(
        self,
        answer: ValidatedTrade,
        tick: RawTick,
        verdict: Verdict,
        vwap: float,
        now_ns: int,
        span: "Span | None" = None,
    ) -> None:
        """Fields one by one: that costs half of what the constructor does."""
        number = next(self._numbers)
        trade_id = f"{self._judge.instance_id}-{number}"
        answer.trade_id = trade_id
        answer.instrument_id = tick.instrument_id
        answer.price = tick.price
        answer.volume = tick.volume
        answer.timestamp_ns = tick.timestamp_ns
        if verdict.valid:
            answer.status = VALID
            answer.vwap_20m = vwap
        else:
            answer.status = INVALID
            answer.reason = verdict.reason
            self._uncounted_invalid += 1
        if self._publisher is not None:
            event = self._judge.event(trade_id, tick, verdict, vwap, now_ns, "stream", number)
            self._publish(self._publisher, event, span)

    def _publish(self, publisher: Publisher, event: events.ValidatedTrade, span: "Span | None") -> None:
        key, value = event.instrument_id.encode(), _encode(event)
        if span is None or self._tracing is None:
            publisher.add(key, value)
        else:
            send = self._tracing.send(Topic.VALIDATED_TRADES, event.instrument_id, span)
            publisher.add(key, value, self._tracing.record_headers(send), send)

    def _count(self, answers: int) -> None:
        """Once a message: a counter costs as much as a rule."""
        self._valid.inc(answers - self._uncounted_invalid)
        if self._uncounted_invalid:
            self._invalid.inc(self._uncounted_invalid)
            self._uncounted_invalid = 0


def _tick(raw: RawMarketTick) -> RawTick:
    """A message's fields are made anew whenever they are read; these are read several times."""
    return RawTick(raw.instrument_id, raw.price, raw.volume, raw.timestamp_ns)
