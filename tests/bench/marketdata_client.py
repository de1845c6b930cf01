"""``python -m tests.bench.marketdata_client PORT CLIENTS PER_S SECONDS``: sockets that send ticks at a steady pace,
whatever the answers do; prints one JSON line.

Each answer has to be that of the oldest tick without one: volumes count up.
"""

import asyncio
import sys
import time
from collections import deque

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from services.local.ports import LOOPBACK
from tests.bench.report import percentile

WAKE_INTERVAL_S = 0.001
CONNECTS_AT_ONCE = 50
LAST_ANSWERS_TIMEOUT_S = 20.0


class _Answer(msgspec.Struct, rename="camel"):
    volume: str
    status: str


_decode = msgspec.json.Decoder(_Answer).decode


class _Client(WSListener):
    def __init__(self, taken_s: list[float]) -> None:
        self._taken_s = taken_s
        self._sent_s: deque[float] = deque()
        self._transport: WSTransport | None = None
        self._sent = 0
        self._answered = 0
        self.wrong = 0

    @property
    def unanswered(self) -> int:
        return len(self._sent_s)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def send_tick(self) -> None:
        assert self._transport is not None
        self._sent += 1
        self._sent_s.append(time.perf_counter())
        self._transport.send(WSMsgType.TEXT, b'{"instrumentId":"BTCUSD","price":100.5,"volume":%d}' % self._sent)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now_s = time.perf_counter()
        if frame.msg_type != WSMsgType.TEXT:
            return
        self._answered += 1
        answer = _decode(frame.get_payload_as_memoryview())
        self.wrong += (answer.volume, answer.status) != (str(self._answered), "VALID")
        self._taken_s.append(now_s - self._sent_s.popleft())

    def close(self) -> None:
        assert self._transport is not None
        self._transport.send_close()
        self._transport.disconnect()


async def main(port: int, clients: int, per_s: float, seconds: float) -> None:
    taken_s: list[float] = []
    connected = await _connect(port, clients, taken_s)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    ticks = await _send(connected, clients * per_s, round(clients * per_s * seconds))
    took_s = time.perf_counter() - began_s
    cpu_s = time.process_time() - began_cpu_s
    await _last_answers(connected)
    answer = {
        "sent": ticks,
        "answered": len(taken_s),
        "wrong": sum(client.wrong for client in connected),
        "per_s": ticks / took_s,
        "p50_ms": percentile(taken_s, 0.5) * 1e3,
        "p99_ms": percentile(taken_s, 0.99) * 1e3,
        "max_ms": max(taken_s) * 1e3,
        "client_core_share": cpu_s / took_s,
    }
    for client in connected:
        client.close()
    print(msgspec.json.encode(answer).decode())


async def _connect(port: int, clients: int, taken_s: list[float]) -> list[_Client]:
    url = f"ws://{LOOPBACK}:{port}/ws/marketdata"
    connected: list[_Client] = []
    for first in range(0, clients, CONNECTS_AT_ONCE):
        some = range(first, min(first + CONNECTS_AT_ONCE, clients))
        pairs = await asyncio.gather(*(ws_connect(lambda: _Client(taken_s), url) for _ in some))
        connected += [client for _, client in pairs]  # type: ignore[misc]  # what the factory made
    return connected


async def _send(clients: list[_Client], per_s: float, ticks: int) -> int:
    """Each tick at its time, the clients in turn."""
    began_s, sent = time.perf_counter(), 0
    while sent < ticks:
        due = min(ticks, int((time.perf_counter() - began_s) * per_s))
        while sent < due:
            clients[sent % len(clients)].send_tick()
            sent += 1
        await asyncio.sleep(WAKE_INTERVAL_S)
    return sent


async def _last_answers(clients: list[_Client]) -> None:
    deadline_s = time.monotonic() + LAST_ANSWERS_TIMEOUT_S
    while any(client.unanswered for client in clients) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    port, clients, per_s, seconds = sys.argv[1:]
    uvloop.run(main(int(port), int(clients), float(per_s), float(seconds)))
