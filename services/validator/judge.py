"""One tick to its verdict and VWAP, wherever it came from."""

import math
from collections.abc import Sequence
from importlib.metadata import entry_points

from services.contracts.errors import ConfigError
from services.contracts.events import TickOrigin, ValidatedTrade
from services.contracts.metrics import Metric
from services.domain.validation import Rule, RuleBook, Tick, Verdict, invalid
from services.domain.vwap import TooManyInstruments, Windows
from services.runtime.metrics import counter

RULES = "tickplane.rules"
"""The entry points that name rules."""
INSTRUMENT_ID_PUBLISHED_MAX = 64
"""Characters of an instrument id, which may be anything where it breaks the rules, that are published."""


def load_rules(names: Sequence[str]) -> list[Rule]:
    """An object of each class that an entry point names. Raises ConfigError for one that there is not."""
    known = {entry.name: entry for entry in entry_points(group=RULES)}
    rules: list[Rule] = []
    for name in names:
        if name not in known:
            raise ConfigError(f"TICKPLANE_RULES: there is no rule {name!r}; there are: {', '.join(sorted(known))}")
        rule = known[name].load()()
        if not callable(getattr(rule, "check", None)):
            raise ConfigError(f"TICKPLANE_RULES: the rule {name!r} ({known[name].value}) has no method check")
        rules.append(rule)
    return rules


class Judge:
    """``instance_id`` is this process', other in each: it makes trade ids unique among replicas and restarts."""

    def __init__(self, rules: RuleBook, windows: Windows, instance_id: str) -> None:
        self.instance_id = instance_id
        self._rules = rules
        self._windows = windows

    def verdict(self, tick: Tick, now_ns: int, *, is_repeat: bool = False) -> tuple[Verdict, float]:
        """With the VWAP at the tick's time, which it is part of; a repeat is in the window already. 0 where invalid."""
        verdict = self._rules.check(tick, now_ns)
        if not verdict.valid:
            return verdict, 0.0
        try:
            window = self._windows.of(tick.instrument_id, now_ns)
        except TooManyInstruments as error:
            counter(Metric.VALIDATOR_INSTRUMENTS_REFUSED).inc()
            return invalid(f"Too many instruments: {error}"), 0.0
        if not is_repeat:
            window.add(tick.timestamp_ns, tick.price, tick.volume)
        return verdict, window.vwap(tick.timestamp_ns)

    def event(
        self,
        trade_id: str,
        tick: Tick,
        verdict: Verdict,
        vwap: float,
        now_ns: int,
        origin: TickOrigin,
        input_sequence: int,
        input_partition: int | None = None,
    ) -> ValidatedTrade:
        """What is published of it."""
        return ValidatedTrade(
            trade_id,
            tick.instrument_id[:INSTRUMENT_ID_PUBLISHED_MAX],
            tick.price if math.isfinite(tick.price) else None,
            tick.volume,
            tick.timestamp_ns,
            "VALID" if verdict.valid else "INVALID",
            verdict.reason,
            vwap,
            now_ns,
            origin,
            self.instance_id,
            input_sequence,
            input_partition,
        )
