"""Time as a value that is passed, so that tests pass their own."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall time in nanoseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return self._now_ns / NS_PER_S

    def advance(self, seconds: float) -> None:
        self._now_ns += int(seconds * NS_PER_S)


def rfc3339(time_ns: int) -> str:
    """``2026-01-02T03:04:05.678901234Z``; the fraction is left out where it is zero, else without trailing zeros."""
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{_to_the_second(seconds)}{fraction}Z"


@lru_cache(1_000)
def _to_the_second(seconds: int) -> str:
    """Most of the times of any moment lie in the same few seconds, and to format one costs more than all the rest."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """RFC 3339 (any offset, 0 to 9 fractional digits) to nanoseconds since the epoch. Raises ValueError."""
    head, dot, rest = text.partition(".")
    if not dot:
        moment = datetime.fromisoformat(text)
        nanoseconds = 0
    else:
        digits = 0
        while digits < len(rest) and rest[digits].isdigit():
            digits += 1
        if not 1 <= digits <= 9:
            raise ValueError(f"not an RFC 3339 time: {text!r}")
        moment = datetime.fromisoformat(head + rest[digits:])
        nanoseconds = int(rest[:digits].ljust(9, "0"))
    if moment.tzinfo is None:
        raise ValueError(f"the time has no offset: {text!r}")
    return int(moment.timestamp()) * NS_PER_S + nanoseconds
