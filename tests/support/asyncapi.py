"""The published AsyncAPI document, and what a frame is by it."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from tests.support.json_schema import errors, resolve
from tests.support.stream import Frame

PUBLISHED = Path(str(files("services.contracts"))) / "asyncapi" / "stream.yaml"


def published() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(PUBLISHED.read_text())
    return found


def messages(operation: str, of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The payload schemas of one operation's messages, by name."""
    references = [one["$ref"] for one in of["operations"][operation]["messages"]]
    found = [resolve(resolve(reference, of)["$ref"], of) for reference in references]
    return {one["name"]: one["payload"] for one in found}


def messages_of(frame: Frame, operation: str, of: dict[str, Any]) -> list[str]:
    """The messages that a frame can be."""
    return [name for name, schema in messages(operation, of).items() if not any(errors(frame, schema, of))]
