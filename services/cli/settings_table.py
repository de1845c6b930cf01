"""``tickplane settings``: every setting of every service, from the classes that read them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from rich.table import Table

from services.cli.tables import show_table
from services.contracts.errors import ConfigError
from services.runtime.settings import Settings, variables

COLUMNS = ("Variable", "Default", "Bounds", "Read by", "What it is")
Row = tuple[str, str, str, str, str]


def show(
    context: typer.Context, markdown: Annotated[bool, typer.Option("--markdown", help="As the README has it.")] = False
) -> None:
    """Every setting, with its default and who reads it."""
    found = rows(context.obj)
    if markdown:
        print(as_markdown(found))
        return
    table = Table(*COLUMNS)
    for row in found:
        table.add_row(*row)
    show_table(table)


def rows(classes: Mapping[str, type[Settings]]) -> list[Row]:
    """One row a variable, in the order of their names; ``classes`` by who reads them.

    Raises ConfigError where two classes disagree about a variable.
    """
    described: dict[str, tuple[str, str, str]] = {}
    readers: dict[str, list[str]] = defaultdict(list)
    for reader, settings in classes.items():
        for field, variable in variables(settings).items():
            description = _describe(settings.model_fields[field])
            if described.setdefault(variable, description) != description:
                raise ConfigError(f"{variable} means different things to {readers[variable][0]} and {reader}")
            readers[variable].append(reader)
    return [
        (
            variable,
            default,
            bounds,
            "all" if len(readers[variable]) == len(classes) else ", ".join(readers[variable]),
            what,
        )
        for variable, (default, bounds, what) in sorted(described.items())
    ]


def as_markdown(rows: list[Row]) -> str:
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines = [
        f"| `{variable}` | {_code(default)} | {bounds} | {readers} | {_cell(what)} |"
        for variable, default, bounds, readers, what in rows
    ]
    return "\n".join([*head, *lines])


def _describe(field: FieldInfo) -> tuple[str, str, str]:
    default = _as_written(field.get_default(call_default_factory=True))
    limits = {name: getattr(m, name) for m in field.metadata for name in ("gt", "ge", "lt", "le") if hasattr(m, name)}
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = ", ".join(f"{signs[name]} {limit:,}" for name, limit in limits.items() if limit is not None)
    return default, bounds, " ".join((field.description or "").split())


def _as_written(value: object) -> str:
    """As it would stand in the environment, on one line."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return " ".join(str(value).split()) if value or value == 0 else ""


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
