"""The rules: promtool's own checks and tests where there is a promtool, and what can be told without one."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.__main__ import settings_classes
from services.contracts.access import ACCESS
from services.contracts.metrics import PROCESS_METRICS, PROMETHEUS_METRICS, Metric
from services.runtime.settings import variables
from tests.chart.tools import run
from tests.support.promql import base_name, metric_names, selections
from tests.support.rules import EXTERNAL, MONITORING, RUNBOOKS, Rule, alerts, cases, records, rules

SPECS = {metric.value.name: metric.value for metric in Metric}
OURS = {*SPECS, *PROCESS_METRICS, *PROMETHEUS_METRICS}
TARGET_LABELS = frozenset({"namespace", "job", "pod", "instance"})
"""What rules may expect of a target: `pod` on a cluster only."""
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
TOLD_BY_PEOPLE = frozenset({"NAMESPACE", "DATABASE_URL", "REDIS_URL"})
"""Variables of the runbooks' commands that are no label of an alert."""
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(duration: str) -> int:
    return sum(int(number) * UNIT_SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))


# ---- promtool


def test_promtool_finds_the_rules_right() -> None:
    result = run("promtool", "check", "rules", *map(str, sorted((MONITORING / "rules").glob("*.yaml"))))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", sorted((MONITORING / "tests").glob("*.yaml")), ids=lambda path: path.name)
def test_promtool_finds_that_alerts_fire_and_clear(path: Path) -> None:
    result = run("promtool", "test", "rules", str(path))
    assert result.returncode == 0, result.stdout + result.stderr


# ---- what an alert says


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_an_alert_says_what_is_wrong_how_much_and_what_to_do(alert: Rule) -> None:
    assert alert.severity in ("page", "ticket", "info")
    assert alert.annotations["summary"]
    assert re.search(r"\{\{[^{}]*\$value[^{}]*\}\}", alert.annotations["description"]), "the figure"
    assert alert.annotations["runbook_url"] == f"{RUNBOOKS}/{alert.name}.md"


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_a_runbook_has_its_four_headings_and_commands(name: str) -> None:
    text = (MONITORING / f"runbooks/{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## .*", text, re.MULTILINE) == HEADINGS
    diagnosis = text.partition("## Diagnosis")[2].partition("## Mitigation")[0]
    assert "```sh\n" in diagnosis


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in (MONITORING / "runbooks").glob("*.md")} == {alert.name for alert in alerts()}


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_a_runbooks_commands_have_what_the_alert_brings(name: str) -> None:
    """A variable is the name of one of the alert's labels, in capitals."""
    text = (MONITORING / f"runbooks/{name}.md").read_text()
    brought = {label.upper() for labels in _fired(name) for label in labels}
    assert set(re.findall(r"\$([A-Z][A-Z_]*)", text)) <= brought | TOLD_BY_PEOPLE


def test_runbooks_name_settings_that_exist() -> None:
    known = {variable for settings in settings_classes().values() for variable in variables(settings).values()}
    named = {
        name
        for path in (MONITORING / "runbooks").glob("*.md")
        for name in re.findall(r"\bTICKPLANE_[A-Z_]+|\bRATE_LIMIT_PER_MINUTE\b", path.read_text())
    }
    assert named
    assert named <= known


# ---- what promtool's tests try


@pytest.mark.parametrize("name", sorted({alert.name for alert in alerts()}))
def test_an_alert_is_tried_before_it_fires_while_it_does_and_when_it_is_over(name: str) -> None:
    assert any(_fires_between(case, name) for case in cases())


def _fires_between(case: dict[str, Any], name: str) -> bool:
    """Whether in one test the alert is quiet, fires, and later has fewer that fire."""
    tried = sorted(
        (seconds(check["eval_time"]), len(check.get("exp_alerts", ())))
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == name
    )
    counts = [count for _, count in tried]
    return bool(counts) and counts[0] == 0 and max(counts) > counts[-1]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_each_severity_of_an_alert_fires_in_a_test(alert: Rule) -> None:
    assert alert.severity in {labels["severity"] for labels in _fired(alert.name)}


def _fired(name: str) -> list[dict[str, str]]:
    """The labels of each of its alerts that a test of promtool expects."""
    return [
        expected["exp_labels"]
        for case in cases()
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == name
        for expected in check.get("exp_alerts", ())
    ]


