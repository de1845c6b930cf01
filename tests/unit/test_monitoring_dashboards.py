"""The dashboards are as the boards have them, ask only for what the code has, and say what they show."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from monitoring.boards.panels import RUNBOOKS, Unit
from monitoring.generate import BOARDS, generated
from services.contracts.metrics import PROCESS_METRICS, PROMETHEUS_METRICS, Metric
from tests.chart.tools import run
from tests.support.dashboards import CHOICES, filled_in, panel_queries, panels
from tests.support.promql import base_name, metric_names

MONITORING = Path(__file__).parents[2] / "monitoring"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(MONITORING.glob("dashboards/*.json"))}
PANELS = [(name, panel) for name, dashboard in DASHBOARDS.items() for panel in panels(dashboard)]
QUERIES = [(f"{name} / {panel['title']}", target) for name, panel in PANELS for target in panel["targets"]]

TARGET_LABELS = {"namespace", "pod", "job", "instance", "le"}
"""What Prometheus adds to every series, and what tells a histogram's buckets apart."""
LABELS = {
    **{metric.value.name: {*metric.value.labels, *TARGET_LABELS} for metric in Metric},
    **dict.fromkeys(PROCESS_METRICS | PROMETHEUS_METRICS, TARGET_LABELS),
    "ALERTS": {*TARGET_LABELS, "alertname", "alertstate", "severity"},
}
AGGREGATION = re.compile(r"\b(?:sum|min|max|count|group)\s*(?:by \((?P<labels>[^)]*)\))?\s*\(")
WORST_SIZE_BYTES = 1 << 20
"""What Kubernetes takes of one ConfigMap."""


def test_every_dashboard_is_fresh() -> None:
    texts = generated()
    stale = [path.name for path, text in texts.items() if not path.exists() or path.read_text() != text]
    assert not stale, "run `python monitoring/generate.py`"
    assert {path.stem for path in texts} == set(DASHBOARDS), "a dashboard that no board makes"


def test_dashboards_are_who_others_link_to() -> None:
    assert {name: each["uid"] for name, each in DASHBOARDS.items()} == {
        board.name: f"tickplane-{board.name}" for board in BOARDS
    }
    for name, dashboard in DASHBOARDS.items():
        assert dashboard["title"], name
        assert dashboard["tags"] == ["tickplane"], name
        (boards,) = [link for link in dashboard["links"] if link["type"] == "dashboards"]
        assert (boards["tags"], boards["includeVars"], boards["keepTime"]) == (["tickplane"], True, True)
        assert len((MONITORING / f"dashboards/{name}.json").read_bytes()) < WORST_SIZE_BYTES


def test_every_panel_says_what_it_shows() -> None:
    units = {str(unit) for unit in Unit}
    for name, panel in PANELS:
        where = f"{name} / {panel['title']}"
        assert panel["title"].strip(), name
        assert panel["description"].endswith("."), where
        assert panel["fieldConfig"]["defaults"]["unit"] in units, where
        assert panel["targets"], where
        assert all(target["expr"].strip() for target in panel["targets"]), where
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None, where


def test_titles_are_unique_within_a_row_of_a_board() -> None:
    for name, dashboard in DASHBOARDS.items():
        row = ""
        seen = set()
        for panel in dashboard["panels"]:
            row = panel["title"] if panel["type"] == "row" else row
            key = (row, panel["title"], panel["type"])
            assert key not in seen, f"{name}: {key}"
            seen.add(key)


def test_where_there_are_several_series_each_has_a_name() -> None:
    for where, target in QUERIES:
        legend, out = target["legendFormat"], labels_out(target["expr"])
        shown = set(re.findall(r"{{(\w+)}}", legend))
        if target["format"] == "time_series":
            assert shown == out, f"{where}: series differ by {out}, and the legend says {legend}"
    for name, panel in PANELS:
        legends = [target["legendFormat"] for target in panel["targets"]]
        if len(legends) > 1:
            assert len(set(legends)) == len(legends), f"{name} / {panel['title']}"
            assert "__auto" not in legends, f"{name} / {panel['title']}"


def test_panels_fit_into_the_grid_and_beside_each_other() -> None:
    for name, dashboard in DASHBOARDS.items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            assert at["x"] >= 0, name
            assert at["x"] + at["w"] <= 24, f"{name} / {panel['title']}"
            cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
            assert not cells & taken, f"{name} / {panel['title']} is on another panel"
            taken |= cells
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers), name


