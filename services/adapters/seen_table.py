"""What has been seen, from what is stored: for a stored state that this version cannot read."""

from services.adapters.postgres import Connection, sql
from services.domain.seen import IDS_MAX, Seen


async def seen(connection: Connection, exchange: str, product_id: str) -> Seen:
    """Every trade of the table ``trades``, which holds exactly those that the recorder has folded."""
    found = Seen()
    for row in await connection.fetch(sql("trades_number_runs"), exchange, product_id):
        found.numbers.add_run(row["first"], row["last"])
    for row in await connection.fetch(sql("trades_unnumbered"), exchange, product_id, IDS_MAX):
        found.ids[row["trade_id"]] = None
    return found
