"""A refused record or frame, as it is kept for people to look at and to replay."""

import base64
import hashlib
from typing import Literal

from services.contracts.errors import PeerError
from services.contracts.events import DeadLetter

VALUE_BYTES_MAX = 64 * 1024
"""How much of a refused value is kept; its size and hash tell the rest."""


def of_record(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    error: PeerError,
    exchange: str,
    now_ns: int,
) -> tuple[bytes, DeadLetter]:
    """The key and the dead letter of a record. A repeat after a crash has the same key."""
    text, encoding = _text(value or b"")
    letter = DeadLetter(
        original_topic=topic,
        original_partition=partition,
        original_offset=offset,
        original_key=None if key is None else key[:VALUE_BYTES_MAX].decode("utf-8", "backslashreplace"),
        original_value=text,
        original_value_encoding=encoding,
        original_size=len(value or b""),
        original_sha256=hashlib.sha256(value or b"").hexdigest(),
        error=str(error),
        error_type=error.error_type,
        exchange=exchange,
        failed_at=now_ns,
    )
    return f"{topic}/{partition}/{offset}".encode(), letter


def of_frame(frame: str | bytes, error: PeerError, exchange: str, now_ns: int) -> tuple[bytes, DeadLetter]:
    """The key and the dead letter of a trade that a feed refused: the frame it came in is the value."""
    raw = frame.encode() if isinstance(frame, str) else frame
    text, encoding = _text(raw)
    digest = hashlib.sha256(raw).hexdigest()
    letter = DeadLetter(
        original_topic=None,
        original_partition=None,
        original_offset=None,
        original_key=None,
        original_value=text,
        original_value_encoding=encoding,
        original_size=len(raw),
        original_sha256=digest,
        error=str(error),
        error_type=error.error_type,
        exchange=exchange,
        failed_at=now_ns,
    )
    return f"feed/{exchange}/{digest}".encode(), letter


def _text(value: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    """At most ``VALUE_BYTES_MAX`` bytes as text; base64 where they are not UTF-8."""
    kept = value[:VALUE_BYTES_MAX]
    try:
        return kept.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if len(value) > VALUE_BYTES_MAX and error.start >= VALUE_BYTES_MAX - 3:
            return kept[: error.start].decode("utf-8"), "utf-8"
        return base64.b64encode(kept).decode(), "base64"
