"""A circuit breaker: who keeps failing is left alone for a while, and then tried by one before all come back.

https://martinfowler.com/bliki/CircuitBreaker.html
"""

from collections.abc import Callable
from enum import IntEnum


class State(IntEnum):
    """The numbers are those of the metric."""

    CLOSED = 0
    """Everyone may try."""
    HALF_OPEN = 1
    """One has been let through, for all."""
    OPEN = 2
    """Nobody may."""


class Breaker:
    """Opens after ``failures_max`` failures without a success between. ``open_s`` later one attempt is let through:
    its success closes the breaker, its failure opens it for as long again. Where it is never told how that one went,
    the next is let through after as long again.
    """

    def __init__(self, failures_max: int, open_s: float, monotonic: Callable[[], float]) -> None:
        self._failures_max = failures_max
        self._open_s = open_s
        self._monotonic = monotonic
        self._failures = 0
        self._since_s = 0.0
        self.state = State.CLOSED

    @property
    def is_calm(self) -> bool:
        """Whether a success would change nothing."""
        return self.state is State.CLOSED and not self._failures

    def lets_through(self) -> bool:
        """Whether the caller may make an attempt now."""
        if self.state is State.CLOSED:
            return True
        if self._monotonic() - self._since_s < self._open_s:
            return False
        self._move(State.HALF_OPEN)
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self.state = State.CLOSED

    def failed(self) -> None:
        """While it is open this changes nothing: the attempt was begun before."""
        self._failures += 1
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._failures >= self._failures_max):
            self._move(State.OPEN)

    def _move(self, state: State) -> None:
        self.state, self._since_s = state, self._monotonic()
