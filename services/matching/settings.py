"""Settings of the matching engine."""

from pathlib import Path
from typing import Self

import msgspec
import yaml
from pydantic import Field, field_validator, model_validator

from services.adapters.pipeline import PipelineSettings
from services.contracts.lab import SymbolRules
from services.domain.symbols import symbol_of
from services.runtime.settings import LabSettings, RedisSettings

SYMBOLS = """
[{symbol: DEMO-USD, base: DEMO, quote: USD, tick_size: "0.01", lot_size: "0.001", reference_price: "100",
  band_bps: 1000, maker_fee_bps: 10, taker_fee_bps: 20},
 {symbol: BTC-USD, base: BTC, quote: USD, tick_size: "0.01", lot_size: "0.00001", reference_price: "60000",
  band_bps: 1000, maker_fee_bps: 10, taker_fee_bps: 20}]
"""


class MatchingSettings(LabSettings, PipelineSettings, RedisSettings):
    market_group: int = Field(0, ge=0, le=99)
    """Which market group this process is the engine of; its journal is the partition of `orders` with that number."""

    symbols: str = SYMBOLS
    """What may be traded: YAML, a list with the fields of `SymbolRules`, or the path of a file with that. What is new
    or has changed is put on the journal at the start; other market groups' symbols are left to their engines."""

    snapshot_commands: int = Field(100_000, ge=1, le=100_000_000)
    """Commands between two snapshots of the engine's state. Fewer shorten the start, and cost a pause each."""

    @field_validator("symbols")
    @classmethod
    def _can_be_traded(cls, value: str) -> str:
        read_symbols(value)
        return value

    @model_validator(mode="after")
    def _has_its_group(self) -> Self:
        if self.market_group >= self.market_groups:
            raise ValueError(f"TICKPLANE_MARKET_GROUP is not below TICKPLANE_MARKET_GROUPS, {self.market_groups}")
        return self


def read_symbols(setting: str) -> list[SymbolRules]:
    """The rules that the setting gives, or the file it names. Raises ValueError for what cannot be traded."""
    try:
        text = setting if "{" in setting or "\n" in setting else Path(setting).read_text()
        symbols = msgspec.convert(yaml.safe_load(text) or [], list[SymbolRules], strict=False)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(f"no list of symbols' rules: {error}") from None
    for rules in symbols:
        symbol_of(rules)
    return symbols


SETTINGS = MatchingSettings
