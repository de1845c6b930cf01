"""How a path is added, so that the OpenAPI says what it takes, answers and refuses."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from services.adapters.http.documents import Responses, content, described
from services.orders.problems import Problem

_REFUSALS: Responses = {
    401: described("No key, or none that is known", Problem),
    403: described("The key's scopes do not allow it", Problem),
    422: described("The request has not the right shape; `fields` say where", Problem),
    429: described("Too many requests; `Retry-After` says when to come back", Problem),
    503: described("A dependency is away; `Retry-After` says when to come back", Problem),
}
NOT_FOUND: Responses = {404: described("There is no such thing", Problem)}
AGAINST_RULES: Responses = {400: described("A rule is against it; `fields` say which of the values", Problem)}
CONFLICT: Responses = {409: described("The id was used for something else", Problem)}
TOO_LARGE: Responses = {413: described("The body is too large", Problem)}


def get(
    router: APIRouter, path: str, handler: Callable[..., Any], document: Any, also: Responses | None = None
) -> None:
    """Add a GET whose answer is this document."""
    _add(router, "GET", path, handler, 200, described("The answer", document), also)


def command(
    router: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Any],
    document: Any,
    also: Responses,
    *,
    body: Any = None,
) -> None:
    """Add what puts something on the journal: 202, with this document."""
    extra = None if body is None else {"requestBody": {"required": True, "content": content(body)}}
    if body is not None:
        also = {**also, **TOO_LARGE}
    _add(router, method, path, handler, 202, described("It is on the journal", document), also, extra)


def _add(
    router: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Any],
    status: int,
    answer: dict[str, Any],
    also: Responses | None,
    extra: dict[str, Any] | None = None,
) -> None:
    router.add_api_route(
        path,
        handler,
        methods=[method],
        status_code=status,
        response_model=None,
        response_class=Response,
        name=handler.__name__,
        openapi_extra=extra,
        responses={status: answer, **_REFUSALS, **(also or {})},
    )
