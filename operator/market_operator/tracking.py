"""What polling one shard tells over time: whether it answers, has Kafka and its exchange, receives trades. No I/O."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from market_operator.observing import Answer, Polled, Problem
from market_operator.settings import OperatorSettings

DAY_S = 86_400.0
SAID_BY_SHARD = ("KafkaUnavailable", "Disconnected")
"""What counts before a pod is ready too; the rest is only expected of a ready one."""


@dataclass
class Tracking:
    """Times are of a clock that never goes back, in seconds. ``assumed`` is how the feed was Degraded before."""

    number: int
    settings: OperatorSettings
    assumed: Collection[str] = ()
    pod: str = ""
    answer: Answer | None = None
    """The newest answer, but that of a shard which lost its exchange only just now: then the one before."""
    _is_ready: bool = False
    _was_connected: bool = False
    _received: tuple[str, ...] = ()
    _good_at: dict[str, float] = field(default_factory=dict)
    """When each thing that can go wrong was last as it should be, by the reason of its problem."""
    _details: dict[str, str] = field(default_factory=dict)
    """What the shard itself said of a reason, once it has said anything."""
    _restarts: deque[float] = field(default_factory=deque)

    def begin(self, pod: str, is_ready: bool, now: float) -> None:
        """It is this pod (by uid) that is asked now: a new one gets its time."""
        self._is_ready = is_ready
        if pod == self.pod:
            return
        known = () if self.pod else self.assumed
        self.pod, self.answer, self._received, self._was_connected = pod, None, (), False
        self._details = dict.fromkeys(known, "")
        self._good_at = {
            reason: now - (limit_s if reason in known else 0) for reason, limit_s in self._limits().items()
        }

    def answered(self, answer: Answer, now: float) -> None:
        kafka = answer.dependencies.get("kafka")
        received = tuple(product.last_received_time or "" for product in answer.products.values())
        good = {
            "Unreachable": True,
            "KafkaUnavailable": kafka is None or kafka.up,
            "Disconnected": answer.connected,
            "Stale": bool(self._received) and received != self._received,
        }
        self._good_at |= {reason: now for reason, is_good in good.items() if is_good}
        self._details = {"KafkaUnavailable": kafka.detail if kafka else "", "Disconnected": answer.last_end}
        self._received = received
        self._was_connected = self._was_connected or answer.connected
        if answer.connected or not self._was_connected or self._is_over("Disconnected", now):
            self.answer = answer

    def problems(self, now: float) -> tuple[Problem, ...]:
        """What is wrong, the first cause only."""
        said = {
            "Unreachable": "does not answer the operator",
            "KafkaUnavailable": f"does not get to Kafka: {self._details.get('KafkaUnavailable', '')}",
            "Disconnected": f"is without its exchange: {self._details.get('Disconnected', '')}",
            "Stale": f"received no trade for {self.settings.stale_after_s:g} s",
        }
        for reason, words in said.items():
            is_known = reason in self._details if reason in SAID_BY_SHARD else self._is_ready
            if is_known and self._is_over(reason, now):
                return (Problem(reason, f"shard {self.number} {words}"),)
        return ()

    def wants_restart(self, now: float) -> bool:
        """Whether it has its exchange, and was stale for long, and the day's restarts are not used up."""
        while self._restarts and self._restarts[0] <= now - DAY_S:
            self._restarts.popleft()
        is_connected = self._good_at.get("Disconnected") == now
        stale_for_s = now - self._good_at.get("Stale", now) - self.settings.stale_after_s
        may_restart = len(self._restarts) < self.settings.stale_restarts_per_day
        return self._is_ready and is_connected and may_restart and stale_for_s >= self.settings.stale_restart_after_s

    def restarted(self, now: float) -> None:
        self._restarts.append(now)

    def polled(self, now: float) -> Polled:
        return Polled(self.answer, self.problems(now))

    def _limits(self) -> dict[str, float]:
        away_s = self.settings.degraded_after_s
        return {
            "Unreachable": away_s,
            "KafkaUnavailable": away_s,
            "Disconnected": away_s,
            "Stale": self.settings.stale_after_s,
        }

    def _is_over(self, reason: str, now: float) -> bool:
        return now - self._good_at.get(reason, now) >= self._limits()[reason]
