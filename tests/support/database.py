"""The database, from a test's side."""

import asyncpg


async def fetch(database_url: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    """Run one statement on a connection of its own. Returns its rows, if it has any."""
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()
