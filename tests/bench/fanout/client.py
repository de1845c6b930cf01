"""``python -m tests.bench.fanout.client``: thousands of WebSocket clients in one thread.

Told what to do by JSON lines on its input, each answered by one on its output. Between them it reads what the server
sends, checks every sequence of every client, and answers pings. One epoll, one read a client and turn, no object a
frame: it has to cost less than what it measures.
"""

import gc
import os
import resource
import select
import socket
import time
from typing import Any

import msgspec

from tests.bench.fanout.check import Arrivals, Pieces, read_piece
from tests.bench.fanout.wire import HEAD_END, Frame, Opcode, client_frame, upgrade_request, upgraded

READ_BYTES = 1 << 16
EVENTS_MAX = 512
PAUSE_S = 0.0005
"""Between two looks for what came. Without it the server would pay for waking us at each write, which clients on other
machines do not cost it. It is part of every latency measured."""
CONNECTING_MAX = 200
"""Handshakes under way at once: fewer than what a listening socket may leave waiting."""
SOURCE_ADDRESSES = 8
"""Clients come from 127.0.0.2 and after, so that ports do not run out, and a limit per address is not met."""
COMMANDS = 0


class Follow(msgspec.Struct, frozen=True):
    """The command ``follow``: so many more clients, each of which says ``subscribe`` and waits for its snapshot."""

    port: int
    path: str
    clients: int
    subscribe: str


class Window(msgspec.Struct, frozen=True):
    """What the clients received since the command ``begin``."""

    seconds: float
    updates: int
    reads: int
    bytes: int
    broken: int
    """Updates that did not follow the one before them."""
    lost: int
    """Clients that the server has closed."""
    behind: int
    """Clients whose newest update is not the newest that any has."""
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu_s: float


class Clients:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._epoll.register(COMMANDS, select.EPOLLIN)
        self._commands = b""
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: set[int] = set()
        """Those that have no snapshot yet."""
        self._heads: dict[int, bytes] = {}
        """Those whose handshake is under way, with what they have of the answer."""
        self._rests: dict[int, bytes] = {}
        self._last: dict[int, int | None] = {}
        self._pieces = Pieces()
        self._follow = Follow(0, "", 0, "")
        self._to_connect = 0
        self._made = 0
        self._lost = 0
        self._begin()

    def run(self) -> None:
        """Until the input ends."""
        while True:
            events = self._epoll.poll(-1, EVENTS_MAX)
            for descriptor, _ in events:
                if descriptor != COMMANDS:
                    self._on_readable(descriptor)
                elif not self._on_command():
                    return
            if len(events) < EVENTS_MAX:
                time.sleep(PAUSE_S)

    def _begin(self) -> None:
        self._arrivals = Arrivals()
        self._reads = self._bytes = self._broken = 0
        self._began_s, self._began_cpu_s = time.monotonic(), time.process_time()

    def _on_readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except OSError:
            data = b""
        now_ns = time.monotonic_ns()
        if not data:
            self._on_lost(descriptor)
            return
        if self._waiting and descriptor in self._waiting:
            self._on_greeting(descriptor, data)
            return
        self._reads += 1
        self._bytes += len(data)
        rest = self._rests.pop(descriptor, b"") if self._rests else b""
        last = self._last[descriptor]
        piece = self._pieces(last, rest + data if rest else data)
        if piece.stamps_ns:
            self._broken += piece.breaks + (piece.begins_after != last)
            self._last[descriptor] = piece.ends_at
            self._arrivals.add(piece, now_ns)
        if piece.rest:
            self._rests[descriptor] = piece.rest
        for frame in piece.others:
            self._on_other(descriptor, frame)

    def _on_other(self, descriptor: int, frame: Frame) -> None:
        if frame.opcode == Opcode.PING:
            os.write(descriptor, client_frame(Opcode.PONG, frame.payload))

    def _on_lost(self, descriptor: int) -> None:
        self._lost += 1
        self._sockets.pop(descriptor).close()
        del self._last[descriptor]

    def _on_greeting(self, descriptor: int, data: bytes) -> None:
        """What comes up to the snapshot. Nothing is published meanwhile; if it were, it would count as broken."""
        data = self._rests.pop(descriptor, b"") + data
        if descriptor in self._heads:
            head, end, data = data.partition(HEAD_END)
            if not end:
                self._rests[descriptor] = head
                return
            if not upgraded(head):
                raise ConnectionError(head.decode(errors="replace"))
            del self._heads[descriptor]
            os.write(descriptor, client_frame(Opcode.TEXT, self._follow.subscribe.encode()))
        piece = read_piece(data)
        if piece.rest:
            self._rests[descriptor] = piece.rest
        for frame in piece.others:
            self._on_answer(descriptor, frame)

    def _on_answer(self, descriptor: int, frame: Frame) -> None:
        if frame.opcode != Opcode.TEXT:
            self._on_other(descriptor, frame)
            return
        answer = msgspec.json.decode(frame.payload)
        if answer["type"] == "error":
            raise ConnectionError(frame.payload.decode())
        if answer["type"] != "snapshot":
            return
        self._last[descriptor] = answer["sequence"]
        self._waiting.discard(descriptor)
        self._connect_more()
        self._answer_if_all_follow()

    def _answer_if_all_follow(self) -> None:
        if not self._waiting and not self._to_connect:
            self._answer({"clients": len(self._sockets)})

    def _connect_more(self) -> None:
        while self._to_connect and len(self._waiting) < CONNECTING_MAX:
            self._to_connect -= 1
            self._connect()

    def _connect(self) -> None:
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((f"127.0.0.{2 + self._made % SOURCE_ADDRESSES}", 0))
        self._made += 1
        client.connect(("127.0.0.1", self._follow.port))
        client.setblocking(False)
        descriptor = client.fileno()
        self._sockets[descriptor] = client
        self._heads[descriptor] = b""
        self._waiting.add(descriptor)
        self._last[descriptor] = None
        client.sendall(upgrade_request("127.0.0.1", self._follow.port, self._follow.path))
        self._epoll.register(descriptor, select.EPOLLIN)

    def _on_command(self) -> bool:
        data = os.read(COMMANDS, READ_BYTES)
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            self._do(msgspec.json.decode(line))
        return bool(data)

    def _do(self, command: dict[str, Any]) -> None:
        match command:
            case {"follow": follow}:
                self._follow = msgspec.convert(follow, Follow)
                self._to_connect = self._follow.clients
                self._connect_more()
                self._answer_if_all_follow()
            case {"begin": _}:
                self._begin()
                self._answer({})
            case {"end": _}:
                self._answer(msgspec.structs.asdict(self._window()))
            case _:
                raise ValueError(command)

    def _window(self) -> Window:
        p50_ms, p99_ms, worst_ms = self._arrivals.percentiles_ms(0.5, 0.99, 1)
        newest = max((last for last in self._last.values() if last is not None), default=None)
        return Window(
            seconds=time.monotonic() - self._began_s,
            updates=self._arrivals.updates,
            reads=self._reads,
            bytes=self._bytes,
            broken=self._broken,
            lost=self._lost,
            behind=sum(last != newest for last in self._last.values()),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            worst_ms=worst_ms,
            cpu_s=time.process_time() - self._began_cpu_s,
        )

    def _answer(self, answer: dict[str, Any]) -> None:
        print(msgspec.json.encode(answer).decode(), flush=True)


def main() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    Clients().run()


if __name__ == "__main__":
    main()
