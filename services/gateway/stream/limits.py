"""How much a client may say. Pure."""


class TokenBucket:
    """``per_s`` a second, and as many at once."""

    __slots__ = ("_at_s", "_per_s", "_tokens")

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._tokens = per_s
        self._at_s = now_s

    def take(self, now_s: float) -> bool:
        """Whether there is one left."""
        self._tokens = min(self._per_s, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Fragments:
    """Puts a message of several frames together (RFC 6455, section 5.4), up to ``bytes_max``."""

    __slots__ = ("_bytes_max", "_parts")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts = bytearray()

    def add(self, part: bytes) -> bool:
        """Whether it is still within its bound."""
        self._parts += part
        return len(self._parts) <= self._bytes_max

    @property
    def whole(self) -> bytes:
        return bytes(self._parts)
