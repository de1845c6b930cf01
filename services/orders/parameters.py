"""What a request may say in its path and its query, and how pages are asked for."""

import base64
from typing import Annotated, Literal, NamedTuple

from fastapi import Path, Query

from services.orders.problems import misshapen

DEPTH_MAX = 100
"""Levels a side that Redis has of a book."""
BIGINT_MAX = 2**63 - 1
INT_MAX = 2**31 - 1

OrderId = Annotated[str, Path(description="The id that the client gave the order")]
SymbolPath = Annotated[str, Path(description="For example `DEMO-USD`")]
AccountPath = Annotated[str, Path(description="The caller's own; with the scope `admin` anyone's")]
AccountName = Annotated[str | None, Query(description="Another account than the caller's own: scope `admin`")]
SymbolName = Annotated[str | None, Query(description="Only this symbol")]
State = Annotated[Literal["open", "closed"] | None, Query(description="Only orders that are open, or over")]
Audience = Annotated[Literal["own", "public"], Query(description="The caller's executions, or everybody's")]
Depth = Annotated[int, Query(ge=1, le=DEPTH_MAX, description="Levels a side at most")]
CursorText = Annotated[str | None, Query(description="`next_cursor` of the page before")]


class Cursor(NamedTuple):
    """A place in a list that has its newest first: what comes before it is older."""

    time_ns: int = BIGINT_MAX
    market_group: int = INT_MAX
    number: int = BIGINT_MAX


def write_cursor(cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    return base64.urlsafe_b64encode(" ".join(map(str, cursor)).encode()).decode()


def read_cursor(text: str | None) -> Cursor:
    """Raises Refusal (422) for what ``write_cursor`` did not write."""
    if text is None:
        return Cursor()
    try:
        cursor = Cursor(*map(int, base64.b64decode(text, b"-_", validate=True).decode().split(" ")))
    except (ValueError, TypeError):
        raise _not_ours() from None
    if not all(0 <= value <= most for value, most in zip(cursor, Cursor(), strict=True)):
        raise _not_ours()
    return cursor


def _not_ours() -> Exception:
    return misshapen("cursor", "not a cursor that this interface gave")
