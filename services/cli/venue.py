"""``tickplane venue``: check a third party's venue."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.adapters.venues import registry
from services.adapters.venues.base import Venue
from services.adapters.venues.check import Frame, check_venue
from services.contracts.errors import ConfigError

app = typer.Typer(help="Venues: the adapters to exchanges.", no_args_is_help=True)


@app.callback()
def venue() -> None:
    """Venues: the adapters to exchanges."""


@app.command("check")
def venue_check(
    module: Annotated[str, typer.Argument(help="package.module, package.module:Class, or a registered venue's name")],
    frames: Annotated[
        Path | None, typer.Option(help="frames of the exchange, one a line, with trades among them")
    ] = None,
    products: Annotated[
        str, typer.Option(help="the products of those frames, with commas between")
    ] = "BTC-USD,ETH-USD",
) -> None:
    """Run the contract tests of a venue. Exits 1 when it breaks a rule, 2 when it is not to be found."""
    try:
        venue_class = find(module)
        lines: list[Frame] = [] if frames is None else [line for line in _lines(frames) if line]
    except (ConfigError, OSError) as error:
        typer.echo(f"tickplane: {error}", err=True)
        raise typer.Exit(2) from None
    findings = check_venue(venue_class, products=products.split(","), frames=lines)
    for finding in findings:
        typer.echo(f"{finding.rule}: {finding.message}")
    if findings:
        raise typer.Exit(1)
    shown = f"{len(lines)} frames, their mutations and garbage" if lines else "garbage only: give it --frames"
    typer.echo(f"{venue_class.__name__} keeps the contract ({shown})")


def find(module: str) -> type[Venue]:
    """The venue class that ``module`` names. Raises ConfigError."""
    path, _, class_name = module.partition(":")
    if not class_name and "." not in path and path in registry.names():
        return registry.load(path)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = importlib.import_module(path)
    except ImportError as error:
        raise ConfigError(f"{path} cannot be imported: {error}") from None
    classes = [
        found
        for name, found in inspect.getmembers(loaded, inspect.isclass)
        if issubclass(found, Venue) and not inspect.isabstract(found) and (name == class_name or not class_name)
        if class_name or found.__module__ == loaded.__name__
    ]
    if len(classes) != 1:
        raise ConfigError(f"{module} has {len(classes)} venue classes; name one as package.module:Class")
    return classes[0]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
