"""Settings of the tools: where the stores are, and how topics and the schema are made."""

from services.runtime.settings import MigrationSettings, TopicsSettings


class CliSettings(TopicsSettings, MigrationSettings):
    pass


SETTINGS = CliSettings
