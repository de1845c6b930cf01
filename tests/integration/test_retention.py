"""Rows beyond the retention go, some at a time, and do not come back."""

from typing import Any

import pytest

from services.adapters import retention
from services.domain.candles import RESOLUTIONS
from services.runtime.clock import NS_PER_S, SystemClock
from tests.conftest import StartService
from tests.integration.test_pipeline import trade
from tests.support.database import fetch
from tests.support.log import publish
from tests.support.polling import eventually

pytestmark = pytest.mark.parts

KEPT_DAYS = 30
DAY_S = 86_400
SHORT: dict[str, Any] = {"TICKPLANE_RETENTION_DAYS": KEPT_DAYS}
OLD_MINUTES = retention.ROWS_PER_STATEMENT + 2_000

CANDLES = """
INSERT INTO candles
SELECT exchange, product_id, '1m', $1 + minute * 60000000000, 1, 1, 1, 1, 1, 1, 1, '1', '1', true, true, 1, 0,
    0, 0, 0, 0, 1, 1
FROM product_states CROSS JOIN generate_series(0, $2::bigint - 1) AS minute WHERE consumer_group = 'candle_builder'
"""
INDICATOR_BARS = """
INSERT INTO indicator_bars
SELECT exchange, product_id, '1m', $1 + minute * 60000000000, 1, '', ''
FROM product_states CROSS JOIN generate_series(0, $2::bigint - 1) AS minute WHERE consumer_group = 'indicator_engine'
"""


@pytest.mark.parametrize(
    ("name", "table", "insert"), [("candles", "candles", CANDLES), ("indicators", "indicator_bars", INDICATOR_BARS)]
)
async def test_old_bars_are_pruned_by_their_writer(
    service: StartService, database_url: str, bootstrap_servers: str, name: str, table: str, insert: str
) -> None:
    """More of them than one statement takes, of two products; the first bar that is kept is the first of its day."""
    consumer = await service(name, **SHORT)
    oldest_ns = (SystemClock().now_ns() // (DAY_S * NS_PER_S) - KEPT_DAYS) * DAY_S * NS_PER_S
    await publish(bootstrap_servers, [trade(1, product="A-B"), trade(1, product="C-D")])
    count = f"SELECT count(*), count(*) FILTER (WHERE \"timestamp\" < {oldest_ns}) FROM {table} WHERE resolution = '1m'"

    async def states() -> bool:
        return len(await fetch(database_url, "SELECT FROM product_states")) == 2

    await eventually(states)
    await consumer.terminate()
    before = (await fetch(database_url, count))[0][0]
    await fetch(database_url, insert, oldest_ns - OLD_MINUTES * 60 * NS_PER_S, OLD_MINUTES + 10)
    assert tuple((await fetch(database_url, count))[0]) == (before + 2 * (OLD_MINUTES + 10), 2 * OLD_MINUTES)
    await consumer.start()

    async def pruned() -> bool:
        return bool((await fetch(database_url, count))[0][1] == 0)

    await eventually(pruned)
    assert (await fetch(database_url, count))[0][0] == before + 2 * 10


async def test_with_no_retention_everything_stays(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    consumer = await service("candles", TICKPLANE_RETENTION_DAYS=0)
    await publish(bootstrap_servers, [trade(1, age_s=4_000 * DAY_S)])

    async def stored() -> bool:
        return len(await fetch(database_url, "SELECT FROM candles")) == len(RESOLUTIONS)

    await eventually(stored)
    await consumer.terminate()
    await consumer.start()
    await publish(bootstrap_servers, [trade(2)])

    async def both() -> bool:
        return len(await fetch(database_url, "SELECT FROM candles")) == 2 * len(RESOLUTIONS)

    await eventually(both)


async def test_a_trade_beyond_the_retention_begins_no_bar_anew(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    """Its bar was pruned: one with this trade alone would be wrong. The newer bars know that it is not missing."""
    candles = await service("candles", **SHORT)
    await publish(bootstrap_servers, [trade(3, age_s=20 * DAY_S)])
    old = [trade(number, age_s=(KEPT_DAYS + 10) * DAY_S) for number in (2, 4)]
    await publish(bootstrap_servers, old)

    async def complete() -> bool:
        rows = await fetch(database_url, "SELECT trade_count, complete FROM candles")
        return [tuple(row) for row in rows] == [(1, True)] * len(RESOLUTIONS)

    await eventually(complete)
    assert (await candles.metrics()).total("trades_beyond_retention_total") == 2
