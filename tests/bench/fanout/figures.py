"""Figures of what was measured. Pure."""

from collections.abc import Callable, Mapping, Sequence

from tests.bench.fanout.load import CLIENT_BUSY_MAX, Measured
from tests.bench.fanout.scenarios import (
    COALESCE_MS,
    FASTIFY,
    FASTIFY_COALESCING,
    MAXIMUM_P99_MS,
    OURS,
    OURS_COALESCING,
    REST_REQUESTS_PER_S,
    Beside,
    Idle,
    Maximum,
    Stalled,
    Steady,
)
from tests.bench.report import Figure, median

BENCH = "fanout"
CPU_RATIO_MAX = 0.65
MAXIMUM_RATIO_MIN = 4.0
COALESCING_RATIO_MIN = 1.0
CONNECTION_KILOBYTES_MAX = 30.0
REST_P99_MAX_MS = 20.0
STALLED_RATIO_MAX = 1.1
"""Nobody else should notice; a tenth is what windows of one load differ by."""

Taken = Mapping[str, Sequence[Measured]]


def steady(asked: Steady, taken: Taken) -> list[Figure]:
    """For each contender the delay and the CPU time a delivery, and ours in relation to Fastify's."""
    figures = []
    for name, runs in taken.items():
        note = _note(runs)
        skipped = _unsound(runs)
        target = asked.p99_max_ms if name == OURS.name else None
        p99_ms = None if skipped else _median(runs, p99)
        figures.append(Figure(BENCH, f"{name}: p99, {asked}", "ms", p99_ms, target, "at most", note, skipped))
        cpu_us = median([run.cpu_us for run in runs])
        figures.append(Figure(BENCH, f"{name}: CPU a delivery, {asked}", "µs", cpu_us, None, "at most"))
    ratio = _median(taken[OURS.name], cpu) / _median(taken[FASTIFY.name], cpu)
    name = f"gateway: CPU a delivery, {asked}"
    figures.append(Figure(BENCH, name, "× Fastify's", ratio, CPU_RATIO_MAX, "at most"))
    return figures


def maxima(found: Mapping[str, Sequence[Maximum]]) -> list[Figure]:
    return [
        *(_highest(name, runs) for name, runs in found.items()),
        _highest_ratio(found, FASTIFY.name, MAXIMUM_RATIO_MIN),
        _highest_ratio(found, FASTIFY_COALESCING.name, COALESCING_RATIO_MIN),
    ]


def _highest(name: str, runs: Sequence[Maximum]) -> Figure:
    held = [run.best for run in runs if run.best is not None]
    title = f"{name}: highest load"
    if len(held) < len(runs):
        return Figure(BENCH, title, "deliveries/s", skipped="not even the lowest load held in every run")
    return Figure(BENCH, title, "deliveries/s", _median(held, per_s), note=f"{_note(held)}{_limited(runs)}")


def _highest_ratio(found: Mapping[str, Sequence[Maximum]], peer: str, target: float) -> Figure:
    ours, theirs = _highest("", found[OURS_COALESCING.name]).measured, _highest("", found[peer]).measured
    ratio = ours / theirs if ours is not None and theirs is not None else None
    note = f"{COALESCE_MS:.0f} ms of coalescing, p99 < {MAXIMUM_P99_MS:.0f} ms"
    note += _limited([*found[OURS_COALESCING.name], *found[peer]])
    skipped = "" if ratio is not None else "one of the two has no figure"
    return Figure(BENCH, "gateway, coalescing: highest load", f"× {peer}'s", ratio, target, note=note, skipped=skipped)


def _limited(runs: Sequence[Maximum]) -> str:
    return "" if all(run.server_limited for run in runs) else "; the clients' core set a limit, the server may do more"


def idle(found: Idle) -> list[Figure]:
    note = f"after {found.seconds:.0f} s of heartbeats and pings"
    return [
        Figure(BENCH, "gateway: idle connections held", "", found.held, found.asked, note=note),
        Figure(BENCH, "gateway: memory a connection", "kB", found.kilobytes_each, CONNECTION_KILOBYTES_MAX, "at most"),
    ]


def beside(asked: Steady, found: Beside) -> Figure:
    note = f"{REST_REQUESTS_PER_S}/s beside {asked}: {_note(found.windows)}"
    p99_ms = median(found.rest_p99_ms)
    return Figure(BENCH, "/candles p99 meanwhile", "ms", p99_ms, REST_P99_MAX_MS, "at most", note)


def stalled(asked: Steady, found: Stalled) -> list[Figure]:
    name = f"gateway: p99 of {asked}"
    before = _median(found.before, p99)
    meanwhile = _median(found.meanwhile, p99)
    title = f"{name}, beside a client that has stopped reading for {found.seconds:.0f} s"
    skipped = _unsound([*found.before, *found.meanwhile])
    ratio = None if skipped else meanwhile / before
    return [
        Figure(BENCH, name, "ms", before, None, "at most", _note(found.before)),
        Figure(BENCH, title, "× before", ratio, STALLED_RATIO_MAX, "at most", _note(found.meanwhile), skipped),
    ]


def p99(run: Measured) -> float:
    return run.window.p99_ms


def cpu(run: Measured) -> float:
    return run.cpu_us


def per_s(run: Measured) -> float:
    return run.per_s


def _median(runs: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    return median([value(run) for run in runs])


def _unsound(runs: Sequence[Measured]) -> str:
    """Why there is no figure; empty where there is one."""
    if not all(run.in_order for run in runs):
        return "updates were lost"
    if not all(run.client_had_time for run in runs):
        return f"the clients took over {CLIENT_BUSY_MAX:.0%} of their core"
    return ""


def _note(runs: Sequence[Measured]) -> str:
    delivered = _median(runs, per_s)
    server = _median(runs, lambda run: run.server_busy)
    clients = max(run.client_busy for run in runs)
    core = max(run.client_core_busy for run in runs)
    return (
        f"{delivered:,.0f}/s; server {server:.0%} of its core, clients ≤ {clients:.0%} of theirs, which was "
        f"≤ {core:.0%} busy; median of {len(runs)}"
    )
