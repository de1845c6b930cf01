"""``python -m tests.bench.matching [--quick]``: the matching engine's core, and its pure-Python peers in the same run.

All of it is computing, so that CPU time is taken where a rate is asked for; latencies are of the wall clock. Commands
come in batches, made just before the batch is measured, as a consumer of the journal would have them. The service
around the core is measured after it, by ``tests.bench.lab``.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from services.domain.market_state import dump, load
from services.domain.matching import Market, apply
from services.domain.orders import Command
from tests.bench import lab
from tests.bench.books import (
    Akhil4nOrderbook,
    Engine,
    OrderMatching,
    Pyorderbook,
    Step,
    Tickplane,
    command,
    full_book,
    mixed_flow,
)
from tests.bench.report import Bound, Figure, Machine, Report, median, percentile

BENCH = "matching"
COMMAND = "make bench-matching"
BATCH = 1_000
ROUNDS = 3
NS_PER_US = 1_000


class Sizes(msgspec.Struct, frozen=True):
    """``slow_*`` are for a peer that looks through all its orders for each command."""

    commands: int = 200_000
    levels: int = 2_000
    orders_per_level: int = 5
    slow_commands: int = 300
    slow_levels: int = 200


QUICK = Sizes(commands=2_000, levels=200, orders_per_level=2, slow_commands=50, slow_levels=20)


def measure(sizes: Sizes) -> list[Figure]:
    book = full_book(sizes.levels, sizes.orders_per_level)
    flow = mixed_flow(sizes.commands, sizes.levels, len(book))
    small = full_book(sizes.slow_levels, 1)
    small_flow = mixed_flow(sizes.slow_commands, sizes.slow_levels, len(small))
    ours = [_rate(Tickplane(), book, flow) for _ in range(ROUNDS)]
    figures = [_figure("apply, mixed flow", "commands/s", median(ours), 500_000, note=_spread(ours))]
    figures += _latency(book, flow)
    figures += _journal(book, flow)
    for name, peer, peer_book, peer_flow in (
        ("akhil4n-orderbook", Akhil4nOrderbook, book, flow),
        ("pyorderbook", Pyorderbook, book, flow),
        ("order-matching", OrderMatching, small, small_flow),
    ):
        figures.append(_beside(name, peer, peer_book, peer_flow))
    return figures


def _batches(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    return (steps[first : first + BATCH] for first in range(0, len(steps), BATCH))


def _rate(engine: Engine, book: Sequence[Step], flow: Sequence[Step]) -> float:
    """Commands a second of CPU, the book being full before."""
    engine.prepare(book)()
    _settle_garbage()
    taken_s = 0.0
    for steps in _batches(flow):
        run = engine.prepare(steps)
        began = time.thread_time()
        run()
        taken_s += time.thread_time() - began
    return len(flow) / taken_s


def _settle_garbage() -> None:
    """Keep the collector from looking, while we measure, through what the bench itself has made."""
    gc.collect()
    gc.freeze()


def _latency(book: Sequence[Step], flow: Sequence[Step]) -> list[Figure]:
    """Each command's latency is the least of its rounds, which are the same to the last bit: the engine takes as long
    again, a neighbour who had the core for a while does not come again at the same command.
    """
    rounds = [_latencies_us(book, flow) for _ in range(ROUNDS)]
    taken_us = [min(taken) for taken in zip(*rounds, strict=True)]
    note = f"each command's least of {ROUNDS} rounds"
    return [
        _figure("apply, p50", "µs", percentile(taken_us, 0.5), note=note),
        _figure("apply, p99", "µs", percentile(taken_us, 0.99), 10, at_most=True, note=note),
    ]


def _latencies_us(book: Sequence[Step], flow: Sequence[Step]) -> list[float]:
    engine = Tickplane()
    engine.prepare(book)()
    _settle_garbage()
    taken_us: list[float] = []
    clock = time.perf_counter_ns
    for steps in _batches(flow):
        for position, at, given in list(engine.journal(steps)):
            began = clock()
            apply(engine.market, position, at, given)
            taken_us.append((clock() - began) / NS_PER_US)
    return taken_us


def _journal(book: Sequence[Step], flow: Sequence[Step]) -> list[Figure]:
    """A replay: each command out of JSON, and applied. And the state that it leaves, stored and loaded."""
    engine = Tickplane()
    engine.prepare(book)()
    decode = msgspec.json.Decoder(Command).decode
    records = [msgspec.json.encode(command(step)) for step in flow]
    began = time.thread_time()
    for record in records:
        engine.position += 1
        apply(engine.market, engine.position, 0, decode(record))
    replay_s = time.thread_time() - began
    stored, dump_s = _timed(lambda: dump(engine.market))
    loaded, load_s = _timed(lambda: load(stored))
    note = f"{_open_orders(loaded):,} open orders, {len(stored) / 1e6:.1f} MB"
    return [
        _figure("decode JSON and apply", "commands/s", len(flow) / replay_s, 100_000),
        _figure("state to bytes", "s", dump_s, note=note),
        _figure("bytes to state", "s", load_s, note=note),
    ]


def _timed[T](work: Callable[[], T]) -> tuple[T, float]:
    began = time.thread_time()
    made = work()
    return made, time.thread_time() - began


def _open_orders(market: Market) -> int:
    return sum(len(account.orders) for account in market.accounts.values())


def _beside(name: str, peer: Callable[[], Engine], book: Sequence[Step], flow: Sequence[Step]) -> Figure:
    """Both in turn, so that a neighbour on this machine disturbs each of them alike."""
    try:
        peer()
    except ImportError as error:
        return Figure(BENCH, name, f"× {name}", target=1, skipped=f"not installed: {error.name}", command=COMMAND)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_rate(peer(), book, flow))
        ours.append(_rate(Tickplane(), book, flow))
    note = f"{median(ours):,.0f} against {median(theirs):,.0f} commands/s; median of {ROUNDS}"
    return _figure("mixed flow", f"× {name}", median(ours) / median(theirs), 1, note=note)


def _spread(rates: Sequence[float]) -> str:
    return f"{min(rates):,.0f} to {max(rates):,.0f} in {len(rates)} rounds, by CPU time"


def _figure(
    name: str, unit: str, measured: float, target: float | None = None, *, at_most: bool = False, note: str = ""
) -> Figure:
    bound: Bound = "at most" if at_most else "at least"
    return Figure(BENCH, name, unit, measured=measured, target=target, bound=bound, note=note, command=COMMAND)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="See that it works; the figures say nothing.")] = False,
) -> None:
    """Takes about five minutes; leave the machine alone meanwhile."""
    logging.disable(logging.CRITICAL)
    before = Machine.now()
    figures = measure(QUICK if quick else Sizes())
    figures += asyncio.run(lab.run(quick=quick))
    report = Report.of(figures, before, quick=quick)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(report.table())
    print(report.json_line())


if __name__ == "__main__":
    typer.run(main)
