"""The AsyncAPI document of ``/v1/stream``, made from the structs that the code reads and writes.

``services/contracts/asyncapi`` holds what is published. https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from typing import Any

import msgspec

from services.gateway.clients import BAD_FRAMES, GOING_AWAY, SLOW_CLIENT, TOO_MANY_CONNECTIONS
from services.gateway.routes import STREAM_PATH
from services.gateway.stream import documents
from services.gateway.stream.channels import CHANNELS
from services.gateway.stream.client import MESSAGE_TOO_BIG
from services.gateway.stream.requests import OPS

SCHEMA_REF = "#/components/schemas/{name}"
MESSAGE_REF = "#/components/messages/{name}"
CHANNEL_REF = "#/channels/stream"

CLOSE_CODES = {
    GOING_AWAY: "The gateway restarts. Come back after the goodbye's reconnect_after_ms, and resume.",
    MESSAGE_TOO_BIG: "A frame was larger than the hello's limits allow.",
    1011: "The gateway failed. Come back and resume.",
    SLOW_CLIENT: "The client did not read its events. Come back and resume.",
    BAD_FRAMES: "Too many frames in a row were refused.",
    TOO_MANY_CONNECTIONS: "Too many connections in all, or from one address. Come back later.",
}
"""A page of an origin that may not connect is answered 403 before there is a connection."""

_CONTROL = (
    documents.Hello,
    documents.Ack,
    documents.Error,
    documents.Pong,
    documents.Heartbeat,
    documents.Goodbye,
)


def document() -> dict[str, Any]:
    """As plain data, for JSON or YAML."""
    sent, received, schemas = _messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tickplane stream",
            "version": str(documents.PROTOCOL),
            "description": "Market data over one WebSocket: JSON, one object a text frame. See docs/stream.md.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": STREAM_PATH,
                "messages": {name: {"$ref": MESSAGE_REF.format(name=name)} for name in (*received, *sent)},
                "x-close-codes": CLOSE_CODES,
            }
        },
        "operations": {
            "receiveRequest": _operation("receive", "What a client says.", received),
            "sendFrame": _operation("send", "What a client is sent.", sent),
        },
        "components": {"messages": received | sent, "schemas": schemas},
    }


def _messages() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What is sent and what is received, by the names of the messages, and the schemas they refer to."""
    families: dict[str, list[str]] = {}
    for name in CHANNELS:
        families.setdefault(name.partition(":")[0], []).append(name)
    of_channels = {
        f"{family}{kind.capitalize()}": (getattr(CHANNELS[names[0]], f"{kind}_type"), names)
        for family, names in families.items()
        for kind in ("snapshot", "update")
    }
    types = [*_CONTROL, *OPS.values(), *(type_ for type_, _ in of_channels.values())]
    references, schemas = _named(*msgspec.json.schema_components(types, ref_template=SCHEMA_REF))
    by_type = dict(zip(map(repr, types), references, strict=True))
    sent = {type_.__name__.lower(): _message(type_.__name__.lower(), by_type[repr(type_)]) for type_ in _CONTROL}
    for name, (type_, channels) in of_channels.items():
        only = {"properties": {"channel": {"enum": channels}}}
        sent[name] = _message(name, {"allOf": [by_type[repr(type_)], only]})
    received = {op: _message(op, by_type[repr(type_)]) for op, type_ in OPS.items()}
    return sent, received, schemas


def _named(references: Any, schemas: Any) -> tuple[list[Any], dict[str, Any]]:
    """The same with names that a reader would give: msgspec names a union by its modules."""
    text = msgspec.json.encode((references, schemas)).decode()
    plain = text.replace(f"{documents.__name__}.", "").replace("___None_", "_or_null_").replace(" | None]", " or null]")
    named: tuple[list[Any], dict[str, Any]] = msgspec.json.decode(plain, type=tuple[list[Any], dict[str, Any]])
    return named


def _message(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "payload": payload}


def _operation(action: str, summary: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": CHANNEL_REF},
        "messages": [{"$ref": f"{CHANNEL_REF}/messages/{name}"} for name in messages],
    }
