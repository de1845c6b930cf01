"""What one run consists of: the parts, the services, their ports and variables. No process is started here."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from services.local import feeds
from services.local.parts import Caddy, Kafka, Postgres, Valkey
from services.local.ports import Ports, free_port
from services.local.settings import LocalSettings
from services.local.supervisor import Child, PartChild, ServiceChild

CONSUMERS = ("recorder", "candles", "indicators")
"""Restarted under the same name, so that they need not wait for the session of the one before to time out."""
NOT_FOR_CHILDREN = ("PYTHONDONTWRITEBYTECODE", "TICKPLANE_PORT", "TICKPLANE_OPS_PORT")


class Stack:
    """The children of one run, made from the settings and what the run before left."""

    def __init__(
        self, settings: LocalSettings, specs: list[feeds.FeedSpec], on_line: Callable[[str], None] | None
    ) -> None:
        self.folder = settings.folder.absolute()
        self.ports = Ports(self.folder / "ports.json")
        self._on_line = on_line
        data = self.folder / "data"
        self.postgres = Postgres(data / "postgres", self.ports.get("postgres"), self._part_log("postgres"))
        self.valkey = Valkey(data / "valkey", self.ports.get("valkey"), self._part_log("valkey"))
        self.kafka = Kafka(
            data / "kafka", self.ports.get("kafka"), self.ports.get("kafka-controller"), self._part_log("kafka")
        )
        api, gateway = self.ports.get("api"), self.ports.get("gateway")
        self.caddy = Caddy(
            data / "caddy",
            settings.host,
            settings.port or free_port(),
            api=api,
            gateway=gateway,
            log=self._part_log("caddy"),
        )
        self.stores = [PartChild(part) for part in (self.postgres, self.valkey, self.kafka)]
        self.edge = PartChild(self.caddy)
        self.services = [
            *(self._service(name, name, {"TICKPLANE_GROUP_INSTANCE_ID": f"{name}-0"}) for name in CONSUMERS),
            self._service("api", "api", {"TICKPLANE_API_PORT": str(api), "TICKPLANE_PUBLIC_URL": self.caddy.url}),
            self._service("gateway", "gateway", {"TICKPLANE_GATEWAY_PORT": str(gateway)}),
        ]
        self.feeds = [
            self._service(name, "feed", feeds.environment(spec))
            for name, spec in zip(feeds.service_names(specs), specs, strict=True)
        ]

    @property
    def children(self) -> list[Child]:
        """In the order of their start."""
        return [*self.stores, self.edge, *self.services, *self.feeds]

    def endpoints(self) -> dict[str, object]:
        """What `endpoints.json` says."""
        return {
            "edge": self.caddy.url,
            "kafka": self.kafka.url,
            "database_url": self.postgres.url,
            "redis_url": self.valkey.url,
            "metrics": {child.name: child.metrics_url for child in (*self.services, *self.feeds)},
            "pids": {child.name: child.pids for child in self.children},
        }

    def write_endpoints(self) -> None:
        """Whole or not at all, for its readers; only for ours, for it holds the database's password."""
        draft = self.endpoints_file.with_suffix(".tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.endpoints(), file, indent=2)
        draft.replace(self.endpoints_file)

    @property
    def endpoints_file(self) -> Path:
        return self.folder / "endpoints.json"

    def _service(self, name: str, service: str, env: dict[str, str]) -> ServiceChild:
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_FOR_CHILDREN}
        stores = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.url,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
        }
        log = self.folder / "logs" / f"{name}.jsonl"
        return ServiceChild(
            name, service, {**inherited, **stores, **env}, self.ports.get(f"{name}-ops"), log, self._on_line
        )

    def _part_log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"
