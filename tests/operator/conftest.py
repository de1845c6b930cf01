"""Fixtures: a namespace of a real cluster, and the operator on it with the permissions that it asks for and no more."""

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.operator.kube import Kube
from tests.operator.running import Operator
from tests.operator.shards import Shards

QUICK = {
    "TICKPLANE_POLL_INTERVAL_S": "0.5",
    "TICKPLANE_POLL_TIMEOUT_S": "1",
    "TICKPLANE_DEGRADED_AFTER_S": "3",
    "TICKPLANE_STALE_AFTER_S": "6",
    "TICKPLANE_STALE_RESTART_AFTER_S": "3",
    "TICKPLANE_STALE_RESTARTS_PER_DAY": "1",
}
"""So that nothing has to be waited for by the minute."""

IMAGE = "tickplane.invalid/tickplane:none"
"""No registry has it: what the tests here are about needs no pods."""


@pytest.fixture(scope="session")
async def cluster() -> None:
    """The cluster that KUBECONFIG names, with the CustomResourceDefinition."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    kube = Kube("default")
    await kube.install_crd()
    await kube.close()


@pytest.fixture
async def kube(cluster: None) -> AsyncIterator[Kube]:
    """A namespace of this test."""
    async with Kube(f"operator-test-{secrets.token_hex(4)}") as kube:
        yield kube


@pytest.fixture
async def node_image(kube: Kube) -> str:
    """An image that a node has already, and that is not ours: every node has the one of the sandboxes."""
    found = [image for image in await kube.node_images() if "pause" in image]
    if not found:
        pytest.skip("no node says that it has an image of sandboxes")
    return found[0]


@pytest.fixture
async def feed_image(kube: Kube) -> str:
    """Our own image, where a node has one."""
    found = [image for image in await kube.node_images() if "/tickplane:" in image]
    if not found:
        pytest.skip("no node has an image of tickplane")
    return found[0]


@pytest.fixture
async def shards(kube: Kube) -> AsyncIterator[Shards]:
    """Pods of this namespace seem to run, and answer as feeds do."""
    async with Shards(kube) as shards:
        yield shards


@pytest.fixture
async def operator(kube: Kube, tmp_path: Path) -> AsyncIterator[Operator]:
    """The operator, not yet started; ``begin`` it."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(await kube.operator_kubeconfig())
    env = {
        "KUBECONFIG": str(kubeconfig),
        "TICKPLANE_OPERATOR_NAMESPACE": kube.namespace,
        "TICKPLANE_FEED_IMAGE": IMAGE,
        **QUICK,
    }
    operator = Operator(env, tmp_path / "operator.jsonl")
    yield operator
    if operator.running:
        operator.resume()
        await operator.terminate()


@pytest.fixture
async def running(operator: Operator) -> Operator:
    """The operator, ready."""
    await operator.begin()
    return operator
