"""What is in ``monitoring/rules`` and ``monitoring/tests``."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring"
RUNBOOKS = "https://github.com/tickplane/tickplane/blob/main/monitoring/runbooks"
EXTERNAL = "external.yaml"
"""The one file of rules that may name series of exporters that are not ours."""


@dataclass(frozen=True)
class Rule:
    """A recording rule, or with ``is_alert`` an alerting one."""

    file: str
    name: str
    is_alert: bool
    expression: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "")


@functools.cache
def rules() -> tuple[Rule, ...]:
    return tuple(
        Rule(
            path.name,
            rule.get("alert") or rule["record"],
            "alert" in rule,
            rule["expr"],
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for path in sorted((MONITORING / "rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )


def alerts() -> tuple[Rule, ...]:
    return tuple(rule for rule in rules() if rule.is_alert)


def records() -> tuple[Rule, ...]:
    return tuple(rule for rule in rules() if not rule.is_alert)


@functools.cache
def cases() -> tuple[dict[str, Any], ...]:
    """Every test of promtool, from all files."""
    return tuple(
        case
        for path in sorted((MONITORING / "tests").glob("*_test.yaml"))
        for case in yaml.safe_load(path.read_text())["tests"]
    )
