"""What the operator may do: the rules of its Role, exactly the verbs it uses. The chart renders these."""

from typing import Any

from market_operator.resource import GROUP, PLURAL

WATCHED = ("list", "watch")
APPLIED = (*WATCHED, "patch", "create")
"""A server-side apply is a patch, and where there is no object yet it needs ``create`` too."""


def rules() -> list[dict[str, Any]]:
    """Rules of a Role, or of a ClusterRole where it serves every namespace."""
    return [
        _rule(GROUP, PLURAL, *WATCHED),
        _rule(GROUP, f"{PLURAL}/status", "patch"),
        _rule("apps", "deployments", *APPLIED, "delete"),
        _rule("", "serviceaccounts", *APPLIED),
        _rule("networking.k8s.io", "networkpolicies", *APPLIED),
        _rule("monitoring.coreos.com", "podmonitors", *APPLIED),
        _rule("", "pods", *WATCHED, "delete"),
        _rule("", "events", "list", "create"),
    ]


def _rule(group: str, resource: str, *verbs: str) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
