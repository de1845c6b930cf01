"""What can be set about the ``gateway``."""

from pydantic import Field

from services.runtime.settings import KafkaSettings, RedisSettings


class GatewaySettings(KafkaSettings, RedisSettings):
    gateway_host: str = "127.0.0.1"
    """Where the WebSocket interface listens; ``0.0.0.0`` in a pod."""

    gateway_port: int = Field(8002, ge=0, le=65_535)
    """The port of the WebSocket interface. 0 takes a free one."""

    gateway_connections_max: int = Field(20_000, ge=1, le=1_000_000)
    """Clients of one process; more are answered 503, so that memory stays bounded."""

    client_buffer_bytes_max: int = Field(256 * 1024, ge=1_024, le=64 << 20)
    """What may wait for a client that does not read. Beyond it the client is closed with 4008."""

    client_frame_bytes_max: int = Field(4_096, ge=128, le=1 << 20)
    """The largest frame a client may send: on these channels it has nothing to say."""

    handshake_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a connection may take to ask for something."""

    ping_interval_s: float = Field(20.0, gt=0, le=600)
    """How long a client may be silent before it is asked whether it is there."""

    ping_timeout_s: float = Field(20.0, gt=0, le=600)
    """How long a client may take to answer that."""

    close_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a client that was told to close may take before it is cut off."""

    dedup_window: int = Field(10_000, ge=0, le=1_000_000)
    """A trade is a repeat when it occurs among this many records before it in its partition. Each replica must have the
    same, so that all agree; 0 drops none."""

    fetch_max_wait_ms: int = Field(500, ge=1, le=30_000)
    """How long Kafka holds a request for records while there are none. New ones are answered at once whatever it is."""

    dependency_check_interval_s: float = Field(5.0, ge=0.1, le=300)
    """How often the stores are asked whether they are there, and (by `api`) the log for its ends, for the lag."""


SETTINGS = GatewaySettings
