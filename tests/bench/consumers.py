"""The services that fold the log, each alone on a backlog of two million trades: how fast, and how much memory.

The rate is from the first commit to the last, by the position in Postgres. Memory is the highest resident size while
the first million and while the second was folded: what grows with the log shows as a difference.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import psutil

from services.contracts.topics import Group, Topic
from tests.bench.backlog import MILLION, PRODUCTS, publish
from tests.bench.report import Figure
from tests.bench.servers import Servers, servers
from tests.support.services import Service

BENCH = "consumers"
QUICK_TRADES = 200_000
POLL_S = 0.025
STALLED_S = 120.0
RESIDENT_MAX_MB = 120
GROWTH_MAX_MB = 5
"""What the allocator's own to and fro comes to; a leak of ten bytes a trade is twice as much."""
MEGABYTE = 1e6


@dataclass(frozen=True)
class Case:
    service: str
    group: Group
    unit: str
    target: float
    note: str


CASES = (
    Case("candles", Group.CANDLES, "trades/s", 150_000, f"six resolutions, {PRODUCTS} products"),
    Case("recorder", Group.RECORDER, "rows/s", 60_000, f"{PRODUCTS} products, latest prices in Valkey"),
    Case("indicators", Group.INDICATORS, "trades/s", 80_000, f"{PRODUCTS} products, with Valkey; bars beside them"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    time_s: float
    folded: int
    resident_mb: float
    cpu_s: float

    @classmethod
    def of(cls, process: psutil.Process, folded: int) -> "Sample":
        cpu = process.cpu_times()
        return cls(time.monotonic(), folded, process.memory_info().rss / MEGABYTE, cpu.user + cpu.system)


async def run(*, quick: bool) -> list[Figure]:
    count = QUICK_TRADES if quick else 2 * MILLION
    async with servers() as made:
        await publish(made.kafka_url, count)
        figures = []
        for case in CASES:
            service = await made.service(case.service)
            samples = await _watch(made, service, case.group, count)
            await service.terminate()
            figures += [_speed(case, samples), *memory(BENCH, case.service, samples, count)]
        return figures


async def _watch(made: Servers, service: Service, group: Group, count: int) -> list[Sample]:
    """Samples from before the first commit until everything is folded. Raises TimeoutError where it stands still."""
    process = psutil.Process(service.pid)
    connection = await asyncpg.connect(made.database_url)
    samples: list[Sample] = []
    moved_s = time.monotonic()
    try:
        while not samples or samples[-1].folded < count:
            await asyncio.sleep(POLL_S)
            folded = await connection.fetchval(
                "SELECT coalesce(sum(next_offset), 0)::bigint FROM positions WHERE consumer_group = $1 AND topic = $2",
                str(group),
                str(Topic.MARKET_TRADES),
            )
            sample = Sample.of(process, folded)
            if not samples or folded > samples[-1].folded:
                moved_s = sample.time_s
            elif sample.time_s - moved_s > STALLED_S:
                raise TimeoutError(f"{service.name} stands at {folded} of {count}:\n{service.last_output()}")
            samples.append(sample)
    finally:
        await connection.close()
    return samples


def _speed(case: Case, samples: Sequence[Sample]) -> Figure:
    note = f"{samples[-1].folded:,} trades, {case.note}; {cpu_us(samples):.1f} µs of its CPU each; one run"
    return Figure(BENCH, case.service, case.unit, rate(samples), case.target, note=note)


def rate(samples: Sequence[Sample]) -> float:
    """Records a second from the first commit to the last; 0 where one commit did it all."""
    first, last = _ends(samples)
    return (last.folded - first.folded) / (last.time_s - first.time_s) if last is not first else 0.0


def cpu_us(samples: Sequence[Sample]) -> float:
    """What the process itself computed for each record, whatever else ran on the machine."""
    first, last = _ends(samples)
    return (last.cpu_s - first.cpu_s) / (last.folded - first.folded) * 1e6 if last is not first else 0.0


def _ends(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """When the first commit was seen, and the last."""
    first = next(sample for sample in samples if sample.folded)
    last = next(sample for sample in samples if sample.folded == samples[-1].folded)
    return first, last


def memory(bench: str, service: str, samples: Sequence[Sample], count: int) -> list[Figure]:
    """The highest resident size over the first half of what there is to fold, and how much higher the second's is."""
    half_way = next(index for index, sample in enumerate(samples) if sample.folded >= count // 2)
    first = max(sample.resident_mb for sample in samples[: half_way + 1])
    second = max(sample.resident_mb for sample in samples[half_way:])
    half = f"{count // 2:,} trades"
    return [
        Figure(bench, f"{service}: resident after {half}", "MB", first, RESIDENT_MAX_MB, "at most"),
        Figure(bench, f"{service}: growth over the next {half}", "MB", second - first, GROWTH_MAX_MB, "at most"),
    ]
