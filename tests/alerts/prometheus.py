"""Prometheus in the release's namespace, made by the Prometheus Operator from all that the release brings for it."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.cluster import Cluster, Object
from tests.support.polling import eventually

NAME = "alerts"
IMAGE = os.environ.get("TICKPLANE_PROMETHEUS_IMAGE", "quay.io/prometheus/prometheus:v3.5.0")
PORT = 9090
INTERVAL = "5s"
START_S = 120


@dataclass(frozen=True)
class Alert:
    """One of those that are firing."""

    name: str
    labels: dict[str, str]
    description: str
    active_s: float
    """Since when, in Unix time."""


class Prometheus:
    """Its HTTP interface: https://prometheus.io/docs/prometheus/latest/querying/api/"""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client = httpx.AsyncClient(timeout=30)

    async def start(self) -> None:
        await self._cluster.apply(*_objects(self._cluster.namespace))

        async def ready() -> bool:
            status = (await self._cluster.get("pod", f"prometheus-{NAME}-0"))["status"]
            assert "podIP" in status, status
            self._client.base_url = f"http://{status['podIP']}:{PORT}"
            return (await self._client.get("/-/ready")).status_code == 200

        await eventually(ready, START_S, interval_s=1)

    async def stop(self) -> None:
        await self._client.aclose()

    async def query(self, expression: str) -> list[Any]:
        """The series of an instant query."""
        answer = await self._get("/api/v1/query", query=expression)
        found: list[Any] = answer["result"]
        return found

    async def targets(self) -> list[Any]:
        found: list[Any] = (await self._get("/api/v1/targets", state="active"))["activeTargets"]
        return found

    async def rules(self) -> dict[str, Any]:
        """Alerting and recording rules, by name."""
        groups = (await self._get("/api/v1/rules"))["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    async def firing(self) -> list[Alert]:
        return [
            Alert(
                each["labels"]["alertname"],
                each["labels"],
                each["annotations"]["description"],
                datetime.fromisoformat(each["activeAt"]).timestamp(),
            )
            for each in (await self._get("/api/v1/alerts"))["alerts"]
            if each["state"] == "firing"
        ]

    async def _get(self, path: str, **parameters: str) -> Any:
        answer = await self._client.get(path, params=parameters)
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]


def _objects(namespace: str) -> list[Object]:
    metadata = {"name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    readable = [
        {"apiGroups": [""], "resources": ["services", "endpoints", "pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": readable},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": [subject],
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": metadata,
            "spec": {
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "version": IMAGE.rpartition(":v")[2],
                "serviceAccountName": NAME,
                "scrapeInterval": INTERVAL,
                "evaluationInterval": INTERVAL,
                "serviceMonitorSelector": {},
                "podMonitorSelector": {},
                "ruleSelector": {},
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65534,
                    "fsGroup": 65534,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            },
        },
    ]
