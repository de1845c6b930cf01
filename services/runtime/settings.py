"""Settings: the environment, then ``.env``, then defaults. One frozen class a service; the unit is in the name.

A bad value, or a ``TICKPLANE_`` variable that nothing knows, is a ``ConfigError`` naming the variable (exit 2).
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.contracts.errors import ConfigError
from services.contracts.lab import is_client_account

PREFIX = "TICKPLANE_"
_HEADER = re.compile(r"\s*[\w.!#$%&'*+^`|~-]+\s*=[\x20-\x7e]*")


def usual_name(name: str) -> AliasChoices:
    """A setting that keeps the name everybody gives it, without our prefix."""
    return AliasChoices(name)


def _is_url(url: SecretStr) -> SecretStr:
    """Where a ``/`` in a password makes the half of it a port, what reads the URL would quote that half."""
    value = url.get_secret_value()
    try:
        parts = urlsplit(value)
        user, _, hosts = parts.netloc.rpartition("@")
        for host in hosts.split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        parts = None
    if parts is None or not parts.scheme or ("@" in value and not user):
        raise ValueError("it is no URL; in a password, / ? # @ and % are written %2F %3F %23 %40 and %25")
    return url


SecretUrl = Annotated[SecretStr, AfterValidator(_is_url)]
"""A URL that may hold a password."""


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
            raise ConfigError("; ".join(_complaint(cls, each) for each in error.errors())) from None
        except SettingsError as error:
            field = re.search(r'field "(\w+)"', str(error))
            where = _variable(cls, field.groups()) if field is not None else str(error)
            raise ConfigError(f"{where}: it is not the JSON that is wanted") from None

    def certificate_files(self) -> dict[str, Path]:
        """The files of certificates that are given, by the setting that names each."""
        names = [name for name in type(self).model_fields if name.endswith(("_ca_file", "_certificate_file"))]
        return {name: Path(getattr(self, name)) for name in names if getattr(self, name)}


class KafkaSettings(Settings):
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", validation_alias=usual_name("KAFKA_BOOTSTRAP_SERVERS"))
    """Where Kafka is: ``host:port``, comma-separated."""

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", validation_alias=usual_name("KAFKA_SECURITY_PROTOCOL")
    )
    """Whether the connection is encrypted (`…SSL`) and whether it is by a user with a password (`SASL_…`)."""

    kafka_sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", validation_alias=usual_name("KAFKA_SASL_MECHANISM")
    )
    """How the user shows the password. `PLAIN` sends it, so only with `SASL_SSL`."""

    kafka_sasl_username: str = Field("", validation_alias=usual_name("KAFKA_SASL_USERNAME"), validate_default=True)
    """The user, where the protocol is `SASL_…`."""

    kafka_sasl_password: SecretStr = Field(
        SecretStr(""), validation_alias=usual_name("KAFKA_SASL_PASSWORD"), validate_default=True
    )
    """The user's password, read at start: another one wants a restart."""

    kafka_ca_file: str = Field("", validation_alias=usual_name("KAFKA_CA_FILE"))
    """Certificates (PEM) of who signs the brokers'; the system's where it is empty."""

    partitions: int = Field(6, ge=1, le=1000)
    """Partitions of each topic keyed by product. Fixed at install: another number would move products between them."""

    market_groups: int = Field(1, ge=1, le=100)
    """The order lab's market groups: symbols that share balances, an engine and a partition. Fixed at install."""

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _is_given_for_sasl(cls, value: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        if str(info.data.get("kafka_security_protocol")).startswith("SASL") and not value:
            raise ValueError("KAFKA_SECURITY_PROTOCOL wants a user and a password")
        return value

    @field_validator("kafka_ca_file")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError("there is no such file")
        return value


class TopicsSettings(KafkaSettings):
    """How topics are made, by whoever makes them."""

    topics_retention_bytes: int = Field(2 << 30, ge=1 << 24)
    """The byte cap of all market data topics together, shared out among them. What is older is deleted."""

    topics_replication: int = Field(1, ge=1, le=9)
    """Copies of each partition; 3 on a cluster, 1 where there is one broker."""


class PostgresSettings(Settings):
    database_url: SecretUrl = Field(
        SecretStr("postgresql://postgres@127.0.0.1:5432/tickplane"), validation_alias=usual_name("DATABASE_URL")
    )
    """Where Postgres is, and the user. TLS is asked for by `?sslmode=verify-full&sslrootcert=FILE`."""

    database_password: SecretStr = Field(SecretStr(""), validation_alias=usual_name("DATABASE_PASSWORD"))
    """The user's password, in place of one in the URL; read at start: another one wants a restart."""

    database_pool_max: int = Field(4, ge=1, le=100)
    """Connections of one process. Replicas times this must stay below Postgres' max_connections."""

    def certificate_files(self) -> dict[str, Path]:
        return super().certificate_files() | _files_of_url("database_url", self.database_url, "sslrootcert", "sslcert")


class MigrationSettings(PostgresSettings):
    """How the schema is brought to its version, by whoever does it: the owner of the schema."""

    database_roles: Literal["make", "wait", "none"] = "make"
    """The services' roles in Postgres: `make` those that are missing, `wait` until somebody else has made them, or
    `none` where the services log in as the schema's owner."""

    recorder_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_recorder` may log in. Empty: how it logs in is left as it is."""

    candles_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_candles` may log in. Empty: how it logs in is left as it is."""

    indicators_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_indicators` may log in. Empty: how it logs in is left as it is."""

    api_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_api` may log in. Empty: how it logs in is left as it is."""

    validator_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_validator` may log in. Empty: how it logs in is left as it is."""

    orders_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_orders` may log in. Empty: how it logs in is left as it is."""

    matching_database_password: SecretStr = SecretStr("")
    """With this password the role `tickplane_matching` may log in. Empty: how it logs in is left as it is."""

    migrate_timeout_s: float = Field(300, ge=0, le=86_400)
    """How long `tickplane migrate` waits for Postgres, Kafka, and what others have to make, before it gives up."""


class RedisSettings(Settings):
    redis_url: SecretUrl = Field(SecretStr("redis://127.0.0.1:6379/0"), validation_alias=usual_name("REDIS_URL"))
    """Where Valkey or Redis is; `rediss://` with TLS."""

    redis_password: SecretStr = Field(SecretStr(""), validation_alias=usual_name("REDIS_PASSWORD"))
    """Its password, in place of one in the URL; read at start: another one wants a restart."""

    def certificate_files(self) -> dict[str, Path]:
        return super().certificate_files() | _files_of_url("redis_url", self.redis_url, "ssl_ca_certs", "ssl_certfile")


class ServingSettings(Settings):
    """What every service has that answers requests."""

    drain_s: float = Field(0, ge=0, le=300)
    """How long requests are still served after SIGTERM, while readiness says 503 already: as long as it takes whoever
    sends them here to notice. `TICKPLANE_GRACE_S` comes after it."""


class EdgeSettings(ServingSettings):
    """What every service has that the edge reaches."""

    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks of the edge, comma-separated: only they are believed about ``X-Forwarded-For``."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for part in filter(None, (part.strip() for part in value.split(","))):
            ipaddress.ip_network(part)
        return value


class TracesSettings(Settings):
    """Which traces are made, and where they go."""

    traces_sample_ratio: float = Field(0, ge=0, le=1)
    """How much of what begins with this service is traced, of 1: a feed's trades, clients' ticks and requests. Above 0
    it adds its part to what began elsewhere, too; 0 is off. The operator's is its feeds'."""

    otlp_endpoint: str = Field("http://127.0.0.1:4318", validation_alias=usual_name("OTEL_EXPORTER_OTLP_ENDPOINT"))
    """Where traces are sent: the base URL of an OTLP/HTTP collector."""


class TracingSettings(TracesSettings):
    """The same for every service that makes some itself."""

    otlp_headers: SecretStr = Field(SecretStr(""), validation_alias=usual_name("OTEL_EXPORTER_OTLP_HEADERS"))
    """What is sent along, such as a token: `name=value`, comma-separated, a space in a value written `%20`."""

    @field_validator("otlp_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr) -> SecretStr:
        """The exporter reads the variable itself, and would quote in the log what it cannot read."""
        headers = [header for header in value.get_secret_value().split(",") if header]
        if not all(_HEADER.fullmatch(header) for header in headers):
            raise ValueError("it is not name=value, comma-separated")
        return value


class RestSettings(EdgeSettings, TracingSettings):
    """What every REST interface has."""

    rate_limit_timeout_ms: int = Field(250, ge=1, le=10_000)
    """How long a request waits for Redis to count it before this replica counts by itself."""

    rate_limit_retry_s: float = Field(1.0, gt=0, le=60)
    """How long a replica counts by itself before it asks a Redis that failed again."""

    rate_limit_clients_max: int = Field(10_000, ge=1, le=1_000_000)
    """Clients one replica counts by itself at once; beyond it the one that came first is forgotten."""

    cors_origins: str = ""
    """Origins whose pages may read the answers, comma-separated; ``*`` for every one. Empty: the same origin only."""

    query_timeout_s: float = Field(5.0, gt=0, le=60)
    """How long a request waits for Postgres before it is answered 503."""

    dependency_check_interval_s: float = Field(5.0, ge=0.1, le=300)
    """How often the stores are asked whether they are there, and (by `api`) the log for its ends, for the lag."""


class LabSettings(Settings):
    """What the services of the order lab share."""

    anonymous_account: str = ""
    """The account of who has no API key, with the scopes `read` and `trade`; its trades are in Redis under
    `trade:<id>`, too. Empty: a missing key is 401."""

    @field_validator("anonymous_account")
    @classmethod
    def _is_an_account(cls, value: str) -> str:
        if value and not is_client_account(value):
            raise ValueError("not the name of an account: letters, digits, ., _ and -, and not a reserved one")
        return value


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


def _files_of_url(setting: str, url: SecretStr, *options: str) -> dict[str, Path]:
    """The files that some options of a URL name, by the setting and the option."""
    given = dict(parse_qsl(urlsplit(url.get_secret_value()).query))
    return {f"{setting}_{option}": Path(given[option]) for option in options if option in given}


def _complaint(settings: type[Settings], error: Any) -> str:
    """What is wrong with which variable, and what was given, unless that is to stay secret."""
    variable = _variable(settings, error["loc"])
    secret = [name for name, field in settings.model_fields.items() if field.annotation is SecretStr]
    given = "" if variable in (variables(settings)[name] for name in secret) else f" (got {error.get('input')!r})"
    return f"{variable}: {error['msg']}{given}"


def _variable(settings: type[Settings], location: tuple[int | str, ...]) -> str:
    head = str(location[0]) if location else ""
    field = settings.model_fields.get(head)
    if field is None:
        return head if head.isupper() else f"{PREFIX}{head.upper()}"
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{PREFIX}{head.upper()}"
