"""A validator under the test's control, at the other end of real gRPC: what the gateway has to bear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from services.contracts.proto import RESTARTING, SERVICE
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade
from services.local.ports import LOOPBACK, free_port


class ScriptedValidator:
    """Answers every tick: a price above 0 is VALID. ``answers`` cleared, it takes ticks and says nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: list[RawMarketTick] = []
        self.streams_open = 0
        self.streams_seen = 0
        self.half_closed = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.leaves_after: int | None = None
        """Ends each stream in order after so many answers, without taking what was sent beyond them."""
        self.says_twice = False
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        handler = grpc.stream_stream_rpc_method_handler(
            self._process, RawMarketTick.FromString, ValidatedTrade.SerializeToString
        )
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ProcessStream": handler}),))
        server.add_insecure_port(self.address)
        await server.start()
        self._server = server

    async def vanish(self) -> None:
        """As if it was killed: every stream breaks."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    async def _process(
        self, ticks: AsyncIterator[RawMarketTick], context: "grpc.aio.ServicerContext[RawMarketTick, ValidatedTrade]"
    ) -> AsyncIterator[ValidatedTrade]:
        self.streams_open += 1
        self.streams_seen += 1
        try:
            answered = 0
            async for tick in ticks:
                if answered == self.leaves_after:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, RESTARTING)
                self.taken.append(tick)
                await self.answers.wait()
                yield self._answer(tick)
                if self.says_twice:
                    yield self._answer(tick)
                answered += 1
            self.half_closed += 1
        finally:
            self.streams_open -= 1

    def _answer(self, tick: RawMarketTick) -> ValidatedTrade:
        is_valid = tick.price > 0
        answer = ValidatedTrade(
            trade_id=f"t-{len(self.taken)}",
            instrument_id=tick.instrument_id,
            price=tick.price,
            volume=tick.volume,
            timestamp_ns=tick.timestamp_ns,
            status=ValidatedTrade.VALID if is_valid else ValidatedTrade.INVALID,
        )
        if not is_valid:
            answer.reason = "Price out of acceptable range"
        return answer


@asynccontextmanager
async def scripted_validator() -> AsyncIterator[ScriptedValidator]:
    validator = ScriptedValidator()
    await validator.start()
    try:
        yield validator
    finally:
        validator.answers.set()
        await validator.vanish()
