"""``tickplane rebuild``: derived data again from what Postgres keeps."""

import asyncio
from typing import Annotated

import msgspec
import typer

from services.adapters import candles_table
from services.adapters.kafka import Producer
from services.adapters.postgres import Connection, connect, sql
from services.cli.settings import CliSettings
from services.contracts.errors import ConfigError, InfraError
from services.contracts.events import product_key
from services.contracts.topics import Group, Topic
from services.domain.bars import ProductBars, ProductState, candle
from services.domain.candles import RESOLUTIONS, bar_start
from services.runtime.clock import SystemClock, parse_rfc3339
from services.runtime.health import Health

app = typer.Typer(no_args_is_help=True, help=__doc__)
DAY_NS = RESOLUTIONS["1d"]
RECORDER_PATIENCE_S = 30.0


@app.callback()
def group() -> None:
    """Derived data again from what Postgres keeps."""


@app.command()
def candles(
    product: str,
    start: Annotated[str, typer.Argument(help="RFC 3339, such as 2026-01-31T00:00:00Z")],
    end: Annotated[str, typer.Argument(help="RFC 3339; the whole UTC days that start and end touch are rebuilt")],
    exchange: str = "coinbase",
) -> None:
    """Compute the bars of a product again from its stored trades, and publish those that differ."""
    try:
        first = bar_start(parse_rfc3339(start), DAY_NS)
        last = bar_start(parse_rfc3339(end) - 1, DAY_NS) + DAY_NS
    except ValueError as error:
        raise ConfigError(str(error)) from None
    compared, changed = asyncio.run(_rebuild(CliSettings.load(), exchange, product, first, last))
    print(f"{compared} bars computed again, {changed} of them differed and were stored")


async def _rebuild(settings: CliSettings, exchange: str, product_id: str, first: int, last: int) -> tuple[int, int]:
    """The position's row is locked and its owner's epoch raised: a running builder's next commit is rolled back, and it
    begins again from what is stored here."""
    producer = Producer(settings, Health("cli", SystemClock()))
    connection = await connect(settings)
    try:
        await producer.start()
        async with connection.transaction():
            product = await _take(connection, exchange, product_id)
            await _wait_for_recorder(connection, exchange, product_id)
            fresh = await candles_table.compute(connection, product, first, last, product.state.seen)
            stored = await candles_table.read(connection, product, first, last)
            product.rebuild(fresh, stored)
            changes = product.settle(clock_ns=product.state.newest_time, head=0, grace_ns=0)
            for key, bar in changes:
                value = msgspec.json.encode(candle(exchange, product_id, key, bar))
                ack = await producer.send(Topic.CANDLES, product_key(exchange, product_id), value)
                await producer.acknowledged([ack])
            await candles_table.store(connection, [(product, changes)])
            state = msgspec.msgpack.encode(product.state)
            await connection.execute(sql("product_state_replace"), Group.CANDLES, exchange, product_id, state)
    finally:
        await connection.close()
        await producer.stop()
    return len(fresh), len(changes)


async def _wait_for_recorder(connection: Connection, exchange: str, product_id: str) -> None:
    """Until the recorder has stored what the builder has folded: else it would be missing from the bars for good. The
    builder waits meanwhile, for its position's row is ours."""
    names = (Group.RECORDER, Group.CANDLES, Topic.MARKET_TRADES)
    partition = await connection.fetchval(sql("product_partition"), Group.CANDLES, exchange, product_id)
    try:
        async with asyncio.timeout(RECORDER_PATIENCE_S):
            while await connection.fetchval(sql("group_is_behind"), *names, partition):
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise InfraError("recorder", "it is behind the candle builder: start it, and try again") from None


async def _take(connection: Connection, exchange: str, product_id: str) -> ProductBars:
    row = await connection.fetchrow(sql("product_state_take"), Group.CANDLES, exchange, product_id, Topic.MARKET_TRADES)
    if row is None:
        raise ConfigError(f"the candle builder knows no product {product_id} of {exchange}; see GET /markets")
    return ProductBars(exchange, product_id, msgspec.msgpack.decode(row["state"], type=ProductState))
