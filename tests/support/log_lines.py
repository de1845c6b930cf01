"""What every line of a service's log has to be."""

import json
import re
from datetime import datetime

SNAKE_CASE = re.compile(r"[a-z]+(_[a-z]+)*")
LEVELS = ("debug", "info", "warning", "error", "critical")


def misshapen(log: str, service: str) -> list[str]:
    """The lines that are not one JSON object with the fields that each has; none of a good log."""
    return [line for line in log.splitlines() if not _is_well(line, service)]


def _is_well(line: str, service: str) -> bool:
    try:
        found = json.loads(line)
        return (
            SNAKE_CASE.fullmatch(found["event"]) is not None
            and found["service"] == service
            and found["level"] in LEVELS
            and datetime.fromisoformat(found["time"]).utcoffset() is not None
            and ("message" in found) == (found["event"] == "library")
        )
    except (ValueError, KeyError, TypeError):
        return False
