"""Settings of the recorder."""

from pydantic import Field

from services.adapters.pipeline import ConsumerSettings
from services.runtime.settings import RedisSettings


class RecorderSettings(ConsumerSettings, RedisSettings):
    retention_days: int = Field(365, ge=0, le=100_000)
    """How long trades are kept in Postgres; an older trade is counted and not stored. 0 keeps them for ever."""

    partitions_ahead_days: int = Field(3, ge=1, le=30)
    """Days whose table partition is made before the first trade needs it, so that midnight costs nothing."""


SETTINGS = RecorderSettings
