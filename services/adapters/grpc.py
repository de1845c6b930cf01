"""gRPC: where the validator is, and how its two sides connect. TLS and mutual TLS are settings."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio
from pydantic import Field, field_validator

from services.contracts.errors import ConfigError
from services.runtime.settings import Settings, usual_name

Option = tuple[str, int | str]

STREAM_WINDOW_BYTES = 64 * 1024
"""What HTTP/2 may hold of one stream's messages before they are read: a bound of memory for clients that do not read.
It does not grow with what the link could carry, as gRPC's own would."""


RECONNECT_BACKOFF_MIN_MS, RECONNECT_BACKOFF_MAX_MS = 100, 1_000


class GrpcSettings(Settings):
    """Shared by who serves and who calls; certificates are each side's own."""

    grpc_server_address: str = Field("127.0.0.1:50051", validation_alias=usual_name("GRPC_SERVER_ADDRESS"))
    """Where the validator listens, and whom the gateway calls: `host:port`; to listen, the port 0 takes a free one, to
    call, `dns:///name:port` spreads the streams over all that the name stands for."""

    grpc_tls: bool = False
    """Whether the connection is by TLS."""

    grpc_ca_file: str = Field("", validate_default=True)
    """Certificates (PEM) of who signs the other side's. The validator lets in only clients that show such a one
    (mutual TLS), all where it is empty; the gateway trusts the system's where it is empty."""

    grpc_certificate_file: str = Field("", validate_default=True)
    """Our own certificate (PEM): the validator's, or the one that the gateway shows where TLS is mutual."""

    grpc_key_file: str = Field("", validate_default=True)
    """Its private key (PEM)."""

    grpc_message_bytes_max: int = Field(1 << 20, ge=1_024, le=64 << 20)
    """The largest message either side takes. A larger one ends its stream with `RESOURCE_EXHAUSTED`."""

    grpc_keepalive_interval_s: float = Field(20, ge=1, le=3_600)
    """How long a connection may be silent before it is asked whether it is there."""

    grpc_keepalive_timeout_s: float = Field(20, ge=1, le=600)
    """How long it may take to answer that."""

    @field_validator("grpc_ca_file", "grpc_certificate_file", "grpc_key_file")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError("there is no such file")
        return value


def server_credentials(settings: GrpcSettings) -> grpc.ServerCredentials | None:
    """None for a server without TLS. Raises ConfigError where it has no certificate to show."""
    if not settings.grpc_tls:
        return None
    key, certificate = _read(settings.grpc_key_file), _read(settings.grpc_certificate_file)
    if key is None or certificate is None:
        raise ConfigError("TICKPLANE_GRPC_TLS wants TICKPLANE_GRPC_CERTIFICATE_FILE and TICKPLANE_GRPC_KEY_FILE")
    authority = _read(settings.grpc_ca_file)
    return grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=authority is not None)


def channel(settings: GrpcSettings) -> grpc.aio.Channel:
    """A channel to ``grpc_server_address``; it connects when it is used, and again by itself."""
    if not settings.grpc_tls:
        return grpc.aio.insecure_channel(settings.grpc_server_address, options(settings))
    credentials = grpc.ssl_channel_credentials(
        _read(settings.grpc_ca_file), _read(settings.grpc_key_file), _read(settings.grpc_certificate_file)
    )
    return grpc.aio.secure_channel(settings.grpc_server_address, credentials, options(settings))


def options(settings: GrpcSettings) -> Sequence[Option]:
    """Of both sides: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html"""
    interval_ms = round(settings.grpc_keepalive_interval_s * 1_000)
    return [
        ("grpc.max_receive_message_length", settings.grpc_message_bytes_max),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", interval_ms),
        ("grpc.keepalive_timeout_ms", round(settings.grpc_keepalive_timeout_s * 1_000)),
        ("grpc.http2.lookahead_bytes", STREAM_WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),
        # How long a client waits between attempts to connect: gRPC's own two minutes are for strangers.
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_BACKOFF_MIN_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_BACKOFF_MAX_MS),
        # A name may stand for several servers (`dns:///…`): streams are spread over them.
        ("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),
    ]


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None
