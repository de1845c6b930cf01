"""The REST interface only grows: what the recorded OpenAPI has, the code has.

After an addition, record it: ``python tests/contract/test_openapi.py``.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from services.api.app import rest
from services.api.routes import Routes

RECORDED = Path(__file__).with_name("openapi.json")


def current() -> dict[str, Any]:
    routes = Routes(cast(Any, None), cast(Any, None), cast(Any, None), public_url="", stream_page_rows=1)
    return rest(routes).openapi()


def removals(recorded: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """What was promised and is gone or changed: paths, parameters, answers, fields and their types."""
    return [*_path_removals(recorded, document), *_schema_removals(recorded, document)]


def _path_removals(recorded: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    for path, operations in recorded["paths"].items():
        for method, promised in operations.items():
            operation = document["paths"].get(path, {}).get(method)
            if operation is None:
                yield f"{method} {path}"
                continue
            parameters = {(p["in"], p["name"]): p for p in operation.get("parameters", ())}
            known = {(p["in"], p["name"]) for p in promised.get("parameters", ())}
            for parameter in promised.get("parameters", ()):
                now = parameters.get((parameter["in"], parameter["name"]))
                if now is None or _meaning(now) != _meaning(parameter):
                    yield f"{method} {path}: parameter {parameter['name']}"
            yield from (
                f"{method} {path}: parameter {name} is new and required"
                for (place, name), parameter in parameters.items()
                if parameter["required"] and (place, name) not in known
            )
            for status, answer in promised["responses"].items():
                if operation["responses"].get(status, {}).get("content") != answer.get("content"):
                    yield f"{method} {path}: answer {status}"


def _schema_removals(recorded: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    for name, promised in recorded["components"]["schemas"].items():
        schema = document["components"]["schemas"].get(name, {})
        for field, meaning in promised.get("properties", {}).items():
            if schema.get("properties", {}).get(field) != meaning:
                yield f"{name}.{field}"
        if not set(promised.get("required", ())) <= set(schema.get("required", ())):
            yield f"{name}: a field is no longer always there"


def _meaning(parameter: dict[str, Any]) -> Any:
    return {key: value for key, value in parameter["schema"].items() if key not in ("description", "title")}


def test_nothing_that_was_promised_is_gone() -> None:
    assert removals(json.loads(RECORDED.read_text()), current()) == []


def test_what_is_there_is_recorded() -> None:
    assert removals(current(), json.loads(RECORDED.read_text())) == []


@pytest.mark.parametrize("path", ["/candles/{product}/{resolution}", "/v1/candles/{product}/{resolution}"])
def test_the_control_sees_removals(path: str) -> None:
    recorded, document = current(), copy.deepcopy(current())
    document["paths"][path]["get"]["parameters"].pop()
    del document["components"]["schemas"]["Candle"]["properties"]["vwap"]
    del document["paths"]["/v1/gaps"]
    gone = removals(recorded, document)
    assert [line.split(":")[0] for line in gone] == [f"get {path}", "get /v1/gaps", "Candle.vwap"]


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n")
