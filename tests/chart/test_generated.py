"""What is generated is as the code has it now."""

import importlib.util
import tomllib
from types import ModuleType

import pytest
import yaml

from services.contracts.access import ACCESS
from tests.chart.tools import CHARTS, PRODUCTION, RELEASE, ROOT, UMBRELLA, of_kind, render


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("charts_generate", CHARTS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_file_is_fresh(generate: ModuleType) -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in generate.generated().items() if path.read_text() != text]
    assert not stale, "run `python charts/generate.py`"


def test_the_table_has_every_value_with_its_comment(generate: ModuleType) -> None:
    table = generate.table("# What it is,\n# in two lines.\na:\n  b: 1\n  # The list.\n  c: [x, y]\nd: {}\n")
    assert table.splitlines()[2:] == [
        "| `a` |  | What it is, in two lines. |",
        "| `a.b` | `1` |  |",
        "| `a.c` | `[x, y]` | The list. |",
        "| `d` | `{}` |  |",
    ]


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for chart in ("service", "tickplane"):
        metadata = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
        assert (metadata["version"], metadata["appVersion"]) == (version, version)
    assert yaml.safe_load((UMBRELLA / "values.yaml").read_text())["global"]["image"]["tag"] == version
    assert f"ARG VERSION={version}\n" in (ROOT / "Dockerfile").read_text()


def test_every_service_is_an_alias_of_one_chart() -> None:
    dependencies = yaml.safe_load((UMBRELLA / "Chart.yaml").read_text())["dependencies"]
    assert {each["alias"] for each in dependencies} == set(ACCESS) - {"feed", "migrate"}
    assert {each["name"] for each in dependencies} == {"service"}


def test_the_operator_may_do_what_its_code_does_in_its_namespace_or_in_all_by_value(generate: ModuleType) -> None:
    role = of_kind(render(), "Role")[f"{RELEASE}-operator"]
    assert role["rules"] == generate.rules()
    assert of_kind(render(), "ClusterRole") == {}
    everywhere = render(PRODUCTION, {"global": {"feeds": {"allNamespaces": True}}})
    (role,) = of_kind(everywhere, "ClusterRole").values()
    assert role["rules"] == generate.rules()
    (binding,) = of_kind(everywhere, "ClusterRoleBinding").values()
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": f"{RELEASE}-operator", "namespace": "market"}]
    data = of_kind(everywhere, "ConfigMap")[f"{RELEASE}-operator"]["data"]
    assert data["TICKPLANE_OPERATOR_WATCH_NAMESPACES"] == "*"


def test_the_crd_is_the_generated_one_and_stays() -> None:
    (crd,) = of_kind(render(), "CustomResourceDefinition").values()
    generated = yaml.safe_load((UMBRELLA / "files/crd/marketfeeds.yaml").read_text())
    assert crd["spec"] == generated["spec"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(render(PRODUCTION, {"crd": {"install": False}}), "CustomResourceDefinition") == {}
