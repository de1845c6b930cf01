"""Two hundred feeds that want nothing: the operator looks at them again and again, and writes nothing."""

import asyncio

import pytest

from market_operator.resource import KIND
from tests.operator.kube import Kube
from tests.operator.paused import all_paused, make_paused
from tests.operator.running import Operator
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

FEEDS = 200
STEADY_S = 20
QUICK = {"TICKPLANE_OPERATOR_LISTING_INTERVAL_S": "3", "TICKPLANE_OPERATOR_FIGURES_INTERVAL_S": "3"}
"""So that each kind of second look comes several times meanwhile: listings, polls, the status' figures."""


async def test_two_hundred_paused_feeds_are_left_alone(kube: Kube, operator: Operator) -> None:
    await operator.begin(**QUICK)
    await make_paused(kube, FEEDS)
    await eventually(lambda: all_paused(kube, FEEDS), 180, 1)
    names = sorted(await kube.listed(KIND))
    await eventually(lambda: operator.settled(kube, *names), 120)
    before, feeds, written = await kube.versions(), await _feed_versions(kube), await operator.writes()
    await asyncio.sleep(STEADY_S)
    assert await operator.writes() == written
    assert await _feed_versions(kube) == feeds
    await operator.again()
    await operator.look_again(kube, *names)
    assert await operator.writes() == 0
    assert await kube.versions() == before
    await _control_one_that_wants_something_is_written(kube, operator, names[0])


async def _feed_versions(kube: Kube) -> dict[str, str]:
    return {name: feed["metadata"]["resourceVersion"] for name, feed in (await kube.listed(KIND)).items()}


async def _control_one_that_wants_something_is_written(kube: Kube, operator: Operator, name: str) -> None:
    before = await kube.versions()
    await kube.patch(KIND, name, {"spec": {"logLevel": "DEBUG"}})

    async def is_written() -> bool:
        return await kube.versions() != before and await operator.writes() > 0

    await eventually(is_written)
