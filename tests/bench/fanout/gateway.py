"""``python -m tests.bench.fanout.gateway SOCKET``: the gateway, but its records are the lines of a Unix socket.

Everything behind the reader is the real thing. What the peers are given the same way is compared with this one, so that
Kafka, which is on the clients' core, takes nothing away from either.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping

from aiokafka import ConsumerRecord, TopicPartition

from services.adapters.kafka import Reader
from services.adapters.records import partition_of
from services.contracts.events import product_key
from services.contracts.topics import Topic
from services.gateway import app
from tests.bench.fanout.publisher import EXCHANGE, PRODUCT
from tests.support.parts import PARTITIONS

KEY = product_key(EXCHANGE, PRODUCT)
PARTITION = TopicPartition(str(Topic.MARKET_TRADES), partition_of(KEY, PARTITIONS))
LOG_APPEND_TIME = 1


class LineReader(Reader):
    """Begins at the end of the real log and goes on with lines."""

    async def start(self) -> None:
        await super().start()
        self._offset = (await super().ends())[PARTITION]
        self._rest = b""
        self._lines: list[bytes] = []
        self._arrived = asyncio.Event()
        await asyncio.get_running_loop().create_unix_connection(lambda: _Source(self.take), sys.argv[1])

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Where it is: there is nothing to catch up with."""
        return await self.positions()

    async def fetch(self, timeout_ms: int = 1_000) -> list[ConsumerRecord]:
        if not self._lines and timeout_ms:
            try:
                async with asyncio.timeout(timeout_ms / 1_000):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        lines, self._lines = self._lines, []
        self._arrived.clear()
        return [self._record(line) for line in lines]

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += lines
        if lines:
            self._arrived.set()

    def _record(self, line: bytes) -> ConsumerRecord:
        offset, self._offset = self._offset, self._offset + 1
        now_ms = time.time_ns() // 1_000_000
        return ConsumerRecord(*PARTITION, offset, now_ms, LOG_APPEND_TIME, KEY, line, None, len(KEY), len(line), ())


class _Source(asyncio.Protocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def data_received(self, data: bytes) -> None:
        self._take(data)


if __name__ == "__main__":
    app.Reader = LineReader  # type: ignore[attr-defined]
    app.main()
