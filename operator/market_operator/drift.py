"""Whether an object in the cluster is as it was last wanted, without asking the API server.

What was applied is remembered as a hash in an annotation, so that a field which is wanted no longer shows; what
somebody changed since shows by comparing. Fields that others added are theirs, as with any server-side apply.
"""

import json
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from market_operator.resource import GROUP

Object = dict[str, Any]

WANTED = f"{GROUP}/wanted"
"""The annotation with the hash of what was applied."""

LIST_KEYS = ("containerPort", "mountPath", "uid", "name")
"""What tells the items of a list apart that several may own part of; the first that an item has."""
SHARED_LISTS = frozenset({"containers", "env", "volumeMounts", "volumes", "ownerReferences", "imagePullSecrets"})
AMOUNTS = frozenset({"requests", "limits"})
UNITS: dict[str, Decimal | int] = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def marked(wanted: Object) -> Object:
    """The object with its own hash."""
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), WANTED: _hash(wanted)}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def is_as_wanted(wanted: Object, live: Object) -> bool:
    """Whether a ``marked`` object is what the cluster has; lists do not repeat each item's kind."""
    return _is_within({name: value for name, value in wanted.items() if name not in ("apiVersion", "kind")}, live)


def _hash(wanted: Object) -> str:
    return blake2b(json.dumps(wanted, sort_keys=True).encode(), digest_size=8).hexdigest()


def _is_within(wanted: Any, live: Any, field: str = "") -> bool:
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted
        same = _is_same_amount if field in AMOUNTS else _is_within
        return all(same(value, live.get(name), name) for name, value in wanted.items())
    if isinstance(wanted, list):
        return _is_list_within(wanted, live or [], field)
    return bool(wanted == live)


def _is_list_within(wanted: list[Any], live: list[Any], field: str) -> bool:
    if field in SHARED_LISTS or any("containerPort" in item for item in wanted if isinstance(item, dict)):
        found = {_name(item): item for item in live}
        return all(_is_within(item, found.get(_name(item))) for item in wanted)
    return len(wanted) == len(live) and all(map(_is_within, wanted, live))


def _name(item: Object) -> Any:
    return next(item[key] for key in LIST_KEYS if key in item)


def _is_same_amount(wanted: str, live: Any, _name: str) -> bool:
    """The API server writes ``1000m`` as ``1``."""
    return live is not None and _amount(wanted) == _amount(str(live))


def _amount(text: str) -> Decimal:
    number = text.rstrip("".join(UNITS))
    return Decimal(number) * UNITS[text.removeprefix(number)]
