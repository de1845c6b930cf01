"""``python charts/generate.py``: what the charts know of the code, and the README's tables, from their one source.

- ``service/templates/_facts.tpl``: what each service may reach, from ``services.contracts.access``
- ``tickplane/files/topics.yaml``: the topics, from ``services.contracts.topics``
- ``tickplane/files/rbac/operator.yaml``: the operator's rules, from ``market_operator.permissions``
- ``tickplane/values.schema.json``: under ``$defs``, the settings that each service knows
- ``tickplane/README.md``: the tables of values, from the comments in the charts' ``values.yaml``
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from market_operator.permissions import rules
from services.__main__ import settings_classes
from services.contracts.access import ACCESS, Access, Store
from services.contracts.topics import TOPICS
from services.runtime.settings import Settings, variables

CHARTS = Path(__file__).parent
PUBLIC = {"api": "api", "gateway": "gateway", "orders": "orders"}
"""The services with an interface of their own for the edge, and how their settings of its host and port begin."""
CALLED = {"validator": "grpc_server_address"}
"""The services that others of ours call, and the setting, the same for both sides, that says where that is."""
OWNER = "market_group"
"""The setting of a service of which there is one process for each market group."""
VALUES_KEYS = {Store.POSTGRES: "postgres", Store.REDIS: "valkey"}
SET_BY_THE_CHART = frozenset({
    *("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "TICKPLANE_PARTITIONS", "TICKPLANE_GRACE_S"),
    *("TICKPLANE_OPS_HOST", "TICKPLANE_OPS_PORT", "TICKPLANE_GROUP_INSTANCE_ID", "GRPC_SERVER_ADDRESS"),
    *("TICKPLANE_MARKET_GROUPS", "TICKPLANE_MARKET_GROUP"),
    *(f"TICKPLANE_{name.upper()}_{what}" for name in PUBLIC.values() for what in ("HOST", "PORT")),
})  # fmt: skip
"""Settings that the chart's other values decide, or that are wrong where pods come and go."""

FACTS_HEAD = """{{/*
What each service is: facts of its code, which nobody sets (values hold the choices). Made by charts/generate.py from
services/contracts/access.py and the settings.
  acls                  what Kafka has to let it do; none: it does not speak to Kafka
  group                 its consumer group
  stores                which of postgres and valkey it speaks to
  public, hostVariable  the port that the edge reaches it by, and the setting that says where it listens
  called                where others of ours call it: the port, the setting that tells both sides, and who they are
  calls                 which of ours it calls
  marketGroupVariable   of those that have one pod a market group: the setting that says which is this one's
  apiServer, feeds      whether it speaks to the API server, and to feeds' ops ports
*/}}
{{- define "service.facts" -}}
"""
FACTS_TAIL = """{{- end }}

{{/* The facts of one service: (dict "name" "recorder"). */}}
{{- define "service.fact" -}}
{{- $fact := index (include "service.facts" . | fromYaml) .name -}}
{{- $fact | required (printf "%s is not a service of Tickplane" .name) | toYaml -}}
{{- end }}
"""
TABLE_BEGIN, TABLE_END = "<!-- values: {} -->\n", "<!-- /values -->"


def generated() -> dict[Path, str]:
    """Every generated file, as it should be."""
    umbrella = CHARTS / "tickplane"
    return {
        CHARTS / "service/templates/_facts.tpl": facts_template(),
        umbrella / "files/topics.yaml": topics(),
        umbrella / "files/rbac/operator.yaml": operator_rules(),
        umbrella / "values.schema.json": schema((umbrella / "values.schema.json").read_text()),
        umbrella / "README.md": readme((umbrella / "README.md").read_text()),
    }


def facts_template() -> str:
    classes = settings_classes()
    facts = {name: _facts(name, access, classes) for name, access in ACCESS.items()}
    return FACTS_HEAD + yaml.safe_dump(facts, sort_keys=False, width=120) + FACTS_TAIL


