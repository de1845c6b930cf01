"""Bytes of a record to its event; whatever is wrong with the bytes is the peer's fault."""

from collections.abc import Callable

import msgspec

from services.contracts.errors import PeerError

MESSAGE_MAX = 1_000
"""Characters of what msgspec says: it repeats a wrong word in full, and the message goes into the dead letter."""


def decoded[T](decode: Callable[[bytes], T], value: bytes | None, bytes_max: int) -> T:
    """What ``decode``, a msgspec decoder of JSON, makes of a value. Raises PeerError for one that it cannot read.

    ``error_type`` is one of ``empty``, ``too_big``, ``type``, ``utf8`` and ``json``.
    """
    if not value:
        raise PeerError("empty", "the record has no value")
    if len(value) > bytes_max:
        raise PeerError("too_big", f"the value has {len(value)} bytes, more than {bytes_max}")
    try:
        return decode(value)
    except msgspec.ValidationError as error:
        raise PeerError("type", str(error)[:MESSAGE_MAX]) from None
    except UnicodeDecodeError as error:
        raise PeerError("utf8", str(error)[:MESSAGE_MAX]) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise PeerError("json", str(error)[:MESSAGE_MAX]) from None
