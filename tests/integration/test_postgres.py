"""What our pool asks of a real Postgres."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.adapters.postgres import Connection, Postgres
from services.runtime.clock import SystemClock
from services.runtime.health import Health
from services.runtime.settings import PostgresSettings

ROWS = 20_000
CHANGE = """
UPDATE grown SET note = given.note
FROM unnest($1::int[], $2::text[]) AS given (id, note)
WHERE grown.market_group = 1 AND grown.id = given.id
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    database = Postgres(PostgresSettings.load(database_url=database_url), Health("test", SystemClock()))
    await database.start()
    yield database.pool
    await database.stop()


async def rows_read(connection: Connection) -> int:
    """To change one row of a table that has grown since the statement was first prepared."""
    fill = "INSERT INTO grown SELECT 1, id, repeat('-', 100) FROM generate_series($1::int, $2) AS id"
    columns = "market_group int, id int, note text, PRIMARY KEY (market_group, id)"
    await connection.execute(f"CREATE TEMPORARY TABLE grown ({columns})")
    await connection.execute(fill, 1, 10)
    for _ in range(10):
        await connection.execute(CHANGE, [1], ["before"])
    await connection.execute(fill, 11, ROWS)
    await connection.execute(CHANGE, [1], ["after"])
    read = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_all_tables WHERE relname = 'grown'"
    return int(await connection.fetchval(read))


async def test_a_statement_finds_its_row_in_a_table_that_has_grown_since_it_was_prepared(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        assert await rows_read(connection) < 200


async def test_control_a_kept_plan_reads_the_whole_table(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            assert await rows_read(connection) >= ROWS
    finally:
        await connection.close()
