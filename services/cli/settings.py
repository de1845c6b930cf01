"""Settings of the tools: where the stores are, and how topics are made."""

from pydantic import Field

from services.runtime.settings import KafkaSettings, PostgresSettings


class CliSettings(KafkaSettings, PostgresSettings):
    topics_retention_bytes: int = Field(2 << 30, ge=1 << 24)
    """The byte cap of all market data topics together, shared out among them. What is older is deleted."""

    topics_replication: int = Field(1, ge=1, le=9)
    """Copies of each partition; 3 on a cluster, 1 where there is one broker."""


SETTINGS = CliSettings
