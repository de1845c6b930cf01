"""Many MarketFeeds that are paused: what the operator costs where nothing happens."""

import asyncio

from market_operator.resource import KIND
from tests.operator.kube import Kube

CREATED_AT_ONCE = 8


async def make_paused(kube: Kube, count: int) -> None:
    at_once = asyncio.Semaphore(CREATED_AT_ONCE)

    async def make(number: int) -> None:
        async with at_once:
            await kube.feed(f"paused-{number:04}", products=["BTC-USD", "ETH-USD"], paused=True)

    await asyncio.gather(*(make(number) for number in range(count)))


async def all_paused(kube: Kube, count: int) -> bool:
    """Whether so many have a status that is up to date and speaks of no rollout any more."""
    feeds = (await kube.listed(KIND)).values()
    conditions = [
        {each["type"]: each["status"] for each in feed.get("status", {}).get("conditions", [])} for feed in feeds
    ]
    done = sum(each.get("Paused") == "True" and each.get("Progressing") == "False" for each in conditions)
    assert done == count, f"{done} of {count}"
    return True
