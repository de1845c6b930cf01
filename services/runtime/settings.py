"""Settings: the environment, then ``.env``, then defaults. One frozen class a service; the unit is in the name.

A bad value, or a ``TICKPLANE_`` variable that nothing knows, is a ``ConfigError`` naming the variable (exit 2).
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.contracts.errors import ConfigError

PREFIX = "TICKPLANE_"


def usual_name(name: str) -> AliasChoices:
    """A setting that keeps the name everybody gives it, without our prefix."""
    return AliasChoices(name)


class Settings(BaseSettings):
    """What every service has."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is logged."""

    ops_host: str = "127.0.0.1"
    """Where ``/health``, ``/ready`` and ``/metrics`` listen; ``0.0.0.0`` in a pod."""

    ops_port: int = Field(9000, ge=0, le=65_535)
    """The port of ``/health``, ``/ready`` and ``/metrics``. 0 takes a free one."""

    grace_s: float = Field(20, gt=0, le=600)
    """How long a service may take to finish its work after SIGTERM. Keep it below the supervisor's own patience."""

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read and check. Raises ConfigError naming every variable that is wrong."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            lines = [f"{_variable(cls, e['loc'])}: {e['msg']} (got {e.get('input')!r})" for e in error.errors()]
            raise ConfigError("; ".join(lines)) from None


class KafkaSettings(Settings):
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", validation_alias=usual_name("KAFKA_BOOTSTRAP_SERVERS"))
    """Where Kafka is: ``host:port``, comma-separated."""

    partitions: int = Field(6, ge=1, le=1000)
    """Partitions of each topic keyed by product. Fixed at install: another number would move products between them."""


class TopicsSettings(KafkaSettings):
    """How topics are made, by whoever makes them."""

    topics_retention_bytes: int = Field(2 << 30, ge=1 << 24)
    """The byte cap of all market data topics together, shared out among them. What is older is deleted."""

    topics_replication: int = Field(1, ge=1, le=9)
    """Copies of each partition; 3 on a cluster, 1 where there is one broker."""


class PostgresSettings(Settings):
    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/tickplane", validation_alias=usual_name("DATABASE_URL")
    )
    """Where Postgres is."""

    database_pool_max: int = Field(4, ge=1, le=100)
    """Connections of one process. Replicas times this must stay below Postgres' max_connections."""


class RedisSettings(Settings):
    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias=usual_name("REDIS_URL"))
    """Where Valkey or Redis is."""


def variables(settings: type[Settings]) -> dict[str, str]:
    """Field name to environment variable."""
    return {name: _variable(settings, (name,)) for name in settings.model_fields}


def refuse_unknown(known: Iterable[str], environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError for a ``TICKPLANE_`` variable that no service, tool or test knows."""
    names = set(known)
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{name} is not a setting{hint}")


def _variable(settings: type[Settings], location: tuple[int | str, ...]) -> str:
    head = str(location[0]) if location else ""
    field = settings.model_fields.get(head)
    if field is None:
        return head if head.isupper() else f"{PREFIX}{head.upper()}"
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{PREFIX}{head.upper()}"
