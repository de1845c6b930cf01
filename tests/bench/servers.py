"""The servers of one bench, as `make run` has them, and our services as processes on them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from services.local.parts import Kafka, Postgres, Valkey
from services.local.ports import free_port
from tests.support.parts import Parts
from tests.support.services import Service


@dataclass
class Servers:
    folder: Path
    kafka_url: str
    database_url: str
    redis_url: str
    _services: list[Service] = field(default_factory=list)

    async def service(self, name: str, **env: object) -> Service:
        """Start ``python -m services <name>`` and wait until it is ready."""
        return await self.module(("services", name), name, **env)

    async def module(self, module: Sequence[str], name: str, **env: object) -> Service:
        """Start ``python -m <module>``, a service like ``name``, and wait until it is ready."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_url,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
        }
        variables = settings | {variable: str(value) for variable, value in env.items()}
        service = Service(name, variables, self.folder / f"{name}-{len(self._services)}.jsonl")
        service.module = tuple(module)
        self._services.append(service)
        await service.start()
        await service.wait_ready()
        return service

    async def stop_services(self) -> None:
        for service in self._services:
            if service.running:
                await service.terminate()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """One that Postgres' own user may enter, where we are root."""
    with TemporaryDirectory(prefix="tickplane-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """New and empty ones. Unlike the tests', this Postgres waits for the disk as the users' does."""
    with temporary_folder() as folder:
        parts = Parts(
            Kafka(folder / "kafka", free_port(), free_port()),
            Postgres(folder / "postgres", free_port()),
            Valkey(folder / "valkey", free_port()),
        )
        try:
            await parts.start()
            made = Servers(folder, await parts.fresh_kafka(), await parts.fresh_database(), await parts.flushed_redis())
            try:
                yield made
            finally:
                await made.stop_services()
        finally:
            await parts.stop()
