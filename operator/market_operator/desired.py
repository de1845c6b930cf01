"""What the cluster should have for a MarketFeed. Pure: the same feed and settings give the same objects for ever.

A shard's pod template holds nothing that is not needed, so that no change elsewhere restarts it.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from market_operator.drift import Object, marked
from market_operator.feeds import FEED_LABEL, SHARD_LABEL, Feed
from market_operator.resource import API_VERSION, KIND, Amounts, environment
from market_operator.settings import OperatorSettings
from market_operator.sharding import assign

MANAGER = "tickplane-operator"
"""The one field manager, and the value of ``app.kubernetes.io/managed-by``."""
MANAGED = {"app.kubernetes.io/managed-by": MANAGER}
NAME_LABEL = "app.kubernetes.io/name"
OPERATOR_LABELS = {NAME_LABEL: "operator", "app.kubernetes.io/part-of": "tickplane"}
"""The labels of the operator's own pod, which the chart sets."""

OPS_PORT = 9000
USER_ID = 10001
GRACE_S = 20
CONTAINER = "feed"
CA_FOLDER = "/etc/tickplane/kafka"
HTTPS_PORT = 443
DNS_PORT = 53


def desired(
    feed: Feed, settings: OperatorSettings, *, monitored: bool = True, without: frozenset[str] = frozenset()
) -> list[Object]:
    """Every object that the feed needs, marked with its hash.

    ``monitored``: whether the cluster knows PodMonitors. ``without``: products that another feed has.
    """
    shards = assign([product for product in feed.spec.products if product not in without], feed.spec.shards)
    objects = [_service_account(feed), _network_policy(feed, settings)]
    if monitored:
        objects.append(_pod_monitor(feed, settings))
    objects += [_deployment(feed, settings, shard, products) for shard, products in shards.items()]
    return [marked(item) for item in objects]


def child_name(feed_name: str, shard: int | None = None) -> str:
    return f"mf-{feed_name}" if shard is None else f"mf-{feed_name}-{shard}"


def labels(feed_name: str) -> dict[str, str]:
    """What all pods of a feed have and no others."""
    return {NAME_LABEL: "feed", "app.kubernetes.io/part-of": "tickplane", FEED_LABEL: feed_name}


def selector(feed_name: str) -> str:
    return ",".join(f"{name}={value}" for name, value in labels(feed_name).items())


# ---- once per feed


def _metadata(feed: Feed, name: str, extra: dict[str, str] | None = None) -> Object:
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": feed.key.name,
        "uid": feed.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "name": name,
        "namespace": feed.key.namespace,
        "labels": {**labels(feed.key.name), **MANAGED, **(extra or {})},
        "ownerReferences": [owner],
    }


def _service_account(feed: Feed) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(feed, child_name(feed.key.name)),
        "automountServiceAccountToken": False,
    }


def _network_policy(feed: Feed, settings: OperatorSettings) -> Object:
    """In: the operator and the scraper, to the ops port. Out: names, Kafka, and the exchange."""
    scrapers = [_namespace(name) for name in settings.feed_scraper_namespaces]
    operator = {**_namespace(settings.operator_namespace), "podSelector": {"matchLabels": OPERATOR_LABELS}}
    kafka_ports = {int(server.rpartition(":")[2]) for server in _bootstrap_servers(feed, settings).split(",")}
    out = sorted({*kafka_ports, _endpoint_port(feed.spec.endpoint), *_collector_ports(settings)})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(feed, child_name(feed.key.name)),
        "spec": {
            "podSelector": {"matchLabels": labels(feed.key.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [operator, *scrapers], "ports": [_port(OPS_PORT)]}],
            "egress": [{"ports": [_port(DNS_PORT, "UDP"), _port(DNS_PORT)]}, {"ports": [_port(port) for port in out]}],
        },
    }


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _port(port: int, protocol: str = "TCP") -> Object:
    return {"port": port, "protocol": protocol}


def _endpoint_port(endpoint: str | None) -> int:
    if endpoint is None:
        return HTTPS_PORT
    parts = urlsplit(endpoint)
    return parts.port or (HTTPS_PORT if parts.scheme in ("wss", "https") else 80)


def _collector_ports(settings: OperatorSettings) -> set[int]:
    return {_endpoint_port(settings.otlp_endpoint)} if settings.traces_sample_ratio else set()


def _pod_monitor(feed: Feed, settings: OperatorSettings) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(feed, child_name(feed.key.name), settings.feed_monitor_labels),
        "spec": {
            # Every feed is of one job, as rules and dashboards know it.
            "jobLabel": NAME_LABEL,
            "selector": {"matchLabels": labels(feed.key.name)},
            "podTargetLabels": [FEED_LABEL, SHARD_LABEL],
            "podMetricsEndpoints": [{"port": "ops", "path": "/metrics"}],
        },
    }


# ---- a shard


def _deployment(feed: Feed, settings: OperatorSettings, shard: int, products: Sequence[str]) -> Object:
    """One pod. In a rollout the new one streams before the old one stops; readers drop what comes twice."""
    own = {SHARD_LABEL: str(shard)}
    pod_metadata: Object = {"labels": {**labels(feed.key.name), **MANAGED, **own}}
    if settings.feed_pod_annotations:
        pod_metadata["annotations"] = settings.feed_pod_annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(feed, child_name(feed.key.name, shard), own),
        "spec": {
            "replicas": 0 if feed.spec.paused else 1,
            "revisionHistoryLimit": 2,
            "minReadySeconds": 5,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {**labels(feed.key.name), **own}},
            "template": {"metadata": pod_metadata, "spec": _pod(feed, settings, products)},
        },
    }