def test_lines_are_full_so_that_no_hole_looks_like_a_missing_panel() -> None:
    for name, dashboard in DASHBOARDS.items():
        widths: Counter[int] = Counter()
        for panel in dashboard["panels"]:
            widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]
        assert set(widths.values()) == {24}, f"{name}: {widths}"


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_every_metric_is_one_of_the_code_or_of_prometheus(name: str) -> None:
    unknown = {
        metric
        for query in panel_queries(MONITORING / "dashboards")
        if query.board == name
        for metric in metric_names(query.expression)
        if base_name(metric) not in LABELS
    }
    assert not unknown


def test_every_label_is_one_of_its_metric() -> None:
    for where, target in QUERIES:
        for metric, labels in matched(target["expr"]):
            assert labels <= LABELS[base_name(metric)], f"{where}: {metric} has no {labels - LABELS[base_name(metric)]}"
        for labels, inner in aggregated(target["expr"]):
            for metric in metric_names(inner):
                known = LABELS[base_name(metric)]
                assert labels <= known, f"{where}: {metric} has no {labels - known}"


def test_what_is_chosen_decides_what_is_asked() -> None:
    for where, target in QUERIES:
        for metric, labels in matched(target["expr"]):
            assert "namespace" in labels, f"{where}: {metric}"
        assert {metric for metric, _ in matched(target["expr"])} == metric_names(filled_in(target["expr"], CHOICES)), (
            where
        )
        name = where.partition(" / ")[0]
        offered = {variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]}
        asked = set(re.findall(r'"\$(\w+)\|?"', target["expr"]))
        assert asked <= offered, f"{where}: nobody can choose {asked - offered}"
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard["panels"])
        for variable in dashboard["templating"]["list"]:
            assert f"${variable['name']}" in text or f"${{{variable['name']}}}" in text, f"{name}: {variable['name']}"


def test_links_to_runbooks_name_alerts_that_there_are() -> None:
    rules = sorted(MONITORING.glob("rules/*.yaml"))
    if not rules:
        pytest.skip("there are no rules in monitoring/rules")
    alerts = {
        rule["alert"]
        for path in rules
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    linked = {
        link["url"].removeprefix(f"{RUNBOOKS}/").removesuffix(".md")
        for _, panel in PANELS
        for link in panel["links"]
        if link["url"].startswith(RUNBOOKS)
    }
    assert linked
    assert linked <= alerts


def test_links_to_boards_name_boards_that_there_are() -> None:
    addresses = {dashboard["uid"] for dashboard in DASHBOARDS.values()}
    linked = {
        match for _, panel in PANELS for link in panel["links"] for match in re.findall(r"^/d/([\w-]+)", link["url"])
    }
    assert linked
    assert linked <= addresses


def test_every_query_is_promql(tmp_path: Path) -> None:
    queries = list(panel_queries(MONITORING / "dashboards"))
    rules = [{"record": f"panel:{number}", "expr": query.expression} for number, query in enumerate(queries)]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    result = run("promtool", "check", "rules", str(path))
    assert result.returncode == 0, result.stdout + result.stderr


def matched(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each selector's metric and the labels that it matches."""
    for metric, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression):
        yield metric, set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', matchers))


def aggregated(expression: str) -> Iterator[tuple[set[str], str]]:
    """The labels of each aggregation, inner ones too, and what it aggregates."""
    for found in AGGREGATION.finditer(expression):
        yield _labels(found), expression[found.end() : closing(expression, found.end())]


def labels_out(expression: str) -> set[str]:
    """The labels that the series of a result differ by: those of the outermost aggregations."""
    found = AGGREGATION.search(expression)
    if found is None:
        return set()
    return (_labels(found) - {"le"}) | labels_out(expression[closing(expression, found.end()) :])


def closing(expression: str, start: int) -> int:
    """Where the bracket closes that was opened just before ``start``."""
    depth = 1
    for index, character in enumerate(expression[start:], start):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return index
    raise AssertionError(f"unbalanced: {expression}")


def _labels(aggregation: re.Match[str]) -> set[str]:
    return set(re.findall(r"\w+", aggregation["labels"] or ""))
