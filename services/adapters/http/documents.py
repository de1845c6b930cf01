"""Answers made by msgspec, past FastAPI's own models: how they are sent, and how the OpenAPI describes them."""

from typing import Any

import msgspec
from fastapi import Response

SCHEMA_REF = "#/components/schemas/{name}"
Responses = dict[int | str, dict[str, Any]]
"""Status to its description, as FastAPI takes them."""

_ENCODER = msgspec.json.Encoder()


def json_response(document: object, status: int = 200) -> Response:
    """A struct (or what holds some) as it stands: decimals are strings."""
    return Response(_ENCODER.encode(document), status, media_type="application/json")


def described(description: str, document: Any) -> dict[str, Any]:
    """An answer whose body is this document, for ``Responses``."""
    return {"description": description, "content": content(document)}


def content(document: Any) -> dict[str, Any]:
    """A body that is this document, as OpenAPI has it."""
    (schema,), _components = msgspec.json.schema_components([document], ref_template=SCHEMA_REF)
    return {"application/json": {"schema": schema}}


def components(documents: tuple[Any, ...]) -> dict[str, Any]:
    """The JSON Schema of every document, by name."""
    _references, schemas = msgspec.json.schema_components(documents, ref_template=SCHEMA_REF)
    return schemas
