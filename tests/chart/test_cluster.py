"""What a real API server says of every manifest. Takes the cluster of ``KUBECONFIG``; nothing stays there.

The resources of Strimzi, CloudNativePG, KEDA, the Gateway API and the Prometheus Operator have to be known there.
"""

import base64
import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.tools import (
    EXTERNAL,
    KIND,
    PRODUCTION,
    RELEASE,
    ROOT,
    SERVICES,
    UMBRELLA,
    Object,
    render,
    run,
)

pytestmark = pytest.mark.cluster

IMAGE_BYTES_MAX = 350_000_000
EVERYTHING: Object = {
    "global": {
        "edge": {
            "host": "t.example.com",
            "ingress": {"enabled": True, "className": "nginx"},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "redirectParentRefs": [{"name": "g"}]},
        },
        "monitoring": {"enabled": True},
    },
    **{name: {"keda": {"enabled": True}} for name in ("recorder", "candles", "indicators")},
}
"""Every part that is off in a values file. With one's own stores, backups too."""
BACKUP: Object = {"postgres": {"backup": {"enabled": True, "cluster": {"volumeSnapshot": {"className": "fast"}}}}}
CASES = {
    "production": (PRODUCTION, {}),
    "kind": (KIND, {}),
    "external": (EXTERNAL, {}),
    "production, everything": (PRODUCTION, EVERYTHING | BACKUP),
    "external, everything": (EXTERNAL, EVERYTHING),
}


