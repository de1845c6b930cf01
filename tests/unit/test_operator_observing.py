"""What Deployments and pods say, as the API server writes it, becomes a reason a user can act on."""

from typing import Any

import pytest

from market_operator.observing import (
    Polled,
    Problem,
    is_pod_ready,
    is_pod_stuck,
    observed_shard,
    of_stuck_pod,
)

Object = dict[str, Any]


def _deployment(generation: int = 1, replicas: int = 1, **status: object) -> Object:
    done = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    return {"metadata": {"generation": generation}, "spec": {"replicas": replicas}, "status": {**done, **status}}


def _pod(*states: Object, phase: str = "Running", conditions: tuple[Object, ...] = (), **metadata: object) -> Object:
    containers = [{"image": "tickplane:1", **state} for state in states]
    return {
        "metadata": {"name": "p", **metadata},
        "status": {"phase": phase, "containerStatuses": containers, "conditions": list(conditions)},
    }


def _waiting(reason: str, message: str = "") -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def _crashed(code: int, message: str, reason: str = "Error") -> Object:
    ended = {"exitCode": code, "reason": reason, "message": message}
    return {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}


def test_a_shard_that_has_streamed() -> None:
    shard = observed_shard(_deployment(), [], Polled())
    assert (shard.ready, shard.rolling, shard.problems) == (True, False, ())


@pytest.mark.parametrize(
    "deployment",
    [
        _deployment(generation=2),
        _deployment(updatedReplicas=0),
        _deployment(replicas=1) | {"spec": {"replicas": 0}},
        {"metadata": {"generation": 1}, "spec": {"replicas": 1}},
        _deployment() | {"status": {**_deployment()["status"], "replicas": 2}},
        _deployment(availableReplicas=0),
    ],
)
def test_a_rollout_is_under_way(deployment: Object) -> None:
    assert observed_shard(deployment, [], Polled()).rolling


@pytest.mark.parametrize(
    ("pod", "problem"),
    [
        (
            _pod(_waiting("ImagePullBackOff", 'Back-off pulling image "tickplane:1"'), phase="Pending"),
            Problem("ImagePullFailed", 'tickplane:1: Back-off pulling image "tickplane:1"'),
        ),
        (
            _pod(_waiting("CreateContainerConfigError", 'secret "kafka-user" not found'), phase="Pending"),
            Problem("SecretMissing", 'secret "kafka-user" not found'),
        ),
        (
            _pod(_waiting("CreateContainerConfigError", "couldn't find key password in Secret a/b"), phase="Pending"),
            Problem("SecretMissing", "couldn't find key password in Secret a/b"),
        ),
        (
            _pod(_crashed(2, '{"event":"starting"}\ntickplane feed: TICKPLANE_PRODUCTS: too long\n')),
            Problem("InvalidSettings", "tickplane feed: TICKPLANE_PRODUCTS: too long"),
        ),
        (
            _pod(_crashed(1, '{"error":"a broken invariant","event":"failed"}')),
            Problem("Crashing", "exit code 1: a broken invariant"),
        ),
        (
            _pod(_crashed(137, "", reason="OOMKilled")),
            Problem("OutOfMemory", "a shard used more memory than resources.limits.memory"),
        ),
        (
            _pod(
                phase="Pending",
                conditions=(
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node fits"},
                ),
            ),
            Problem("Unschedulable", "no node fits"),
        ),
    ],
)
def test_a_pod_in_trouble(pod: Object, problem: Problem) -> None:
    assert observed_shard(_deployment(), [pod], Polled()).problems == (problem,)


def test_a_pod_that_ends_is_in_no_trouble() -> None:
    pod = _pod(_crashed(1, "x"), deletionTimestamp="2026-01-01T00:00:00Z")
    assert observed_shard(_deployment(), [pod], Polled()).problems == ()
    assert observed_shard(_deployment(), [_pod({"state": {"terminated": {"exitCode": 0}}})], Polled()).problems == ()


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (
            {"type": "ReplicaFailure", "status": "True", "message": 'pods "a" is forbidden: exceeded quota: q'},
            "QuotaExceeded",
        ),
        ({"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}, "PodsRefused"),
        ({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}, "RolloutStuck"),
    ],
)
def test_a_deployment_in_trouble(condition: Object, reason: str) -> None:
    (problem,) = observed_shard(_deployment(conditions=[condition]), [], Polled()).problems
    assert problem.reason == reason


def test_a_pod_that_does_not_begin_is_asked_why() -> None:
    creating = _pod(_waiting("ContainerCreating"), phase="Pending")
    assert is_pod_stuck(creating)
    assert not is_pod_stuck(_pod({"state": {"running": {}}}))
    assert not is_pod_stuck(_pod(_waiting("ImagePullBackOff"), phase="Pending")), "that says why by itself"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('MountVolume.SetUp failed for volume "kafka-ca" : secret "ca" not found', "SecretMissing"),
        ("references non-existent secret key: ca.crt", "SecretMissing"),
        ("Failed to create pod sandbox: no IP left", "PodNotStarting"),
    ],
)
def test_why_a_pod_does_not_begin(message: str, reason: str) -> None:
    assert of_stuck_pod(message) == Problem(reason, message)


def test_a_pod_is_ready_by_its_condition_until_it_is_deleted() -> None:
    ready: Object = {"type": "Ready", "status": "True"}
    assert is_pod_ready(_pod(conditions=(ready,)))
    assert not is_pod_ready(_pod(conditions=({**ready, "status": "False"},)))
    assert not is_pod_ready(_pod(conditions=(ready,), deletionTimestamp="2026-01-01T00:00:00Z"))
