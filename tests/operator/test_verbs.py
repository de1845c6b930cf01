"""The operator's permissions against what it did, by the API server's audit log: after the tests that make it act."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from market_operator.permissions import rules
from tests.operator.kube import OPERATOR, Kube
from tests.operator.running import Operator
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

USER = re.compile(rf"system:serviceaccount:operator-test-[0-9a-f]+:{OPERATOR}")
Verb = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""


def _granted() -> set[Verb]:
    return {
        (group, resource, verb)
        for rule in rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _requests(log: Path) -> Iterator[tuple[Verb, int]]:
    """What operators of these tests asked for, in this log and those that were rotated, with the status code."""
    for path in log.parent.glob(f"{log.stem}*{log.suffix}"):
        with path.open("rb") as lines:
            for line in lines:
                entry: dict[str, Any] = msgspec.json.decode(line)
                if USER.fullmatch(entry["user"]["username"]):
                    asked = entry["objectRef"]
                    resource = "/".join(part for part in (asked["resource"], asked.get("subresource")) if part)
                    yield (asked.get("apiGroup", ""), resource, entry["verb"]), entry["responseStatus"]["code"]


def test_every_verb_is_used_and_none_is_missing() -> None:
    path = os.environ.get("TICKPLANE_AUDIT_LOG")
    if not path:
        pytest.skip("TICKPLANE_AUDIT_LOG names no audit log")
    requests = list(_requests(Path(path)))
    used = {verb for verb, _ in requests}
    assert used <= _granted()
    # Whether an apply may create is asked within the patch: see the test below.
    created = {(group, resource, "create") for group, resource, verb in used if verb == "patch"}
    assert _granted() - used - created == set(), "granted and not used by any test; run all of tests/operator"


async def test_an_apply_of_something_new_needs_create(kube: Kube, running: Operator) -> None:
    less = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "create"]} for rule in rules()]
    await kube.patch("Role", OPERATOR, {"rules": less})
    await kube.feed("a")

    async def is_refused() -> bool:
        condition = await kube.condition("a", "Degraded")
        return condition.get("reason") == "ApplyRefused" and "cannot create resource" in condition["message"]

    await eventually(is_refused)
