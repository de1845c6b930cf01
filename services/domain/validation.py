"""What a tick must be to count. Called for every tick, so written to be quick.

A plug-in is a class with ``check(tick) -> Verdict``, named by an entry point of the group ``tickplane.rules``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

YEAR_NS = 31_556_952_000_000_000
"""The Gregorian calendar's mean year, 365.2425 days."""
MINUTE_NS = 60_000_000_000


class Tick(Protocol):
    """A tick, as a gRPC message or a record; ``timestamp_ns`` is the event's own time."""

    @property
    def instrument_id(self) -> str: ...
    @property
    def price(self) -> float: ...
    @property
    def volume(self) -> int: ...
    @property
    def timestamp_ns(self) -> int: ...


class Verdict(NamedTuple):
    """Whether a tick counts, and why not where it does not."""

    valid: bool
    reason: str = ""


VALID = Verdict(True)


def invalid(reason: str) -> Verdict:
    return Verdict(False, reason)


class Rule(Protocol):
    """What a plug-in supplies. It is made without arguments, once a process."""

    def check(self, tick: Tick) -> Verdict:
        """``VALID``, or ``invalid(reason)``. What it raises is the answer to that tick, and nothing more."""


class Band(NamedTuple):
    """Prices that are accepted, both ends included; they are finite and above 0."""

    low: float = 0.01
    high: float = 10_000.0


DEFAULT_BAND = Band()


@dataclass(frozen=True)
class Limits:
    """``bands`` are by instrument; whoever has none has ``band``. Times are from the moment of the check."""

    band: Band = DEFAULT_BAND
    bands: Mapping[str, Band] = field(default_factory=dict)
    past_ns: int = 10 * YEAR_NS
    future_ns: int = MINUTE_NS


class RuleBook:
    """The rules that every tick has to meet, and after them those plugged in, in their order."""

    def __init__(self, limits: Limits, plugged_in: Sequence[Rule] = ()) -> None:
        self._limits = limits
        self._plugged_in = tuple(plugged_in)

    def check(self, tick: Tick, now_ns: int) -> Verdict:
        """The first objection, else ``VALID``. Never raises: a rule that does is an objection of its own."""
        try:
            if reason := self._breach(tick, now_ns):
                return invalid(reason)
            for rule in self._plugged_in:
                verdict = rule.check(tick)
                if not verdict.valid:
                    return verdict
        except Exception as error:
            return processing_error(error)
        return VALID

    def _breach(self, tick: Tick, now_ns: int) -> str:
        """Which limit is broken, or nothing."""
        limits = self._limits
        instrument_id, price = tick.instrument_id, tick.price
        if not 3 <= len(instrument_id) <= 10:
            return f"Instrument id must have 3 to 10 characters, not {len(instrument_id)}"
        low, high = limits.bands.get(instrument_id, limits.band)
        if not low <= price <= high:
            return _price_breach(price, low, high)
        if tick.volume <= 0:
            return "Volume must be above 0"
        age_ns = now_ns - tick.timestamp_ns
        if age_ns > limits.past_ns:
            return "Timestamp too far in the past"
        if -age_ns > limits.future_ns:
            return "Timestamp too far in the future"
        return ""


def _price_breach(price: float, low: float, high: float) -> str:
    if not math.isfinite(price):
        return "Price must be a finite number"
    if price <= 0:
        return "Price must be above 0"
    return f"Price out of acceptable range {low} to {high}"


def processing_error(error: Exception) -> Verdict:
    """The verdict where checking itself failed."""
    return invalid(f"Processing error: {error or type(error).__name__}")
