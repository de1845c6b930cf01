"""``python -m tests.bench.fanout.publisher kafka|socket ADDRESS``: one product's trades, evenly paced.

Each trade's id is the moment it was sent (CLOCK_MONOTONIC, ns), so that a frame that carries it tells how late it is.
``kafka`` writes the topic that the gateway reads; ``socket`` writes the same trades as lines to whoever connects to
that Unix socket. Told the pace by JSON lines on its input, ``{"pace": TRADES_PER_S}``; answers how many were sent.
"""

import asyncio
import sys
import time
from abc import abstractmethod
from decimal import Decimal
from typing import Protocol

import msgspec
import uvloop
from aiokafka import AIOKafkaProducer

from services.contracts.events import Trade, product_key
from services.contracts.topics import Topic

EXCHANGE = "demo"
PRODUCT = "BTC-USD"
ONE_TRADE_PACE = 20.0
CLOCK_STEP_S = 0.001
"""What the loop's timers resolve."""


class Sink(Protocol):
    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def send(self, trade: bytes) -> None: ...


class KafkaSink(Sink):
    def __init__(self, address: str) -> None:
        self._address = address

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._address, acks=1)
        await self._producer.start()

    async def send(self, trade: bytes) -> None:
        await self._producer.send(Topic.MARKET_TRADES, trade, key=product_key(EXCHANGE, PRODUCT))


class SocketSink(Sink):
    def __init__(self, address: str) -> None:
        self._address = address
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        await asyncio.start_unix_server(lambda _reader, writer: self._writers.append(writer), self._address)

    async def send(self, trade: bytes) -> None:
        for writer in self._writers:
            writer.write(trade + b"\n")


SINKS = {"kafka": KafkaSink, "socket": SocketSink}


class Publisher:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pace = 0.0
        self._sent = 0

    async def run(self) -> None:
        """Until the input ends."""
        await self._sink.start()
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        async with asyncio.TaskGroup() as group:
            paced = group.create_task(self._send_at_pace())
            while line := await commands.readline():
                self._pace = float(msgspec.json.decode(line)["pace"])
                print(msgspec.json.encode({"sent": self._sent}).decode(), flush=True)
            paced.cancel()

    async def _send_at_pace(self) -> None:
        due = time.monotonic()
        while True:
            if not self._pace:
                await asyncio.sleep(CLOCK_STEP_S)
                due = time.monotonic()
                continue
            due += 1 / self._pace
            early_s = due - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            await self._sink.send(self._trade())

    def _trade(self) -> bytes:
        self._sent += 1
        now_ns = time.time_ns()
        trade = Trade(
            exchange=EXCHANGE,
            product_id=PRODUCT,
            trade_id=str(time.monotonic_ns()),
            trade_number=self._sent,
            price=Decimal(6_800_000 + self._sent % 1_000).scaleb(-2),
            size=Decimal(1 + self._sent % 97).scaleb(-4),
            side="BUY" if self._sent % 2 else "SELL",
            time=now_ns,
            received_time=now_ns,
            origin="live",
            venue=EXCHANGE,
        )
        return msgspec.json.encode(trade)


def main() -> None:
    kind, address = sys.argv[1:]
    uvloop.run(Publisher(SINKS[kind](address)).run())


if __name__ == "__main__":
    main()
