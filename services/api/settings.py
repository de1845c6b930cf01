"""What can be set about the ``api``."""

from pydantic import Field

from services.runtime.settings import KafkaSettings, PostgresSettings, RedisSettings, RestSettings, usual_name


class ApiSettings(RestSettings, PostgresSettings, RedisSettings, KafkaSettings):
    api_host: str = "127.0.0.1"
    """Where the public REST interface listens; ``0.0.0.0`` in a pod."""

    api_port: int = Field(8001, ge=0, le=65_535)
    """The port of the public REST interface. 0 takes a free one."""

    public_url: str = Field("", pattern=r"^(https?://[^/?#]+)?$")
    """Where users reach everything, for the examples of ``/markets``. Empty: what the request's ``Host`` says."""

    rate_limit_per_minute: int = Field(120, ge=1, le=10_000_000, validation_alias=usual_name("RATE_LIMIT_PER_MINUTE"))
    """Requests one client may make in a minute, over all replicas. An IPv6 client is its /64."""

    api_requests_max: int = Field(1_000, ge=1, le=100_000)
    """Connections and requests in hand at once; more are answered 503, so that memory stays bounded."""

    stream_page_rows: int = Field(2_000, ge=1, le=50_000)
    """Rows that a streamed range fetches at a time: all of it that is ever in memory."""

    postgres_size_limit_gb: float = Field(0, ge=0, le=1_000_000)
    """The disk that Postgres has, in GB (10^9 bytes). It does not say so itself, and it stops when its disk is full: an
    alert holds the size of the database against this. 0: nobody knows, and no alert comes."""


SETTINGS = ApiSettings
