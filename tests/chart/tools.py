"""Helm and its companions, and what the charts render to."""

import copy
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.contracts.access import ACCESS

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
UMBRELLA = CHARTS / "tickplane"
RELEASE, NAMESPACE = "tickplane", "market"

PRODUCTION: tuple[str, ...] = ()
KIND = ("values-kind.yaml",)
EXTERNAL = ("values-external.yaml",)
VALUES_FILES = {"production": PRODUCTION, "kind": KIND, "external": EXTERNAL}

SERVICES = sorted(set(ACCESS) - {"feed", "migrate"})
"""Those that run all the time; feeds are made by the operator, migrations are a Job."""

FIRST_POD = {"metadata.labels['apps.kubernetes.io/pod-index']": "0"}
"""What Kubernetes says of the first pod of a StatefulSet."""

Object = dict[str, Any]


def tool(name: str) -> str:
    """The path of a program; skips the test where it is nowhere."""
    folder = os.environ.get("TICKPLANE_KUBE_TOOLS")
    found = shutil.which(name, path=f"{folder}{os.pathsep}{os.environ['PATH']}" if folder else None)
    if found is None:
        pytest.skip(f"needs {name}, on the PATH or in the folder that TICKPLANE_KUBE_TOOLS names")
    return found


def run(name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end, whatever its exit code."""
    return subprocess.run([tool(name), *arguments], input=stdin, capture_output=True, text=True, check=False)


def template(
    files: tuple[str, ...] = PRODUCTION, values: Object | None = None, namespace: str = NAMESPACE
) -> subprocess.CompletedProcess[str]:
    """``helm template`` with some of the chart's values files, and values over them."""
    options = [option for file in files for option in ("--values", str(UMBRELLA / file))]
    return run(
        "helm",
        *("template", RELEASE, str(UMBRELLA), "--namespace", namespace, *options, "--values", "-"),
        stdin=json.dumps(values or {}),
    )


def render(
    files: tuple[str, ...] = PRODUCTION, values: Object | None = None, namespace: str = NAMESPACE
) -> list[Object]:
    """Every object of the chart."""
    return copy.deepcopy(_rendered(files, json.dumps(values or {}), namespace))


@functools.cache
def _rendered(files: tuple[str, ...], values: str, namespace: str) -> list[Object]:
    result = template(files, json.loads(values), namespace)
    assert result.returncode == 0, result.stderr
    return documents(result.stdout)


def documents(text: str) -> list[Object]:
    """Those of a YAML stream that hold something. By libyaml, which takes a tenth of the time for a whole chart."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document is not None]


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """The objects of one kind by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def pod_specs(objects: list[Object]) -> dict[str, Object]:
    """Every pod's spec, by kind and name of what makes it."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["spec"]
        if item["kind"] == "Pod"
        else item["spec"]["template"]["spec"]
        for item in objects
        if item["kind"] in ("Deployment", "StatefulSet", "Job", "Pod")
    }


def environment(spec: Object, objects: list[Object]) -> dict[str, Any]:
    """A pod's variables: the text of each, or where it comes from (``secretKeyRef``). Of several pods, the first's."""
    container = spec["containers"][0]
    found: dict[str, Any] = {}
    for source in container.get("envFrom", []):
        found |= of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", []):
        if "value" in variable:
            found[variable["name"]] = variable["value"]
        elif "fieldRef" in variable["valueFrom"]:
            found[variable["name"]] = FIRST_POD[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        else:
            found[variable["name"]] = variable["valueFrom"]["secretKeyRef"]
    return found
