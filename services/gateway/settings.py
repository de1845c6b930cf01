"""What can be set about the ``gateway``."""

from pydantic import Field

from services.gateway.marketdata.settings import MarketDataSettings
from services.runtime.settings import EdgeSettings, KafkaSettings, RedisSettings


class GatewaySettings(EdgeSettings, KafkaSettings, RedisSettings, MarketDataSettings):
    gateway_host: str = "127.0.0.1"
    """Where the WebSocket interface listens; ``0.0.0.0`` in a pod."""

    gateway_port: int = Field(8002, ge=0, le=65_535)
    """The port of the WebSocket interface. 0 takes a free one."""

    gateway_connections_max: int = Field(20_000, ge=1, le=1_000_000)
    """Clients of one process, so that memory stays bounded; more are closed with 4429, or answered 503."""

    gateway_address_connections_max: int = Field(1_000, ge=1, le=1_000_000)
    """Clients of one process from one address (IPv6: one /64); more are closed with 4429."""

    websocket_origins: str = "*"
    """Origins whose pages may connect, comma-separated; `*` for every one. Others are answered 403. Pages from the host
    that they connect to may always, and so may clients that are no browsers and send no origin."""

    client_buffer_bytes_max: int = Field(256 * 1024, ge=1_024, le=64 << 20)
    """What may wait for a client that does not read. Beyond it the client is closed with 4008."""

    client_buffer_frames_max: int = Field(1_000, ge=1, le=1_000_000)
    """Frames that may wait for a client of `/v1/stream` that does not read; of a state only the newest waits. Beyond it
    the client is closed with 4008."""

    client_frame_bytes_max: int = Field(4_096, ge=128, le=1 << 20)
    """The largest frame a client may send; a larger one closes it with 1009."""

    client_requests_per_second_max: int = Field(200, ge=1, le=100_000)
    """Frames a client of `/v1/stream` may send in a second; more are refused."""

    client_bad_frames_max: int = Field(20, ge=0, le=100_000)
    """Frames in a row that a client of `/v1/stream` may send in vain before it is closed with 4400."""

    subscriptions_max: int = Field(1_000, ge=1, le=100_000)
    """What one client of `/v1/stream` may follow, each channel of each product counted."""

    handshake_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a connection may take to ask for something."""

    ping_interval_s: float = Field(20.0, gt=0, le=600)
    """How long a client may be silent before it is asked whether it is there."""

    ping_timeout_s: float = Field(20.0, gt=0, le=600)
    """How long a client may take to answer that. Not more than the interval."""

    heartbeat_interval_s: float = Field(5.0, ge=0.25, le=600)
    """After so long without anything else, a client of `/v1/stream` is sent a heartbeat."""

    close_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a client that was told to close may take before it is cut off."""

    goodbyes_per_second: float = Field(250, gt=0, le=1_000_000)
    """How many clients a gateway that stops sends away in a second, so that they do not all come back at once; all of
    them within half of the grace."""

    coalesce_ms: float = Field(0, ge=0, le=20)
    """How long an update may wait for others to be written with it. Longer costs latency, and spares writes where many
    clients follow many updates."""

    stream_updates_max: int = Field(500, ge=50, le=100_000)
    """The newest updates of each channel and product that are kept in memory, for clients that resume."""

    stream_series_max: int = Field(50_000, ge=100, le=10_000_000)
    """Channels times products that are known at once; the updates of more are not delivered."""

    resume_updates_max: int = Field(10_000, ge=100, le=1_000_000)
    """Updates that a resume may have missed. Beyond it the client is told that its sequence is too old."""

    resume_records_max: int = Field(200_000, ge=1_000, le=100_000_000)
    """How many records of a partition a resume may read from Kafka, those of other products counted. Beyond it the
    client is told that its sequence is too old."""

    resumes_max: int = Field(10_000, ge=1, le=1_000_000)
    """Clients that may wait for a resume at once; more are told to ask again."""

    resume_readers_max: int = Field(2, ge=1, le=100)
    """How many partitions are read for resumes at once."""

    resume_ahead_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a resume waits for a sequence that this gateway has not read yet, and another has."""

    dedup_window: int = Field(10_000, ge=0, le=1_000_000)
    """A record is a repeat when it occurs among this many records before it in its partition. Each replica must have
    the same, so that all agree; 0 drops none."""

    book_records_max: int = Field(100_000, ge=0, le=10_000_000)
    """How many records of a partition of `book` are read at the start, or twice `dedup_window` where that is more: the
    newest snapshot of each book is to be among them, and there is one each 10 s. A book without one is not known until
    its next."""

    fetch_max_wait_ms: int = Field(500, ge=1, le=30_000)
    """How long Kafka holds a request for records while there are none. New ones are answered at once whatever it is."""

    dependency_check_interval_s: float = Field(5.0, ge=0.1, le=300)
    """How often the stores are asked whether they are there, and (by `api`) the log for its ends, for the lag."""


SETTINGS = GatewaySettings
