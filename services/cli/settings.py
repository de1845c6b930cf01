"""Settings of the tools: where the stores are, and how topics are made."""

from services.runtime.settings import PostgresSettings, TopicsSettings


class CliSettings(TopicsSettings, PostgresSettings):
    pass


SETTINGS = CliSettings
