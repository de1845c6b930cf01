"""``tickplane positions``: where each consumer group is, and what to do about a position outside the log."""

import asyncio
from typing import Literal

import asyncpg
import typer
from rich.table import Table

from services.adapters.kafka import log_bounds, read_log_id
from services.adapters.postgres import Connection, connect, sql
from services.cli.settings import CliSettings
from services.cli.tables import show_table
from services.contracts.errors import ConfigError
from services.contracts.topics import Group

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def show(group: Group) -> None:
    """Show the stored positions of a group beside the log."""
    asyncio.run(_show(CliSettings.load(), group))


@app.command()
def reset(group: Group, to: Literal["beginning", "end"], topic: str = "", partition: int = -1) -> None:
    """Set stored positions to the log's beginning or end, and take the partitions from whoever has them.

    From the beginning, what is stored already is recognised and dropped; from the end, what lies between is left out.
    """
    count = asyncio.run(_reset(CliSettings.load(), group, to, topic, partition))
    print(f"{count} positions of {group} set to the {to}; a running consumer notices within seconds")


async def _show(settings: CliSettings, group: Group) -> None:
    rows = await _rows(settings, group)
    bounds = await log_bounds(settings, sorted({row["topic"] for row in rows}))
    log_id = await read_log_id(settings)
    table = Table("topic", "partition", "next offset", "log begins", "log ends", "owner epoch", "stored", "state")
    for row in rows:
        begin, end = bounds.get((row["topic"], row["partition"]), (0, 0))
        inside = row["log_id"] == log_id and begin <= row["next_offset"] <= end
        state = "" if inside else "another log" if row["log_id"] != log_id else "outside the log"
        cells = (row["topic"], row["partition"], row["next_offset"], begin, end, row["owner_epoch"])
        table.add_row(*map(str, cells), f"{row['updated_at']:%Y-%m-%d %H:%M:%S}", state)
    show_table(table)


async def _reset(settings: CliSettings, group: Group, to: str, topic: str, partition: int) -> int:
    rows = [
        row
        for row in await _rows(settings, group)
        if topic in ("", row["topic"]) and partition in (-1, row["partition"])
    ]
    if not rows:
        raise ConfigError(f"{group} has no such position; see `tickplane positions show {group}`")
    bounds = await log_bounds(settings, sorted({row["topic"] for row in rows}))
    log_id = await read_log_id(settings)
    connection = await connect(settings)
    try:
        async with connection.transaction():
            for row in rows:
                begin, end = bounds[row["topic"], row["partition"]]
                offset = begin if to == "beginning" else end
                if row["log_id"] != log_id and group in (Group.CANDLES, Group.INDICATORS):
                    await _forget_sequences(connection, group, row["partition"])
                await connection.execute(sql("position_reset"), group, row["topic"], row["partition"], offset, log_id)
    finally:
        await connection.close()
    return len(rows)


async def _forget_sequences(connection: Connection, group: Group, partition: int) -> None:
    """The topics were made anew: their offsets begin again, and with them what is numbered by offsets."""
    if group == Group.CANDLES:
        await connection.execute(sql("candles_unsequence"), group, partition)
    await connection.execute(sql("product_states_blank"), group, partition)


async def _rows(settings: CliSettings, group: Group) -> list[asyncpg.Record]:
    connection = await connect(settings)
    try:
        return list(await connection.fetch(sql("position_show"), group))
    finally:
        await connection.close()
