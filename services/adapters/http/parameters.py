"""What requests to every REST interface may say."""

from typing import Annotated

from fastapi import Query

LIMIT_MAX = 1_000

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Rows at most")]


def storable(*texts: str | None) -> bool:
    """Whether Postgres can hold these texts at all: what it cannot hold, it has no rows for."""
    return not any(text and "\0" in text for text in texts)
