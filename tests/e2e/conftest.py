"""Fixtures: a release of the chart in a namespace of its own, on Kafka, Postgres and Valkey of this machine."""

import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from services.adapters.api_keys import Scope, create_key
from services.contracts.events import Trade
from tests.chart.tools import tool
from tests.e2e import backing
from tests.e2e.cluster import Cluster
from tests.e2e.market import Market
from tests.support.parts import Parts

SERVICES = ("migrate", "recorder", "candles", "indicators", "api", "validator", "orders", "matching")
"""Who logs in to Postgres."""
CONSUMERS = ("recorder", "candles", "indicators")
SERVING = ("gateway", "api", "validator", "orders")

Values = dict[str, Any]


@dataclass
class Release:
    cluster: Cluster
    parts: Parts
    values: Values
    """What it was installed with."""
    published: list[Trade] = field(default_factory=list)
    """Trades that came by no feed."""


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test, which the cluster has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    name = os.environ.get("TICKPLANE_E2E_IMAGE")
    if name is None:
        pytest.skip("TICKPLANE_E2E_IMAGE names no image: `make e2e` does")
    return name


@pytest.fixture(scope="session")
def host(image: str) -> str:
    """This machine's address as pods see it."""
    nodes = json.loads(
        subprocess.run([tool("kubectl"), "get", "nodes", "-o", "json"], check=True, capture_output=True).stdout
    )
    addresses = {each["type"]: each["address"] for each in nodes["items"][0]["status"]["addresses"]}
    found = backing.this_machine(addresses["InternalIP"])
    if found is None:
        pytest.skip("the node is another machine: name this one, as pods see it, in TICKPLANE_E2E_HOST")
    return found


@pytest.fixture(scope="session")
async def node_parts(host: str) -> AsyncIterator[Parts]:
    """Kafka, Postgres and Valkey, running."""
    with tempfile.TemporaryDirectory(prefix="tickplane-e2e-", ignore_cleanup_errors=True) as folder:
        parts = backing.in_folder(Path(folder), host)
        try:
            await parts.start()
            yield parts
        finally:
            await parts.stop()


@pytest.fixture(scope="session")
async def market(host: str) -> AsyncIterator[Market]:
    """The exchange, trading."""
    async with Market(host) as market:
        yield market


@pytest.fixture(scope="session")
def more_values() -> Values:
    """Over those that every release here has."""
    return {}


@pytest.fixture(scope="session")
async def release(
    request: pytest.FixtureRequest, image: str, host: str, node_parts: Parts, more_values: Values
) -> AsyncIterator[Release]:
    """The chart, installed and ready, where Pod Security lets in nothing that is not restricted."""
    cluster = Cluster(f"tickplane-e2e-{secrets.token_hex(3)}")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    await cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace, "labels": labels}}
    )
    try:
        passwords = {name: secrets.token_urlsafe(12) for name in SERVICES} | {"migrate": _password(node_parts)}
        await cluster.apply(*(_secret(name, password) for name, password in passwords.items()))
        values = merged(_values(image, host, node_parts), more_values)
        await cluster.install(values)
        yield Release(cluster, node_parts, values)
    finally:
        if request.session.testsfailed:
            print(await cluster.last_words())
        await cluster.delete("namespace", cluster.namespace, "--wait=false")


@pytest.fixture(scope="session")
async def api_keys(release: Release) -> dict[str, str]:
    """An API key of each of three accounts."""
    scopes: dict[str, tuple[Scope, ...]] = {
        "seller": ("read", "trade"),
        "buyer": ("read", "trade"),
        "operations": ("admin",),
    }
    database = await asyncpg.connect(release.parts.postgres.url)
    try:
        return {account: await create_key(database, account, wanted) for account, wanted in scopes.items()}
    finally:
        await database.close()


@pytest.fixture
async def orders(release: Release) -> AsyncIterator[httpx.AsyncClient]:
    """The order entry, by the Service. A connection for each request, as from as many clients."""
    limits = httpx.Limits(max_keepalive_connections=0)
    base_url = f"http://{await release.cluster.address('orders')}"
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=10) as client:
        yield client


@pytest.fixture
async def rest(release: Release) -> AsyncIterator[httpx.AsyncClient]:
    """REST, by the Service. A connection for each request, as from as many clients."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://{await release.cluster.address('api')}", limits=limits) as client:
        yield client


def merged(values: Values, more: Values) -> Values:
    """As Helm merges them."""
    both = {key: merged(values[key], more[key]) for key in values.keys() & more.keys() if isinstance(more[key], dict)}
    return values | more | both


def _password(parts: Parts) -> str:
    """Of the superuser, who may make the services' roles."""
    return parts.postgres.url.partition("://postgres:")[2].partition("@")[0]


def _secret(name: str, password: str) -> Values:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"tickplane-postgres-{name}"},
        "stringData": {"password": password},
    }


def _values(image: str, host: str, parts: Parts) -> Values:
    """Small pods, two of each that serves; everything else is as `values-external.yaml` has it."""
    assert isinstance(parts.kafka, backing.NodeKafka)
    repository, _, tag = image.rpartition(":")
    resources = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
    consumers = {name: {"replicas": 1, "resources": resources} for name in CONSUMERS}
    serving = {name: {"replicas": 2, "autoscaling": {"enabled": False}, "resources": resources} for name in SERVING}
    return {
        "global": {
            "image": {"repository": repository, "tag": tag},
            "kafka": {"external": {"bootstrapServers": parts.kafka.node_url}},
            "postgres": {"users": {"migrate": "postgres"}, "external": {"host": host, "port": parts.postgres.port}},
            "valkey": {"external": {"url": f"redis://{host}:{parts.valkey.port}/0"}},
        },
        "kafka": {"replication": 1, "retentionBytes": 2 << 30},
        "operator": {"resources": resources, "settings": {"TICKPLANE_POLL_INTERVAL_S": "2"}},
        **consumers,
        **serving,
        "matching": {"resources": resources},
        "api": serving["api"] | {"settings": {"RATE_LIMIT_PER_MINUTE": "1000000"}},
    }