def test_the_series_of_the_tests_have_the_labels_of_the_real_ones() -> None:
    wrong = []
    for series in (each["series"] for case in cases() for each in case.get("input_series", ())):
        name, _, rest = series.partition("{")
        spec = SPECS.get(base_name(name))
        labels = set(re.findall(r'(\w+)="', rest))
        bucket = {"le"} if name.endswith("_bucket") else set()
        if spec is not None and not {*spec.labels, *bucket} <= labels <= {*spec.labels, *bucket, *TARGET_LABELS}:
            wrong.append(series)
        if spec is not None and not {"namespace", "job", "instance"} <= labels:
            wrong.append(series)
    assert not wrong


# ---- what the rules ask for


def test_every_name_exists_in_the_code_or_is_recorded() -> None:
    recorded = {record.name for record in records()}
    unknown = defaultdict(set)
    for rule in rules():
        if rule.file != EXTERNAL:
            unknown[rule.name] = {base_name(name) for name in metric_names(rule.expression)} - OURS - recorded
    assert not {name: names for name, names in unknown.items() if names}


def test_what_is_not_ours_is_marked() -> None:
    recorded = {record.name for record in records()}
    for alert in alerts():
        foreign = {base_name(name) for name in metric_names(alert.expression)} - OURS - recorded
        assert (alert.labels.get("source") == "external") == (alert.file == EXTERNAL) == bool(foreign), alert.name


def test_every_record_is_asked_for() -> None:
    asked = {name for rule in rules() for name in metric_names(rule.expression)}
    assert {record.name for record in records()} <= asked


def test_counters_are_asked_for_their_increase_and_histograms_by_their_series() -> None:
    wrong = []
    for rule in rules():
        for name, before in selections(rule.expression):
            spec = SPECS.get(base_name(name))
            if spec is None or spec.kind == "gauge":
                continue
            if spec.kind == "histogram" and name == spec.name:
                wrong.append(f"{rule.name}: {name} has no series of its own")
            # A counter that is born with its first event shows no increase then: these rules look whether it was there.
            elif not before.endswith(("rate(", "increase(")) and not rule.name.endswith(":increase10m"):
                wrong.append(f"{rule.name}: {name} only grows")
    assert not wrong


def test_gauges_have_no_rate() -> None:
    gauges = {name for name, spec in SPECS.items() if spec.kind == "gauge"}
    wrong = [
        f"{rule.name}: {name}"
        for rule in rules()
        for name, before in selections(rule.expression)
        if name in gauges and before.endswith(("rate(", "increase("))
    ]
    assert not wrong


def test_selectors_name_labels_that_the_metric_has() -> None:
    wrong = []
    for rule in rules():
        for name, matchers in re.findall(r"([a-z_]\w*)\{([^{}]*)\}", rule.expression):
            spec = SPECS.get(base_name(name))
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', "", matchers)))
            if spec is not None and not labels <= {*spec.labels, *TARGET_LABELS, "le"}:
                wrong.append(f"{rule.name}: {name}{{{matchers}}}")
    assert not wrong


def test_the_targets_that_can_be_missed_are_all_services() -> None:
    (seen,) = (record for record in records() if record.name == "job:tickplane_targets:seen1d")
    (pattern,) = re.findall(r'up\{job=~"([^"]*)"\}', seen.expression)
    assert set(pattern.split("|")) == set(ACCESS) - {"migrate"}


# ---- the page


def test_the_page_has_a_row_for_each_alert() -> None:
    assert alert_table() in (MONITORING / "README.md").read_text(), "this is the table:\n" + alert_table()


def alert_table() -> str:
    severities: dict[str, list[str]] = defaultdict(list)
    says: dict[str, str] = {}
    for alert in alerts():
        severities[alert.name].append(alert.severity)
        says.setdefault(alert.name, re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", alert.annotations["summary"]))
    rows = [f"| [{name}](runbooks/{name}.md) | {', '.join(severities[name])} | {said} |" for name, said in says.items()]
    return "\n".join(["| Alert | Severity | Says |", "|---|---|---|", *rows, ""])


# ---- with the boards


def test_every_metric_is_in_a_rule_or_on_a_board_or_for_looking_closer() -> None:
    asked = {name for rule in rules() for name in metric_names(rule.expression)}
    asked |= {name for expression in panels() for name in metric_names(expression)}
    used = {base_name(name) for name in asked}
    assert {name for name, spec in SPECS.items() if not spec.debug} - used == set()


def panels() -> Iterator[str]:
    """Every query of every panel."""
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        yield from queries(json.loads(path.read_text())["panels"])


def queries(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "expr" and isinstance(value, str))
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from queries(each)
