"""Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds: uniform in [0, min(cap, base * 2**attempt)], reset by the caller after a stable while."""

    def __init__(self, base_s: float, cap_s: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._uniform = uniform
        self.attempt = 0

    def next_s(self) -> float:
        ceiling = min(self._cap_s, self._base_s * 2 ** min(self.attempt, 32))
        self.attempt += 1
        return self._uniform(0, ceiling)

    def reset(self) -> None:
        self.attempt = 0
