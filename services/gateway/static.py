"""The dashboard's built files, and what each is sent with. Read once at the start; after that a lookup."""

import gzip
import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path

from services.gateway.routes import Answer

DIST = Path(__file__).parent / "dashboard" / "dist"
"""Where the build puts it; the image and the wheel have it there too."""

INDEX = "index.html"
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
GZIP_MIN_BYTES = 1_024
IMMUTABLE = "public, max-age=31536000, immutable"
"""A file below ``/assets`` has a hash of its content in its name: another content is another file."""
REVALIDATE = "no-cache"

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

NOT_BUILT = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Tickplane</title>
<h1>The dashboard is not built</h1>
<p>Everything else runs: the markets are at <a href="/markets">/markets</a>, REST at <a href="/docs">/docs</a>.</p>
<p>To build it, run <code>make dashboard</code> and restart the gateway. It needs an npm registry, once.</p>
</html>
"""


@dataclass(frozen=True)
class _File:
    content_type: str
    headers: dict[str, str]
    body: bytes
    zipped: bytes | None


class Dashboard:
    """The files of one folder. Without an ``index.html`` in it, ``/`` is a page that says how to build one."""

    def __init__(self, folder: Path = DIST) -> None:
        index = folder / INDEX
        page = index.read_bytes() if index.exists() else NOT_BUILT
        self._files = {"/": _file(page, ".html", _page_headers(page))}
        for path in sorted((folder / "assets").glob("*")):
            if path.suffix in CONTENT_TYPES:
                headers = {"Cache-Control": IMMUTABLE, "X-Content-Type-Options": "nosniff"}
                self._files[f"/assets/{path.name}"] = _file(path.read_bytes(), path.suffix, headers)

    def find(self, path: str, accept_encoding: str = "") -> Answer | None:
        """The answer to ``GET path`` (without query), compressed where the client takes it; None for any other path."""
        file = self._files.get(path)
        if file is None:
            return None
        if file.zipped is None:
            return Answer(HTTPStatus.OK, file.body, file.content_type, file.headers)
        vary = file.headers | {"Vary": "Accept-Encoding"}
        if not _takes_gzip(accept_encoding):
            return Answer(HTTPStatus.OK, file.body, file.content_type, vary)
        return Answer(HTTPStatus.OK, file.zipped, file.content_type, vary | {"Content-Encoding": "gzip"})


def _file(body: bytes, suffix: str, headers: dict[str, str]) -> _File:
    zipped = gzip.compress(body, mtime=0) if len(body) >= GZIP_MIN_BYTES else None
    return _File(CONTENT_TYPES[suffix], headers, body, zipped)


def _page_headers(page: bytes) -> dict[str, str]:
    """The page may run and fetch what came from here, and the scripts written in it, and nothing else."""
    inline = " ".join(f"'sha256-{b64encode(sha256(body).digest()).decode()}'" for body in _INLINE_SCRIPT.findall(page))
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' {inline}".strip(),
        # The chart places its parts by style attributes.
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Cache-Control": REVALIDATE,
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip and does not refuse it by ``q=0``."""
    for item in accept_encoding.split(","):
        name, _, quality = item.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return quality.replace(" ", "").rstrip("0.") != "q="
    return False
