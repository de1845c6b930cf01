"""What has been seen, from what is stored: for a stored state that this version cannot read."""

from services.adapters.postgres import Connection, sql
from services.contracts.errors import InfraError
from services.contracts.topics import Group, Topic
from services.domain.seen import IDS_MAX, Seen
from services.runtime import logging


async def recorded(connection: Connection, group: Group, partition: int, exchange: str, product_id: str) -> Seen:
    """Every trade that the recorder has, for a group whose state of the product is rebuilt from them.

    Raises InfraError while the recorder has read less than the group had: what was folded already would be missing.
    """
    behind = await connection.fetchval(sql("group_is_behind"), Group.RECORDER, group, Topic.MARKET_TRADES, partition)
    if behind:
        raise InfraError("postgres", "the recorder is behind: the state is rebuilt once it has caught up")
    logging.logger().warning("state_rebuilt", group=group, exchange=exchange, product=product_id)
    return await seen(connection, exchange, product_id)


async def seen(connection: Connection, exchange: str, product_id: str) -> Seen:
    """Every trade of the table ``trades``, which holds exactly those that the recorder has folded."""
    found = Seen()
    for row in await connection.fetch(sql("trades_number_runs"), exchange, product_id):
        found.numbers.add_run(row["first"], row["last"])
    for row in await connection.fetch(sql("trades_unnumbered"), exchange, product_id, IDS_MAX):
        found.ids[row["trade_id"]] = None
    return found
