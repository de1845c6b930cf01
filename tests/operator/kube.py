"""A cluster as a test sees it: objects as plain dicts, written as different people would write them."""

import base64
import os
import secrets
from pathlib import Path
from typing import Any, Self

import yaml
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import PatchType

from market_operator.api import KINDS
from market_operator.connection import lightkube_client
from market_operator.crd import crd
from market_operator.desired import MANAGED
from market_operator.permissions import rules
from market_operator.resource import KIND
from tests.support.polling import eventually

Object = dict[str, Any]

NAMESPACED: dict[str, Any] = KINDS | {
    "Secret": create_namespaced_resource("", "v1", "Secret", "secrets"),
    "ResourceQuota": create_namespaced_resource("", "v1", "ResourceQuota", "resourcequotas"),
    "Role": create_namespaced_resource("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    "RoleBinding": create_namespaced_resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
}
GLOBAL: dict[str, Any] = {
    "Node": create_global_resource("", "v1", "Node", "nodes"),
    "Namespace": create_global_resource("", "v1", "Namespace", "namespaces"),
    "CustomResourceDefinition": create_global_resource(
        "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
    ),
}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
OPERATOR = "operator"
CHILDREN = ("Deployment", "ServiceAccount", "NetworkPolicy", "PodMonitor")
"""What is made of a MarketFeed."""


class Kube:
    """One namespace of the cluster, as its administrator sees it."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._client: Any = lightkube_client("tests")

    async def __aenter__(self) -> Self:
        metadata = {"name": self.namespace, "labels": RESTRICTED}
        await self._client.create(GLOBAL["Namespace"]({"metadata": metadata}))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.delete(GLOBAL["Namespace"], self.namespace)
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    async def create(self, kind: str, name: str, **fields: Any) -> Object:
        body = {"metadata": {"name": name, "namespace": self.namespace}, **fields}
        return dict(await self._client.create(NAMESPACED[kind](body), namespace=self.namespace))

    async def get(self, kind: str, name: str) -> Object:
        return dict(await self._client.get(NAMESPACED[kind], name, namespace=self.namespace))

    async def delete(self, kind: str, name: str) -> None:
        await self._client.delete(NAMESPACED[kind], name, namespace=self.namespace)

    async def listed(self, kind: str, *, ours: bool = False) -> dict[str, Object]:
        """By name; ``ours``: only what has the operator's label."""
        found = self._client.list(NAMESPACED[kind], namespace=self.namespace, labels=MANAGED if ours else None)
        return {item["metadata"]["name"]: dict(item) async for item in found}

    async def versions(self) -> dict[tuple[str, str], str]:
        """The resource version of everything that the operator made, by kind and name."""
        return {
            (kind, name): item["metadata"]["resourceVersion"]
            for kind in CHILDREN
            for name, item in (await self.listed(kind, ours=True)).items()
        }

    async def patch(self, kind: str, name: str, change: Object, manager: str = "kubectl-edit") -> Object:
        """As ``kubectl edit`` and ``kubectl patch`` do: an update."""
        patched = self._client.patch(
            NAMESPACED[kind],
            name,
            change,
            namespace=self.namespace,
            patch_type=PatchType.MERGE,
            field_manager=manager,
        )
        return dict(await patched)

    async def apply(self, kind: str, name: str, fields: Object, manager: str) -> Object:
        """As a GitOps tool does: a server-side apply that takes the fields."""
        resource = NAMESPACED[kind]
        info = resource._api_info.resource
        version = f"{info.group}/{info.version}" if info.group else info.version
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}, **fields}
        applied = self._client.patch(
            resource,
            name,
            body,
            namespace=self.namespace,
            patch_type=PatchType.APPLY,
            field_manager=manager,
            force=True,
        )
        return dict(await applied)

    async def scale(self, name: str, shards: int) -> None:
        """As ``kubectl scale marketfeed`` does."""
        change = {"spec": {"replicas": shards}}
        await self._client.patch(KINDS[KIND].Scale, name, change, namespace=self.namespace, patch_type=PatchType.MERGE)

    async def feed(self, name: str, **spec: Any) -> Object:
        """A new MarketFeed that no node takes the pods of, unless the spec says otherwise."""
        plain = {"venue": "demo", "products": ["BTC-USD"], "nodeSelector": {"nothing": "matches"}}
        return await self.create(KIND, name, spec={**plain, **spec})

    async def touch(self, *feeds: str) -> None:
        """Change nothing that matters."""
        for name in feeds:
            await self.patch(KIND, name, {"metadata": {"annotations": {"test/touched": secrets.token_hex(4)}}})

    async def conditions(self, name: str) -> dict[str, tuple[str, str]]:
        """Each condition's status and reason; none before the operator has looked."""
        status = (await self.get(KIND, name)).get("status", {})
        return {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions", [])}

    async def condition(self, name: str, kind: str) -> Object:
        status = (await self.get(KIND, name)).get("status", {})
        return next((each for each in status.get("conditions", []) if each["type"] == kind), {})

    async def node_images(self) -> list[str]:
        """Images that a node has, by name and tag."""
        nodes = [node async for node in self._client.list(GLOBAL["Node"])]
        names = [
            name for node in nodes for image in node["status"].get("images", []) for name in image.get("names") or ()
        ]
        return sorted(name for name in names if "@" not in name)

    async def write_status(self, kind: str, name: str, status: Object) -> None:
        await self._client.patch(
            NAMESPACED[kind].Status,
            name,
            {"status": status},
            namespace=self.namespace,
            patch_type=PatchType.MERGE,
        )

    # ---- once a cluster, once a namespace

    async def install_crd(self) -> None:
        """As Helm does, so that the chart can be installed afterwards."""
        body = GLOBAL["CustomResourceDefinition"](crd())
        name = body["metadata"]["name"]
        await self._client.patch(
            GLOBAL["CustomResourceDefinition"],
            name,
            body,
            patch_type=PatchType.APPLY,
            field_manager="helm",
            force=True,
        )

        async def is_established() -> bool:
            found = await self._client.get(GLOBAL["CustomResourceDefinition"], name)
            conditions = found.get("status", {}).get("conditions") or []
            return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

        await eventually(is_established)

    async def operator_kubeconfig(self) -> str:
        """The text of a kubeconfig of an account that may do exactly what the operator asks for, in this namespace."""
        await self.create("ServiceAccount", OPERATOR)
        await self.create("Role", OPERATOR, rules=rules())
        await self.create(
            "RoleBinding",
            OPERATOR,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": OPERATOR},
            subjects=[{"kind": "ServiceAccount", "name": OPERATOR, "namespace": self.namespace}],
        )
        return yaml.safe_dump(self._kubeconfig(await self._token()))

    async def _token(self) -> str:
        """A long-lived token; the controller manager fills the Secret in."""
        metadata = {
            "name": OPERATOR,
            "namespace": self.namespace,
            "annotations": {"kubernetes.io/service-account.name": OPERATOR},
        }
        await self.create("Secret", OPERATOR, metadata=metadata, type="kubernetes.io/service-account-token")

        async def token() -> str:
            return str((await self.get("Secret", OPERATOR)).get("data", {}).get("token", ""))

        return base64.b64decode(await eventually(token)).decode()

    def _kubeconfig(self, token: str) -> Object:
        found: Object = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        (context,) = (each for each in found["contexts"] if each["name"] == found["current-context"])
        context["context"]["user"] = OPERATOR
        return found | {"users": [{"name": OPERATOR, "user": {"token": token}}], "contexts": [context]}
