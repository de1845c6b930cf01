"""What a client of ``/v1/stream`` says. Pure: bytes in, a request or the error frame for it out."""

from typing import Annotated, Any, Literal

import msgspec

from services.domain.trades import TEXT_MAX
from services.gateway.stream.documents import Error, ErrorCode, RequestId
from services.runtime.redaction import redacted

ID_CHARACTERS_MAX = 64
PRODUCTS_MAX = 100
"""Names in one request."""
ANY = "*"
DETAIL_MAX = 300
"""Characters of what an error says: it may repeat what the client sent."""
SAFE_INTEGER_MAX = (1 << 53) - 1
"""What a browser's numbers hold exactly."""

Id = (
    Annotated[str, msgspec.Meta(max_length=ID_CHARACTERS_MAX)]
    | Annotated[int, msgspec.Meta(ge=-SAFE_INTEGER_MAX, le=SAFE_INTEGER_MAX)]
)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]
Products = Annotated[list[Name], msgspec.Meta(min_length=1, max_length=PRODUCTS_MAX)]


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe"):
    """Follow these products too. ``*`` stands for every one, those that come later included."""

    id: Id
    channel: Name
    products: Products
    exchange: Name | None = None


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="op", tag="unsubscribe"):
    """Stop following what these names stand for."""

    id: Id
    channel: Name
    products: Products
    exchange: Name | None = None


class Resume(msgspec.Struct, frozen=True, tag_field="op", tag="resume"):
    """Follow one product, from the update after ``sequence`` on. ``log_id`` is that of the ``hello`` before it."""

    id: Id
    channel: Name
    product: Name
    sequence: Annotated[int, msgspec.Meta(ge=0, le=SAFE_INTEGER_MAX)]
    exchange: Name | None = None
    log_id: Annotated[str, msgspec.Meta(max_length=TEXT_MAX)] | None = None


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping"):
    """Ask for a ``pong``."""

    id: Id


Request = Subscribe | Unsubscribe | Resume | Ping
OPS: dict[str, type[Request]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "resume": Resume,
    "ping": Ping,
}
Op = Literal["subscribe", "unsubscribe", "resume", "ping"]

_decode = msgspec.json.Decoder().decode


def parse(payload: bytes) -> Request | Error:
    """One text frame. The detail of a ``bad_request`` names the path of what is wrong."""
    try:
        document = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refusal(None, "not_json", f"the frame is not JSON: {error}")
    if not isinstance(document, dict):
        return refusal(None, "not_an_object", 'a request is an object such as {"op":"ping","id":1}')
    return _request(document)


def _request(document: dict[str, Any]) -> Request | Error:
    own_id = _id(document.get("id"))
    op = document.get("op")
    if "op" not in document or not isinstance(op, str):
        return refusal(own_id, "bad_request", "`op` is missing or no text - at `$.op`")
    if op not in OPS:
        return refusal(own_id, "unknown_op", f"there is no op {op[:TEXT_MAX]!r}; there are {', '.join(OPS)}")
    try:
        return msgspec.convert(document, OPS[op])
    except msgspec.ValidationError as error:
        return refusal(own_id, "bad_request", str(error))


def refusal(own_id: RequestId, code: ErrorCode, detail: str) -> Error:
    """An error frame's document; the detail is cut where it would repeat too much, and repeats no key."""
    return Error(own_id, code, redacted(detail)[:DETAIL_MAX])


def _id(value: object) -> RequestId:
    """The request's id, if it is one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        found: str | int = msgspec.convert(value, Id)
    except msgspec.ValidationError:
        return None
    return found
