"""``python -m tests.bench.fanout [--quick]``: the gateway beside three peers, the same trades to the same clients.

The server that is measured has one core for itself; the clients, the publisher and Kafka share another, and Kafka runs
beside the peers too.
"""

import asyncio
import logging
from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from tests.bench.fanout import figures
from tests.bench.fanout.contenders import install_peers
from tests.bench.fanout.scenarios import FULL, QUICK, Scenarios, Sizes
from tests.bench.fanout.worker import cores, on_cores
from tests.bench.report import Figure, Machine, Report
from tests.bench.servers import servers

COMMAND = "make bench-fanout"


class Part(StrEnum):
    IDLE = "idle"
    STEADY = "steady"
    HIGHEST = "highest"
    REST = "rest"
    STALLED = "stalled"


async def measure(sizes: Sizes, parts: Collection[Part], console: Console) -> list[Figure]:
    await install_peers()
    own = cores()
    made_figures: list[Figure] = []
    with on_cores(own.clients):
        async with servers() as made:
            scenarios = Scenarios(made, sizes, own, console)
            if Part.IDLE in parts:
                made_figures += figures.idle(await scenarios.idle())
            if Part.STEADY in parts:
                for asked in sizes.steady:
                    made_figures += figures.steady(asked, await scenarios.steady(asked))
            if Part.HIGHEST in parts:
                made_figures += figures.maxima(await scenarios.maxima())
            if Part.REST in parts:
                made_figures.append(figures.beside(sizes.steady[0], await scenarios.rest_beside(sizes.steady[0])))
            if Part.STALLED in parts:
                made_figures += figures.stalled(sizes.stalled, await scenarios.stalled())
    return [msgspec.structs.replace(figure, command=COMMAND) for figure in made_figures]


def main(
    quick: Annotated[bool, typer.Option("--quick", help="See that it works; the figures say nothing.")] = False,
    only: Annotated[list[Part] | None, typer.Option(help="This part; may be repeated.")] = None,
) -> None:
    """Takes some twenty minutes; leave the machine alone meanwhile."""
    logging.disable(logging.CRITICAL)
    before = Machine.now()
    made = asyncio.run(measure(QUICK if quick else FULL, only or list(Part), Console(stderr=True)))
    report = Report.of(made, before, quick=quick)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(report.table())
    print(f"again: {COMMAND}")
    print(report.json_line())


if __name__ == "__main__":
    typer.run(main)
