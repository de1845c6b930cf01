"""The real servers, one of each for a whole test session, and how each test finds them fresh."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient

from services.adapters.kafka import apply_topics
from services.adapters.migrate import migrate
from services.local.parts import Kafka, Part, Postgres, Valkey
from services.local.ports import free_port
from services.runtime.settings import MigrationSettings, TopicsSettings

PARTITIONS = 6
RETENTION_BYTES = 2 << 30
TEMPLATE = "migrated"


def topics_at(bootstrap_servers: str) -> TopicsSettings:
    """A Kafka of this session, and how its topics are made."""
    return TopicsSettings.load(
        kafka_bootstrap_servers=bootstrap_servers, partitions=PARTITIONS, topics_retention_bytes=RETENTION_BYTES
    )


@dataclass
class Parts:
    """``kill``, ``pause`` and ``start`` each part at will: what is found dead is started again for the next test."""

    kafka: Kafka
    postgres: Postgres
    valkey: Valkey
    _databases: int = field(default=0)

    @classmethod
    def in_folder(cls, folder: Path) -> "Parts":
        return cls(
            Kafka(folder / "kafka", free_port(), free_port()),
            # Nobody pulls this machine's plug: a killed Postgres keeps what the kernel has, fsync or not.
            Postgres(folder / "postgres", free_port(), settings={"fsync": "off"}),
            Valkey(folder / "valkey", free_port()),
        )

    @property
    def all(self) -> tuple[Part, ...]:
        return (self.kafka, self.postgres, self.valkey)

    async def start(self) -> None:
        """Start what does not run, at the same time."""
        async with asyncio.TaskGroup() as group:
            for part in self.all:
                if part.pid is None:
                    group.create_task(part.start())

    async def stop(self) -> None:
        await asyncio.gather(*(part.stop() for part in self.all))

    async def fresh_database(self) -> str:
        """The URL of a new migrated database."""
        await self.start()
        admin = await asyncpg.connect(self.postgres.database_url("postgres"))
        try:
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", TEMPLATE):
                await admin.execute(f"CREATE DATABASE {TEMPLATE}")
                await migrate(MigrationSettings.load(database_url=self.postgres.database_url(TEMPLATE)))
            return await self._create_database(admin, f"TEMPLATE {TEMPLATE}")
        finally:
            await admin.close()

    async def empty_database(self, owner: str = "postgres") -> str:
        """The URL of a new database without a schema."""
        await self.start()
        admin = await asyncpg.connect(self.postgres.database_url("postgres"))
        try:
            return await self._create_database(admin, f"OWNER {owner}")
        finally:
            await admin.close()

    async def _create_database(self, admin: "asyncpg.Connection[asyncpg.Record]", options: str) -> str:
        self._databases += 1
        name = f"test_{self._databases}"
        await admin.execute(f"CREATE DATABASE {name} {options}")
        return self.postgres.database_url(name)

    async def drop_database(self, url: str) -> None:
        await self.start()
        admin = await asyncpg.connect(self.postgres.database_url("postgres"))
        try:
            await admin.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        finally:
            await admin.close()

    async def flushed_redis(self) -> str:
        await self.start()
        async with redis.Redis.from_url(self.valkey.url) as client:
            await client.flushall()
        return self.valkey.url

    async def fresh_kafka(self) -> str:
        """Every topic made anew. Groups stay: positions are in the database, and their members have left."""
        await self.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.url)
        await admin.start()
        try:
            await admin.delete_topics([topic for topic in await admin.list_topics() if not topic.startswith("__")])
        finally:
            await admin.close()
        await apply_topics(topics_at(self.kafka.url))
        return self.kafka.url
