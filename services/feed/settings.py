"""Settings of a feed: one exchange, some products."""

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.domain.trades import FUTURE_NS_MAX, is_label
from services.runtime.clock import NS_PER_S, parse_rfc3339
from services.runtime.settings import KafkaSettings, TracingSettings

PRODUCTS_MAX = 500


class FeedSettings(KafkaSettings, TracingSettings):
    venue: str = "demo"
    """Whose protocol to speak: a name under the entry point ``tickplane.venues``."""

    exchange: str = ""
    """The label of the trades; the venue's own where it is empty."""

    products: Annotated[tuple[str, ...], NoDecode] = Field(("BTC-USD",), min_length=1, max_length=PRODUCTS_MAX)
    """What to subscribe to: ``BASE-QUOTE``, comma-separated."""

    endpoint: str = ""
    """The WebSocket URL; the venue's own where it is empty. Point it at `tickplane replay` to play a recording."""

    history_endpoint: str = ""
    """The base URL of the REST history. Empty: the host of ``endpoint`` where that is set, else the venue's own."""

    gap_repair_enabled: bool = True
    """Whether gaps are fetched over REST. Off, they stay open and visible."""

    gap_repair_max_age_s: float = Field(86_400, ge=0, le=10 * 365 * 86_400)
    """Gaps older than this are not fetched: exchanges' public histories do not reach back for ever."""

    gap_repair_max_trades: int = Field(100_000, ge=0, le=100_000_000)
    """Trades fetched at most per gap, so that one long outage does not spend the request budget for days."""

    backfill_since: str = ""
    """RFC 3339: fetch what happened between then and the first trade seen. Empty fetches nothing."""

    venue_settings: dict[str, str] = Field(default_factory=dict)
    """The venue's own settings, as a JSON object of strings."""

    future_limit_s: float = Field(60, ge=0, le=FUTURE_NS_MAX / NS_PER_S)
    """How far a trade's time may be after its receipt before it is refused: clocks differ, but not by much."""

    frame_bytes_max: int = Field(4 << 20, ge=1 << 10, le=64 << 20)
    """The longest frame that is read; a longer one ends the session."""

    queue_frames_max: int = Field(2_000, ge=1, le=1_000_000)
    """Frames read and not yet published. Full, the socket is not read: the exchange waits, memory does not grow."""

    queue_bytes_max: int = Field(64 << 20, ge=1 << 20, le=1 << 30)
    """Bytes of frames read and not yet published, for exchanges whose frames are long."""

    reconnect_backoff_max_s: float = Field(30, gt=0, le=3_600)
    """The longest wait before the next attempt to connect. Shorter may look like abuse to an exchange."""

    in_flight_max: int = Field(10_000, ge=1, le=1_000_000)
    """Trades sent and not yet acknowledged by Kafka."""

    state_interval_ms: int = Field(1_000, ge=10, le=60_000)
    """How often ``feed_state`` is written for a product that traded. Shorter repeats less after a crash."""

    raw_frames: bool = False
    """Keep every frame on the topic ``raw_frames``, for those who want what the exchange really said."""

    @field_validator("products", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("products")
    @classmethod
    def _unique(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for product in value:
            base, dash, quote = product.partition("-")
            if not (base and dash and quote):
                raise ValueError(f"{product!r} is not BASE-QUOTE, such as BTC-USD")
        if len(set(value)) != len(value):
            raise ValueError("a product is named twice")
        return value

    @field_validator("exchange")
    @classmethod
    def _label(cls, value: str) -> str:
        if value and not is_label(value):
            raise ValueError(f"{value!r} is not a label such as coinbase")
        return value

    @field_validator("backfill_since")
    @classmethod
    def _time(cls, value: str) -> str:
        if value:
            parse_rfc3339(value)
        return value


SETTINGS = FeedSettings
