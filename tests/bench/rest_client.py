"""``python -m tests.bench.rest_client HOST PORT RATE SECONDS PATH…``: an open-loop HTTP client; prints one JSON line.

Requests are due at a steady pace whatever the answers do. One that no connection was free for when it was due counts
from then, so that a slow server cannot hide behind the client's waiting.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec
import uvloop

from tests.bench.report import percentile

CONNECTIONS = 32


async def main(host: str, port: int, rate: float, seconds: float, paths: Sequence[str]) -> None:
    requests = [f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode() for path in paths]
    taken_s: list[float] = []
    numbers = count()
    began = time.monotonic() + 0.1
    async with asyncio.TaskGroup() as group:
        workers = [
            group.create_task(_work(host, port, requests, numbers, began, rate, int(rate * seconds), taken_s))
            for _ in range(CONNECTIONS)
        ]
    ended = time.monotonic()
    answer = {
        "p50_ms": percentile(taken_s, 0.5) * 1e3,
        "p99_ms": percentile(taken_s, 0.99) * 1e3,
        "per_s": len(taken_s) / (ended - began),
        "bytes": max(worker.result() for worker in workers),
    }
    print(msgspec.json.encode(answer).decode())


async def _work(
    host: str,
    port: int,
    requests: Sequence[bytes],
    numbers: Iterator[int],
    began: float,
    rate: float,
    requests_max: int,
    taken_s: list[float],
) -> int:
    """Ask on one connection. Returns the bytes of the longest body; raises OSError for an answer that is not 200."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    longest = 0
    while (number := next(numbers)) < requests_max:
        due = began + number / rate
        early_s = due - time.monotonic()
        if early_s > 0:
            await asyncio.sleep(early_s)
            due = time.monotonic()  # how late the timer fired is not the server's doing
        writer.write(requests[number % len(requests)])
        longest = max(longest, await _body_bytes(reader))
        taken_s.append(time.monotonic() - due)
    writer.close()
    return longest


async def _body_bytes(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise OSError(head.decode(errors="replace"))
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return length


if __name__ == "__main__":
    host, port, rate, seconds, *paths = sys.argv[1:]
    uvloop.run(main(host, int(port), float(rate), float(seconds), paths))
