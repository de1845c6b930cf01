"""Secrets that a test gives a service, and looks for in everything that the service says."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class Canary:
    """``user`` is whose password it is, where HTTP's basic authentication would join the two."""

    secret: str
    user: str = ""

    @property
    def quoted(self) -> str:
        """As it stands in a URL."""
        return quote(self.secret, safe="")


def spellings(secret: str, user: str = "") -> list[str]:
    """Every way in which it might be written."""
    return [
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"{user}:{secret}".encode()).decode(),
    ]


def leaks(text: str, canaries: Iterable[Canary]) -> list[str]:
    """The canaries in it, with what is around each."""
    found = []
    for canary in canaries:
        for spelling in spellings(canary.secret, canary.user):
            before, is_there, after = text.partition(spelling)
            if is_there:
                found.append(f"{before[-200:]}{spelling}{after[:50]}")
    return found
