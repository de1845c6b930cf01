"""RFC 6455 as a load client needs it: what is asked and answered, and the server's frames in a piece of a stream.

Pure. A server's frames are not masked, so their payloads are slices of what was received.
"""

from collections.abc import Iterator
from enum import IntEnum

import msgspec

HEAD_END = b"\r\n\r\n"
_MASK_KEY = b"\0\0\0\0"
"""A key of zeros leaves a payload as it is: masking protects proxies, and here there are none."""


class Opcode(IntEnum):
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Frame(msgspec.Struct, frozen=True):
    opcode: int
    payload: bytes
    end: int
    """Where the next frame begins."""


def upgrade_request(host: str, port: int, path: str) -> bytes:
    """No extension is offered, so no server compresses."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def upgraded(head: bytes) -> bool:
    """Whether the head of an answer agrees to the upgrade."""
    return head.startswith(b"HTTP/1.1 101 ")


def client_frame(opcode: Opcode, payload: bytes) -> bytes:
    """One masked frame. ``payload`` is at most 64 KiB less one byte."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([0x80 | opcode]) + length + _MASK_KEY + payload


def server_frames(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of ``data``. Raises ValueError for what a server must not send."""
    begin, size = 0, len(data)
    while size - begin >= 2:
        first, length = data[begin], data[begin + 1]
        if length & 0x80 or not first & 0x80:
            raise ValueError(f"a masked or a fragmented frame: {data[begin : begin + 2].hex()}")
        payload = begin + 2
        if length >= 126:
            extended = 2 if length == 126 else 8
            payload += extended
            if payload > size:
                return
            length = int.from_bytes(data[payload - extended : payload])
        end = payload + length
        if end > size:
            return
        yield Frame(first & 0x0F, data[payload:end], end)
        begin = end
