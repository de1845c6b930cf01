"""What the metrics say of the stores and the log: ``api`` asks them, so that nobody needs an exporter to be told.

While one of them is away, and where it has no limit, its figures are absent: an old one would look like a new one.
"""

import time
from collections.abc import Awaitable

from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime.metrics import gauge, withdraw

BYTES_PER_GB = 1_000_000_000


async def asked[T](dependency: str, question: Awaitable[T]) -> T | None:
    """The answer, timed; None while there is none."""
    began = time.perf_counter()
    try:
        answer = await question
    except InfraError:
        gauge(Metric.PROBE_UP).labels(dependency).set(0)
        return None
    gauge(Metric.PROBE_SECONDS).labels(dependency).set(time.perf_counter() - began)
    gauge(Metric.PROBE_UP).labels(dependency).set(1)
    return answer


def show(metric: Metric, figure: float | None) -> None:
    if figure is None:
        withdraw(metric)
    else:
        gauge(metric).set(figure)


def show_size_limit(limit_gb: float) -> None:
    show(Metric.POSTGRES_DATABASE_SIZE_LIMIT, limit_gb * BYTES_PER_GB if limit_gb > 0 else None)
