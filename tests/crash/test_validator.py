"""The promise of ``raw_ticks``: whatever dies, whenever, each tick is answered, and a reader sees each answer once."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.contracts import events
from services.contracts.events import RawTick, ValidatedTrade
from services.contracts.topics import Group, Topic
from tests.conftest import StartService
from tests.crash.dying import run_dying
from tests.support.database import fetch
from tests.support.log import producer, records
from tests.support.polling import eventually
from tests.support.validator import NOW_NS

pytestmark = pytest.mark.parts

TICKS = 20_000
KILLS = 10
OVER_S = 20.0
CATCH_UP_S = 120.0
STATIC: dict[str, Any] = {
    "GRPC_SERVER_ADDRESS": "localhost:0",
    "TICKPLANE_GROUP_INSTANCE_ID": "validator-0",
    "TICKPLANE_BATCH_RECORDS_MAX": 1_000,
}


def _tick(number: int) -> RawTick:
    return RawTick(f"I{number % 40}-X", 10.0 if number % 9 else -1.0, 1 + number, NOW_NS)


async def _publish(bootstrap_servers: str, ticks: int, over_s: float) -> None:
    began = time.monotonic()
    async with producer(bootstrap_servers) as client:
        for number in range(ticks):
            tick = _tick(number)
            await client.send(Topic.RAW_TICKS, msgspec.json.encode(tick), key=tick.instrument_id.encode())
            if number % 100 == 0:
                await asyncio.sleep(max(0.0, began + over_s * number / ticks - time.monotonic()))
        await client.flush()


async def _caught_up(database_url: str, ticks: int) -> bool:
    rows = await fetch(database_url, "SELECT next_offset FROM positions WHERE consumer_group = $1", Group.VALIDATOR)
    return bool(sum(row["next_offset"] for row in rows) == ticks)


async def _answers(bootstrap_servers: str) -> list[tuple[int, ValidatedTrade]]:
    """(partition, verdict) of all there is, in the order of each partition."""
    found = await records(bootstrap_servers, Topic.VALIDATED_TRADES)
    return [(record.partition, msgspec.json.decode(record.value, type=events.ValidatedTrade)) for record in found]


def _seen_by_a_reader(answers: Sequence[tuple[int, ValidatedTrade]]) -> list[ValidatedTrade]:
    """What is above the highest sequence of its key, as the contract has it."""
    highest: dict[tuple[int, int | None], int] = {}
    seen = []
    for partition, trade in answers:
        key = (partition, trade.input_partition)
        if trade.input_sequence > highest.get(key, -1):
            highest[key] = trade.input_sequence
            seen.append(trade)
    return seen


def _wrong(answers: Sequence[ValidatedTrade]) -> list[str]:
    """Volumes are the ticks' numbers: which of them are missing, or there twice, or have the wrong verdict."""
    numbers = [trade.volume - 1 for trade in answers]
    found = [f"missing: {number}" for number in set(range(TICKS)) - set(numbers)]
    found += [f"repeated: {len(numbers) - len(set(numbers))}"] if len(numbers) != len(set(numbers)) else []
    return found + [
        f"{trade.volume - 1} is {trade.status}"
        for trade in answers
        if (trade.status == "VALID") != ((trade.volume - 1) % 9 != 0)
    ]


async def test_sigkill_under_load_leaves_each_tick_answered_once(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    validator = await service("validator", **STATIC)
    flow = asyncio.create_task(_publish(bootstrap_servers, TICKS, OVER_S))
    chance = random.Random(1)
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        await validator.kill()
        await validator.start()
    await flow
    await eventually(lambda: _caught_up(database_url, TICKS), CATCH_UP_S)
    assert _wrong(_seen_by_a_reader(await _answers(bootstrap_servers))) == []
    assert await validator.terminate() == 0


async def _run_dying(service: StartService, variant: str, database_url: str, bootstrap_servers: str) -> int:
    """Run a validator of ``tests.crash.controls`` until it has read all, started again each time it dies. Returns how
    often it died."""
    validator = await service("validator", start=False, **STATIC)
    flow = asyncio.create_task(_publish(bootstrap_servers, TICKS, OVER_S))
    return await run_dying(validator, variant, flow, lambda: _caught_up(database_url, TICKS))


async def test_a_death_between_any_two_steps_leaves_each_tick_answered_once(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    assert await _run_dying(service, "whole", database_url, bootstrap_servers) >= 3
    answers = await _answers(bootstrap_servers)
    assert _wrong(_seen_by_a_reader(answers)) == []
    # Control: without the comparison a reader would have seen some twice.
    assert len(answers) > TICKS
    # The same by the trade's id, which is what most will compare.
    assert len({trade.trade_id for _, trade in answers}) == TICKS


async def test_control_publishing_after_the_commit_leaves_ticks_unanswered(
    service: StartService, database_url: str, bootstrap_servers: str
) -> None:
    assert await _run_dying(service, "publish-last", database_url, bootstrap_servers) >= 1
    assert any(line.startswith("missing") for line in _wrong(_seen_by_a_reader(await _answers(bootstrap_servers))))
