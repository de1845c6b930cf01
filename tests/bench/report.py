"""What a bench says: figures, as a table for people and as one JSON line for what keeps history."""

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
import psutil
from rich.table import Table

Bound = Literal["at least", "at most"]

GIGABYTE = 1 << 30


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measured value, or the reason why there is none. ``command`` gives it again."""

    bench: str
    name: str
    unit: str
    measured: float | None = None
    target: float | None = None
    bound: Bound = "at least"
    note: str = ""
    skipped: str = ""
    command: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is no target, or nothing was measured."""
        if self.measured is None or self.target is None:
            return None
        return self.measured >= self.target if self.bound == "at least" else self.measured <= self.target


class Machine(msgspec.Struct, frozen=True):
    """Where and in what company the figures were taken."""

    cores: int
    memory_gb: float
    system: str
    python: str
    load_average: tuple[float, float, float]

    @classmethod
    def now(cls) -> "Machine":
        return cls(
            cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / GIGABYTE, 1),
            system=platform.platform(),
            python=platform.python_version(),
            load_average=os.getloadavg(),
        )


class Report(msgspec.Struct, frozen=True):
    """``before`` tells what else ran on the machine when the benches began: they load it themselves."""

    date: str
    quick: bool
    before: Machine
    figures: list[Figure]

    @classmethod
    def of(cls, figures: list[Figure], before: Machine, *, quick: bool) -> "Report":
        return cls(datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), quick, before, figures)

    def json_line(self) -> str:
        return msgspec.json.encode(self).decode()

    def table(self) -> Table:
        table = Table("bench", "figure", "target", "measured", "", "note")
        for figure in self.figures:
            table.add_row(figure.bench, figure.name, wanted(figure), said(figure), verdict(figure), figure.note)
        return table


def wanted(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'≥' if figure.bound == 'at least' else '≤'} {number(figure.target)} {figure.unit}"


def said(figure: Figure) -> str:
    return "skipped" if figure.measured is None else f"{number(figure.measured)} {figure.unit}"


def verdict(figure: Figure) -> str:
    if figure.skipped:
        return figure.skipped
    return {True: "met", False: "missed", None: ""}[figure.met]


def number(value: float) -> str:
    """Four digits that matter, large ones with separators."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that ``share`` (0 to 1) of all are not above."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1_000_000) // 1_000_000))
    return ordered[rank - 1]
