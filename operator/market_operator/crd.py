"""The CustomResourceDefinition, made from the types of ``resource``."""

from typing import Any

import msgspec

from market_operator.resource import GROUP, KIND, PLURAL, VERSION, MarketFeed, MarketFeedSpec, MarketFeedStatus, Part

Schema = dict[str, Any]

COLUMNS: tuple[tuple[str, str, str, int, str], ...] = (
    ("Exchange", "string", ".status.exchange", 0, "The label of the trades in the data."),
    ("Products", "integer", ".status.products", 0, "Products asked for."),
    ("Shards", "integer", ".status.shards", 0, "Shards asked for; 0 while paused."),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether every shard has streamed."),
    ("Connected", "integer", ".status.connectedProducts", 0, "Products whose subscription is acknowledged."),
    ("Gaps", "integer", ".status.openGaps", 0, "Gaps that are not closed, as of the last 5 minutes."),
    ("Last trade", "date", ".status.lastTradeTime", 0, "The newest trade, as of the last 5 minutes."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Since it was made."),
    ("Venue", "string", ".spec.venue", 1, "Whose protocol is spoken."),
    ("Ready shards", "integer", ".status.readyShards", 1, "Shards that have streamed."),
    ("Degraded", "string", '.status.conditions[?(@.type=="Degraded")].reason', 1, "What is wrong, if anything."),
    ("Endpoint", "string", ".spec.endpoint", 1, "The WebSocket URL, where it is not the venue's own."),
)
"""What ``kubectl get`` shows: name, type, path, priority (1 only with ``-o wide``), description."""


def crd() -> Schema:
    """The whole object, as the API server takes it."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root_schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.shards",
                "statusReplicasPath": ".status.shards",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": description}
            for name, kind, path, priority, description in COLUMNS
        ],
    }
    names = {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "shortNames": ["mf"], "categories": ["tickplane"]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def root_schema() -> Schema:
    return {
        "type": "object",
        "description": MarketFeed.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"`{GROUP}/{VERSION}`."},
            "kind": {"type": "string", "description": f"`{KIND}`."},
            "metadata": {"type": "object"},
            "spec": structural(MarketFeedSpec, defaults=True),
            "status": structural(MarketFeedStatus, defaults=False),
        },
        "x-kubernetes-validations": _validations(MarketFeed.RULES),
    }


def structural(part: type[Part], *, defaults: bool) -> Schema:
    """The structural schema of a type's JSON form: no references, no null, no patterns of keys.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions says what that is.
    """
    (found,), definitions = msgspec.json.schema_components([part], ref_template="{name}")
    return _Flat(definitions, defaults).of(found)


class _Flat:
    def __init__(self, definitions: dict[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._left_out = {"propertyNames"} if defaults else {"propertyNames", "default"}

    def of(self, schema: Schema) -> Schema:
        outer = {key: value for key, value in schema.items() if key not in ("anyOf", "$ref", "default")}
        if "anyOf" in schema:
            return {**self._choice([choice for choice in schema["anyOf"] if choice.get("type") != "null"]), **outer}
        if "$ref" in schema:
            return {**self._object(schema["$ref"]), **outer}
        return self._plain(schema)

    def _choice(self, choices: list[Schema]) -> Schema:
        """An optional value; or a quantity, which YAML reads as a number where it has no unit."""
        if len(choices) == 1:
            return self.of(choices[0])
        (text,) = (choice for choice in choices if choice["type"] == "string")
        bounds = {key: value for key, value in text.items() if key != "type"}
        return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], **bounds}

    def _object(self, name: str) -> Schema:
        definition = self._definitions[name]
        found = {
            "type": "object",
            "description": definition["description"],
            "properties": {key: self.of(value) for key, value in definition["properties"].items()},
            "required": definition["required"],
            "x-kubernetes-validations": _validations(RULES[name]),
        }
        return {key: value for key, value in found.items() if value}

    def _plain(self, schema: Schema) -> Schema:
        found = {key: value for key, value in schema.items() if key not in self._left_out and value not in ((), {}, "")}
        for key in ("items", "additionalProperties"):
            if key in found:
                found[key] = self.of(found[key])
        if "enum" in found:
            found["type"] = "string"
        return found


def _validations(rules: tuple[tuple[str, str], ...]) -> list[Schema]:
    return [{"rule": rule, "message": message} for rule, message in rules]


RULES = {part.__name__: part.RULES for part in Part.__subclasses__()}