def _facts(name: str, access: Access, classes: Mapping[str, type[Settings]]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if acls := access.acls():
        facts["acls"] = [
            {"type": acl.resource, "name": str(acl.name), "operations": sorted(acl.operations)} for acl in acls
        ]
    if access.group is not None:
        facts["group"] = str(access.group)
    if access.stores:
        facts["stores"] = sorted(VALUES_KEYS[store] for store in access.stores)
    if prefix := PUBLIC.get(name):
        facts["public"] = classes[name].model_fields[f"{prefix}_port"].default
        facts["hostVariable"] = variables(classes[name])[f"{prefix}_host"]
    if field := CALLED.get(name):
        address = classes[name].model_fields[field].default
        callers = [caller for caller, other in ACCESS.items() if name in other.calls]
        facts["called"] = {"port": int(address.rpartition(":")[2]), "variable": variables(classes[name])[field]}
        facts["called"]["by"] = callers
    if calls := sorted(set(CALLED) & access.calls):
        facts["calls"] = calls
    if name in classes and OWNER in classes[name].model_fields:
        facts["marketGroupVariable"] = variables(classes[name])[OWNER]
    if "api-server" in access.calls:
        facts["apiServer"] = True
    if "feed" in access.calls:
        facts["feeds"] = True
    return facts


def topics() -> str:
    specs = [
        {
            "name": str(spec.topic),
            "partitionedBy": spec.partitioned_by,
            "cleanup": spec.cleanup,
            "retentionMs": spec.retention_ms,
            "retentionBytesShare": spec.retention_bytes_share,
        }
        for spec in TOPICS
    ]
    return "# Made by charts/generate.py from services/contracts/topics.py.\n" + yaml.safe_dump(specs, sort_keys=False)


def operator_rules() -> str:
    return "# Made by charts/generate.py from operator/market_operator/permissions.py.\n" + yaml.safe_dump(
        rules(), sort_keys=False, width=120
    )


def schema(text: str) -> str:
    """The schema with each service's own settings in ``$defs.settings-<service>``."""
    document = json.loads(text)
    classes = settings_classes()
    for service in sorted(set(ACCESS) - {"migrate", "feed"}):
        known = sorted(set(variables(classes[service]).values()) - SET_BY_THE_CHART) if service in classes else []
        value = {"type": ["string", "number", "boolean"]}
        document["$defs"][f"settings-{service}"] = {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(known, value),
        }
    return json.dumps(document, indent=2) + "\n"


def readme(text: str) -> str:
    """The page with the table of each values file that it names written anew."""
    for chart in ("tickplane", "service"):
        begin = TABLE_BEGIN.format(f"charts/{chart}/values.yaml")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(TABLE_END)
        text = before + begin + table((CHARTS / chart / "values.yaml").read_text()) + TABLE_END + after
    return text


def table(values: str) -> str:
    lines = values.splitlines()
    rows = [
        f"| `{path}` | {_cell(default)} | {description} |"
        for path, default, description in _described(yaml.compose(values), lines)
    ]
    return "\n".join(["| Value | Default | What it is |", "|---|---|---|", *rows, ""])


def _described(node: yaml.Node | None, lines: list[str], path: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, default, comment) of each value: a leaf, or a mapping on one line. Other mappings only where commented."""
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        here, comment = f"{path}{key.value}", _comment_above(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.start_mark.line != key.start_mark.line:
            if comment:
                yield here, "", comment
            yield from _described(value, lines, f"{here}.")
        else:
            yield here, _as_written(value, lines), comment


def _comment_above(lines: list[str], number: int) -> str:
    found: list[str] = []
    while number > 0 and lines[number - 1].strip().startswith("# "):
        number -= 1
        found.insert(0, lines[number].strip()[2:])
    return " ".join(found)


def _as_written(value: yaml.Node, lines: list[str]) -> str:
    first, last = value.start_mark, value.end_mark
    if first.line != last.line:
        return json.dumps(yaml.safe_load("\n".join(lines[first.line : last.line])))
    return lines[first.line][first.column : last.column].strip()


def _cell(default: str) -> str:
    return f"`{default}`".replace("|", "\\|") if default else ""


def main() -> None:
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
