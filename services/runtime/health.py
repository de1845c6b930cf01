"""What this process knows of itself and of what it depends on."""

from dataclasses import dataclass, field

from services.contracts.metrics import Metric
from services.runtime.clock import Clock, rfc3339
from services.runtime.metrics import gauge


@dataclass
class _State:
    up: bool
    since_ns: int
    detail: str


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

    def report(self, dependency: str, up: bool, detail: str = "") -> None:
        """Say how a dependency is. ``since`` moves only when ``up`` changes."""
        known = self._dependencies.get(dependency)
        if known is None or known.up != up:
            self._dependencies[dependency] = _State(up, self.clock.now_ns(), detail)
            gauge(Metric.DEPENDENCY_UP).labels(self.service, dependency).set(int(up))
        else:
            known.detail = detail

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
        """Each dependency's state, since when (RFC 3339), and what is wrong."""
        return {
            name: {"up": state.up, "since": rfc3339(state.since_ns), "detail": state.detail}
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
