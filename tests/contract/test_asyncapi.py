"""The published AsyncAPI document is that of the code. Real frames are held against it in ``tests/integration``.

After a change, publish it: ``python tests/contract/test_asyncapi.py``.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from services.gateway.stream.asyncapi import document
from tests.support.asyncapi import PUBLISHED, messages_of, published
from tests.support.json_schema import resolve
from tests.support.stream import Frame


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_published_document_is_that_of_the_code() -> None:
    assert published() == json.loads(json.dumps(document(), default=str)), "run python tests/contract/test_asyncapi.py"


def test_every_reference_points_to_something() -> None:
    of = published()
    found = list(references(of))
    assert len(found) > 40
    for reference in found:
        assert resolve(reference, of)


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"op": "ping", "id": 1}, ["ping"]),
        ({"op": "subscribe", "id": "a", "channel": "trades", "products": ["*"]}, ["subscribe"]),
        ({"op": "resume", "id": 1, "channel": "trades", "product": "P", "sequence": 0}, ["resume"]),
        ({"op": "resume", "id": 1, "channel": "trades", "product": "P", "sequence": -1}, []),
        ({"op": "subscribe", "id": 1, "channel": "trades", "products": []}, []),
        ({"op": "subscribe", "id": 1.5, "channel": "trades", "products": ["*"]}, []),
    ],
)
def test_requests_against_the_document(request_: Frame, names: list[str]) -> None:
    assert messages_of(request_, "receiveRequest", published()) == names


def test_the_control_sees_what_is_missing_or_of_another_type() -> None:
    of = published()
    good = {
        "type": "update", "channel": "ticker", "exchange": "x", "product": "P", "sequence": 1, "previous": None,
        "time": "2026-01-01T00:00:00Z", "data": {"price": "1", "last_size": "1", "trade_id": "1", "side": "BUY"},
    }  # fmt: skip
    assert messages_of(good, "sendFrame", of) == ["tickerUpdate"]
    for change in (
        {"sequence": "1"}, {"previous": -1}, {"time": "yesterday"}, {"channel": "trades"}, {"data": {"price": 1}},
        {"skipped": 0},
    ):  # fmt: skip
        assert messages_of(good | change, "sendFrame", of) == []


if __name__ == "__main__":
    PUBLISHED.write_text(
        "# Made from the code: python tests/contract/test_asyncapi.py\n"
        + yaml.safe_dump(json.loads(json.dumps(document())), sort_keys=False, allow_unicode=True, width=120)
    )
