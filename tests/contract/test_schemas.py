"""The records of the topics only grow: a removal or a change of type would break those who read them."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from services.contracts.schema import RECORDS, schema
from services.contracts.topics import Topic

RECORDED = files("services.contracts") / "schemas"


def _breaks(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Where ``new`` lacks something of ``old`` or says otherwise. More properties are fine, more required ones too."""
    if isinstance(old, dict):
        if not isinstance(new, dict):
            yield f"{path}: was an object"
            return
        for name, value in old.items():
            if name in ("description", "title", "$schema"):
                continue
            if name not in new:
                yield f"{path}/{name}: removed"
            else:
                yield from _breaks(value, new[name], f"{path}/{name}")
    elif isinstance(old, list):
        yield from (f"{path}: {item!r} removed" for item in old if item not in new)
    elif old != new:
        yield f"{path}: was {old!r}, is {new!r}"


@pytest.mark.parametrize("topic", RECORDS)
def test_the_published_schema_still_holds(topic: Topic) -> None:
    recorded = json.loads((RECORDED / f"{topic}.json").read_text())
    assert list(_breaks(recorded, schema(topic))) == []


@pytest.mark.parametrize("topic", RECORDS)
def test_the_published_schema_is_of_this_version(topic: Topic) -> None:
    recorded = json.loads((RECORDED / f"{topic}.json").read_text())
    assert recorded == json.loads(json.dumps(schema(topic))), "run `tickplane schemas` to publish what was added"


def test_a_removal_and_a_change_of_type_are_found() -> None:
    old = schema(Topic.MARKET_TRADES)
    trade = json.loads(json.dumps(old))
    del trade["$defs"]["Trade"]["properties"]["venue"]
    trade["$defs"]["Trade"]["properties"]["price"]["type"] = "number"
    trade["$defs"]["Trade"]["properties"]["side"]["enum"].remove("SELL")
    assert len(list(_breaks(old, trade))) == 3
