"""Settings of the operator: what feeds' pods are made of, and how patient it is."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.runtime.settings import TracesSettings

Names = Annotated[tuple[str, ...], NoDecode]

REQUESTS = {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
LIMITS = {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "256Mi"}


class OperatorSettings(TracesSettings):
    operator_namespace: str = "default"
    """The namespace that the operator runs in: feeds' NetworkPolicies let it ask for their ``/status``."""

    operator_watch_namespaces: Names = ()
    """Namespaces whose MarketFeeds it serves, comma-separated; ``*`` for every one. Empty: the one it runs in."""

    operator_workers: int = Field(4, ge=1, le=64)
    """MarketFeeds reconciled at the same time. More load the API server more."""

    operator_backoff_max_s: float = Field(300, gt=0, le=3_600)
    """The longest wait before a MarketFeed whose reconciliation failed is tried again."""

    operator_figures_interval_s: float = Field(300, gt=0, le=86_400)
    """How often ``lastTradeTime`` and ``openGaps`` are written to a status at most, where nothing else changes."""

    operator_listing_interval_s: float = Field(300, gt=0, le=86_400)
    """How often everything is listed to find a watch that has died unnoticed."""

    operator_listing_patience_s: float = Field(60, gt=0, le=3_600)
    """How long an object may be newer in a listing than in the cache before the watch is taken for dead: exit 1."""

    poll_interval_s: float = Field(15, gt=0, le=3_600)
    """How often each shard is asked for its ``/status``."""

    poll_timeout_s: float = Field(3, gt=0, le=60)
    """How long one shard may take to answer."""

    poll_concurrency: int = Field(20, ge=1, le=1_000)
    """Shards asked at the same time. Those that an interval has no time for come first in the next."""

    poll_bytes_max: int = Field(4 << 20, ge=1 << 10, le=1 << 28)
    """The longest answer that is read: 500 products with many gaps are some 200 kB."""

    degraded_after_s: float = Field(60, gt=0, le=86_400)
    """How long a ready shard may not answer, or be without its exchange, before its feed is Degraded."""

    stale_after_s: float = Field(900, gt=0, le=7 * 86_400)
    """How long a ready shard may receive no trade before its feed is Degraded: Stale. Choose it for quiet products."""

    stale_restart_after_s: float = Field(300, gt=0, le=7 * 86_400)
    """How long a stale shard is given before its pod is restarted."""

    stale_restarts_per_day: int = Field(4, ge=0, le=1_000)
    """Restarts of one shard's pod for staleness in 24 hours at most; 0 restarts none."""

    feed_image: str = "tickplane:0.1.0"
    """The feeds' image, where a MarketFeed names none."""

    feed_image_pull_secrets: Names = ()
    """Names of Secrets to pull it with, comma-separated, in each MarketFeed's namespace."""

    feed_kafka_bootstrap_servers: str = "kafka:9092"
    """Where feeds publish, unless a MarketFeed says otherwise: ``host:port``, comma-separated."""

    feed_kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How feeds connect there; ``SASL_…`` wants ``TICKPLANE_FEED_KAFKA_SECRET``."""

    feed_kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    """How feeds show the password there."""

    feed_kafka_secret: str = ""
    """The Secret with the keys ``username`` and ``password``, in a feed's namespace."""

    feed_kafka_ca_secret: str = ""
    """The Secret with the key ``ca.crt``, in a feed's namespace; empty where the brokers' CA is a public one."""

    partitions: int = Field(6, ge=1, le=1000)
    """Partitions of each topic keyed by product. Fixed at install: another number would move products between them."""

    feed_requests: dict[str, str] = Field(REQUESTS)
    """What is set aside for a shard, as a JSON object; a MarketFeed's own come first."""

    feed_limits: dict[str, str] = Field(LIMITS)
    """What a shard may use at most, as a JSON object; a MarketFeed's own come first."""

    feed_pod_annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of feeds' pods, as a JSON object. Another value restarts every shard, as after a new password."""

    feed_scraper_namespaces: Names = ("monitoring",)
    """Namespaces from which feeds' ``/metrics`` may be read, comma-separated."""

    feed_monitor_labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the PodMonitors, as a JSON object, for a Prometheus that selects by them."""

    @field_validator("operator_watch_namespaces", "feed_image_pull_secrets", "feed_scraper_namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces served; empty for every one."""
        if "*" in self.operator_watch_namespaces:
            return ()
        return self.operator_watch_namespaces or (self.operator_namespace,)


SETTINGS = OperatorSettings
