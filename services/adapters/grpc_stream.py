"""One stream of ``ProcessStream``, as its caller has it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc
import grpc.aio
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from services.contracts.errors import InfraError
from services.contracts.proto import RESTARTING
from services.contracts.proto.market_data_pb2 import RawMarketTick, ValidatedTrade

VALIDATOR = "validator"
CONNECT_TIMEOUT_S = 2.0
"""How long one attempt to open a stream may take: a host that is not there does not refuse."""


class StreamBroken(InfraError):
    """The stream has ended by an error. ``code`` is the name of a gRPC status."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(VALIDATOR, f"{code}: {detail}")
        self.code = code
        self.is_in_order = (code, detail) == (grpc.StatusCode.UNAVAILABLE.name, RESTARTING)
        """Whether the validator has answered everything that it took: it is only leaving."""


class Stream:
    """One ``ProcessStream``. Reading and writing are independent of each other; each is done by one task at a time."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[RawMarketTick, ValidatedTrade]") -> None:
        self._call = call
        self._send = call._cython_call.send_serialized_message  # type: ignore[attr-defined]
        self._why_given_up: str | None = None

    @property
    def is_done(self) -> bool:
        return self._call.done()

    async def connected(self) -> None:
        """Wait until the validator has been reached. Raises StreamBroken."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._status_raised(self._call.wait_for_connection())
        except TimeoutError:
            self.give_up("DEADLINE_EXCEEDED")
            raise StreamBroken("DEADLINE_EXCEEDED", "it cannot be reached") from None

    async def write(self, tick: RawMarketTick) -> None:
        """Raises StreamBroken; why the stream has ended is told to who reads.

        Not by the call's own ``write``: where the stream ends meanwhile, that writes ``INTERNAL`` over the status with
        which it ended (https://github.com/grpc/grpc/issues/36066).
        """
        if self._call.done():
            raise StreamBroken("CANCELLED", "it has ended")
        try:
            await self._status_raised(self._send(tick.SerializeToString()))
        except cygrpc.InternalError:
            raise StreamBroken("CANCELLED", "it has ended") from None

    async def read(self) -> ValidatedTrade | None:
        """The next answer; None once the validator has ended the stream in order, which it does only after it has
        answered every tick that it took. Raises StreamBroken."""
        try:
            answer: Any = await self._status_raised(self._call.read())
        except StreamBroken as error:
            if error.is_in_order:
                return None
            raise
        return None if answer is cygrpc.EOF else answer

    async def half_close(self) -> None:
        """Nothing more will be written; the answers still come. Raises StreamBroken."""
        await self._status_raised(self._call.done_writing())

    def give_up(self, code: str) -> None:
        """End it at once. Whoever reads it gets StreamBroken with this code."""
        self._why_given_up = code
        self._call.cancel()

    async def _status_raised[T](self, step: Coroutine[Any, Any, T]) -> T:
        try:
            return await step
        except grpc.aio.AioRpcError as error:
            raise StreamBroken(error.code().name, error.details() or "") from None
        except asyncio.InvalidStateError as error:
            raise StreamBroken("CANCELLED", str(error)) from None
        except asyncio.CancelledError:
            # gRPC raises it in who waits on a call that was cancelled, too.
            if self._why_given_up is None:
                raise
            raise StreamBroken(self._why_given_up, "it was given up") from None
