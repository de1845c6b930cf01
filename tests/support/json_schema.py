"""A JSON Schema validator for the keywords that msgspec writes, and no more: an unknown one is an error.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NOT_CHECKED = {"title", "description", "default", "$schema"}


def errors(value: Any, schema: dict[str, Any], document: dict[str, Any], path: str = "$") -> Iterator[str]:
    """What is wrong with a value; ``document`` is what references are resolved in."""
    for keyword, wanted in schema.items():
        if keyword == "$ref":
            yield from errors(value, resolve(wanted, document), document, path)
        elif keyword == "allOf":
            for one in wanted:
                yield from errors(value, one, document, path)
        elif keyword == "anyOf":
            if all(any(errors(value, one, document, path)) for one in wanted):
                yield f"{path}: {value!r} is none of {wanted}"
        elif keyword == "properties":
            for name in wanted.keys() & value.keys() if isinstance(value, dict) else ():
                yield from errors(value[name], wanted[name], document, f"{path}.{name}")
        elif keyword == "additionalProperties" and isinstance(wanted, dict):
            for name in value.keys() - schema.get("properties", {}).keys() if isinstance(value, dict) else ():
                yield from errors(value[name], wanted, document, f"{path}.{name}")
        elif keyword == "prefixItems":
            for index, (one, own) in enumerate(zip(value, wanted, strict=False) if isinstance(value, list) else ()):
                yield from errors(one, own, document, f"{path}[{index}]")
        elif keyword == "items":
            others = value[len(schema.get("prefixItems", ())) :] if isinstance(value, list) else []
            if others and wanted is False:
                yield f"{path}: {others!r} are too many"
            for index, one in enumerate(others if wanted is not False else ()):
                yield from errors(one, wanted, document, f"{path}[{index}]")
        elif not holds(value, keyword, wanted):
            yield f"{path}: {value!r} against {keyword} {wanted!r}"


def holds(value: Any, keyword: str, wanted: Any) -> bool:
    """Whether a value is as one keyword wants it."""
    if keyword in NOT_CHECKED:
        return True
    if keyword == "type":
        return any(TYPES[one](value) for one in ([wanted] if isinstance(wanted, str) else wanted))
    if keyword in ("enum", "const"):
        return value in (wanted if keyword == "enum" else [wanted])
    if keyword == "required":
        return not isinstance(value, dict) or set(wanted) <= value.keys()
    if keyword in ("minimum", "maximum"):
        return not TYPES["number"](value) or (value >= wanted if keyword == "minimum" else value <= wanted)
    if keyword in ("minLength", "maxLength", "minItems", "maxItems"):
        kind = str if keyword.endswith("Length") else list
        return not isinstance(value, kind) or (len(value) >= wanted if keyword[:3] == "min" else len(value) <= wanted)
    if keyword == "format":
        assert wanted == "date-time", wanted
        return isinstance(value, str) and DATE_TIME.fullmatch(value) is not None
    raise AssertionError(f"the keyword {keyword} is not known here")


def resolve(reference: str, document: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document points to. Raises KeyError where there is nothing."""
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found
