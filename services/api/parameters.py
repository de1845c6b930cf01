"""What a request may say, and what becomes of it when it says something else."""

import base64
from typing import Annotated, Literal

from fastapi import HTTPException, Path, Query
from fastapi.exceptions import RequestValidationError

from services.adapters.http.parameters import storable
from services.api.store import TIME_MAX_NS, Span, TradeKey
from services.domain.candles import RESOLUTIONS
from services.runtime.clock import parse_rfc3339

EXCHANGE_DEFAULT = "coinbase"

ProductPath = Annotated[str, Path(description="`BASE-QUOTE`, for example `BTC-USD`")]
ResolutionPath = Annotated[str, Path(description=f"One of {', '.join(RESOLUTIONS)}")]
Exchange = Annotated[str, Query(description="The exchange's label")]
ExchangeFilter = Annotated[str | None, Query(description="Only this exchange")]
ProductId = Annotated[str, Query(description="`BASE-QUOTE`, for example `BTC-USD`")]
ProductFilter = Annotated[str | None, Query(description="Only this product")]
StatusFilter = Annotated[Literal["open", "repaired", "void", "lost"] | None, Query(description="Only these gaps")]
Start = Annotated[
    str | None, Query(description="From this time on (RFC 3339)", json_schema_extra={"format": "date-time"})
]
End = Annotated[str | None, Query(description="Before this time (RFC 3339)", json_schema_extra={"format": "date-time"})]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
Format = Annotated[
    Literal["json", "ndjson", "csv"],
    Query(description="`json` is a page; the others stream the whole range, without a limit"),
]


def check_resolution(resolution: str) -> None:
    """400 for a resolution that no bar has."""
    if resolution not in RESOLUTIONS:
        raise HTTPException(400, f"there is no such resolution; choose one of {', '.join(RESOLUTIONS)}")


def span(start: str | None, end: str | None) -> Span:
    """422 for what is not RFC 3339; a time beyond what 64 bits of nanoseconds reach is the end of time."""
    return Span(_time_ns("start", start, 0), _time_ns("end", end, TIME_MAX_NS))


def _time_ns(name: str, text: str | None, default_ns: int) -> int:
    if text is None:
        return default_ns
    try:
        return min(max(parse_rfc3339(text), -TIME_MAX_NS), TIME_MAX_NS)
    except (ValueError, OverflowError):
        raise _refused(name, text, "not a time as in RFC 3339 (a + is written %2B in a URL)") from None


def write_cursor(key: TradeKey | None) -> str | None:
    return None if key is None else base64.urlsafe_b64encode(f"{key.time_ns} {key.trade_id}".encode()).decode()


def read_cursor(cursor: str | None) -> TradeKey:
    """422 for what ``write_cursor`` did not write."""
    if cursor is None:
        return TradeKey()
    key: TradeKey | None
    try:
        time_ns, _space, trade_id = base64.b64decode(cursor, b"-_", validate=True).decode().partition(" ")
        key = TradeKey(int(time_ns), trade_id)
    except ValueError:
        key = None
    if key is None or abs(key.time_ns) > TIME_MAX_NS or not storable(key.trade_id):
        raise _refused("cursor", cursor, "not a cursor that this interface gave")
    return key


def _refused(name: str, value: str, message: str) -> RequestValidationError:
    """What FastAPI says of a parameter it refuses itself."""
    return RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": message, "input": value}])
