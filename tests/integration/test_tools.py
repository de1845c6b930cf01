"""The tools, run as users run them, against the real Kafka, Postgres and running consumers."""

from typing import Any

import msgspec
import pytest

from services.contracts.events import DeadLetter
from services.contracts.topics import Group, Topic
from tests.conftest import StartService
from tests.crash import verdict
from tests.integration.test_pipeline import send, trade
from tests.support.database import fetch
from tests.support.log import publish, records
from tests.support.polling import eventually
from tests.support.trades import Mix, generate

pytestmark = pytest.mark.parts

FOR_EVER: dict[str, Any] = {"TICKPLANE_RETENTION_DAYS": 0}


async def _tool(service: StartService, *words: str) -> tuple[int, str]:
    """Exit code and output of ``tickplane <words>``."""
    tool = await service("tool", start=False)
    tool.module = ("services", *words)
    await tool.start()
    code = await tool.wait()
    return code, tool.last_output()


async def test_a_dead_letter_is_listed_shown_and_replayed(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    await service("recorder")
    await send(bootstrap_servers, b"test:C-D", msgspec.json.encode(trade(7)))
    await publish(bootstrap_servers, [trade(1)])
    await eventually(lambda: records(bootstrap_servers, Topic.MARKET_TRADES_DLQ))
    (record,) = await records(bootstrap_servers, Topic.MARKET_TRADES_DLQ)
    key = record.key.decode()

    code, shown = await _tool(service, "dlq", "show", key)
    assert code == 0
    assert msgspec.json.decode(shown, type=DeadLetter).error_type == "key"
    assert (await _tool(service, "dlq", "list"))[0] == 0
    code, said = await _tool(service, "dlq", "replay", key)
    assert (code, said) == (0, f"published {key} again")
    again = [r for r in await records(bootstrap_servers, Topic.MARKET_TRADES) if r.key == b"test:C-D"]
    assert len(again) == 2
    assert again[0].value == again[1].value

    code, said = await _tool(service, "dlq", "show", "market_trades/0/999")
    assert code == 2
    assert "there is no dead letter" in said


async def test_candles_are_rebuilt_beside_a_running_builder(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(4_000, Mix(products=2), seed=11)
    await service("recorder", **FOR_EVER)
    await service("candles", **FOR_EVER)
    await publish(bootstrap_servers, trades[:3_000])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    await fetch(
        database_url, "UPDATE candles SET high = high + 1, trade_count = 0, volume = 5 WHERE product_id = 'P0-USD'"
    )
    assert await verdict.candle_differences(database_url, trades[:3_000]) != []
    times = ("2025-12-20T00:00:00Z", "2026-01-03T00:00:00Z")
    code, said = await _tool(service, "rebuild", "candles", "P0-USD", *times, "--exchange", "test")
    assert code == 0, said
    await publish(bootstrap_servers, trades[3_000:])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    assert await verdict.candle_differences(database_url, trades) == []
    assert await verdict.unpublished(database_url, bootstrap_servers) == []


async def test_a_state_that_cannot_be_read_is_rebuilt(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    trades = generate(4_000, Mix(products=3), seed=12)
    consumers = [await service(name, **FOR_EVER) for name in ("recorder", "candles", "indicators")]
    await publish(bootstrap_servers, trades[:2_000])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    for consumer in consumers:
        await consumer.terminate()
    await fetch(database_url, "UPDATE product_states SET state = decode('81a776657273696f6e63', 'hex')")
    for consumer in consumers:
        await consumer.start()
    await publish(bootstrap_servers, trades[1_900:])
    await eventually(lambda: verdict.caught_up(database_url, bootstrap_servers))
    assert await verdict.differences(database_url, bootstrap_servers, trades, indicators=False) == []


async def test_positions_are_shown(service: StartService, bootstrap_servers: str) -> None:
    recorder = await service("recorder")
    await publish(bootstrap_servers, [trade(1)])
    await recorder.wait_ready()
    code, said = await _tool(service, "positions", "show", Group.RECORDER)
    assert code == 0
    assert "market_trades" in said


async def test_a_bad_setting_is_one_line_and_exit_2(service: StartService) -> None:
    for variables, named in (
        ({"TICKPLANE_FLUSH_INTERVAL_MS": "never"}, "TICKPLANE_FLUSH_INTERVAL_MS"),
        ({"TICKPLANE_FLUSH_INTERVALL_MS": 250}, "did you mean TICKPLANE_FLUSH_INTERVAL_MS"),
    ):
        settings: dict[str, Any] = variables
        consumer = await service("candles", **settings)
        assert await consumer.wait() == 2
        assert named in consumer.last_output()
        assert len(consumer.last_output().splitlines()) == 1
