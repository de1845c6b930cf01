"""``python -m tests.bench.validator_client MODE ADDRESS …``: a gRPC client by hand on one connection, which costs a
fraction of grpcio's, so that it is the server that is measured; prints one JSON line.

- ``window ADDRESS TICKS WINDOW BATCH``: one stream, on which at most so many messages are unanswered, each a batch of
  so many ticks; 0 is ``ProcessStream``
- ``rate ADDRESS RATE SECONDS STREAMS``: open loop, one tick a message; each answer's time is from when its tick was due
- ``open ADDRESS STREAMS SECONDS``: opens streams, asks once on each, says so in a line, and holds them for so long

HTTP/2: https://www.rfc-editor.org/rfc/rfc9113; gRPC on it: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import resource
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from services.contracts.proto import PROCESS_BATCH, PROCESS_STREAM
from services.contracts.proto.market_data_pb2 import RawMarketTick, RawMarketTickBatch
from tests.bench.report import percentile

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE = 4
DEFAULT_WINDOW = 65_535
WINDOW_MAX = (1 << 31) - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INSTRUMENTS = 20


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    """HPACK's literal, never indexed: https://www.rfc-editor.org/rfc/rfc7541#section-6.2.3"""
    return b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def message(payload: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(payload)) + payload


class Connection:
    """``on_answer`` is called with the stream and the number of messages that came on it."""

    def __init__(self, address: str, on_answer: Callable[[int, int], None]) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._on_answer = on_answer
        self._read = b""
        self._parts: dict[int, bytes] = {}
        self._room = DEFAULT_WINDOW
        self._rooms: dict[int, int] = {}
        self._first_room = DEFAULT_WINDOW
        self._unacknowledged = 0
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW_MAX)))
        self._socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_MAX - DEFAULT_WINDOW)))

    def open(self, path: str) -> int:
        stream = 2 * len(self._rooms) + 1
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "bench"}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        self._socket.sendall(frame(HEADERS, END_HEADERS, stream, b"".join(header(*field) for field in fields.items())))
        self._rooms[stream] = self._first_room
        return stream

    def send(self, stream: int, payload: bytes, count: int = 1) -> int:
        """Send a message so many times, as far as flow control allows. Returns how many went out."""
        data = frame(DATA, 0, stream, message(payload))
        size = len(data) - 9
        count = min(count, self._room // size, self._rooms[stream] // size)
        if count:
            self._room -= count * size
            self._rooms[stream] -= count * size
            self._socket.sendall(data * count)
        return count

    def wait(self, timeout_s: float | None = None) -> None:
        """Take what has come, waiting for it so long."""
        if timeout_s is not None and not select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            return
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("the server went away")
        self._read += received
        replies = b"".join(self._handle(*each) for each in self._frames())
        if self._unacknowledged > 1 << 20:
            replies += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged))
            self._unacknowledged = 0
        if replies:
            self._socket.sendall(replies)

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        at, read = 0, self._read
        while len(read) - at >= 9:
            end = at + 9 + int.from_bytes(read[at : at + 3])
            if len(read) < end:
                break
            yield read[at + 3], read[at + 4], int.from_bytes(read[at + 5 : at + 9]), read[at + 9 : end]
            at = end
        self._read = read[at:]

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        """Returns what is to be sent in reply."""
        if kind == DATA:
            self._unacknowledged += len(payload)
            self._on_answer(stream, self._whole(stream, payload))
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
            return frame(SETTINGS, ACK, 0, b"")
        elif kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE and stream:
            self._rooms[stream] += int.from_bytes(payload)
        elif kind == WINDOW_UPDATE:
            self._room += int.from_bytes(payload)
        elif kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            raise ConnectionError(f"the server ended stream {stream}: {payload!r}")
        return b""

    def _whole(self, stream: int, payload: bytes) -> int:
        """How many messages are whole with this; the rest waits for more."""
        data, at, count = self._parts.get(stream, b"") + payload, 0, 0
        while len(data) - at >= 5:
            end = at + 5 + int.from_bytes(data[at + 1 : at + 5])
            if len(data) < end:
                break
            at, count = end, count + 1
        self._parts[stream] = data[at:]
        return count

    def _set(self, payload: bytes) -> None:
        for identifier, value in struct.iter_unpack(">HI", payload):
            if identifier == INITIAL_WINDOW_SIZE:
                for stream in self._rooms:
                    self._rooms[stream] += value - self._first_room
                self._first_room = value


