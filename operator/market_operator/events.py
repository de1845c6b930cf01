"""Events on a MarketFeed when a condition changes, as ``kubectl describe`` shows them. Pure."""

from typing import Any

from market_operator.desired import MANAGER
from market_operator.feeds import Feed
from market_operator.resource import API_VERSION, KIND

Object = dict[str, Any]
TEXT_MAX = 1024


def event(feed: Feed, condition: Object, now: str) -> Object:
    """What to record; ``now`` is RFC 3339, to the second."""
    is_bad = condition["type"] == "Degraded" and condition["status"] == "True"
    state = condition["type"] if condition["status"] == "True" else f"Not {condition['type'].lower()}"
    involved = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": feed.key.name,
        "namespace": feed.key.namespace,
        "uid": feed.uid,
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{feed.key.name}.", "namespace": feed.key.namespace},
        "involvedObject": involved,
        "type": "Warning" if is_bad else "Normal",
        "reason": condition["reason"],
        "message": f"{state}: {condition['message']}"[:TEXT_MAX] if condition["message"] else state,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
