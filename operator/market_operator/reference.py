"""``docs/marketfeed.md``: every field of a MarketFeed, from its schema."""

from collections.abc import Iterator
from typing import Any

from market_operator.crd import COLUMNS, root_schema
from market_operator.resource import API_VERSION, KIND
from market_operator.status import REASONS

Schema = dict[str, Any]

HEAD = f"""# MarketFeed

`{API_VERSION}`, namespaced; short name `mf`, category `tickplane`. This page is generated from the types in
`operator/market_operator/resource.py` by `python -m market_operator.generate`; a test compares.

```yaml
apiVersion: {API_VERSION}
kind: {KIND}
metadata:
  name: kraken
spec:
  venue: kraken
  products: [BTC-USD, ETH-USD]
```

`kubectl get mf` shows {", ".join(name for name, _, _, priority, _ in COLUMNS if priority == 0)}; with `-o wide` also
{", ".join(name for name, _, _, priority, _ in COLUMNS if priority == 1)}.
"""

MADE = """
## What is made of it

For each shard to which products fall a Deployment `mf-NAME-SHARD` of one pod, with its products in its environment;
once for all of them a ServiceAccount without a token, a NetworkPolicy and, where the cluster knows it, a PodMonitor,
all called `mf-NAME`. They belong to the MarketFeed: deleting it deletes them, with or without the operator.

- A change reaches only the shards that it concerns. The new pod streams before the old one stops, and a product that
  moves to another shard streams there first; readers drop what comes twice.
- What somebody changes of these objects by hand is put back. What he adds is his. What another tool *applies* is a
  conflict: `Degraded: FieldConflict`.
- Two MarketFeeds that claim a product under the same `exchange` in the same Kafka: the older has it. A paused one
  claims nothing.
- A pod reads Secrets as it starts. After a new password: `kubectl rollout restart deployment -l tickplane.io/feed=NAME`
- `kubectl annotate marketfeed NAME tickplane.io/reconcile="$(date)" --overwrite` applies everything again.
- `kubectl scale marketfeed NAME --replicas=3` is `spec.shards`.
"""


CONDITIONS = """
## Conditions

- `Ready`: every shard has streamed. It stays true through an outage of the exchange: see `Degraded`.
- `Progressing`: pods are being started or replaced. The old ones go on until the new ones stream.
- `Paused`: `spec.paused` is true.
- `Degraded`: something wants attention. Reasons, the one that others may follow from first:

| reason of `Degraded` | what to do |
|---|---|
"""


def reference() -> str:
    """The page, in Markdown."""
    root = root_schema()
    parts = [HEAD]
    for name in ("spec", "status"):
        parts.append(f"\n## {name}\n\n{root['properties'][name]['description']}\n\n")
        parts.append(_table(root["properties"][name]))
    parts.append(MADE)
    parts.append(CONDITIONS + "".join(f"| `{reason}` | {what} |\n" for reason, what in REASONS.items()))
    rules = [*_rules("metadata", root), *_rules("spec", root["properties"]["spec"])]
    parts.append(
        "\n## What is refused besides\n\n" + "\n".join(f"- `{path}`: {message}" for path, message in rules) + "\n"
    )
    return "".join(parts)


def _table(schema: Schema) -> str:
    rows = [f"| `{path}` | {_kind(field)} | {_bounds(field)} | {_text(field)} |" for path, field in _fields("", schema)]
    return "\n".join(["| field | type | bounds | what it is |", "|---|---|---|---|", *rows]) + "\n"


def _fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}".removeprefix(".")
        required = name in schema.get("required", ())
        yield here, {**field, "is_required": required}
        yield from _fields(f"{here}[]" if "items" in field else here, field.get("items", field))


def _kind(field: Schema) -> str:
    if "items" in field:
        return f"list of {_kind(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_kind(field['additionalProperties'])}"
    if "x-kubernetes-int-or-string" in field:
        return "quantity"
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _bounds(field: Schema) -> str:
    inner: Schema = field.get("items") or field.get("additionalProperties") or {}
    said = ["required"] if field.get("is_required") else []
    if "default" in field:
        said.append(
            f"default `{str(field['default']).lower() if isinstance(field['default'], bool) else field['default']}`"
        )
    said += _limits(field)
    said += [f"each {limit}" for limit in _limits(inner)]
    return ", ".join(said)


def _limits(field: Schema) -> list[str]:
    found = []
    if "enum" in field:
        found.append(" ".join(f"`{choice}`" for choice in field["enum"]))
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ):
        if high in field:
            found.append(f"{field.get(low, 0):,} to {field[high]:,}{unit}")
    if "pattern" in field:
        found.append(f"`{field['pattern']}`".replace("|", "\\|"))
    if field.get("x-kubernetes-list-type") == "set":
        found.append("each once")
    return found


def _text(field: Schema) -> str:
    return str(field["description"]).replace("|", "\\|")


def _rules(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule["message"]
    for name, field in schema.get("properties", {}).items():
        if path != "metadata":
            yield from _rules(f"{path}.{name}", field)
