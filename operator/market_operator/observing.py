"""What the Deployment, the pods and the last answer of a shard say. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.runtime.logging import error_of

Object = dict[str, Any]

PULL_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError"})
EXIT_CONFIG_ERROR = 2


@dataclass(frozen=True)
class Problem:
    """Something a user can act on. ``reason`` is one word, from a fixed set."""

    reason: str
    message: str


class ProductAnswer(msgspec.Struct, frozen=True):
    """One product of a shard's ``/status``; times are RFC 3339."""

    subscribed: bool
    rejected: str = ""
    last_trade_time: str | None = None
    last_received_time: str | None = None
    open_gaps: tuple[msgspec.Raw, ...] = ()


class Dependency(msgspec.Struct, frozen=True):
    up: bool
    detail: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What is needed of a shard's ``/status``."""

    connected: bool
    products: dict[str, ProductAnswer]
    last_end: str = ""
    dependencies: dict[str, Dependency] = {}


@dataclass(frozen=True)
class Shard:
    """What is known of one shard."""

    ready: bool = False
    rolling: bool = True
    """Whether its Deployment is not yet what it was told to be."""
    problems: tuple[Problem, ...] = ()
    answer: Answer | None = None


@dataclass
class Polled:
    """What polling found out about a shard."""

    answer: Answer | None = None
    problems: tuple[Problem, ...] = field(default=())


def observed_shard(deployment: Object | None, pods: Sequence[Object], polled: Polled) -> Shard:
    """``deployment`` and ``pods`` as the API server has them."""
    if deployment is None:
        return Shard()
    found = (*_deployment_problems(deployment), *(p for pod in pods for p in _pod_problems(pod)), *polled.problems)
    return Shard(
        ready=is_ready(deployment),
        rolling=is_rolling(deployment),
        problems=tuple(dict.fromkeys(found)),
        answer=polled.answer,
    )


def is_ready(deployment: Object) -> bool:
    """Whether a pod of it has streamed."""
    return bool(deployment.get("status", {}).get("readyReplicas", 0))


def is_pod_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return _is_living(pod) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_pod_running(pod: Object) -> bool:
    """Whether its process runs and can be asked."""
    status = pod.get("status", {})
    return _is_living(pod) and "podIP" in status and any("running" in state for state in _states(pod))


def is_pod_stuck(pod: Object) -> bool:
    """Whether it is on a node, and nothing of it has begun: its Events say why."""
    status = pod.get("status", {})
    waiting = [state.get("waiting", {}).get("reason") for state in _states(pod)]
    return _is_living(pod) and status.get("phase") == "Pending" and set(waiting) <= {"ContainerCreating", None}


def of_stuck_pod(message: str) -> Problem:
    """What the newest warning about a pod that does not begin means."""
    is_secret = ("secret" in message and "not found" in message) or "references non-existent secret key" in message
    return Problem("SecretMissing" if is_secret else "PodNotStarting", message)


def _is_living(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def is_rolling(deployment: Object) -> bool:
    """Whether its pods are not yet what it was told last."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    behind = status.get("observedGeneration", 0) < deployment["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    return behind or counts != [wanted] * 3


def _deployment_problems(deployment: Object) -> Iterable[Problem]:
    for condition in deployment.get("status", {}).get("conditions", []):
        message = condition.get("message", "")
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Problem("QuotaExceeded" if "exceeded quota" in message else "PodsRefused", message)
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            yield Problem("RolloutStuck", message)


def _pod_problems(pod: Object) -> Iterable[Problem]:
    if not _is_living(pod):
        return
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Problem("Unschedulable", condition.get("message", ""))
    for container in pod.get("status", {}).get("containerStatuses", []):
        yield from _container_problems(container)


def _container_problems(container: Object) -> Iterable[Problem]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in PULL_REASONS:
        yield Problem("ImagePullFailed", f"{container['image']}: {message}")
    elif reason in CONFIG_REASONS:
        yield Problem("SecretMissing" if "secret" in message.lower() else "ContainerNotCreated", message)
    ended = container.get("state", {}).get("terminated")
    if ended is None and reason == "CrashLoopBackOff":
        ended = container.get("lastState", {}).get("terminated")
    if ended is not None and ended["exitCode"] != 0:
        yield _of_exit(ended)


def _of_exit(ended: Object) -> Problem:
    words = error_of(ended.get("message", "").strip().rpartition("\n")[2])
    if ended.get("reason") == "OOMKilled":
        return Problem("OutOfMemory", "a shard used more memory than resources.limits.memory")
    if ended["exitCode"] == EXIT_CONFIG_ERROR:
        return Problem("InvalidSettings", words)
    return Problem("Crashing", f"exit code {ended['exitCode']}: {words}")


def _states(pod: Object) -> list[Object]:
    return [container.get("state", {}) for container in pod.get("status", {}).get("containerStatuses", [])]
