"""The validator, as the sockets have it: a stream each, behind one circuit breaker for all."""

import asyncio
import time

import grpc.aio

from services.adapters.grpc import channel
from services.adapters.grpc_stream import VALIDATOR, Stream, StreamBroken
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.proto import PROCESS_STREAM
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade
from services.gateway.breaker import Breaker, State
from services.gateway.marketdata.settings import MarketDataSettings
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.metrics import counter, gauge
from services.runtime.serve import Resource

RETRY_BASE_S, RETRY_CAP_S = 0.1, 1.0
SETTLED_S = 0.25
"""A stream that has lived so long works, as far as one can tell where its client has nothing to say."""


class Upstream(Resource):
    def __init__(self, settings: MarketDataSettings, health: Health) -> None:
        self._settings = settings
        self._health = health
        self._breaker = Breaker(
            settings.validator_failures_max, settings.validator_breaker_open_s, health.clock.monotonic
        )
        self._channel: grpc.aio.Channel | None = None
        self._attempt: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once: the validator is reached when the first socket needs it."""
        self._channel = channel(self._settings)
        self._process = self._channel.stream_stream(
            PROCESS_STREAM,
            request_serializer=RawMarketTick.SerializeToString,
            response_deserializer=ValidatedTrade.FromString,
        )
        gauge(Metric.VALIDATOR_BREAKER_STATE).set(State.CLOSED)

    async def stop(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self._channel is not None:
            await self._channel.close(grace=None)

    async def stream(self, patience_s: float) -> Stream:
        """A new stream, connected. Raises InfraError once it was tried for ``patience_s``."""
        monotonic = self._health.clock.monotonic
        give_up_at_s = monotonic() + patience_s
        backoff = Backoff(RETRY_BASE_S, RETRY_CAP_S)
        while True:
            if self._breaker.lets_through():
                self._show()
                try:
                    return await self._connected()
                except StreamBroken as error:
                    self.broke(error)
            pause_s = backoff.next_s()
            if monotonic() + pause_s >= give_up_at_s:
                raise InfraError(VALIDATOR, f"away for {patience_s:.0f} s")
            await asyncio.sleep(pause_s)

    def works(self) -> None:
        """A stream has answered, or has lived for a while."""
        if not self._breaker.is_calm:
            self._breaker.succeeded()
            self._show()

    def broke(self, error: StreamBroken) -> None:
        """A stream has broken, or was not opened."""
        counter(Metric.VALIDATOR_STREAM_FAILURES).labels(error.code).inc()
        before = self._breaker.state
        self._breaker.failed()
        if self._breaker.state is not before:
            logging.logger().warning("validator_breaker_opened", error=str(error))
        self._show(str(error))

    def attempt(self) -> None:
        """Call it now and then: while the breaker is not closed, and no socket comes that would try for all, an attempt
        of our own finds out that the validator is back. Until then it is said to be away."""
        if self._attempt is not None and not self._attempt.done():
            return
        if self._breaker.state is not State.CLOSED and self._breaker.lets_through():
            self._show()
            self._attempt = asyncio.create_task(self._attempted())

    async def _attempted(self) -> None:
        try:
            stream = await self._connected()
        except StreamBroken as error:
            self.broke(error)
            return
        try:
            # By then it has settled, or broken again.
            await asyncio.sleep(2 * SETTLED_S)
        finally:
            stream.give_up("CANCELLED")

    async def _connected(self) -> Stream:
        stream = Stream(self._process())  # type: ignore[call-arg]  # the stub knows no call without an iterator
        began = time.perf_counter()
        try:
            await stream.connected()
        except asyncio.CancelledError:
            stream.give_up("CANCELLED")
            raise
        self._show(latency_s=time.perf_counter() - began)
        asyncio.get_running_loop().call_later(SETTLED_S, self._settled, stream)
        return stream

    def _settled(self, stream: Stream) -> None:
        if not stream.is_done:
            self.works()

    def _show(self, detail: str = "", latency_s: float | None = None) -> None:
        state = self._breaker.state
        gauge(Metric.VALIDATOR_BREAKER_STATE).set(state)
        self._health.report(VALIDATOR, state is State.CLOSED, detail, latency_s)
