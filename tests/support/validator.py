"""The validator, from a client's side."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import msgspec

from services.adapters.grpc import GrpcSettings, channel
from services.contracts import events
from services.contracts.proto import PROCESS_BATCH, PROCESS_STREAM
from services.contracts.proto.market_data_pb2 import (
    RawMarketTick,
    RawMarketTickBatch,
    ValidatedTrade,
    ValidatedTradeBatch,
)
from services.contracts.topics import Topic
from services.runtime.clock import SystemClock
from tests.support.log import records

NOW_NS = SystemClock().now_ns()

ANSWERS_TIMEOUT_S = 60.0


def tick(
    instrument_id: str = "BTC-USD", price: float = 100.0, volume: int = 10, timestamp_ns: int = NOW_NS
) -> RawMarketTick:
    return RawMarketTick(instrument_id=instrument_id, price=price, volume=volume, timestamp_ns=timestamp_ns)


@asynccontextmanager
async def connected(address: str, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(GrpcSettings.load(grpc_server_address=address, **settings)) as open_channel:
        yield open_channel


def stream(open_channel: grpc.aio.Channel) -> Any:
    """A call of ``ProcessStream``; bytes are sent as they are."""
    method: Any = open_channel.stream_stream(
        PROCESS_STREAM,
        request_serializer=lambda tick: tick if isinstance(tick, bytes) else tick.SerializeToString(),
        response_deserializer=ValidatedTrade.FromString,
    )
    return method(wait_for_ready=True)


def batches(open_channel: grpc.aio.Channel) -> Any:
    """A call of ``ProcessBatch``."""
    method: Any = open_channel.stream_stream(
        PROCESS_BATCH,
        request_serializer=RawMarketTickBatch.SerializeToString,
        response_deserializer=ValidatedTradeBatch.FromString,
    )
    return method(wait_for_ready=True)


async def ask(address: str, ticks: Sequence[RawMarketTick | bytes], **settings: Any) -> list[ValidatedTrade]:
    """All of them on one stream, and the answers."""

    async def write(call: Any) -> None:
        for each in ticks:
            await call.write(each)
        await call.done_writing()

    async with connected(address, **settings) as open_channel:
        call = stream(open_channel)
        writing = asyncio.create_task(write(call))
        async with asyncio.timeout(ANSWERS_TIMEOUT_S):
            answers = [answer async for answer in call]
            await writing
        return answers


async def verdicts(bootstrap_servers: str) -> list[events.ValidatedTrade]:
    """Everything on ``validated_trades``, repeats too."""
    found = await records(bootstrap_servers, Topic.VALIDATED_TRADES)
    return [msgspec.json.decode(record.value, type=events.ValidatedTrade) for record in found]


def ids(trades: Iterable[ValidatedTrade | events.ValidatedTrade]) -> list[str]:
    return [trade.trade_id for trade in trades]
