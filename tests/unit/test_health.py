"""What ``/ready`` says of each dependency."""

from typing import Any

from services.runtime.clock import FakeClock
from services.runtime.health import Health


def made() -> tuple[Health, FakeClock]:
    clock = FakeClock()
    return Health("test", clock), clock


def of(health: Health, dependency: str = "redis") -> Any:
    return health.dependencies()[dependency]


def test_since_is_when_it_last_went_or_came_back() -> None:
    health, clock = made()
    health.report("redis", True)
    began = of(health)["since"]
    clock.advance(5)
    health.report("redis", True)
    assert of(health)["since"] == began
    health.report("redis", False, "refused")
    assert of(health)["since"] > began
    went = of(health)["since"]
    clock.advance(5)
    health.report("redis", False, "another reason")
    assert (of(health)["since"], of(health)["detail"]) == (went, "another reason")


def test_the_latency_is_that_of_the_last_answer_that_was_measured() -> None:
    health, _ = made()
    health.report("redis", True)
    assert of(health)["latency_ms"] is None
    health.report("redis", True, latency_s=0.0012345)
    assert of(health)["latency_ms"] == 1.234
    health.report("redis", True)
    assert of(health)["latency_ms"] == 1.234
    health.report("redis", True, latency_s=0.5)
    assert of(health)["latency_ms"] == 500


def test_what_is_down_has_no_latency() -> None:
    health, _ = made()
    health.report("redis", True, latency_s=0.001)
    health.report("redis", False, "refused", latency_s=0.002)
    assert of(health)["latency_ms"] is None
    health.report("redis", False, "refused", latency_s=0.002)
    assert of(health)["latency_ms"] is None
    health.report("redis", True)
    assert of(health)["latency_ms"] is None


def test_what_is_forgotten_is_not_told() -> None:
    health, _ = made()
    health.report("position:orders/0", False, "outside the log")
    health.forget("position:orders/0")
    assert health.dependencies() == {}
    assert not health.ready()
    health.started = True
    assert health.ready()
