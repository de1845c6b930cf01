"""In this order: everything is scraped and loaded; each thing is broken; every panel has data; every alert clears."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml

from services.contracts.access import ACCESS
from tests.alerts import report, runbooks
from tests.alerts.conftest import FOR_SCALE
from tests.alerts.faults import WAVES, Fault
from tests.alerts.prometheus import Alert, Prometheus
from tests.alerts.report import Seen
from tests.alerts.world import FEED, World
from tests.support.dashboards import panel_queries
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

MONITORING = Path(__file__).parents[2] / "monitoring"
SCRAPED_S = 120
FIRES_S = 420
CLEARS_S = 1_500
"""Some look back over a quarter of an hour."""


@pytest.fixture(scope="session")
def seen() -> Iterator[list[Seen]]:
    """Of every fault so far. What there is at the end goes into the docs."""
    rows: list[Seen] = []
    yield rows
    if rows:
        report.write(rows, FOR_SCALE)


@pytest.fixture(scope="session")
def clearing() -> list["asyncio.Task[None]"]:
    """Waits for alerts to clear, which go on beside the next wave."""
    return []


async def test_every_target_is_up(world: World) -> None:
    expected = set(ACCESS) - {"migrate"}

    async def all_up() -> bool:
        targets = await world.prometheus.targets()
        assert {each["health"] for each in targets} == {"up"}, [
            (each["labels"]["pod"], each["lastError"]) for each in targets if each["health"] != "up"
        ]
        return {each["labels"]["job"] for each in targets} == expected

    await eventually(all_up, SCRAPED_S, interval_s=2)


async def test_every_rule_is_loaded_and_can_be_evaluated(world: World) -> None:
    wanted = {
        rule.get("alert") or rule["record"]
        for path in (MONITORING / "rules").glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    }

    async def evaluated() -> bool:
        rules = await world.prometheus.rules()
        assert rules.keys() == wanted
        assert [rule["name"] for rule in rules.values() if rule["health"] != "ok"] == []
        return True

    await eventually(evaluated, SCRAPED_S, interval_s=2)


async def test_nothing_fires_while_all_is_well(world: World) -> None:
    async def quiet() -> bool:
        assert await world.prometheus.firing() == []
        return True

    await eventually(quiet, SCRAPED_S, interval_s=2)


@pytest.mark.parametrize("wave", WAVES, ids=["+".join(fault.name for fault in wave) for wave in WAVES])
async def test_what_is_broken_fires_and_its_runbook_shows_why(
    world: World, wave: tuple[Fault, ...], seen: list[Seen], clearing: list["asyncio.Task[None]"]
) -> None:
    rows = [Seen(fault.name, alert) for fault in wave for alert in fault.shows]
    seen += rows
    async with AsyncExitStack() as stack:
        broken_at = time.time()
        for fault in wave:
            await stack.enter_async_context(fault.broken(world))
        shows = [shown for fault in wave for shown in fault.shows.values()]
        await asyncio.gather(*(_observe(world, row, shown, broken_at) for row, shown in zip(rows, shows, strict=True)))
    repaired_at = time.monotonic()
    clearing += [asyncio.create_task(_clears(world.prometheus, row, repaired_at)) for row in rows]
    assert [f"{row.alert}: {row.trouble}" for row in rows if row.trouble] == []


async def _observe(world: World, row: Seen, expected: str, broken_at: float) -> None:
    """Wait for the alert, and look as its runbook says. What is wrong is noted: the others are looked at as well."""

    async def fired() -> list[Alert]:
        # One that another fault has set off before says nothing of this one.
        return [alert for alert in await _firing(world.prometheus, row.alert) if alert.active_s >= broken_at]

    try:
        for alert in await eventually(fired, FIRES_S, interval_s=1):
            row.fired_s = row.fired_s or time.time() - broken_at
            row.command = row.command or await _shown(world, alert, expected)
        if row.command is None:
            row.trouble = f"no command of the runbook shows {expected!r}"
    except AssertionError as error:
        row.trouble = str(error).partition("\n")[0]


async def _shown(world: World, alert: Alert, expected: str) -> str | None:
    """Which command of the alert's runbook shows it, run with the alert's labels as variables."""
    labels = {name.upper(): value for name, value in alert.labels.items()}
    variables = {"DATABASE_URL": world.parts.postgres.url, "NAMESPACE": world.cluster.namespace} | labels
    return await runbooks.shown_by(alert.name, expected, variables, world.parts.postgres.programs)


async def _firing(prometheus: Prometheus, name: str) -> list[Alert]:
    return [alert for alert in await prometheus.firing() if alert.name == name]


async def _clears(prometheus: Prometheus, row: Seen, repaired_at: float) -> None:
    async def cleared() -> bool:
        return not await _firing(prometheus, row.alert)

    await eventually(cleared, CLEARS_S, interval_s=2)
    row.cleared_s = time.monotonic() - repaired_at


async def test_every_panel_has_data(world: World) -> None:
    queries = panel_queries(MONITORING / "dashboards", namespace=world.cluster.namespace)
    wanted = [query for query in queries if not query.may_be_empty]

    async def all_have() -> bool:
        assert [str(query) for query in wanted if not await world.prometheus.query(query.expression)] == []
        return True

    # What was broken last has only just been repaired.
    await eventually(all_have, SCRAPED_S, interval_s=5)


async def test_every_alert_clears(world: World, clearing: list["asyncio.Task[None]"]) -> None:
    await asyncio.gather(*clearing)
    await world.cluster.until(FEED, "Ready", "True")
    # What was burnt of an error budget is told for up to six hours after.
    assert [alert for alert in await world.prometheus.firing() if not alert.name.endswith("BudgetBurn")] == []
