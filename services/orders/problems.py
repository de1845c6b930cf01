"""Why a request is refused: one envelope, ``{"error": {"code", "message", "fields"}}``, with every status but 2xx."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.adapters.http.documents import json_response
from services.adapters.http.server import RETRY_AFTER_S
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime.metrics import counter

CODES = {404: "not_found", 405: "method_not_allowed"}


class Field(msgspec.Struct, frozen=True):
    """What is wrong where: ``path`` is a field of the body or a parameter; empty for the whole of it."""

    path: str
    message: str


class Error(msgspec.Struct, frozen=True):
    """``code`` is for programs, ``message`` for people."""

    code: str
    message: str
    fields: list[Field] = []


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    error: Error


class Refusal(Exception):
    """Raised to refuse a request: 422 for its shape (with fields), 400 and 409 for rules, 401 to 404 for who asks."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Iterable[Field] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(Error(code, message, list(fields)))
        self.headers = headers or {}


def misshapen(path: str, message: str) -> Refusal:
    """422 for one field."""
    return Refusal(422, "invalid_request", f"{path or 'the body'}: {message}", fields=[Field(path, message)])


def against_rules(code: str, path: str, message: str) -> Refusal:
    """400 for one field that has the right shape."""
    return Refusal(400, code, f"{path}: {message}", fields=[Field(path, message)])


def away(error: InfraError) -> Refusal:
    """503: the same request again is safe, for an order's id makes it the same order. What has no id may come late."""
    message = f"{error.dependency} is away; it may yet be done: try again soon, with the same id where it has one"
    return Refusal(503, "unavailable", message, headers={"Retry-After": str(RETRY_AFTER_S)})


def handle_problems(app: FastAPI) -> None:
    """Have the app answer every refusal, its own and the framework's, in the one envelope."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(InfraError, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.add_exception_handler(HTTPException, _of_the_framework)


def response(refusal: Refusal) -> Response:
    counter(Metric.ORDERS_REFUSALS).labels(refusal.problem.error.code).inc()
    answer = json_response(refusal.problem, refusal.status)
    answer.headers.update(refusal.headers)
    return answer


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return response(error)


async def _unavailable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, InfraError)
    return response(away(error))


async def _invalid_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [Field(".".join(map(str, found["loc"][1:])), found["msg"]) for found in _found(error)]
    message = "; ".join(f"{field.path}: {field.message}" for field in fields)
    return response(Refusal(422, "invalid_request", message, fields=fields))


def _found(error: RequestValidationError) -> Iterable[dict[str, Any]]:
    return error.errors()


async def _of_the_framework(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "refused")
    return response(Refusal(error.status_code, code, str(error.detail), headers=error.headers))