def _pod(feed: Feed, settings: OperatorSettings, products: Sequence[str]) -> Object:
    spec = feed.spec
    pull_secrets = [each.name for each in spec.image_pull_secrets] or settings.feed_image_pull_secrets
    ca_secret = _ca_secret(feed, settings)
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {"sizeLimit": "32Mi"}}]
    if ca_secret:
        volumes.append(
            {"name": "kafka-ca", "secret": {"secretName": ca_secret, "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
        )
    scheduling: Object = {
        "nodeSelector": spec.node_selector,
        "tolerations": [_plain(each) for each in spec.tolerations],
        "affinity": _plain(spec.affinity),
        "priorityClassName": spec.priority_class_name,
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
    }
    return {
        "serviceAccountName": child_name(feed.key.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S + 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(feed.key.name)],
        **{name: value for name, value in scheduling.items() if value},
        "containers": [_container(feed, settings, products, bool(ca_secret))],
        "volumes": volumes,
    }


def _spread(feed_name: str) -> Object:
    """Shards of one feed on different nodes, where there are any."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels(feed_name)},
    }


def _container(feed: Feed, settings: OperatorSettings, products: Sequence[str], has_ca: bool) -> Object:
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]
    if has_ca:
        mounts.append({"name": "kafka-ca", "mountPath": CA_FOLDER, "readOnly": True})
    return {
        "name": CONTAINER,
        "image": feed.spec.image or settings.feed_image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["feed"],
        "env": [*_plain_variables(feed, settings, products), *_kafka_variables(feed, settings)],
        "ports": [{"name": "ops", "containerPort": OPS_PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {**settings.feed_requests, **_amounts(feed.spec.resources.requests)},
            "limits": {**settings.feed_limits, **_amounts(feed.spec.resources.limits)},
        },
        # Up once it listens; Kafka may come later. Ready once an exchange acknowledged something, and from then on.
        "startupProbe": _probe("/health", period_s=2, failures=60),
        "readinessProbe": _probe("/ready?scope=self", period_s=3, failures=3),
        "livenessProbe": _probe("/health", period_s=10, failures=3),
        # What the process said last, such as which setting is wrong, reaches the MarketFeed's conditions.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _probe(path: str, *, period_s: int, failures: int) -> Object:
    request = {"path": path, "port": "ops", "scheme": "HTTP"}
    return {"httpGet": request, "periodSeconds": period_s, "failureThreshold": failures, "timeoutSeconds": 3}


def _plain_variables(feed: Feed, settings: OperatorSettings, products: Sequence[str]) -> list[Object]:
    traces = {
        "TICKPLANE_TRACES_SAMPLE_RATIO": str(settings.traces_sample_ratio),
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_endpoint,
    }
    values = {
        **environment(feed.spec, products),
        **(traces if settings.traces_sample_ratio else {}),
        "TICKPLANE_OPS_HOST": "0.0.0.0",
        "TICKPLANE_OPS_PORT": str(OPS_PORT),
        "TICKPLANE_GRACE_S": str(GRACE_S),
        "TICKPLANE_PARTITIONS": str(settings.partitions),
        "KAFKA_BOOTSTRAP_SERVERS": _bootstrap_servers(feed, settings),
        "KAFKA_SECURITY_PROTOCOL": _security_protocol(feed, settings),
    }
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def _amounts(amounts: Amounts) -> dict[str, str]:
    return {name: str(value) for name, value in _plain(amounts).items()}


def _plain(part: object) -> Any:
    """As Kubernetes writes it, without what is left out."""
    return _without_empty(msgspec.to_builtins(part))


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_empty(each) for name, each in value.items() if each not in (None, {}, [], ())}


# ---- Kafka


def _kafka_variables(feed: Feed, settings: OperatorSettings) -> list[Object]:
    found: list[Object] = []
    if secret := _secret(feed, settings):
        mechanism: Object = {"name": "KAFKA_SASL_MECHANISM", "value": settings.feed_kafka_sasl_mechanism}
        if feed.spec.kafka.secret_ref is not None:
            mechanism = _from_secret("KAFKA_SASL_MECHANISM", secret, "sasl.mechanism", optional=True)
        found += [
            _from_secret("KAFKA_SASL_USERNAME", secret, "username"),
            _from_secret("KAFKA_SASL_PASSWORD", secret, "password"),
            mechanism,
        ]
    if _ca_secret(feed, settings):
        found.append({"name": "KAFKA_CA_FILE", "value": f"{CA_FOLDER}/ca.crt"})
    return found


def _from_secret(name: str, secret: str, key: str, *, optional: bool = False) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}}


def _bootstrap_servers(feed: Feed, settings: OperatorSettings) -> str:
    return feed.spec.kafka.bootstrap_servers or settings.feed_kafka_bootstrap_servers


def _secret(feed: Feed, settings: OperatorSettings) -> str:
    kafka = feed.spec.kafka
    if kafka.secret_ref is not None:
        return kafka.secret_ref.name
    return "" if kafka.bootstrap_servers else settings.feed_kafka_secret


def _ca_secret(feed: Feed, settings: OperatorSettings) -> str:
    kafka = feed.spec.kafka
    if kafka.ca_secret_ref is not None:
        return kafka.ca_secret_ref.name
    return "" if kafka.bootstrap_servers else settings.feed_kafka_ca_secret


def _security_protocol(feed: Feed, settings: OperatorSettings) -> str:
    """The operator's for its own Kafka; elsewhere what the feed names: a password never goes in clear."""
    kafka = feed.spec.kafka
    if not kafka.bootstrap_servers:
        return settings.feed_kafka_security_protocol
    if kafka.secret_ref is not None:
        return "SASL_SSL"
    return "PLAINTEXT" if kafka.ca_secret_ref is None else "SSL"
