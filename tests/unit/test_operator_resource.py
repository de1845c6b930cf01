"""The MarketFeed's types, and what is made from them: the CustomResourceDefinition, the reference, the permissions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from market_operator.crd import COLUMNS, crd, root_schema
from market_operator.generate import ROOT, files
from market_operator.permissions import rules
from market_operator.resource import MarketFeedSpec, environment, seconds
from services.feed.settings import FeedSettings
from services.runtime.settings import variables

Schema = dict[str, Any]


@pytest.mark.parametrize("path", files(), ids=str)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    assert (ROOT / path).read_text() == files()[path], "run: python -m market_operator.generate"


def _leaves(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        if path or name in ("spec", "status"):
            yield from _leaves(f"{path}.{name}", field)
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from _leaves(f"{path}[]", schema[name])


FIELDS = dict(_leaves("", root_schema()))


@pytest.mark.parametrize("path", [path for path in FIELDS if not path.endswith("[]")])
def test_every_field_says_what_it_is(path: str) -> None:
    description = FIELDS[path]["description"]
    assert description.endswith(".")
    assert description[0].isupper() or description[0] == "`"


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_has_a_bound(path: str) -> None:
    field = FIELDS[path]
    if "x-kubernetes-int-or-string" in field or field["type"] == "string":
        assert "enum" in field or "maxLength" in field
    elif field["type"] == "integer":
        assert {"minimum", "maximum"} <= field.keys()
    elif field["type"] == "array":
        assert "maxItems" in field
        assert field.get("x-kubernetes-list-type"), "who applies only a part of a list must know what he does"
    elif "additionalProperties" in field:
        assert "maxProperties" in field
    else:
        assert field["type"] == "boolean" or "properties" in field


def test_nothing_is_let_through_unseen() -> None:
    assert "preserve-unknown-fields" not in str(crd())
    assert {field.get("type") for field in FIELDS.values()} <= {"object", "array", "string", "integer", "boolean", None}


def test_what_kubectl_get_shows() -> None:
    shown = [name for name, _, _, priority, _ in COLUMNS if priority == 0]
    assert shown == ["Exchange", "Products", "Shards", "Ready", "Connected", "Gaps", "Last trade", "Age"]


def test_a_default_is_the_same_for_the_api_server_and_for_us() -> None:
    spec = msgspec.convert({"venue": "demo", "products": ["BTC-USD"]}, MarketFeedSpec)
    ours = {"shards": spec.shards, "paused": spec.paused, "gapRepair.enabled": spec.gap_repair.enabled}
    theirs = {path.removeprefix(".spec."): field["default"] for path, field in FIELDS.items() if "default" in field}
    assert theirs == {**ours, "tolerations[].operator": "Equal"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"venue": "demo"},
        {"venue": "demo", "products": []},
        {"venue": "demo", "products": ["btc-usd"]},
        {"venue": "demo", "products": ["BTC-USD"], "shards": 0},
        {"venue": "demo", "products": ["BTC-USD"], "endpoint": "http://example"},
        {"venue": "demo", "products": ["BTC-USD"], "product": "BTC-USD"},
    ],
)
def test_what_the_api_server_would_refuse_is_refused_here_too(wrong: Schema) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, MarketFeedSpec)


def test_each_variable_is_a_setting_of_the_feed() -> None:
    everything = {
        "venue": "kraken",
        "exchange": "kraken",
        "products": ["BTC-USD", "ETH-USD"],
        "endpoint": "wss://example/v2",
        "gapRepair": {"enabled": False, "maxAge": "90m", "maxTrades": 5},
        "backfill": {"since": "2026-01-01T00:00:00Z"},
        "settings": {"depth": "10"},
        "logLevel": "DEBUG",
    }
    given = environment(msgspec.convert(everything, MarketFeedSpec), ["ETH-USD"])
    assert given.keys() <= set(variables(FeedSettings).values())
    assert given["TICKPLANE_PRODUCTS"] == "ETH-USD"
    assert given["TICKPLANE_GAP_REPAIR_MAX_AGE_S"] == "5400"


@pytest.mark.parametrize("longest", ["99999999s", "999999m", "9999h", "999d"])
def test_no_age_is_longer_than_the_feed_takes(longest: str) -> None:
    FeedSettings.load(gap_repair_max_age_s=seconds(longest))


def test_the_operator_may_not_read_secrets_or_grant_anything() -> None:
    granted = {
        (group, resource, verb)
        for rule in rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert not [each for each in granted if "secrets" in each or "*" in each or each[0].startswith("rbac")]
    assert ("tickplane.io", "marketfeeds", "patch") not in granted, "the user's object is the user's"
