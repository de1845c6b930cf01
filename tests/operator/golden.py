"""The MarketFeeds of the golden files, and ``python -m tests.operator.golden``, which writes the files anew."""

from pathlib import Path
from typing import Any

import yaml

from market_operator.desired import desired
from market_operator.feeds import Feed
from market_operator.settings import OperatorSettings

FOLDER = Path(__file__).parent / "golden"

Object = dict[str, Any]

SECURED = {
    "feed_image": "registry.example/tickplane:1.2.3",
    "feed_image_pull_secrets": ("registry",),
    "feed_kafka_bootstrap_servers": "tickplane-kafka-bootstrap.tickplane.svc:9093",
    "feed_kafka_security_protocol": "SASL_SSL",
    "feed_kafka_secret": "tickplane-kafka-feed",
    "feed_kafka_ca_secret": "tickplane-cluster-ca-cert",
    "feed_pod_annotations": {"tickplane.io/kafka-rotation": "1"},
    "feed_monitor_labels": {"release": "prometheus"},
    "operator_namespace": "tickplane",
}

CASES: dict[str, tuple[Object, Object]] = {
    "plain": ({}, {}),
    "paused": ({"paused": True}, {}),
    "shards": ({"products": ["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"], "shards": 3}, {}),
    "secured": ({}, SECURED),
    "everything": (
        {
            "exchange": "kraken-replayed",
            "endpoint": "wss://replay.example:9901/v2",
            "gapRepair": {"enabled": True, "maxAge": "90m", "maxTrades": 500},
            "backfill": {"since": "2026-01-01T00:00:00Z"},
            "settings": {"depth": "10"},
            "kafka": {
                "bootstrapServers": "kafka:9092",
                "secretRef": {"name": "own"},
                "caSecretRef": {"name": "own-ca"},
            },
            "image": "registry.example/venues:1",
            "imagePullSecrets": [{"name": "own-registry"}],
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi", "ephemeral-storage": "1Gi"}},
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]},
                        ]
                    }
                }
            },
            "priorityClassName": "market-data",
            "logLevel": "DEBUG",
        },
        SECURED,
    ),
}
"""Name to what of the spec and of the operator's settings is not the plainest."""


def feed(spec: Object, name: str = "kraken") -> Feed:
    metadata = {
        "name": name,
        "namespace": "feeds",
        "uid": "uid-of-it",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return Feed.of({"metadata": metadata, "spec": {"venue": "kraken", "products": ["BTC-USD"], **spec}})


def as_yaml(name: str) -> str:
    spec, settings = CASES[name]
    objects = desired(feed(spec), OperatorSettings(_env_file=None, **settings))
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in CASES:
        (FOLDER / f"{name}.yaml").write_text(as_yaml(name))


if __name__ == "__main__":
    main()
