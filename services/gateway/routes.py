"""What a request's path means. Pure: bytes in, a place to go or an answer out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from services.gateway.hub import Channel, Product

EXCHANGE_DEFAULT = "coinbase"
QUERY_FIELDS_MAX = 20

CHANNELS = {channel.value: channel for channel in Channel}
"""First segment of a WebSocket path to what it delivers: ``/crypto/{product}``, ``/indicators/{product}``."""

STREAM_PATH = "/v1/stream"
MARKETDATA_PATH = "/ws/marketdata"

GREETING = b"Tickplane. The markets are at /markets.\n"


@dataclass(frozen=True)
class Follow:
    """A WebSocket that follows one product."""

    channel: Channel
    product: Product


@dataclass(frozen=True)
class Stream:
    """A WebSocket that says itself what it follows."""


@dataclass(frozen=True)
class MarketData:
    """A WebSocket that sends ticks to be validated; with ``broadcast`` it gets everybody's verdicts."""

    broadcast: bool


Destination = Follow | Stream | MarketData


@dataclass(frozen=True)
class Answer:
    """A plain HTTP answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Files = Callable[[str, str], Answer | None]
"""(path, the request's ``Accept-Encoding``) to the file there, if there is one."""


def no_files(_path: str, _accept_encoding: str) -> None:
    """Nothing is there."""


def socket_route(target: bytes) -> Destination | Answer:
    """Where a WebSocket request goes. ``target`` is the request line's: path and query."""
    path, query = _split(target)
    if path == STREAM_PATH:
        return Stream()
    if path == MARKETDATA_PATH:
        return MarketData("broadcast=true" in query.split("&"))
    segments = path.split("/")
    channel = CHANNELS.get(segments[1]) if len(segments) == 3 else None
    if channel is None or not segments[2]:
        return problem(HTTPStatus.NOT_FOUND, "there is no such WebSocket; try /crypto/BTC-USD")
    try:
        parameters = parse_qs(query, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return problem(HTTPStatus.BAD_REQUEST, "too many query parameters")
    exchange = parameters.get("exchange", [EXCHANGE_DEFAULT])[-1]
    return Follow(channel, Product(exchange, unquote(segments[2])))


def plain_route(target: bytes, accept_encoding: str = "", files: Files = no_files) -> Answer:
    """What a request that is no WebSocket's is told."""
    path, _query = _split(target)
    file = files(path, accept_encoding)
    if file is not None:
        return file
    if path == "/":
        return Answer(HTTPStatus.OK, GREETING, "text/plain; charset=utf-8")
    if path == "/health":
        return Answer(HTTPStatus.OK, b'{"status":"ok"}')
    if path in (STREAM_PATH, MARKETDATA_PATH) or path.split("/")[1] in CHANNELS:
        return problem(HTTPStatus.UPGRADE_REQUIRED, "this is a WebSocket")
    return problem(HTTPStatus.NOT_FOUND, "not found")


def problem(status: HTTPStatus, detail: str) -> Answer:
    return Answer(status, msgspec.json.encode({"detail": detail}))


def _split(target: bytes) -> tuple[str, str]:
    """Path (not unquoted) and query; an unusable target is the path ``/?``, which nothing has."""
    try:
        parts = urlsplit(target.decode("latin-1"))
    except ValueError:
        return "/?", ""
    return parts.path if parts.path.startswith("/") else "/?", parts.query
