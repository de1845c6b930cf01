"""The second line of defence: passwords and keys are taken out of what a process says of itself.

The first is not to put them there: settings that hold one are ``SecretStr``. But a library may quote one in an error,
and a client may put a key where none belongs.
"""

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.contracts.lab import API_KEY_PREFIX

INSTEAD = "***"
SHORTEST = 4
"""A shorter one protects nothing, and to take it out would take every third word apart."""

_FORMS = (
    (re.compile(r"(://[^\s/?#@\"']*:)[^\s\"']*@"), rf"\1{INSTEAD}@"),
    (re.compile(r"\b([Bb]earer|[Bb]asic) [\w.~+/=-]{8,}"), rf"\1 {INSTEAD}"),
    (re.compile(rf"{API_KEY_PREFIX}[\w-]+"), INSTEAD),
)
"""Known by their form alone: a password in a URL, what a header ``Authorization`` holds, our own API keys."""

_known: list[str] = []
"""Every spelling of every secret that was learnt, the longest first: one may be a part of another."""


def learn(settings: BaseSettings) -> None:
    """Remember the secrets of these settings, in every way they may be written."""
    found = set(_known)
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.update(spelling for spelling in _secrets(value.get_secret_value()) if len(spelling) >= SHORTEST)
    _known[:] = sorted(found, key=lambda spelling: (-len(spelling), spelling))


def redacted(text: str) -> str:
    """The text without the secrets that were learnt, and without what looks like one."""
    for spelling in _known:
        if spelling in text:
            text = text.replace(spelling, INSTEAD)
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text


def _secrets(value: str) -> Iterator[str]:
    """What of a secret setting is secret: of a URL its password, of headers their values, else all of it."""
    if "://" in value:
        url = urlsplit(value)
        yield from _spellings(url.password or "", url.username or "")
        for password in parse_qs(url.query).get("password", ()):
            yield from _spellings(password)
        return
    yield from _spellings(value)
    for header in value.split(","):
        _, _, content = header.partition("=")
        yield from _spellings(content)
        yield from _spellings(unquote(content).rpartition(" ")[2])


def _spellings(secret: str, user: str = "") -> Iterator[str]:
    """As it stands, in a URL, in JSON, and in HTTP's basic authentication."""
    for plain in {secret, unquote(secret)}:
        yield from (plain, quote(plain, safe=""), quote_plus(plain), json.dumps(plain)[1:-1])
        yield base64.b64encode(plain.encode()).decode()
        yield base64.b64encode(f"{unquote(user)}:{plain}".encode()).decode()