def tick(number: int) -> RawMarketTick:
    return RawMarketTick(
        instrument_id=f"B{number % INSTRUMENTS}-USD",
        price=100 + number % 100 / 8,
        volume=1 + number % 10,
        timestamp_ns=time.time_ns(),
    )


def window(address: str, ticks: int, size: int, batch: int) -> dict[str, float]:
    answered = 0

    def on_answer(_stream: int, count: int) -> None:
        nonlocal answered
        answered += count

    connection = Connection(address, on_answer)
    stream = connection.open(PROCESS_BATCH if batch else PROCESS_STREAM)
    messages, sent, began, cpu = ticks // (batch or 1), 0, time.monotonic(), time.process_time()
    while answered < messages:
        # What goes out together is one tick, or one batch, again and again: to make each anew would measure the client.
        many = RawMarketTickBatch(ticks=[tick(sent + n) for n in range(batch)])
        payload = (many if batch else tick(sent)).SerializeToString()
        sent += connection.send(stream, payload, min(size - (sent - answered), messages - sent))
        connection.wait()
    taken_s = time.monotonic() - began
    return {"per_s": messages * (batch or 1) / taken_s, "client_cpu": (time.process_time() - cpu) / taken_s}


def rate(address: str, per_s: float, seconds: float, streams_count: int) -> dict[str, float]:
    due: dict[int, deque[float]] = {}
    taken_s: list[float] = []

    def on_answer(stream: int, count: int) -> None:
        now = time.monotonic()
        taken_s.extend(now - due[stream].popleft() for _ in range(count))

    connection = Connection(address, on_answer)
    streams = [connection.open(PROCESS_STREAM) for _ in range(streams_count)]
    due |= {stream: deque() for stream in streams}
    began, sent, wanted = time.monotonic(), 0, int(per_s * seconds)
    while len(taken_s) < wanted:
        now = time.monotonic()
        while sent < wanted and began + sent / per_s <= now:
            stream = streams[sent % len(streams)]
            if not connection.send(stream, tick(sent).SerializeToString()):
                break
            due[stream].append(began + sent / per_s)
            sent += 1
        connection.wait(began + sent / per_s - time.monotonic() if sent < wanted else None)
    return {
        "per_s": wanted / (time.monotonic() - began),
        "p50_ms": percentile(taken_s, 0.5) * 1e3,
        "p99_ms": percentile(taken_s, 0.99) * 1e3,
        "client_cpu": resource.getrusage(resource.RUSAGE_SELF).ru_utime / (time.monotonic() - began),
    }


def hold(address: str, streams_count: int, seconds: float) -> dict[str, float]:
    answered = 0

    def on_answer(_stream: int, count: int) -> None:
        nonlocal answered
        answered += count

    connection = Connection(address, on_answer)
    for number in range(streams_count):
        stream = connection.open(PROCESS_STREAM)
        while not connection.send(stream, tick(number).SerializeToString()):
            connection.wait()
    while answered < streams_count:
        connection.wait()
    print(msgspec.json.encode({"open": answered}).decode(), flush=True)
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        connection.wait(left_s)
    return {"open": answered}


def main(mode: str, address: str, *numbers: str) -> None:
    values = [float(number) for number in numbers]
    modes: dict[str, Callable[[], dict[str, float]]] = {
        "window": lambda: window(address, *map(int, values)),
        "rate": lambda: rate(address, values[0], values[1], int(values[2])),
        "open": lambda: hold(address, int(values[0]), values[1]),
    }
    print(msgspec.json.encode(modes[mode]()).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
