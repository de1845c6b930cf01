"""Which pages may connect. Pure."""

from urllib.parse import urlsplit


class Origins:
    """An allow-list, comma-separated; ``*`` is every origin. Who sends none is no browser, and may; so may
    a page that came from where it connects to."""

    def __init__(self, allowed: str) -> None:
        self._allowed = frozenset(part.strip().rstrip("/").lower() for part in allowed.split(",") if part.strip())

    def allow(self, origin: str | None, host: str | None) -> bool:
        """``host`` is the request's own ``Host``."""
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
            return True
        return host is not None and _host_of(origin) == host.lower()


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return None
