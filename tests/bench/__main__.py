"""``python -m tests.bench [NAME …] [--quick]``: measure, show a table, end with one JSON line."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, Protocol

import msgspec
import typer
from rich.console import Console

from tests.bench import consumers, flood, latency, marketdata, orders, parse, rest, start, tracing, validator
from tests.bench.report import Figure, Machine, Report


class Bench(Protocol):
    def __call__(self, *, quick: bool) -> Coroutine[Any, Any, list[Figure]]:
        """``quick`` tries whether it works: its figures say nothing."""


BENCHES: dict[str, Bench] = {
    parse.BENCH: parse.run,
    consumers.BENCH: consumers.run,
    latency.BENCH: latency.run,
    flood.BENCH: flood.run,
    rest.BENCH: rest.run,
    orders.BENCH: orders.run,
    marketdata.BENCH: marketdata.run,
    start.BENCH: start.run,
    validator.BENCH: validator.run,
    tracing.BENCH: tracing.run,
}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(BENCHES)}; all without one.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="See that it works; the figures say nothing.")] = False,
) -> None:
    """Measure speed and memory on the real parts. Takes some ten minutes; leave the machine alone meanwhile."""
    chosen = names or list(BENCHES)
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        raise typer.BadParameter(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    logging.disable(logging.CRITICAL)
    before = Machine.now()
    console = Console(stderr=True)
    figures: list[Figure] = []
    for name in chosen:
        console.print(f"bench {name} …")
        command = f'make bench ARGS="{name}{" --quick" if quick else ""}"'
        made = asyncio.run(BENCHES[name](quick=quick))
        figures += [msgspec.structs.replace(figure, command=command) for figure in made]
    report = Report.of(figures, before, quick=quick)
    Console(width=None if console.is_terminal else 200).print(report.table())
    for name in chosen:
        print(f"again: {next(figure.command for figure in figures if figure.bench == name)}")
    print(report.json_line())


if __name__ == "__main__":
    app()
