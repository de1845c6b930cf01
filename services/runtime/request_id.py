"""``X-Request-ID``: in, out and in the logs."""

import re
import secrets

HEADER = "X-Request-ID"
_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id(given: str | None) -> str:
    """The caller's id where it is short and plain, so that it cannot forge a log line or a header; else a new one."""
    if given is not None and _PLAIN.fullmatch(given):
        return given
    return secrets.token_hex(8)
