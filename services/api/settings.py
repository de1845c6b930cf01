"""What can be set about the ``api``."""

import ipaddress

from pydantic import Field, field_validator

from services.runtime.settings import KafkaSettings, PostgresSettings, RedisSettings, usual_name


class ApiSettings(PostgresSettings, RedisSettings, KafkaSettings):
    api_host: str = "127.0.0.1"
    """Where the public REST interface listens; ``0.0.0.0`` in a pod."""

    api_port: int = Field(8001, ge=0, le=65_535)
    """The port of the public REST interface. 0 takes a free one."""

    public_url: str = Field("", pattern=r"^(https?://[^/?#]+)?$")
    """Where users reach everything, for the examples of ``/markets``. Empty: what the request's ``Host`` says."""

    rate_limit_per_minute: int = Field(120, ge=1, le=10_000_000, validation_alias=usual_name("RATE_LIMIT_PER_MINUTE"))
    """Requests one client may make in a minute, over all replicas. An IPv6 client is its /64."""

    rate_limit_timeout_ms: int = Field(250, ge=1, le=10_000)
    """How long a request waits for Redis to count it before this replica counts by itself."""

    rate_limit_retry_s: float = Field(1.0, gt=0, le=60)
    """How long a replica counts by itself before it asks a Redis that failed again."""

    rate_limit_clients_max: int = Field(10_000, ge=1, le=1_000_000)
    """Clients one replica counts by itself at once; beyond it the one that came first is forgotten."""

    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of the edge, comma-separated: only they are believed about ``X-Forwarded-For``."""

    cors_origins: str = ""
    """Origins whose pages may read the answers, comma-separated; ``*`` for every one. Empty: the same origin only."""

    query_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a request waits for Postgres before it is answered 503."""

    api_requests_max: int = Field(1_000, ge=1, le=100_000)
    """Connections and requests in hand at once; more are answered 503, so that memory stays bounded."""

    stream_page_rows: int = Field(2_000, ge=1, le=50_000)
    """Rows that a streamed range fetches at a time: all of it that is ever in memory."""

    dependency_check_interval_s: float = Field(5.0, ge=0.1, le=300)
    """How often the stores are asked whether they are there, and (by `api`) the log for its ends, for the lag."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for part in filter(None, (part.strip() for part in value.split(","))):
            ipaddress.ip_network(part)
        return value


SETTINGS = ApiSettings
