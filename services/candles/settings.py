"""Settings of the candle builder."""

from pydantic import Field

from services.adapters.pipeline import ConsumerSettings


class CandlesSettings(ConsumerSettings):
    grace_after_bar_ms: int = Field(2_000, ge=0, le=3_600_000)
    """How long after its end a bar waits for late trades. Shorter closes sooner, longer corrects less."""


SETTINGS = CandlesSettings
