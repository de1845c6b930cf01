"""WebSocket frames as bytes. A server's frames are not masked, so one frame is the same bytes for every client.

https://www.rfc-editor.org/rfc/rfc6455#section-5.2
"""

import struct

import msgspec

_TEXT_FIN = 0x81
_LENGTH_16, _LENGTH_64 = 126, 127
_encode = msgspec.json.Encoder().encode


def text_frame(payload: bytes) -> bytes:
    """One whole unfragmented text frame, header and payload."""
    length = len(payload)
    if length < _LENGTH_16:
        return bytes((_TEXT_FIN, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", _TEXT_FIN, _LENGTH_16, length) + payload
    return struct.pack("!BBQ", _TEXT_FIN, _LENGTH_64, length) + payload


def frame_of(document: msgspec.Struct) -> bytes:
    """One document as a whole text frame."""
    return text_frame(_encode(document))


def payload_of(frame: bytes) -> bytes:
    """The payload of a frame that ``text_frame`` made."""
    return frame[{_LENGTH_16: 4, _LENGTH_64: 10}.get(frame[1], 2) :]


def with_skipped(frame: bytes, skipped: int) -> bytes:
    """The same update, saying how many before it were left out. Spliced, so that nothing is encoded again."""
    return text_frame(b'%b,"skipped":%d}' % (payload_of(frame)[:-1], skipped))
