"""The operator when it dies in the middle of things, and when the API server or a watch does."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from market_operator.resource import KIND
from tests.operator.conftest import IMAGE, QUICK
from tests.operator.kube import Kube
from tests.operator.proxy import Proxy
from tests.operator.running import Operator
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

DEAD_WATCH = {"TICKPLANE_OPERATOR_LISTING_INTERVAL_S": "1", "TICKPLANE_OPERATOR_LISTING_PATIENCE_S": "1"}
NEVER = {"TICKPLANE_OPERATOR_LISTING_INTERVAL_S": "86400"}


@pytest.fixture
async def proxy(cluster: None) -> AsyncIterator[Proxy]:
    async with Proxy() as proxy:
        yield proxy


@pytest.fixture
async def behind(kube: Kube, proxy: Proxy, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator that reaches the API server by the proxy; not yet started."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(proxy.kubeconfig(kube.namespace))
    env = {"KUBECONFIG": str(kubeconfig), "TICKPLANE_OPERATOR_NAMESPACE": kube.namespace, "TICKPLANE_FEED_IMAGE": IMAGE}
    operator = Operator({**env, **QUICK}, tmp_path / "operator.jsonl")
    yield operator
    proxy.flowing.set()
    if operator.running:
        await operator.terminate()


async def _acts(kube: Kube, name: str) -> bool:
    feed = await kube.get(KIND, name)
    return bool(feed.get("status", {}).get("observedGeneration") == feed["metadata"]["generation"])


async def _is_dead(operator: Operator) -> bool:
    return not operator.running


async def test_killed_in_the_middle_it_goes_on_where_it_was(kube: Kube, running: Operator) -> None:
    names = [f"feed-{number}" for number in range(20)]
    await asyncio.gather(*(kube.feed(name, exchange=name) for name in names))

    async def has_begun() -> bool:
        return 0 < len(await kube.listed("Deployment", ours=True)) < len(names)

    await eventually(has_begun, interval_s=0.01)
    await running.kill()
    await running.begin()
    for name in names:
        await eventually(partial(_acts, kube, name))
    assert sorted(await kube.listed("Deployment", ours=True)) == [f"mf-{name}-0" for name in sorted(names)]


async def test_a_watch_that_brings_nothing_ends_the_process(kube: Kube, proxy: Proxy, behind: Operator) -> None:
    await behind.begin(**DEAD_WATCH)
    await kube.feed("a")
    await eventually(lambda: _acts(kube, "a"))
    proxy.deaf.add("deployments")
    await kube.patch("Deployment", "mf-a-0", {"metadata": {"labels": {"team": "prices"}}})
    assert await asyncio.wait_for(behind.wait(), 30) == 1
    assert "the watch of Deployment missed" in behind.last_output()


async def test_control_without_listing_it_is_not_noticed(kube: Kube, proxy: Proxy, behind: Operator) -> None:
    await behind.begin(**NEVER)
    await kube.feed("a")
    await eventually(lambda: _acts(kube, "a"))
    proxy.deaf.add("deployments")
    await kube.patch("Deployment", "mf-a-0", {"metadata": {"labels": {"team": "prices"}}})
    with pytest.raises(AssertionError):
        await eventually(lambda: _is_dead(behind), 10)


async def test_while_watches_work_listing_finds_nothing(kube: Kube, behind: Operator) -> None:
    await behind.begin(**DEAD_WATCH)
    for number in range(10):
        await kube.feed(f"feed-{number}", exchange=f"label-{number}")
    await eventually(lambda: _acts(kube, "feed-9"))
    for number in range(10):
        await kube.delete(KIND, f"feed-{number}")
    with pytest.raises(AssertionError):
        await eventually(lambda: _is_dead(behind), 8)


async def test_the_api_server_comes_back(kube: Kube, proxy: Proxy, behind: Operator) -> None:
    await behind.begin(**NEVER)
    await kube.feed("a")
    await eventually(lambda: _acts(kube, "a"))
    proxy.away = True
    proxy.cut()
    await kube.patch(KIND, "a", {"spec": {"logLevel": "DEBUG"}})
    proxy.away = False
    await eventually(lambda: _acts(kube, "a"), 60)
    assert behind.running


async def test_a_stop_before_it_is_ready_is_a_stop(proxy: Proxy, behind: Operator) -> None:
    proxy.flowing.clear()
    await behind.start()

    async def listens() -> bool:
        return not (await behind.ready())["ready"]

    await eventually(listens)
    assert await behind.terminate() == 0


async def test_it_waits_for_the_resource_to_be_known(kube: Kube, proxy: Proxy, behind: Operator) -> None:
    proxy.away = True
    await behind.start()

    async def says_why() -> bool:
        dependencies = (await behind.ready())["dependencies"]
        return "kubernetes" in dependencies and not dependencies["kubernetes"]["up"]

    await eventually(says_why)
    proxy.away = False
    await behind.wait_ready(60)
