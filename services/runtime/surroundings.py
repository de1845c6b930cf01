"""What the process is given and does not decide itself, as metrics: how much memory, and until when certificates."""

import asyncio
from collections.abc import Callable

from services.contracts.metrics import Metric
from services.runtime import cgroup, logging
from services.runtime.certificates import expiry_time_s
from services.runtime.metrics import gauge, withdraw
from services.runtime.settings import Settings

LOOK_INTERVAL_S = 600.0
"""Certificates are replaced in their files, and a container's limit is changed, while the process runs."""


async def watch(service: str, settings: Settings) -> None:
    """Looks at once and now and then, without an end."""
    while True:
        look(service, settings)
        await asyncio.sleep(LOOK_INTERVAL_S)


def look(
    service: str, settings: Settings, memory_limit_bytes: Callable[[], int | None] = cgroup.memory_limit_bytes
) -> None:
    """A file that cannot be read, which may be about to be replaced, leaves what was known of it."""
    limit_bytes = memory_limit_bytes()
    if limit_bytes is None:
        withdraw(Metric.MEMORY_LIMIT)
    else:
        gauge(Metric.MEMORY_LIMIT).labels(service).set(limit_bytes)
    for setting, file in settings.certificate_files().items():
        try:
            gauge(Metric.TLS_CERTIFICATE_EXPIRY_TIME).labels(service, setting).set(expiry_time_s(file))
        except (OSError, ValueError) as error:
            logging.logger().warning("certificate_unreadable", setting=setting, file=str(file), error=str(error))
