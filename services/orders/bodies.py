"""What requests may have in their bodies, read with exact decimals, and what is refused for its shape alone."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from fastapi import Request
from msgspec import Meta, Struct, field
from starlette.requests import ClientDisconnect

from services.contracts.lab import NAME_PATTERN, OrderSide, OrderType, SelfTrade, TimeInForce, is_name
from services.domain.money import DIGITS_MAX, PLACES_MAX, is_amount, plain
from services.orders.problems import Refusal, misshapen
from services.runtime.clock import parse_rfc3339

BODY_BYTES_MAX = 16 * 1024
TIME_MAX_NS = 2**63 - 1
_AMOUNT_RULE = f"must be a number above zero of at most {DIGITS_MAX} digits, {PLACES_MAX} of them after the point"
_NAME_RULE = "must be 1 to 64 letters, digits, `.`, `_` or `-`"
_NAMES = frozenset({"id", "symbol", "asset", "account"})
_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"field `(?P<path>[^`]*)`")

Name = Annotated[str, Meta(description=_NAME_RULE, extra_json_schema={"pattern": f"^{NAME_PATTERN}$"})]
Amount = Annotated[
    Decimal,
    Meta(
        description=f"{_AMOUNT_RULE}; a JSON number or a string, every digit counts",
        extra_json_schema={"type": ["string", "number"]},
    ),
]


class NewOrder(Struct, kw_only=True, forbid_unknown_fields=True):
    """An order. ``id`` is the client's own: with it the request can be sent again without a second order.

    ``price`` is for limit and stop_limit, ``stop_price`` for stop and stop_limit, ``expire_time`` (RFC 3339) for GTD.
    ``time_in_force`` is GTC, for a market order IOC, where it is left out. ``account`` is the caller's own.
    """

    id: Name
    symbol: Name
    quantity: Amount
    price: Amount | None = None
    side: OrderSide = "buy"
    type: OrderType = "limit"
    stop_price: Amount | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    self_trade: SelfTrade = "cancel_newest"
    expire_time: str | None = None
    account: Name | None = None


class ShortOrder(NewOrder, kw_only=True, forbid_unknown_fields=True):
    """The same with ``qty`` for the quantity."""

    quantity: Amount = field(name="qty")


class Replacement(Struct, kw_only=True, forbid_unknown_fields=True):
    """What an open order is to be; what is left out stays. ``quantity`` includes what is filled."""

    quantity: Amount | None = None
    price: Amount | None = None
    stop_price: Amount | None = None


class Transfer(Struct, kw_only=True, forbid_unknown_fields=True):
    """Money in or out of an account. ``market_group`` is needed where several trade the asset."""

    id: Name
    asset: Name
    amount: Amount
    market_group: int | None = None


_DECODERS: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (NewOrder, ShortOrder, Replacement, Transfer)
}


async def read[B: Struct](request: Request, kind: type[B]) -> B:
    """The request's body. Raises Refusal: 413 beyond ``BODY_BYTES_MAX``, 422 where it is not one of its kind."""
    try:
        body: B = _DECODERS[kind].decode(await _bytes(request))
    except msgspec.ValidationError as error:
        raise _misshapen(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise misshapen("", f"not JSON: {error}") from None
    _check(body)
    return body


def time_ns(path: str, text: str | None) -> int | None:
    """RFC 3339 as nanoseconds. Raises Refusal (422)."""
    if text is None:
        return None
    try:
        found = parse_rfc3339(text)
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found <= TIME_MAX_NS:
        raise misshapen(path, "must be a time as in RFC 3339, from 1970 to 2262")
    return found


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                # The server throws the rest away as it comes: closing would cost the client the answer.
                raise Refusal(413, "body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes")
    except ClientDisconnect:
        raise Refusal(400, "disconnected", "the client went away before its request was read") from None
    return bytes(body)


def _check(body: Struct) -> None:
    """Refuse names and amounts that no lab has; amounts become plain, so that 1e2 and 100 are the same request."""
    for name, path, value in _members(body):
        if isinstance(value, Decimal):
            if not is_amount(value):
                raise misshapen(path, _AMOUNT_RULE)
            setattr(body, name, Decimal(plain(value)))
        elif path in _NAMES and not is_name(str(value)):
            raise misshapen(path, _NAME_RULE)


def _members(body: Struct) -> Iterator[tuple[str, str, object]]:
    """Each field that is given: its name here, its name in JSON, its value."""
    for name, path in zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True):
        value = getattr(body, name)
        if value is not None:
            yield name, path, value


def _misshapen(message: str) -> Refusal:
    """msgspec says where at the end of its message, or names the field in it."""
    where = _AT.search(message)
    if where is not None:
        return misshapen(where["path"], message[: where.start()])
    named = _NAMED.search(message)
    return misshapen(named["path"] if named is not None else "", message)
