"""MarketFeeds on a real API server: what the operator makes, puts back, takes away, and leaves alone."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from market_operator.moves import products_of
from market_operator.resource import KIND
from services.runtime.clock import NS_PER_S, SystemClock, parse_rfc3339
from tests.operator.kube import CHILDREN, Kube
from tests.operator.running import Operator
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

Object = dict[str, Any]

BTC, ETH, SOL = "BTC-USD", "ETH-USD", "SOL-USD"


async def _children(kube: Kube) -> dict[str, list[str]]:
    return {kind: sorted(await kube.listed(kind, ours=True)) for kind in CHILDREN}


async def _observed(kube: Kube, name: str) -> Object:
    """The feed, once the operator has acted on what its spec says now."""

    async def check() -> Object | None:
        feed = await kube.get(KIND, name)
        return feed if feed.get("status", {}).get("observedGeneration") == feed["metadata"]["generation"] else None

    found = await eventually(check)
    assert found is not None
    return found


def _says(kube: Kube, name: str, kind: str, status: str, reason: str) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def check() -> bool:
        conditions = await kube.conditions(name)
        assert conditions.get(kind) == (status, reason), conditions
        return True

    return check


async def test_a_feed_gets_its_objects_and_its_status(kube: Kube, running: Operator) -> None:
    made = await kube.feed("a", products=[BTC, ETH, SOL], shards=2)
    feed = await _observed(kube, "a")
    assert await _children(kube) == {
        "Deployment": ["mf-a-0", "mf-a-1"],
        "ServiceAccount": ["mf-a"],
        "NetworkPolicy": ["mf-a"],
        "PodMonitor": ["mf-a"],
    }
    assert feed["spec"] == made["spec"]
    assert feed["metadata"].keys() == made["metadata"].keys(), "no finalizer, no annotation"
    assert (feed["status"]["exchange"], feed["status"]["products"], feed["status"]["shards"]) == ("demo", 3, 2)
    await eventually(_says(kube, "a", "Ready", "False", "ShardsNotReady"))
    await eventually(_says(kube, "a", "Progressing", "True", "RollingOut"))


async def test_deletion_needs_no_operator(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await _observed(kube, "a")
    assert await running.terminate() == 0
    await kube.delete(KIND, "a")

    async def nothing_is_left() -> bool:
        return not any((await _children(kube)).values())

    await eventually(nothing_is_left, 60)


async def test_a_new_operator_and_a_steady_state_write_nothing(kube: Kube, running: Operator) -> None:
    feeds = ("a", "b", "c")
    for name in feeds:
        await kube.feed(name, products=[BTC, ETH], shards=2, exchange=f"label-{name}", resources={"limits": {"cpu": 2}})
        await _observed(kube, name)
    await eventually(lambda: running.settled(kube, *feeds), 60)
    before = await kube.versions()
    await running.again()
    await running.look_again(kube, *feeds)
    assert await running.writes() == 0
    assert await kube.versions() == before


async def test_control_a_changed_spec_is_written(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await eventually(lambda: running.settled(kube, "a"), 60)
    before = await running.writes()
    await kube.patch(KIND, "a", {"spec": {"logLevel": "DEBUG"}})
    await _observed(kube, "a")
    assert await running.writes() > before


async def test_what_somebody_edited_is_put_back(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await _observed(kube, "a")
    before = {kind: (await kube.listed(kind, ours=True)) for kind in CHILDREN}
    await kube.patch("Deployment", "mf-a-0", {"spec": {"replicas": 3, "minReadySeconds": 0}})
    await kube.patch("ServiceAccount", "mf-a", {"automountServiceAccountToken": True})
    await kube.patch("NetworkPolicy", "mf-a", {"spec": {"egress": [{}]}})
    await kube.patch("PodMonitor", "mf-a", {"spec": {"podMetricsEndpoints": [{"port": "other"}]}})

    async def is_back() -> bool:
        deployment = await kube.get("Deployment", "mf-a-0")
        assert (deployment["spec"]["replicas"], deployment["spec"].get("minReadySeconds")) == (1, 5)
        assert not (await kube.get("ServiceAccount", "mf-a"))["automountServiceAccountToken"]
        for kind in ("NetworkPolicy", "PodMonitor"):
            assert (await kube.get(kind, "mf-a"))["spec"] == before[kind]["mf-a"]["spec"]
        return True

    await eventually(is_back)


async def test_what_somebody_deleted_or_took_the_labels_of_is_made_again(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await _observed(kube, "a")
    before = await _children(kube)
    await kube.delete("Deployment", "mf-a-0")
    await kube.patch("NetworkPolicy", "mf-a", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})

    async def is_back() -> bool:
        return await _children(kube) == before

    await eventually(is_back)


async def test_what_somebody_added_is_left_to_him(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await eventually(lambda: running.settled(kube, "a"), 60)
    before = await running.writes()
    await kube.patch("Deployment", "mf-a-0", {"metadata": {"labels": {"team": "prices"}}})
    await running.look_again(kube, "a")
    assert (await kube.get("Deployment", "mf-a-0"))["metadata"]["labels"]["team"] == "prices"
    assert await running.writes() == before


async def test_a_field_that_another_applies_is_a_conflict(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await _observed(kube, "a")
    await kube.apply("Deployment", "mf-a-0", {"spec": {"minReadySeconds": 30}}, manager="argocd")
    await eventually(_says(kube, "a", "Degraded", "True", "FieldConflict"))
    assert "argocd" in (await kube.condition("a", "Degraded"))["message"]
    assert (await kube.get("Deployment", "mf-a-0"))["spec"]["minReadySeconds"] == 30
    await kube.apply("Deployment", "mf-a-0", {}, manager="argocd")
    await eventually(_says(kube, "a", "Degraded", "True", "Unschedulable"))
    assert (await kube.get("Deployment", "mf-a-0"))["spec"]["minReadySeconds"] == 5


async def test_a_new_value_of_the_annotation_applies_everything_again(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await eventually(lambda: running.settled(kube, "a"), 60)
    before = await running.writes()
    await kube.patch(KIND, "a", {"metadata": {"annotations": {"tickplane.io/reconcile": "now"}}})

    async def everything_is_applied() -> bool:
        return await running.writes() == before + len(CHILDREN)

    await eventually(everything_is_applied)
    await running.look_again(kube, "a")
    assert await running.writes() == before + len(CHILDREN)


async def test_paused_and_resumed(kube: Kube, running: Operator) -> None:
    await kube.feed("a", paused=True)
    await eventually(_says(kube, "a", "Paused", "True", "Paused"))
    await eventually(_says(kube, "a", "Progressing", "False", "Complete"))
    assert (await kube.get("Deployment", "mf-a-0"))["spec"]["replicas"] == 0
    await kube.patch(KIND, "a", {"spec": {"paused": False}})
    await eventually(_says(kube, "a", "Paused", "False", "Running"))
    assert (await kube.get("Deployment", "mf-a-0"))["spec"]["replicas"] == 1


async def test_shards_that_are_wanted_no_longer_go(kube: Kube, running: Operator) -> None:
    """Paused, so that nobody waits for pods; ``test_live`` moves products of pods that stream."""
    await kube.feed("a", products=[BTC, ETH, SOL], shards=3, paused=True)
    await _observed(kube, "a")
    shards = (await _children(kube))["Deployment"]
    assert len(shards) > 1
    await kube.scale("a", 1)

    async def one_is_left() -> bool:
        found = await kube.listed("Deployment", ours=True)
        return list(found) == ["mf-a-0"] and set(products_of(found["mf-a-0"])) == {BTC, ETH, SOL}

    await eventually(one_is_left)


async def test_a_shard_keeps_its_products_until_another_streams_them(kube: Kube, running: Operator) -> None:
    await kube.feed("a", products=[BTC, ETH, SOL])
    await _observed(kube, "a")
    before = await kube.get("Deployment", "mf-a-0")
    await kube.scale("a", 3)
    await _observed(kube, "a")
    found = await kube.listed("Deployment", ours=True)
    assert len(found) > 1
    assert set(products_of(found["mf-a-0"])) == {BTC, ETH, SOL}, "no pod of another shard streams"
    assert found["mf-a-0"]["metadata"]["generation"] == before["metadata"]["generation"]


async def test_another_product_restarts_its_shard_alone(kube: Kube, running: Operator) -> None:
    await kube.feed("a", products=[BTC, ETH], shards=2)
    await _observed(kube, "a")
    before = {
        name: item["metadata"]["generation"] for name, item in (await kube.listed("Deployment", ours=True)).items()
    }
    await kube.patch(KIND, "a", {"spec": {"products": [BTC, ETH, SOL]}})
    await _observed(kube, "a")
    after = {
        name: item["metadata"]["generation"] for name, item in (await kube.listed("Deployment", ours=True)).items()
    }
    assert sum(after[name] - before.get(name, 0) for name in after) == 1


async def _older(kube: Kube, name: str, product: str) -> None:
    """A feed of a second before now: times of creation are no finer."""
    made = await kube.feed(name, products=[product])
    await _observed(kube, name)
    created_ns = parse_rfc3339(made["metadata"]["creationTimestamp"])
    await eventually(lambda: SystemClock().now_ns() > created_ns + NS_PER_S)


async def test_the_younger_of_two_feeds_gives_way_until_the_older_is_gone(kube: Kube, running: Operator) -> None:
    await _older(kube, "old", BTC)
    await kube.feed("young", products=[BTC, ETH])
    young = await _observed(kube, "young")
    assert [(each["name"], each["reason"]) for each in young["status"]["failingProducts"]] == [(BTC, "Conflict")]
    assert products_of(await kube.get("Deployment", "mf-young-0")) == (ETH,)
    await kube.delete(KIND, "old")

    async def has_both() -> bool:
        status = (await kube.get(KIND, "young"))["status"]
        products = products_of(await kube.get("Deployment", "mf-young-0"))
        return "failingProducts" not in status and set(products) == {BTC, ETH}

    await eventually(has_both)


async def test_a_feed_all_of_whose_products_another_has_runs_nothing(kube: Kube, running: Operator) -> None:
    await _older(kube, "old", BTC)
    await kube.feed("young", products=[BTC])
    await eventually(_says(kube, "young", "Ready", "False", "Conflict"))
    await eventually(_says(kube, "young", "Degraded", "True", "Conflict"))
    assert list(await kube.listed("Deployment", ours=True)) == ["mf-old-0"]


async def test_a_conditions_time_moves_with_its_status_and_events_tell_of_it(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await eventually(_says(kube, "a", "Progressing", "True", "RollingOut"))
    before = await kube.condition("a", "Paused")
    await kube.patch(KIND, "a", {"spec": {"logLevel": "DEBUG"}})
    await _observed(kube, "a")
    after = await kube.condition("a", "Paused")
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    assert after["observedGeneration"] == before["observedGeneration"] + 1

    async def is_told() -> bool:
        events = [each for each in (await kube.listed("Event")).values() if each["involvedObject"]["kind"] == KIND]
        return "RollingOut" in {each["reason"] for each in events}

    await eventually(is_told)
