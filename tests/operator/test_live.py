"""Feeds whose pods stream: what their answers make of the status, and how products move between them."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from market_operator.resource import KIND
from tests.operator.kube import Kube
from tests.operator.running import Operator
from tests.operator.shards import Shards
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

Object = dict[str, Any]

BTC, ETH, SOL, ADA = "BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"


def _status(kube: Kube, name: str, **wanted: object) -> Callable[[], Coroutine[Any, Any, Object]]:
    """The status, once it has these values; ``Ready`` and the like mean the condition's status and reason."""

    async def check() -> Object:
        status: Object = (await kube.get(KIND, name)).get("status", {})
        found = {**status, **{e["type"]: (e["status"], e["reason"]) for e in status.get("conditions", [])}}
        assert {each: found.get(each) for each in wanted} == wanted, found
        return status

    return check


WELL = {"Ready": ("True", "Streaming"), "Progressing": ("False", "Complete"), "Degraded": ("False", "AsWanted")}


async def test_a_feed_that_streams(kube: Kube, running: Operator, shards: Shards) -> None:
    await kube.feed("a", products=[BTC, ETH, SOL], shards=2)
    status = await eventually(_status(kube, "a", **WELL, readyShards=2, connectedProducts=3, failingProducts=None))
    assert status["lastTradeTime"] > "2026-01-01T00:00:00Z"
    assert status["selector"].endswith("tickplane.io/feed=a")


async def test_products_that_the_exchange_refuses(kube: Kube, running: Operator, shards: Shards) -> None:
    await kube.feed("a", products=[BTC, ETH])
    await eventually(_status(kube, "a", **WELL))
    shards.of(0).rejected[ETH] = "ETH-USD is not a valid product"
    status = await eventually(_status(kube, "a", Degraded=("True", "ProductsRejected"), connectedProducts=1))
    assert status["failingProducts"] == [
        {"name": ETH, "reason": "Rejected", "message": "ETH-USD is not a valid product"}
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"connected": False, "last_end": "GeoBlocked: HTTP 451"}, "Disconnected"),
        ({"kafka": False}, "KafkaUnavailable"),
    ],
)
async def test_what_a_shard_is_without(
    kube: Kube, running: Operator, shards: Shards, change: Object, reason: str
) -> None:
    await kube.feed("a")
    await eventually(_status(kube, "a", **WELL))
    for name, value in change.items():
        setattr(shards.of(0), name, value)
    await eventually(_status(kube, "a", Degraded=("True", reason), Ready=("True", "Streaming")))
    for name in ("connected", "kafka"):
        setattr(shards.of(0), name, True)
    await eventually(_status(kube, "a", **WELL))


async def test_a_silent_shard_is_stale_and_its_pod_is_restarted_once(
    kube: Kube, running: Operator, shards: Shards
) -> None:
    await kube.feed("a")
    await eventually(_status(kube, "a", **WELL))
    first = shards.of(0)
    first.trading = False
    await eventually(_status(kube, "a", Degraded=("True", "Stale"), Ready=("True", "Streaming")))

    async def is_another() -> bool:
        return shards.of(0).pod != first.pod

    await eventually(is_another)
    shards.of(0).trading = False
    await eventually(_status(kube, "a", Degraded=("True", "Stale")))
    assert (await running.metrics()).total("operator_stale_restarts_total") == 1


async def test_a_new_operator_does_not_take_back_what_is_wrong(kube: Kube, operator: Operator, shards: Shards) -> None:
    await operator.begin(TICKPLANE_STALE_RESTARTS_PER_DAY="0")
    await kube.feed("a")
    await eventually(_status(kube, "a", **WELL))
    shards.of(0).trading = False
    before = await eventually(_status(kube, "a", Degraded=("True", "Stale")))
    await operator.again()
    await operator.look_again(kube, "a")
    after = (await kube.get(KIND, "a"))["status"]
    assert after["conditions"] == before["conditions"]


async def test_shards_one_three_one_and_nothing_is_dropped(kube: Kube, running: Operator, shards: Shards) -> None:
    products = [BTC, ETH, SOL, ADA]
    await kube.feed("a", products=products)
    await eventually(_status(kube, "a", **WELL))
    for count in (3, 1):
        await kube.scale("a", count)
        seen = await eventually(_streams_on(kube, shards, "a", count, set(products)), 90, 0.1)
        assert seen
    assert sorted(shard.products for shard in shards) == [tuple(sorted(products))]


def _streams_on(
    kube: Kube, shards: Shards, name: str, count: int, products: set[str]
) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Whether the feed has come to this number of shards; raises as soon as a product is with no pod."""
    seen_at_once: set[str] = set()

    async def check() -> bool:
        streaming = {product for shard in shards for product in shard.products}
        if streaming != products:
            raise RuntimeError(f"nobody streams {products - streaming}")
        seen_at_once.update(streaming)
        status = (await kube.get(KIND, name)).get("status", {})
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        done = conditions.get("Progressing") == "False" and status.get("readyShards") == count
        return done and len(await kube.listed("Pod")) == len(list(shards)) == count

    return check


async def test_another_product_leaves_the_other_pods_alone(kube: Kube, running: Operator, shards: Shards) -> None:
    await kube.feed("a", products=[BTC, ETH, SOL], shards=3)
    await eventually(_status(kube, "a", **WELL, connectedProducts=3))
    before = {shard.pod for shard in shards}
    await kube.patch(KIND, "a", {"spec": {"products": [BTC, ETH, SOL, ADA]}})
    await eventually(_status(kube, "a", **WELL, connectedProducts=4))
    await eventually(lambda: len(list(shards)) == 3)
    assert len(before - {shard.pod for shard in shards}) == 1


async def test_a_rollout_keeps_the_old_pod_until_the_new_one_streams(
    kube: Kube, running: Operator, shards: Shards
) -> None:
    await kube.feed("a")
    await eventually(_status(kube, "a", **WELL))
    old, shards.hold = shards.of(0).pod, True
    await kube.patch(KIND, "a", {"spec": {"logLevel": "DEBUG"}})

    async def both_are_there() -> bool:
        return len(await kube.listed("Pod")) == 2

    await eventually(both_are_there)
    await eventually(_status(kube, "a", Ready=("True", "Streaming"), Progressing=("True", "RollingOut")))
    shards.hold = False
    await eventually(_status(kube, "a", **WELL))
    assert old not in await kube.listed("Pod")


async def test_figures_alone_are_not_written(kube: Kube, running: Operator, shards: Shards) -> None:
    await kube.feed("a")
    await eventually(_status(kube, "a", **WELL))
    await eventually(lambda: running.settled(kube, "a"))
    before = await running.writes()
    shards.of(0).open_gaps = 3
    for _ in range(5):
        await running.look_again(kube, "a")
    assert await running.writes() == before
    shards.of(0).rejected[BTC] = "gone"
    status = await eventually(_status(kube, "a", connectedProducts=0))
    assert status["openGaps"] == 3, "written along with what changed"
