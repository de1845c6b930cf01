"""The engine's keys in Redis: of two owners the newer wins, and what was missed is asked for again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest
import redis.asyncio as redis

from services.adapters.lab_trades import Trade, trade_key
from services.adapters.redis import Redis, matching_key
from services.matching.latest import Latest
from services.runtime.clock import SystemClock
from services.runtime.health import Health
from services.runtime.settings import RedisSettings
from tests.support.database import fetch
from tests.support.journal import order
from tests.unit.test_lab_records import Journal

pytestmark = pytest.mark.parts

KEY = trade_key("alice", "a1")
EXECUTION = """
INSERT INTO executions
VALUES (0, $1, 'DEMO-USD', 1, 1, 'buy', 'alice', 'a1', 1, 0, 'bob', 'b1', 2, 0, 0)
"""


class Owner:
    """One engine's hand on the keys."""

    def __init__(self, redis_url: str, database_url: str) -> None:
        self._redis = Redis(RedisSettings.load(redis_url=redis_url), Health("matching", SystemClock()))
        self._database_url = database_url
        self.latest = Latest(self._redis, 0, "")

    async def begin(self, sequence: int = 0) -> None:
        connection = await asyncpg.connect(self._database_url)
        try:
            await self.latest.begin(connection, sequence)
        finally:
            await connection.close()

    async def write(self, journal: Journal, *order_ids: str) -> None:
        await self.latest.write(journal.market, [journal.orders[each] for each in order_ids], [])

    async def stop(self) -> None:
        await self._redis.stop()


@asynccontextmanager
async def owners(redis_url: str, database_url: str) -> AsyncIterator[tuple[Owner, Owner]]:
    """The older, which has begun, and one that has not yet."""
    older, newer = (Owner(redis_url, database_url) for _ in range(2))
    await older.begin()
    try:
        yield older, newer
    finally:
        await older.stop()
        await newer.stop()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.Redis]:
    async with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


@pytest.fixture
def journal() -> Journal:
    """alice has bought 0.5 of 2."""
    made = Journal()
    made.do(order("alice", "a1", "buy", "2", "100"))
    made.do(order("bob", "b1", "sell", "0.5", "100"))
    return made


async def bought(client: redis.Redis) -> str | None:
    value = await client.get(KEY)
    return None if value is None else msgspec.json.decode(value, type=Trade).qty


async def test_an_owner_that_was_stalled_does_not_write_over_a_newer_one(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal
) -> None:
    async with owners(redis_url, database_url) as (older, newer):
        await newer.begin()
        await older.write(journal, "a1", "b1")
        assert await bought(client) is None


async def test_control_an_owner_that_claims_the_keys_first_writes_what_is_old(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal
) -> None:
    async with owners(redis_url, database_url) as (older, newer):
        await newer.begin()
        await older.begin()
        await older.write(journal, "a1", "b1")
        assert await bought(client) == "0.5"


async def test_after_flushall_the_owner_takes_its_keys_again_and_forgets_nothing(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal
) -> None:
    async with owners(redis_url, database_url) as (owner, _):
        await owner.write(journal, "a1", "b1")
        await client.flushall()
        await client.set(KEY, "of an owner that has gone")
        await owner.write(journal, "b1")
        assert await client.get(KEY) == "of an owner that has gone", "the refused write said so; the next mends it"
        journal.do(order("bob", "b2", "sell", "0.5", "100"))
        await owner.write(journal, "a1", "b2")
        assert await bought(client) == "1"


@pytest.mark.parametrize(("stored", "gone"), [(7, False), (8, True)])
async def test_what_the_owner_before_did_not_live_to_write_is_deleted(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal, stored: int, gone: bool
) -> None:
    """The hash says up to which event the keys are; the executions after it are in the tables."""
    await client.hset(matching_key(0), mapping={"owner": "before", "sequence": 7})
    await client.set(KEY, "old")
    await fetch(database_url, EXECUTION, stored)
    async with owners(redis_url, database_url) as (_, owner):
        await owner.begin(sequence=stored)
        await owner.write(journal)
        assert (await client.get(KEY) is None) == gone


@pytest.mark.parametrize("sequence", [None, 9])
async def test_where_it_is_not_known_what_is_missing_all_of_it_goes(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal, sequence: int | None
) -> None:
    """No hash, or one of tables that have been emptied since."""
    if sequence is not None:
        await client.hset(matching_key(0), mapping={"owner": "before", "sequence": sequence})
    await client.set(KEY, "old")
    await client.set("crypto:x:y", "of somebody else")
    async with owners(redis_url, database_url) as (_, owner):
        await owner.begin(sequence=8)
        await owner.write(journal)
        assert await client.keys("*:*:*") == ["crypto:x:y"]


async def test_what_could_not_be_written_is_deleted_once_redis_is_left_alone_for_a_while(
    redis_url: str, database_url: str, client: redis.Redis, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica of nobody takes no writes."""
    async with owners(redis_url, database_url) as (owner, _):
        await owner.write(journal, "a1", "b1")
        await client.replicaof("127.0.0.1", 1)
        journal.do(order("bob", "b2", "sell", "0.5", "100"))
        await owner.write(journal, "a1", "b2")
        await client.replicaof("NO", "ONE")
        await owner.write(journal)
        assert await bought(client) == "0.5", "so soon it is not tried again"
        monkeypatch.setattr(owner.latest, "_again_at", 0.0)
        await owner.write(journal)
        assert await bought(client) is None
