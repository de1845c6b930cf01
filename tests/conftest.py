"""Fixtures: the real Kafka, Postgres and Valkey on free ports, and our services as subprocesses.

The servers start when the first test asks, once a session. Each test gets a new database, an empty Valkey, new topics.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from services.local import ports
from tests.support.parts import Parts
from tests.support.services import Service

FAILED = pytest.StashKey[bool]()

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("tickplane", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tickplane")


class StartService(Protocol):
    def __call__(self, name: str, /, *, start: bool = True, **env: object) -> Awaitable[Service]:
        """Start ``python -m services <name>`` on this test's Kafka, Postgres and Valkey, with these variables too."""


@pytest.fixture(scope="session")
async def parts() -> AsyncIterator[Parts]:
    """Kafka, Postgres and Valkey, running.

    Not below pytest's own folder: its next session takes the way in from all users but one, and Postgres is another.
    """
    with tempfile.TemporaryDirectory(prefix="tickplane-test-", ignore_cleanup_errors=True) as folder:
        parts = Parts.in_folder(Path(folder))
        try:
            await parts.start()
            yield parts
        finally:
            await parts.stop()


@pytest.fixture
async def database_url(parts: Parts) -> AsyncIterator[str]:
    """A new, migrated database."""
    url = await parts.fresh_database()
    yield url
    await parts.drop_database(url)


@pytest.fixture
async def redis_url(parts: Parts) -> str:
    """Valkey, empty."""
    return await parts.flushed_redis()


@pytest.fixture
async def bootstrap_servers(parts: Parts) -> str:
    """Kafka with every topic new."""
    return await parts.fresh_kafka()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Call it for a port that nobody listens on."""
    return ports.free_port


@pytest.fixture
async def service(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, redis_url: str, bootstrap_servers: str
) -> AsyncIterator[StartService]:
    """Start services as real processes. What still runs at the end is killed; a failed test shows the logs' ends."""
    common = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers}
    started: list[Service] = []

    async def start_service(name: str, /, *, start: bool = True, **env: object) -> Service:
        settings = common | {variable: str(value) for variable, value in env.items()}
        service = Service(name, settings, tmp_path / f"{name}-{len(started)}.jsonl")
        started.append(service)
        if start:
            await service.start()
        return service

    yield start_service
    for service in started:
        if service.running:
            service.resume()
            await service.terminate()
        if request.node.stash.get(FAILED, False):
            print(f"\n---- {service.name}: the end of {service.log}\n{service.last_output()}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report
