"""What can be set about ``orders``."""

from pydantic import Field

from services.runtime.settings import KafkaSettings, LabSettings, PostgresSettings, RedisSettings, RestSettings


class OrdersSettings(LabSettings, RestSettings, PostgresSettings, RedisSettings, KafkaSettings):
    orders_host: str = "127.0.0.1"
    """Where the order entry listens; ``0.0.0.0`` in a pod."""

    orders_port: int = Field(8003, ge=0, le=65_535)
    """The port of the order entry. 0 takes a free one."""

    orders_rate_limit_per_minute: int = Field(6_000, ge=1, le=10_000_000)
    """Requests of one account in a minute, over all replicas; as many again for one address whose key is not known."""

    orders_requests_max: int = Field(1_000, ge=1, le=100_000)
    """Connections and requests in hand at once; more are answered 503, so that memory stays bounded."""

    order_publish_timeout_s: float = Field(5.0, ge=0.1, le=60)
    """How long a command waits for Kafka's acknowledgement before it is answered 503, to be sent again."""

    api_key_refresh_s: float = Field(2.0, ge=0, le=60)
    """How long a replica may go on with what it knows of an API key: as long does a revoked one still work."""

    api_keys_max: int = Field(10_000, ge=1, le=1_000_000)
    """API keys one replica remembers at once; beyond it the one that came first is looked up again."""

    symbols_refresh_s: float = Field(2.0, ge=0.1, le=60)
    """How often the symbols are read again: as late does a replica hear of a new one."""

    order_ids_prune_interval_s: float = Field(600, ge=1, le=86_400)
    """How often ids that are free again are deleted."""


SETTINGS = OrdersSettings
