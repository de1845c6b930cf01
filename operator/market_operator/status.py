"""The status of a MarketFeed from what was observed, by Kubernetes' API conventions. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from market_operator.desired import selector
from market_operator.feeds import Feed, Key
from market_operator.observing import Answer, Problem, Shard
from market_operator.resource import FAILING_PRODUCTS_MAX
from services.runtime.clock import parse_rfc3339

Object = dict[str, Any]

TEXT_MAX = 1024
PRODUCT_TEXT_MAX = 256
PROBLEMS_SAID = 3

REASONS = {
    "InvalidSpec": "The spec has what this operator does not know. Upgrade the operator; what runs is left alone.",
    "UnknownVenue": "Correct `spec.venue`, or name a `spec.image` that has the adapter.",
    "FieldConflict": "Another tool applies a field of an object that the operator makes. Take it out of that tool.",
    "ApplyRefused": "The API server refuses an object, or something changes it while it is written: see the message.",
    "QuotaExceeded": "Raise the namespace's ResourceQuota, or lower `spec.resources`.",
    "PodsRefused": "The API server refuses the pods (Pod Security, LimitRange, webhooks): the message says what.",
    "Unschedulable": "No node takes the pods: look at `spec.resources`, `nodeSelector`, `affinity`, `tolerations`.",
    "ImagePullFailed": "Correct `spec.image` or `spec.imagePullSecrets`, or make the image available.",
    "SecretMissing": "Make the Secret, or the key in it, that the message names, in the MarketFeed's namespace.",
    "ContainerNotCreated": "The node cannot make the container: the message says why.",
    "PodNotStarting": "The node cannot start the pod: the message is the newest warning about it.",
    "InvalidSettings": "The feed refuses a setting: the message names the variable and what is wrong.",
    "OutOfMemory": "Raise `spec.resources.limits.memory`, or add shards.",
    "Crashing": "The feed ends by itself: the message is its last; `kubectl logs --previous` has the rest.",
    "RolloutStuck": "New pods do not become ready within 10 minutes; the old ones go on.",
    "KafkaUnavailable": "The feed does not get to Kafka: look at `spec.kafka`, the Secret's password, the network.",
    "Disconnected": "The feed is without its exchange: the message is how the last session ended.",
    "Stale": "A shard receives no trade though it is connected. Its pod is restarted, a few times a day at most.",
    "Unreachable": "A shard's `/status` does not answer the operator: look at the NetworkPolicy and the pod.",
    "Conflict": "An older MarketFeed has a product of this one under the same `exchange`. Remove it from one of them.",
    "ProductsRejected": "The exchange refuses products: `status.failingProducts` has its words.",
}
"""Every reason of ``Degraded``, the one that others may follow from first, and what to do."""
SEVERITY = tuple(REASONS)

Change = Literal["", "figures", "messages", "all"]
FIGURES = ("lastTradeTime", "openGaps")
"""What always moves: written along with something else, or now and then."""


@dataclass(frozen=True)
class Observed:
    """Everything that a status is made of, besides the feed. ``shards`` has those to which products fall."""

    exchange: str
    shards: Mapping[int, Shard] = field(default_factory=dict)
    problems: Sequence[Problem] = ()
    conflicts: Mapping[str, Key] = field(default_factory=dict)
    """Products that an older feed has, with its name."""


def status(feed: Feed, observed: Observed, now: str) -> Object:
    """What to write; ``now`` (RFC 3339) is when a condition that changed did so. No empty list: an apply drops it."""
    shards = [] if feed.spec.paused else list(observed.shards.values())
    answers = [shard.answer for shard in shards if shard.answer is not None]
    failing = _failing(answers, observed.conflicts)
    found: Object = {
        "observedGeneration": feed.generation,
        "conditions": _conditions(feed, observed, failing, now),
        "exchange": observed.exchange,
        "products": len(feed.spec.products),
        "shards": 0 if feed.spec.paused else feed.spec.shards,
        "readyShards": _ready_shards(feed, observed),
        "connectedProducts": sum(p.subscribed for answer in answers for p in answer.products.values()),
        "openGaps": sum(len(p.open_gaps) for answer in answers for p in answer.products.values()),
        "selector": selector(feed.key.name),
    }
    if failing:
        found["failingProducts"] = failing[:FAILING_PRODUCTS_MAX]
    if any(shard.ready and shard.answer is None for shard in shards):
        kept = ("connectedProducts", "failingProducts", *FIGURES)
        found |= {name: feed.status[name] for name in kept if name in feed.status}
    newest = _newest_trade(answers) or feed.status.get("lastTradeTime")
    return found if newest is None else {**found, "lastTradeTime": newest}


def invalid(body: Object, message: str, now: str) -> Object:
    """What a status says of a spec that this operator does not know: the rest stays as it is."""
    old, generation = body.get("status", {}), body["metadata"]["generation"]
    before = {each["type"]: each for each in old.get("conditions", [])}
    before["Degraded"] = {
        "type": "Degraded",
        "status": "True",
        "reason": "InvalidSpec",
        "message": message[:TEXT_MAX],
        "lastTransitionTime": _since(before.get("Degraded"), "True", now),
        "observedGeneration": generation,
    }
    return {**old, "observedGeneration": generation, "conditions": list(before.values())}


def change(old: Object, new: Object) -> Change:
    """What of a status differs. Figures may wait, and messages a little: they may repeat a figure or a time."""
    if old == new:
        return ""
    if _without_figures(old) == _without_figures(new):
        return "figures"
    return "messages" if _without_messages(old) == _without_messages(new) else "all"


def transitions(old: Object, new: Object) -> list[Object]:
    """Conditions whose status or reason is another than before, what Events tell of; at first, those that are true."""
    before = {each["type"]: (each["status"], each["reason"]) for each in old.get("conditions", [])}
    return [each for each in new["conditions"] if _is_news(each, before.get(each["type"]))]


def _is_news(condition: Object, before: tuple[str, str] | None) -> bool:
    if before is None:
        return bool(condition["status"] == "True")
    return before != (condition["status"], condition["reason"])


def _without_figures(status: Object) -> Object:
    return {name: value for name, value in status.items() if name not in FIGURES}


def _without_messages(status: Object) -> Object:
    rest = _without_figures(status)
    for items in ("conditions", "failingProducts"):
        rest[items] = [{**item, "message": ""} for item in status.get(items, [])]
    return rest


def _ready_shards(feed: Feed, observed: Observed) -> int:
    """A shard to which no product falls has nothing to wait for."""
    if feed.spec.paused or not observed.shards:
        return 0
    return sum(shard.ready for shard in observed.shards.values()) + feed.spec.shards - len(observed.shards)


# ---- products


def _failing(answers: Sequence[Answer], conflicts: Mapping[str, Key]) -> list[Object]:
    found = [
        {"name": name, "reason": "Conflict", "message": f"{owner} has it, and is older"}
        for name, owner in conflicts.items()
    ]
    found += [
        {"name": name, "reason": "Rejected", "message": product.rejected[:PRODUCT_TEXT_MAX]}
        for answer in answers
        for name, product in answer.products.items()
        if product.rejected
    ]
    return sorted(found, key=lambda item: item["name"])


def _newest_trade(answers: Sequence[Answer]) -> str | None:
    times = (product.last_trade_time for answer in answers for product in answer.products.values())
    return max((time for time in times if time), default=None, key=parse_rfc3339)


# ---- conditions


def _conditions(feed: Feed, observed: Observed, failing: Sequence[Object], now: str) -> list[Object]:
    degraded = _degraded(feed, observed, failing)
    said = {
        "Ready": _ready(feed, observed, degraded),
        "Progressing": _progressing(feed, observed),
        "Degraded": degraded,
        "Paused": ("True", "Paused", "spec.paused is true") if feed.spec.paused else ("False", "Running", ""),
    }
    before = {each["type"]: each for each in feed.status.get("conditions", [])}
    return [
        {
            "type": kind,
            "status": holds,
            "reason": reason,
            "message": message[:TEXT_MAX],
            "lastTransitionTime": _since(before.get(kind), holds, now),
            "observedGeneration": feed.generation,
        }
        for kind, (holds, reason, message) in said.items()
    ]


def _since(before: Object | None, holds: str, now: str) -> str:
    return str(before["lastTransitionTime"]) if before is not None and before["status"] == holds else now


_Said = tuple[str, str, str]


def _ready(feed: Feed, observed: Observed, degraded: _Said) -> _Said:
    if feed.spec.paused:
        return "False", "Paused", "spec.paused is true"
    if not observed.shards:
        return "False", degraded[1], degraded[2]
    if all(shard.ready for shard in observed.shards.values()):
        return "True", "Streaming", "every shard has streamed"
    waiting = sorted(number for number, shard in observed.shards.items() if not shard.ready)
    return "False", "ShardsNotReady", f"not ready: shard {', '.join(map(str, waiting))}"


def _progressing(feed: Feed, observed: Observed) -> _Said:
    rolling = sorted(number for number, shard in observed.shards.items() if shard.rolling)
    if not rolling:
        return "False", "Complete", ""
    reason = "Stopping" if feed.spec.paused else "RollingOut"
    return "True", reason, f"shard {', '.join(map(str, rolling))}"


def _degraded(feed: Feed, observed: Observed, failing: Sequence[Object]) -> _Said:
    problems = list(observed.problems)
    if not feed.spec.paused:
        problems += [problem for shard in observed.shards.values() for problem in shard.problems]
        problems += _of_products(failing, len(feed.spec.products))
    problems.sort(key=lambda problem: SEVERITY.index(problem.reason))
    if not problems:
        return "False", "AsWanted", ""
    messages = dict.fromkeys(problem.message for problem in problems)
    return "True", problems[0].reason, "; ".join(list(messages)[:PROBLEMS_SAID])


def _of_products(failing: Sequence[Object], products: int) -> list[Problem]:
    found = []
    for reason, kind in (("Conflict", "Conflict"), ("Rejected", "ProductsRejected")):
        those = [item for item in failing if item["reason"] == reason]
        if those:
            first = f"{those[0]['name']}: {those[0]['message']}"
            found.append(Problem(kind, f"{len(those)} of {products} products, the first {first}"))
    return found
