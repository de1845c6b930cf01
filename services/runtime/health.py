"""What this process knows of itself and of what it depends on."""

from dataclasses import dataclass, field

from services.contracts.metrics import Metric
from services.runtime.clock import Clock, rfc3339
from services.runtime.metrics import gauge
from services.runtime.redaction import redacted

MS_PER_S = 1_000


@dataclass
class _State:
    up: bool
    since_ns: int
    detail: str
    latency_s: float | None


@dataclass
class Health:
    """Liveness, readiness of the process itself, and the state of each dependency with since when."""

    service: str
    clock: Clock
    started: bool = False
    draining: bool = False
    begun: bool = True
    """False until what the service is for has happened once, where a service says so; from then on True."""
    _dependencies: dict[str, _State] = field(default_factory=dict)

    def report(self, dependency: str, up: bool, detail: str = "", latency_s: float | None = None) -> None:
        """Say how a dependency is. ``since`` moves only when ``up`` changes. ``latency_s`` is how long its answer took,
        where that was measured: the last one is kept as long as it is up."""
        detail = redacted(detail)
        known = self._dependencies.get(dependency)
        if known is None or known.up != up:
            self._dependencies[dependency] = _State(up, self.clock.now_ns(), detail, latency_s if up else None)
            gauge(Metric.DEPENDENCY_UP).labels(self.service, dependency).set(int(up))
            return
        known.detail = detail
        if up and latency_s is not None:
            known.latency_s = latency_s

    def forget(self, dependency: str) -> None:
        if self._dependencies.pop(dependency, None) is not None:
            gauge(Metric.DEPENDENCY_UP).remove(self.service, dependency)

    def ready_self(self) -> bool:
        """Started, begun and not draining: what a readiness probe asks, so that a Redis blip does not empty a Service.
        Who still waits for the schema or the topics has not started."""
        return self.started and self.begun and not self.draining

    def ready(self) -> bool:
        return self.ready_self() and all(state.up for state in self._dependencies.values())

    def dependencies(self) -> dict[str, dict[str, object]]:
        """Each dependency's state, since when (RFC 3339), what is wrong, and how long its last answer took, where that
        is known."""
        return {
            name: {
                "up": state.up,
                "since": rfc3339(state.since_ns),
                "detail": state.detail,
                "latency_ms": None if state.latency_s is None else round(state.latency_s * MS_PER_S, 3),
            }
            for name, state in self._dependencies.items()
        }

    def document(self) -> dict[str, object]:
        return {
            "service": self.service,
            "ready": self.ready(),
            "started": self.started,
            "draining": self.draining,
            "dependencies": self.dependencies(),
        }
