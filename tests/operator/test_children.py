"""What the operator makes, as the API server sees it: taken without a warning, restricted by Pod Security's word."""

from typing import Any

import pytest
import yaml

from market_operator.api import PLURALS
from market_operator.connection import kopf_login
from tests.operator.golden import CASES, FOLDER
from tests.operator.kube import Kube

pytestmark = pytest.mark.cluster

Object = dict[str, Any]


async def _tried(kube: Kube, item: Object) -> tuple[int, str | None]:
    """The status and the warning of a server-side dry run."""
    group, version, plural = PLURALS[item["kind"]]
    prefix = f"apis/{group}/{version}" if group else f"api/{version}"
    metadata = {**item["metadata"], "namespace": kube.namespace}
    login = await kopf_login()
    async with (
        login.aiohttp_session as session,
        session.patch(
            f"{login.server}/{prefix}/namespaces/{kube.namespace}/{plural}/{metadata['name']}",
            params={"dryRun": "All", "fieldManager": "tests", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            data=yaml.safe_dump({**item, "metadata": metadata}),
        ) as response,
    ):
        return response.status, response.headers.get("Warning")


@pytest.mark.parametrize("name", CASES)
async def test_it_is_taken_without_a_warning(kube: Kube, name: str) -> None:
    for item in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()):
        assert await _tried(kube, item) == (201, None), item["metadata"]["name"]


async def test_control_a_pod_that_is_not_restricted_is_warned_of(kube: Kube) -> None:
    *_, deployment = yaml.safe_load_all((FOLDER / "plain.yaml").read_text())
    del deployment["spec"]["template"]["spec"]["securityContext"]
    _, warning = await _tried(kube, deployment)
    assert warning is not None
    assert "PodSecurity" in warning
