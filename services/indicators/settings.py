"""Settings of the indicators."""

from pydantic import field_validator

from services.adapters.pipeline import ConsumerSettings
from services.contracts.errors import ConfigError
from services.domain.indicators import Plan
from services.runtime.settings import RedisSettings

NAMES_MAX = 50
"""Indicators of one product: each is folded for every trade, and is a field of every record and hash."""


class IndicatorsSettings(ConsumerSettings, RedisSettings):
    indicators: str = "sma_5,ema_12,rsi_14"
    """What is computed, comma-separated: `sma_N`, `ema_N`, `rsi_N` and `vwap_Nm` (minutes) follow each trade,
    `sma_N@1m` and the like the closed bars of a resolution. An indicator added later begins with the next trade, or
    with the bars that there are."""

    @field_validator("indicators")
    @classmethod
    def _are_indicators(cls, value: str) -> str:
        wanted = names(value)
        if not 1 <= len(wanted) <= NAMES_MAX:
            raise ValueError(f"wants 1 to {NAMES_MAX} indicators")
        try:
            Plan(wanted)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return value


def names(value: str) -> list[str]:
    """The names in a comma-separated list."""
    return [name for part in value.split(",") if (name := part.strip())]


SETTINGS = IndicatorsSettings