def kubectl(*arguments: str, stdin: str = "") -> str:
    result = run("kubectl", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    with new_namespace() as name:
        yield name


@contextlib.contextmanager
def new_namespace() -> Iterator[str]:
    """Where Pod Security refuses, and warns of, whatever is not `restricted`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("needs a cluster: KUBECONFIG")
    name = f"chart-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    modes = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    kubectl("label", "namespace", name, *modes)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def dry_run(manifests: str, namespace: str) -> Any:
    return run(
        "kubectl",
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("--warnings-as-errors", "--namespace", namespace, "--filename", "-"),
        stdin=manifests,
    )


@pytest.mark.parametrize(("files", "values"), CASES.values(), ids=CASES)
def test_the_api_server_takes_every_manifest_without_a_warning(
    files: tuple[str, ...], values: Object, namespace: str
) -> None:
    objects = render(files, values, namespace)
    # A bare pod is refused unless its ServiceAccount is really there.
    accounts = [item for item in objects if item["kind"] == "ServiceAccount"]
    kubectl("apply", "--server-side", "--namespace", namespace, "--filename", "-", stdin=yaml.safe_dump_all(accounts))
    result = dry_run(yaml.safe_dump_all(objects), namespace)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == len(objects)


def test_pod_security_would_have_said_so(namespace: str) -> None:
    objects = render(KIND, {}, namespace)
    (api,) = [item for item in objects if item["kind"] == "Deployment" and item["metadata"]["name"] == f"{RELEASE}-api"]
    del api["spec"]["template"]["spec"]["securityContext"]["seccompProfile"]
    result = dry_run(yaml.safe_dump(api), namespace)
    assert result.returncode != 0
    assert "seccompProfile" in result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "k8s").rglob("*.yaml")), ids=lambda path: path.name)
def test_the_api_server_takes_the_examples(path: Path, namespace: str) -> None:
    if "marketfeeds" in str(path):
        known = run("kubectl", "get", "crd", "marketfeeds.tickplane.io")
        if known.returncode != 0:
            pytest.skip("the cluster does not know MarketFeeds: install the chart")
    result = dry_run(path.read_text(), namespace)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_image_is_small() -> None:
    image = os.environ.get("TICKPLANE_E2E_IMAGE")
    if not os.environ.get("KUBECONFIG") or not image:
        pytest.skip("needs a cluster that has the image: KUBECONFIG, TICKPLANE_E2E_IMAGE")
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    sizes = [
        each["sizeBytes"]
        for node in nodes
        for each in node["status"]["images"]
        if any(name.endswith(f"/{image}") or name == image for name in each.get("names") or ())
    ]
    assert sizes, "no node has it"
    assert max(sizes) < IMAGE_BYTES_MAX


# ---- kubeconform


@pytest.fixture(scope="module")
def schemas(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API server's own schemas, a file a kind, refusing fields that do not exist."""
    definitions = json.loads(kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "definitions.json").write_text(json.dumps({"definitions": _strict(definitions)}))
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            # The core group has no name; kubeconform takes the version for one.
            file = f"{kind['kind']}-{kind['group'] or kind['version']}-{kind['version']}.json".lower()
            (folder / file).write_text(json.dumps({"$ref": f"definitions.json#/definitions/{name}"}))
    return folder


def _strict(definitions: dict[str, Any]) -> dict[str, Any]:
    """In Kubernetes' dialect a quantity is a string, though a number is one too."""
    for name, definition in definitions.items():
        if name.endswith((".Quantity", ".IntOrString")):
            definition.clear()
        elif "properties" in definition:
            definition.setdefault("additionalProperties", False)
    text = json.dumps(definitions).replace("#/definitions/", "definitions.json#/definitions/")
    strict: dict[str, Any] = json.loads(text)
    return strict


@pytest.mark.parametrize(("files", "values"), CASES.values(), ids=CASES)
def test_kubeconform_is_content(files: tuple[str, ...], values: Object, namespace: str, schemas: Path) -> None:
    objects = render(files, values, namespace)
    summary = kubeconform(objects, schemas)
    assert summary["summary"] == {"valid": len(objects), "invalid": 0, "errors": 0, "skipped": 0}, summary["resources"]


def test_kubeconform_would_have_said_so(namespace: str, schemas: Path) -> None:
    (service,) = [item for item in render(KIND, {}, namespace) if item["kind"] == "Service"][:1]
    service["spec"]["selektor"] = {}
    assert kubeconform([service], schemas)["summary"]["invalid"] == 1


def kubeconform(objects: list[Object], schemas: Path) -> dict[str, Any]:
    location = f"{schemas}/{{{{ .ResourceKind }}}}-{{{{ .Group }}}}-{{{{ .ResourceAPIVersion }}}}.json"
    result = run(
        "kubeconform",
        *("-summary", "-output", "json", "-schema-location", location),
        stdin=yaml.safe_dump_all(objects),
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# ---- passwords

ONLY_STORES: Object = {
    "crd": {"install": False},
    "migrate": {"enabled": False},
    "global": {"monitoring": {"enabled": False}},
    **{name: {"enabled": False} for name in SERVICES if name != "indicators"},
    "indicators": {"replicas": 0},
}
"""A release whose Secrets are real, and that nothing waits for."""


def test_passwords_stay_on_upgrade_and_are_new_when_rotation_is_raised() -> None:
    with new_namespace() as name:
        made = passwords_after("install", name)
        assert set(made) >= {f"{RELEASE}-valkey", f"{RELEASE}-kafka-feed", f"{RELEASE}-postgres-migrate"}
        assert passwords_after("upgrade", name) == made
        rotated = passwords_after("upgrade", name, "--set", "global.valkey.rotation=1")
        assert {secret for secret in made if rotated[secret] != made[secret]} == {f"{RELEASE}-valkey"}
        assert passwords_after("upgrade", name, "--set", "global.valkey.rotation=1") == rotated
        assert passwords_after("uninstall", name) == rotated, "what they open stays too"
        assert passwords_after("install", name, "--set", "global.valkey.rotation=1") == rotated


def passwords_after(command: str, namespace: str, *options: str) -> dict[str, str]:
    """Every password of the release in the cluster after a command of Helm."""
    chart = () if command == "uninstall" else (str(UMBRELLA), "--values", "-", *options)
    result = run("helm", command, RELEASE, *chart, "--namespace", namespace, stdin=json.dumps(ONLY_STORES))
    assert result.returncode == 0, result.stderr
    secrets = json.loads(kubectl("get", "secrets", "--namespace", namespace, "--output", "json"))["items"]
    return {
        item["metadata"]["name"]: base64.b64decode(item["data"]["password"]).decode()
        for item in secrets
        if "password" in item["data"]
    }
