"""What one run consists of: the parts, the services, their ports and variables. No process is started here."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from market_operator.resource import MarketFeedSpec, environment
from services.local import accounts, feeds
from services.local.parts import Caddy, Kafka, Postgres, Valkey
from services.local.ports import LOOPBACK, Ports, free_port
from services.local.private import write_private
from services.local.prometheus import Prometheus, installed
from services.local.settings import LocalSettings
from services.local.supervisor import Child, PartChild, ServiceChild
from services.orders.settings import OrdersSettings

CONSUMERS = ("recorder", "candles", "indicators", "validator")
"""Restarted under the same name, so that they need not wait for the session of the one before to time out."""
NOT_FOR_CHILDREN = ("PYTHONDONTWRITEBYTECODE", "TICKPLANE_PORT", "TICKPLANE_OPS_PORT")


class Stack:
    """The children of one run, made from the settings and what the run before left."""

    def __init__(
        self, settings: LocalSettings, specs: list[MarketFeedSpec], on_line: Callable[[str], None] | None
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
        api, gateway, orders = (self.ports.get(name) for name in ("api", "gateway", "orders"))
        self.grpc = f"{LOOPBACK}:{self.ports.get('grpc')}"
        self.caddy = Caddy(
            data / "caddy",
            settings.host,
            settings.port or free_port(),
            api=api,
            gateway=gateway,
            orders=orders,
            log=self._part_log("caddy"),
        )
        self.stores = [PartChild(part) for part in (self.postgres, self.valkey, self.kafka)]
        self.edge = PartChild(self.caddy)
        self.services = [
            *(self._service(name, name, {"TICKPLANE_GROUP_INSTANCE_ID": f"{name}-0"}) for name in CONSUMERS),
            self._service("api", "api", {"TICKPLANE_API_PORT": str(api), "TICKPLANE_PUBLIC_URL": self.caddy.url}),
            self._service("gateway", "gateway", {"TICKPLANE_GATEWAY_PORT": str(gateway)}),
            *self._lab(orders),
        ]
        self.feeds = [
            self._service(name, "feed", environment(spec, spec.products))
            for name, spec in zip(feeds.service_names(specs), specs, strict=True)
        ]
        self.prometheus = PartChild(self._prometheus(data / "prometheus")) if installed() else None

    @property
    def children(self) -> list[Child]:
        """In the order of their start."""
        return [*self.stores, self.edge, *self.services, *self.feeds, *self.watchers]

    @property
    def watchers(self) -> list[PartChild]:
        """Who only looks on: nothing waits for them."""
        return [] if self.prometheus is None else [self.prometheus]

    def endpoints(self) -> dict[str, object]:
        """What `endpoints.json` says."""
        return {
            "edge": self.caddy.url,
            "kafka": self.kafka.url,
            "database_url": self.postgres.url,
            "redis_url": self.valkey.url,
            "grpc": self.grpc,
            **{child.name: child.part.url for child in self.watchers},
            "metrics": {child.name: child.metrics_url for child in (*self.services, *self.feeds)},
            "pids": {child.name: child.pids for child in self.children},
        }

    def write_endpoints(self) -> None:
        """Private, for it holds the database's password."""
        write_private(self.endpoints_file, json.dumps(self.endpoints(), indent=2))

    @property
    def keys_file(self) -> Path:
        """The API keys of the order lab's accounts."""
        return self.folder / "keys.json"

    @property
    def endpoints_file(self) -> Path:
        return self.folder / "endpoints.json"

    def _lab(self, orders_port: int) -> list[ServiceChild]:
        """Where orders come in, and an engine for each market group. Who has no key is alice, unless a setting says
        otherwise, so that a first order takes no more than curl."""
        settings = OrdersSettings.load()
        chosen = "anonymous_account" in settings.model_fields_set
        anonymous = {"TICKPLANE_ANONYMOUS_ACCOUNT": settings.anonymous_account if chosen else accounts.ANONYMOUS}
        engines = [
            self._service(
                "matching" if group == 0 else f"matching-{group}",
                "matching",
                {**anonymous, "TICKPLANE_MARKET_GROUP": str(group)},
            )
            for group in range(settings.market_groups)
        ]
        return [*engines, self._service("orders", "orders", {**anonymous, "TICKPLANE_ORDERS_PORT": str(orders_port)})]

    def _service(self, name: str, service: str, env: dict[str, str]) -> ServiceChild:
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_FOR_CHILDREN}
        stores = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.url,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            # What the user has set for a cluster is not for the servers here.
            "DATABASE_PASSWORD": "",
            "REDIS_PASSWORD": "",
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "GRPC_SERVER_ADDRESS": self.grpc,
        }
        log = self.folder / "logs" / f"{name}.jsonl"
        return ServiceChild(
            name, service, {**inherited, **stores, **env}, self.ports.get(f"{name}-ops"), log, self._on_line
        )

    def _prometheus(self, folder: Path) -> Prometheus:
        targets = [(child.service, child.metrics_url) for child in (*self.services, *self.feeds)]
        return Prometheus(folder, self.ports.get("prometheus"), targets, self._part_log("prometheus"))

    def _part_log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"
