"""What the end-to-end test asks Prometheus is what Grafana would ask."""

import json
from pathlib import Path

import pytest

from tests.support.dashboards import PanelQuery, panel_queries


def panel(title: str, *expressions: str) -> dict[str, object]:
    return {"type": "stat", "title": title, "targets": [{"expr": expression} for expression in expressions]}


def dashboard(folder: Path, name: str, *panels: dict[str, object]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"panels": panels}))


def test_every_query_of_every_panel_of_every_dashboard(tmp_path: Path) -> None:
    dashboard(tmp_path, "feeds", panel("Trades", "a", "b"), panel("Gaps", "c"))
    dashboard(tmp_path, "empty")
    dashboard(tmp_path, "pipeline", panel("Lag", "d"))
    (tmp_path / "README.md").write_text("no dashboard")
    assert list(panel_queries(tmp_path)) == [
        PanelQuery("feeds", "Trades", "a"),
        PanelQuery("feeds", "Trades", "b"),
        PanelQuery("feeds", "Gaps", "c"),
        PanelQuery("pipeline", "Lag", "d"),
    ]


def test_rows_are_no_panels_and_what_they_hide_is(tmp_path: Path) -> None:
    row: dict[str, object] = {"type": "row", "title": "Now"}
    dashboard(tmp_path, "feeds", {**row, "panels": []}, {**row, "collapsed": True, "panels": [panel("Trades", "a")]})
    assert list(panel_queries(tmp_path)) == [PanelQuery("feeds", "Trades", "a")]


def test_variables_have_the_values_of_no_choice_or_those_given(tmp_path: Path) -> None:
    chosen = '{namespace=~"$namespace", exchange=~"${exchange}", p=~"$product"}'
    expression = f"rate(x{chosen}[$__rate_interval]) + y[$__range]"
    dashboard(tmp_path, "feeds", panel("Trades", expression))
    (query,) = panel_queries(tmp_path)
    assert query.expression == 'rate(x{namespace=~".*", exchange=~".*", p=~".*"}[1m]) + y[1h]'
    (query,) = panel_queries(tmp_path, namespace="market", exchange="kraken", product="BTC-USD", __rate_interval="30s")
    assert query.expression == 'rate(x{namespace=~"market", exchange=~"kraken", p=~"BTC-USD"}[30s]) + y[1h]'


def test_a_variable_that_nobody_gives_is_an_error(tmp_path: Path) -> None:
    dashboard(tmp_path, "feeds", panel("Trades", 'x{a="$cluster"}'))
    with pytest.raises(KeyError, match="cluster"):
        list(panel_queries(tmp_path))


def test_what_is_absent_for_a_reason_may_have_no_answer(tmp_path: Path) -> None:
    dashboard(
        tmp_path, "dependencies", panel("Memory", "a / memory_limit_bytes", "a"), panel("Alerts", "count(ALERTS)")
    )
    assert [query.may_be_empty for query in panel_queries(tmp_path)] == [True, False, True]
