"""Settings of the recorder."""

from pydantic import Field

from services.adapters.pipeline import ConsumerSettings
from services.runtime.settings import RedisSettings


class RecorderSettings(ConsumerSettings, RedisSettings):
    partitions_ahead_days: int = Field(3, ge=1, le=30)
    """Days whose table partition is made before the first trade needs it, so that midnight costs nothing."""


SETTINGS = RecorderSettings
