"""The REST interfaces only grow: what the recorded OpenAPI has, the code has.

After an addition, record it: ``python tests/contract/test_openapi.py``.
"""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from services.api import app as api
from services.api.routes import Routes
from services.orders import app as orders
from services.orders.commands import Commands
from services.orders.queries import Queries

NOTHING = cast(Any, None)


def current() -> dict[str, Any]:
    return api.rest(Routes(NOTHING, NOTHING, NOTHING, public_url="", stream_page_rows=1)).openapi()


def current_orders() -> dict[str, Any]:
    commands, queries = Commands(NOTHING, NOTHING, NOTHING), Queries("orders", NOTHING, NOTHING)
    return orders.rest(commands, queries).openapi()


RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "openapi.json": current,
    "openapi_orders.json": current_orders,
}
"""Files in this folder, and what they are held against."""


def recorded(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_text())
    return document


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
            if operation.get("requestBody") != promised.get("requestBody"):
                yield f"{method} {path}: body"
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


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_that_was_promised_is_gone(name: str) -> None:
    assert removals(recorded(name), RECORDED[name]()) == []


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_there_is_recorded(name: str) -> None:
    assert removals(RECORDED[name](), recorded(name)) == []


@pytest.mark.parametrize("path", ["/candles/{product}/{resolution}", "/v1/candles/{product}/{resolution}"])
def test_the_control_sees_removals(path: str) -> None:
    promised, document = current(), copy.deepcopy(current())
    document["paths"][path]["get"]["parameters"].pop()
    del document["components"]["schemas"]["Candle"]["properties"]["vwap"]
    del document["paths"]["/v1/gaps"]
    gone = removals(promised, document)
    assert [line.split(":")[0] for line in gone] == [f"get {path}", "get /v1/gaps", "Candle.vwap"]


if __name__ == "__main__":
    for name, document in RECORDED.items():
        Path(__file__).with_name(name).write_text(json.dumps(document(), indent=1, sort_keys=True) + "\n")
