"""What can be set about the validator."""

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.adapters.grpc import GrpcSettings
from services.adapters.pipeline import PipelineSettings
from services.domain.validation import Band
from services.runtime.settings import ServingSettings


class ValidatorSettings(PipelineSettings, ServingSettings, GrpcSettings):
    price_band: Annotated[Band, NoDecode] = Band()
    """Prices that are accepted, as `LOW:HIGH`, ends included."""

    price_bands: Annotated[dict[str, Band], NoDecode] = Field(default_factory=dict, max_length=10_000)
    """The same for some instruments: `BTC-USD=1000:1000000,…`."""

    timestamp_past_max_s: float = Field(315_569_520, ge=1, le=3_155_695_200)
    """How old a tick may be. The default is ten years."""

    timestamp_future_max_s: float = Field(60, ge=0, le=86_400)
    """How far ahead of our clock a tick may be."""

    rules: Annotated[tuple[str, ...], NoDecode] = ()
    """Rules to add to the built-in ones, by their names among the entry points `tickplane.rules`: `notional-cap,…`."""

    window_ticks_max: int = Field(50_000, ge=1_000, le=10_000_000)
    """Ticks of one instrument that are kept one by one, at some 80 bytes each. Beyond it the oldest are merged per
    second, and counted: what reaches back to them is exact to the second only."""

    window_instruments_max: int = Field(1_000, ge=1, le=1_000_000)
    """Instruments whose ticks are kept. A tick of one more is answered INVALID, until another has been quiet."""

    lateness_max_s: float = Field(600, ge=0, le=86_400)
    """How far behind its instrument's newest tick a tick may be and still be told its exact VWAP. What is older than
    that and the window may be forgotten; so far back, too, the topic is read at the start."""

    publish_verdicts: bool = True
    """Whether the answers to gRPC ticks go to `validated_trades` too. Off, replicas do not know of each other's."""

    publish_in_flight_max: int = Field(100_000, ge=100, le=10_000_000)
    """Verdicts that Kafka has not acknowledged. Beyond it no tick is read until there is room."""

    publish_interval_ms: int = Field(20, ge=0, le=1_000)
    """How long verdicts are gathered before they are published together. Shorter costs CPU, longer costs freshness."""

    consume_raw_ticks: bool = True
    """Whether the topic `raw_ticks` is read. Off, Postgres is not needed."""

    streams_max: int = Field(10_000, ge=1, le=1_000_000)
    """Open gRPC streams; one more is refused with `RESOURCE_EXHAUSTED`."""

    answers_waiting_max: int = Field(64, ge=1, le=100_000)
    """Messages of answers that may wait for a client that does not read, before no more of its ticks are read."""

    batch_ticks_max: int = Field(1_000, ge=1, le=100_000)
    """Ticks in one message of `ProcessBatch`: it bounds how long the others wait."""

    @field_validator("price_band", mode="before")
    @classmethod
    def _one_band(cls, value: Any) -> Any:
        return _band(value) if isinstance(value, str) else value

    @field_validator("price_bands", mode="before")
    @classmethod
    def _many_bands(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = (item.partition("=") for item in value.split(",") if item.strip())
        return {instrument_id.strip(): _band(band) for instrument_id, _, band in pairs}

    @field_validator("rules", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _band(text: str) -> Band:
    low, colon, high = text.partition(":")
    band = Band(float(low), float(high)) if colon else None
    if band is None or not 0 < band.low <= band.high < float("inf"):
        raise ValueError(f"{text!r} is not LOW:HIGH, two numbers above 0")
    return band


SETTINGS = ValidatorSettings
