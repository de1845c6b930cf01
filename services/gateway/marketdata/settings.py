"""What can be set about ``/ws/marketdata``."""

from pydantic import Field

from services.adapters.grpc import GrpcSettings
from services.runtime.settings import TracingSettings


class MarketDataSettings(GrpcSettings, TracingSettings):
    tick_bytes_max: int = Field(1_024, ge=128, le=1 << 16)
    """The longest tick that a client may send to `/ws/marketdata`; a longer one is answered by an error frame."""

    ticks_in_flight_max: int = Field(256, ge=1, le=100_000)
    """Ticks of one client that wait for their answers. Beyond it the socket is not read until some are answered."""

    ticks_per_second_max: float = Field(1_000, ge=1, le=1_000_000)
    """How fast one client's frames are read, after a second's worth at once. What comes faster waits in the socket."""

    validator_patience_s: float = Field(10, gt=0, le=600)
    """How long a socket waits for a validator that is away, before it is closed with 1011."""

    validator_answer_timeout_s: float = Field(10, gt=0, le=600)
    """How long the validator may take to answer a tick, before its stream is given up."""

    validator_failures_max: int = Field(5, ge=1, le=10_000)
    """Failed streams in a row after which the circuit breaker opens: nobody tries the validator for a while."""

    validator_breaker_open_s: float = Field(1, gt=0, le=600)
    """How long it stays open, before one attempt is made for all."""
