"""The embedded servers themselves: up, down, killed, and up again with what they had."""

import asyncpg
import pytest
import redis.asyncio as redis
from aiokafka.admin import AIOKafkaAdminClient

from services.contracts.topics import TOPICS
from tests.support.parts import Parts

pytestmark = pytest.mark.parts


async def test_a_database_is_migrated_and_new_for_each_test(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM positions") == 0
        await connection.execute("INSERT INTO positions VALUES ('g', 't', 0, 1, 0, 'x')")
    finally:
        await connection.close()


async def test_a_second_database_has_nothing_of_the_first(database_url: str) -> None:
    await test_a_database_is_migrated_and_new_for_each_test(database_url)


async def test_every_topic_is_there(bootstrap_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        assert {str(spec.topic) for spec in TOPICS} <= set(await admin.list_topics())
    finally:
        await admin.close()


async def test_postgres_keeps_what_was_committed_when_killed(parts: Parts, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO positions VALUES ('g', 't', 0, 1, 7, 'x')")
    parts.postgres.kill()
    await parts.postgres.process.wait()
    await parts.postgres.start()
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT next_offset FROM positions") == 7
    await connection.close()


async def test_kafka_keeps_its_topics_when_killed(parts: Parts, bootstrap_servers: str) -> None:
    parts.kafka.kill()
    await parts.kafka.process.wait()
    await parts.kafka.start()
    await test_every_topic_is_there(bootstrap_servers)


async def test_valkey_forgets_when_killed(parts: Parts, redis_url: str) -> None:
    async with redis.Redis.from_url(redis_url) as client:
        await client.set("a", "b")
        parts.valkey.kill()
        await parts.valkey.process.wait()
        await parts.valkey.start()
        await client.connection_pool.disconnect()
        assert await client.get("a") is None
