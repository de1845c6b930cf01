"""What polling one shard tells over time."""

import pytest

from market_operator.observing import Answer, Dependency, ProductAnswer
from market_operator.settings import OperatorSettings
from market_operator.tracking import DAY_S, Tracking

SETTINGS = OperatorSettings(
    degraded_after_s=60, stale_after_s=900, stale_restart_after_s=300, stale_restarts_per_day=2, _env_file=None
)


def _answer(received: str = "", *, connected: bool = True, kafka: bool = True) -> Answer:
    product = ProductAnswer(connected, last_received_time=received or None)
    return Answer(connected, {"BTC-USD": product}, "GeoBlocked: HTTP 451", {"kafka": Dependency(kafka, "no broker")})


def _tracking(now: float = 0, ready: bool = True, assumed: tuple[str, ...] = ()) -> Tracking:
    tracking = Tracking(0, SETTINGS, assumed)
    tracking.begin("pod-1", ready, now)
    return tracking


def _reasons(tracking: Tracking, now: float) -> list[str]:
    return [problem.reason for problem in tracking.problems(now)]


def test_a_shard_that_trades_is_well() -> None:
    tracking = _tracking()
    for now in range(0, 5_000, 15):
        tracking.answered(_answer(str(now)), now)
        assert _reasons(tracking, now) == []
        assert not tracking.wants_restart(now)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "Unreachable"),
        (_answer("1", connected=False), "Disconnected"),
        (_answer("1", kafka=False), "KafkaUnavailable"),
    ],
)
def test_what_is_away_for_long_is_said(answer: Answer | None, reason: str) -> None:
    tracking = _tracking()
    tracking.answered(_answer("1"), 10)
    for now in range(20, 80, 10):
        if answer is not None:
            tracking.answered(answer, now)
        assert _reasons(tracking, now) == ([reason] if now == 70 else [])


def test_a_lost_exchange_takes_its_products_along_only_when_it_stays_away() -> None:
    tracking = _tracking()
    tracking.answered(_answer("1"), 0)
    tracking.answered(_answer("1", connected=False), 30)
    assert tracking.answer is not None
    assert tracking.answer.connected
    tracking.answered(_answer("1", connected=False), 60)
    assert not tracking.answer.connected


def test_a_shard_that_never_had_its_exchange_is_believed_at_once() -> None:
    tracking = _tracking(ready=False)
    tracking.answered(_answer(connected=False), 1)
    assert tracking.answer is not None


def test_a_pod_that_is_not_ready_yet_need_not_answer() -> None:
    assert _reasons(_tracking(ready=False), 10_000) == []


def test_a_pod_that_is_not_ready_says_why() -> None:
    tracking = _tracking(ready=False)
    tracking.answered(_answer(connected=False, kafka=False), 60)
    assert _reasons(tracking, 60) == ["KafkaUnavailable"]


def test_silence_is_stale_and_then_a_restart_within_the_days_budget() -> None:
    tracking = _tracking()
    restarts: list[int] = []
    for now in range(0, 10_000, 100):
        tracking.begin(f"pod-{len(restarts) + 1}", True, now)
        tracking.answered(_answer("same"), now)
        if tracking.wants_restart(now):
            tracking.restarted(now)
            restarts.append(now)
    assert restarts == [1_200, 2_500]
    assert _reasons(tracking, 9_900) == ["Stale"]
    later = DAY_S + 2_000
    tracking.answered(_answer("same"), later)
    assert tracking.wants_restart(later)


def test_who_is_without_his_exchange_is_not_restarted() -> None:
    tracking = _tracking()
    tracking.answered(_answer("same"), 0)
    tracking.answered(_answer("same", connected=False), 5_000)
    assert not tracking.wants_restart(5_000)


@pytest.mark.parametrize("reason", ["Stale", "Disconnected", "Unreachable", "KafkaUnavailable"])
def test_a_new_operator_takes_over_what_the_status_says(reason: str) -> None:
    assert _reasons(_tracking(now=5, assumed=(reason,)), 5) == [reason]
    assert _reasons(_tracking(now=5), 5) == []
    fresh = _tracking(now=5, assumed=(reason,))
    fresh.begin("pod-2", True, 6)
    assert _reasons(fresh, 6) == [], "a new pod gets its time"
