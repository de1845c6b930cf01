"""Real recordings, not restamped, through replay, feed, Kafka, recorder and candles: every id once, bars exact."""

from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from services.contracts.events import Trade
from services.contracts.topics import Topic
from services.replay.exchange import FakeExchange
from services.replay.playback import play
from services.replay.recordings import read_recording
from tests import oracle
from tests.conftest import StartService
from tests.crash import verdict
from tests.support.log import records
from tests.support.polling import eventually
from tests.unit.test_replay_recordings import RECORDED, recorded

pytestmark = [pytest.mark.parts, recorded]

FRAMES_MAX = 1_000_000
RECORDINGS = {
    "coinbase-exchange": "coinbase/exchange_ws_20210417.frames.gz",
    "binance": "binance/spot_btcusdt_20240808.frames.gz",
}


def _file(name: str) -> Path:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"{path} is not there: set TICKPLANE_RECORDED to a folder of recordings")
    return path


@pytest.mark.parametrize(("venue", "name"), RECORDINGS.items())
async def test_every_recorded_trade_is_stored_once_and_the_bars_are_exact(
    service: StartService, database_url: str, bootstrap_servers: str, venue: str, name: str
) -> None:
    recording = read_recording([_file(name)], venue, FRAMES_MAX)
    everything: dict[str, Any] = {"TICKPLANE_RETENTION_DAYS": 0}
    for consumer in ("recorder", "candles"):
        await service(consumer, **everything)
    async with FakeExchange(recording.protocol, recording.products, history=recording.history) as exchange:
        feed = await service(
            "feed",
            TICKPLANE_VENUE=venue,
            TICKPLANE_PRODUCTS=",".join(recording.products),
            TICKPLANE_ENDPOINT=exchange.endpoint,
        )
        await exchange.subscribed(*recording.products)
        await play(recording, exchange, None)
        expected = {(trade.product_id, str(trade.number)) for trade in recording.trades}
        await eventually(lambda: _stored(database_url, expected), timeout_s=60)
        assert await feed.terminate() == 0
    trades = [msgspec.json.decode(r.value, type=Trade) for r in await records(bootstrap_servers, Topic.MARKET_TRADES)]
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers), 60)
    assert await verdict.candle_differences(database_url, trades) == []
    rows = await _rows(database_url)
    assert oracle.compare(rows, oracle.trades(trades), verdict.TRADE_KEY) == []


async def _rows(database_url: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database_url)
    try:
        return [dict(row) for row in await connection.fetch("SELECT * FROM trades")]
    finally:
        await connection.close()


async def _stored(database_url: str, expected: set[tuple[str, str]]) -> bool:
    found = [(row["product_id"], row["trade_id"]) for row in await _rows(database_url)]
    assert len(found) == len(set(found)), "a trade is stored twice"
    missing = expected - set(found)
    assert not missing, f"{len(missing)} are missing, such as {next(iter(missing))}"
    return set(found) == expected
