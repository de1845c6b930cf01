"""``python -m tests.bench.operator [--quick]``: the operator with 1,000 MarketFeeds, on KUBECONFIG's cluster.

The API server and the controllers are the real ones. The 1,000 are paused; the pods of the 20 that are not are played
(``tests.operator.shards``), so that it is the operator that is measured.
"""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psutil
import typer
from rich.console import Console

from tests.bench.report import Bound, Figure, Machine, Report
from tests.operator.kube import Kube
from tests.operator.paused import all_paused, make_paused
from tests.operator.running import Operator
from tests.operator.shards import Shards
from tests.support.polling import eventually

BENCH = "operator"
COMMAND = "make bench-operator"
MEGABYTE = 1 << 20


class Sizes(msgspec.Struct, frozen=True):
    """How much, and how long, in seconds."""

    paused: int = 1_000
    live: int = 20
    steady_s: float = 120
    refresh_s: float = 300


QUICK = Sizes(paused=20, live=2, steady_s=5, refresh_s=5)


async def measure(sizes: Sizes) -> list[Figure]:
    """Make the feeds, then the operator; watch it do nothing; start it anew; then some that stream."""
    admin = Kube("default")
    await admin.install_crd()
    await admin.close()
    async with Kube(f"operator-bench-{secrets.token_hex(4)}") as kube, _operator(kube) as operator:
        await make_paused(kube, sizes.paused)
        figures = [await _first(kube, operator, sizes)]
        figures += await _steady(operator, sizes)
        figures += await _again(operator, sizes)
        async with Shards(kube) as shards:
            figures.append(await _live(kube, operator, shards, sizes))
    return figures


@asynccontextmanager
async def _operator(kube: Kube) -> AsyncIterator[Operator]:
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(await kube.operator_kubeconfig())
        env = {"KUBECONFIG": str(kubeconfig), "TICKPLANE_OPERATOR_NAMESPACE": kube.namespace}
        operator = Operator(env, Path(folder) / "operator.jsonl")
        try:
            yield operator
        finally:
            if operator.running:
                await operator.terminate()


async def _first(kube: Kube, operator: Operator, sizes: Sizes) -> Figure:
    began = time.monotonic()
    await operator.begin()
    await eventually(lambda: all_paused(kube, sizes.paused), 600, 2)
    name = f"{sizes.paused:,} paused MarketFeeds reconciled"
    return _figure(name, "s", time.monotonic() - began, 300, "at most")


async def _steady(operator: Operator, sizes: Sizes) -> list[Figure]:
    process = psutil.Process(operator.pid)
    writes, cpu_s = await operator.writes(), _cpu_s(process)
    await asyncio.sleep(sizes.steady_s)
    used = (_cpu_s(process) - cpu_s) / sizes.steady_s
    memory = process.memory_info().rss / MEGABYTE
    return [
        _figure(
            f"writes in {sizes.steady_s:.0f} s of steady state", "", await operator.writes() - writes, 0, "at most"
        ),
        _figure("resident memory", "MB", memory, 200, "at most"),
        _figure("processor", "cores", used, 0.5, "at most"),
    ]


async def _again(operator: Operator, sizes: Sizes) -> list[Figure]:
    assert await operator.terminate() == 0
    began = time.monotonic()
    await operator.begin()
    await eventually(lambda: _has_looked(operator, sizes.paused), 120, 0.2)
    return [
        _figure("a restart, until all are looked at", "s", time.monotonic() - began, 20, "at most"),
        _figure("writes of a restart", "", await operator.writes(), 0, "at most"),
    ]


async def _has_looked(operator: Operator, times: int) -> bool:
    page = await operator.metrics()
    return page.total("operator_reconciles_total") >= times and page.total("operator_queue_depth") == 0


async def _live(kube: Kube, operator: Operator, shards: Shards, sizes: Sizes) -> Figure:
    """Their figures move with every poll; each may be written once in the operator's interval of 5 minutes."""
    names = [f"live-{number:02}" for number in range(sizes.live)]
    for name in names:
        await kube.feed(name, products=["BTC-USD", "ETH-USD"], exchange=name)
    await eventually(_all_stream(kube, names), 300, 1)
    before = await operator.writes()
    await asyncio.sleep(sizes.refresh_s)
    name = f"writes in {sizes.refresh_s:.0f} s with {sizes.live} live feeds"
    return _figure(name, "", await operator.writes() - before, sizes.live, "at most")


def _all_stream(kube: Kube, names: list[str]) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def check() -> bool:
        for name in names:
            conditions = await kube.conditions(name)
            assert conditions.get("Ready", ("",))[0] == "True", name
            assert conditions["Progressing"][0] == "False", name
        return True

    return check


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _figure(name: str, unit: str, measured: float, target: float, bound: Bound) -> Figure:
    return Figure(BENCH, name, unit, measured=measured, target=target, bound=bound, command=COMMAND)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="See that it works; the figures say nothing.")] = False,
) -> None:
    """Takes some fifteen minutes; leave the machine alone meanwhile."""
    if not os.environ.get("KUBECONFIG"):
        raise typer.BadParameter("KUBECONFIG names no cluster")
    before = Machine.now()
    figures = asyncio.run(measure(QUICK if quick else Sizes()))
    report = Report.of(figures, before, quick=quick)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(report.table())
    print(report.json_line())


if __name__ == "__main__":
    typer.run(main)
