"""One release lives through what a release lives through, in this order, while the exchange goes on trading.

At the end every trade that the exchange made is there once, and the candles are the oracle's.
"""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import websockets

from services.runtime.clock import rfc3339
from tests.crash.verdict import candle_differences, caught_up
from tests.e2e.cluster import RELEASE, Cluster, Object, beside
from tests.e2e.conftest import CONSUMERS, SERVING, Release
from tests.e2e.market import LABEL, PRODUCTS, VENUE, Market
from tests.support.database import fetch
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

FEED = "a"
WORKLOADS = (
    *(f"deployment/{RELEASE}-{name}" for name in (*CONSUMERS, *SERVING, "operator")),
    f"statefulset/{RELEASE}-matching",
)
FIRST_DATA_S = 60
SYMBOL = "DEMO-USD"
REQUEST_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Shard:
    """What one of the feed's Deployments runs."""

    products: tuple[str, ...]
    pods: tuple[str, ...]


async def test_a_feed_is_applied_and_its_data_is_there_within_a_minute(
    release: Release, market: Market, rest: httpx.AsyncClient
) -> None:
    began = time.monotonic()
    await release.cluster.apply(
        {
            "apiVersion": "tickplane.io/v1alpha1",
            "kind": "MarketFeed",
            "metadata": {"name": FEED},
            "spec": {
                "venue": VENUE,
                "products": list(PRODUCTS[:4]),
                "endpoint": market.exchange.endpoint,
                # Everything since the exchange opened.
                "backfill": {"since": rfc3339(market.trades()[0].time)},
                "resources": {"requests": {"cpu": "20m"}},
            },
        }
    )

    async def has_candles() -> bool:
        answer = await rest.get(f"/candles/{PRODUCTS[0]}/1m")
        assert answer.status_code == 200
        return bool(answer.json())

    await eventually(has_candles, FIRST_DATA_S, interval_s=0.5)
    url = f"ws://{await release.cluster.address('gateway')}/crypto/{PRODUCTS[0]}"
    async with asyncio.timeout(FIRST_DATA_S - (time.monotonic() - began)), websockets.connect(url) as socket:
        first, second = await socket.recv(), await socket.recv()
    assert first != second
    await release.cluster.until(FEED, "Ready", "True")


async def test_helm_test_passes(release: Release) -> None:
    await release.cluster.helm("test", RELEASE, "--timeout", "3m")


async def test_an_order_is_matched_and_a_second_replica_tells_of_it(
    orders: httpx.AsyncClient, api_keys: dict[str, str]
) -> None:
    for account, asset in (("seller", "DEMO"), ("buyer", "USD")):
        deposit = {"id": f"deposit-{asset}", "asset": asset, "amount": "1000"}
        path = f"/v1/accounts/{account}/deposits"
        await eventually(partial(_accepted, orders, api_keys["operations"], path, deposit), 60)
    for account, side in (("seller", "sell"), ("buyer", "buy")):
        order = {"id": "first", "symbol": SYMBOL, "side": side, "price": "100", "quantity": "1"}
        assert await _accepted(orders, api_keys[account], "/v1/orders", order)
    instances = set()

    async def filled_everywhere() -> bool:
        answer = await orders.get("/v1/orders/first", headers={"X-API-Key": api_keys["buyer"]})
        assert answer.json().get("state") == "filled", answer.text
        instances.add((await orders.get("/whoami")).json()["instance"])
        return len(instances) == 2

    await eventually(filled_everywhere, 60)


async def test_products_come_and_go(release: Release, market: Market) -> None:
    await _change(release.cluster, {"products": list(PRODUCTS)})
    await release.cluster.until(FEED, "Ready", "True")
    await eventually(lambda: _traded(release, PRODUCTS[5]), 60)
    market.trading.remove(PRODUCTS[5])
    await eventually(lambda: _all_there(release, market, (PRODUCTS[5],)), 60)
    await _change(release.cluster, {"products": list(PRODUCTS[:5])})
    await release.cluster.until(FEED, "Ready", "True")


async def test_shards_are_added_and_taken_away_and_those_whose_products_stay_keep_their_pods(release: Release) -> None:
    before, kept = await _shards(release.cluster), 0
    for count in (2, 3, 1):
        await release.cluster.kubectl("scale", "marketfeed", FEED, f"--replicas={count}")
        await release.cluster.until(FEED, "Ready", "True")
        after = await _shards(release.cluster)
        assert len(after) == count
        assert sorted(product for shard in after.values() for product in shard.products) == list(PRODUCTS[:5])
        for name in before.keys() & after.keys():
            assert (before[name].products == after[name].products) == (before[name].pods == after[name].pods)
            kept += before[name].pods == after[name].pods
        before = after
    assert kept > 0


async def test_a_feed_is_paused_and_resumed(release: Release) -> None:
    await _change(release.cluster, {"paused": True})
    await release.cluster.until(FEED, "Paused", "True")
    await eventually(lambda: _no_pods(release.cluster), 60, interval_s=0.5)
    await _change(release.cluster, {"paused": False})
    await release.cluster.until(FEED, "Ready", "True")


async def test_a_child_that_was_edited_by_hand_is_put_back(release: Release) -> None:
    (name,) = await _shards(release.cluster)
    before = await release.cluster.get("deployment", name)
    await release.cluster.patch("deployment", name, {"spec": {"replicas": 0}})

    async def restored() -> bool:
        return bool((await release.cluster.get("deployment", name))["spec"] == before["spec"])

    await eventually(restored, 60, interval_s=0.5)
    await release.cluster.until(FEED, "Ready", "True")


async def test_a_killed_feed_pod_and_a_killed_operator_lose_nothing(release: Release) -> None:
    ((name,),) = (shard.pods for shard in (await _shards(release.cluster)).values())
    (operator,) = await release.cluster.pods("operator")
    await release.cluster.delete("pod", name, "--grace-period=0", "--force")
    await _change(release.cluster, {"shards": 2})
    await release.cluster.delete("pod", operator, "--grace-period=0", "--force")
    await release.cluster.rolled_out(f"deployment/{RELEASE}-operator")
    await release.cluster.until(FEED, "Ready", "True")
    assert len(await _shards(release.cluster)) == 2


async def test_everything_restarts_under_load_without_a_failed_request(
    release: Release, rest: httpx.AsyncClient, orders: httpx.AsyncClient, api_keys: dict[str, str]
) -> None:
    load, traders = _Load(rest), _Traders(orders, api_keys)
    feeds = tuple(f"deployment/{name}" for name in await _shards(release.cluster))

    async def restart() -> None:
        for workload in (*WORKLOADS, *feeds):
            await release.cluster.kubectl("rollout", "restart", workload)
            await release.cluster.rolled_out(workload)

    await beside(beside(restart(), load.run), traders.run)
    assert load.failed == []
    assert load.answered > 100
    assert traders.failed == []
    assert len(traders.acknowledged) > 100
    await eventually(lambda: _matched_once(release, traders.acknowledged), 60)


async def test_an_upgrade_restarts_only_what_it_changes_and_is_rolled_back_under_load(
    release: Release, rest: httpx.AsyncClient
) -> None:
    load = _Load(rest)
    before = await _pods(release.cluster)
    changed = release.values | {"candles": release.values["candles"] | {"settings": {"TICKPLANE_LOG_LEVEL": "DEBUG"}}}
    await release.cluster.install(changed)
    after = await _pods(release.cluster)
    assert {name for name in after if after[name] != before[name]} == {"candles"}

    await beside(release.cluster.helm("rollback", RELEASE, "--wait", "--timeout", "5m"), load.run)
    assert load.failed == []
    restored = await _pods(release.cluster)
    assert {name for name in restored if restored[name] != after[name]} == {"candles"}


async def test_wrong_values_are_refused_by_the_schema(release: Release) -> None:
    for wrong, named in (
        ({"candels": {}}, "candels"),
        ({"candles": {"replicas": "two"}}, "replicas"),
        ({"global": {"partitions": 0}}, "partitions"),
    ):
        with pytest.raises(AssertionError, match=named):
            await release.cluster.install(release.values | wrong)


async def test_every_trade_is_there_once_and_the_candles_are_the_oracles(release: Release, market: Market) -> None:
    await market.rest()
    await eventually(lambda: _all_there(release, market, PRODUCTS), 120, interval_s=0.5)
    url = release.parts.postgres.url
    await eventually(lambda: caught_up(url, release.parts.kafka.url), 60, interval_s=0.5)
    assert await candle_differences(url, [*release.published, *market.trades()]) == []
    feed = await release.cluster.get("marketfeed", FEED)
    assert "finalizers" not in feed["metadata"]


async def test_a_feed_is_deleted_with_all_that_was_made_for_it(release: Release) -> None:
    await release.cluster.delete("marketfeed", FEED)
    for kind in ("deployments", "serviceaccounts", "networkpolicies", "podmonitors", "pods"):
        await eventually(partial(_nothing_of_it, release.cluster, kind), 90, interval_s=0.5)


async def test_an_uninstall_keeps_the_resource_definition_and_the_data(release: Release, market: Market) -> None:
    await release.cluster.helm("uninstall", RELEASE, "--wait", "--timeout", "3m")
    await release.cluster.get("customresourcedefinition", "marketfeeds.tickplane.io")
    assert await _all_there(release, market, PRODUCTS)


class _Load:
    """Requests one after the other, each on a connection of its own."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.answered = 0
        self.failed: list[str] = []

    async def run(self) -> None:
        while True:
            for path in (f"/candles/{PRODUCTS[0]}/1m", f"/v1/ticker?product_id={PRODUCTS[1]}", "/markets"):
                await self._ask(path)
                await asyncio.sleep(REQUEST_INTERVAL_S)

    async def _ask(self, path: str) -> None:
        try:
            answer = await self._client.get(path)
        except httpx.HTTPError as error:
            self.failed.append(f"{path}: {error!r}")
            return
        self.answered += 1
        if answer.status_code != 200:
            self.failed.append(f"{path}: {answer.status_code} {answer.text}")


class _Traders:
    """A seller and a buyer, by turns at one price, so that every second order fills the one before."""

    def __init__(self, client: httpx.AsyncClient, api_keys: dict[str, str]) -> None:
        self._client = client
        self._keys = api_keys
        self.acknowledged: list[str] = []
        self.failed: list[str] = []

    async def run(self) -> None:
        while True:
            for account, side in (("seller", "sell"), ("buyer", "buy")):
                await self._place(account, side, f"load-{len(self.acknowledged)}")
                await asyncio.sleep(REQUEST_INTERVAL_S)

    async def _place(self, account: str, side: str, order_id: str) -> None:
        order = {"id": order_id, "symbol": SYMBOL, "side": side, "price": "100", "quantity": "0.001"}
        headers = {"X-API-Key": self._keys[account]}
        try:
            answer = await self._client.post("/v1/orders", json=order, headers=headers)
        except httpx.HTTPError as error:
            self.failed.append(f"{order_id}: {error!r}")
            return
        if answer.status_code != 202:
            self.failed.append(f"{order_id}: {answer.status_code} {answer.text}")
            return
        self.acknowledged.append(order_id)


async def _accepted(orders: httpx.AsyncClient, key: str, path: str, body: dict[str, str]) -> bool:
    answer = await orders.post(path, json=body, headers={"X-API-Key": key})
    assert answer.status_code == 202, answer.text
    return True


async def _matched_once(release: Release, acknowledged: list[str]) -> bool:
    """Whether the engine has come to each of these orders, once, and all but the last have traded in full.

    One more may be there: what was asked for when the load ended.
    """
    rows = await fetch(release.parts.postgres.url, "SELECT id, state FROM orders WHERE id LIKE 'load-%'")
    states = {row["id"]: row["state"] for row in rows}
    assert len(states) == len(rows)
    assert set(acknowledged) <= set(states) <= {*acknowledged, f"load-{len(acknowledged)}"}
    assert list(map(states.get, acknowledged)).count("filled") >= len(acknowledged) - 1
    return True


async def _change(cluster: Cluster, spec: dict[str, Any]) -> None:
    await cluster.patch("marketfeed", FEED, {"spec": spec})


async def _shards(cluster: Cluster) -> dict[str, Shard]:
    """By Deployment, once no pod is on its way out."""

    async def settled() -> dict[str, Shard]:
        pods = await cluster.listed("pods", f"tickplane.io/feed={FEED}")
        assert not any("deletionTimestamp" in pod["metadata"] for pod in pods.values())
        deployments = await cluster.listed("deployments", f"tickplane.io/feed={FEED}")
        return {
            name: Shard(_products(deployment), tuple(sorted(pod for pod in pods if pod.startswith(f"{name}-"))))
            for name, deployment in deployments.items()
        }

    return await eventually(settled, 90, interval_s=0.5)


def _products(deployment: Object) -> tuple[str, ...]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    (value,) = (each["value"] for each in container["env"] if each["name"] == "TICKPLANE_PRODUCTS")
    return tuple(str(value).split(","))


async def _no_pods(cluster: Cluster) -> bool:
    return not await cluster.listed("pods", f"tickplane.io/feed={FEED}")


async def _nothing_of_it(cluster: Cluster, kind: str) -> bool:
    return not await cluster.listed(kind, f"tickplane.io/feed={FEED}")


async def _pods(cluster: Cluster) -> dict[str, list[str]]:
    """The pods of each service, once none is on its way out."""

    async def settled() -> dict[str, list[str]]:
        await cluster.rolled_out(*WORKLOADS)
        return {name: sorted(await cluster.pods(name)) for name in (*CONSUMERS, *SERVING, "matching", "operator")}

    return await eventually(settled)


async def _traded(release: Release, product: str) -> bool:
    return bool(await _numbers(release, product))


async def _all_there(release: Release, market: Market, products: tuple[str, ...]) -> bool:
    """Whether Postgres has every trade of these products once; the primary key sees to the once."""
    for product in products:
        missing = {trade.trade_number for trade in market.trades([product])} - set(await _numbers(release, product))
        assert not missing, f"{product}: {len(missing)} trades are not there, such as {min(filter(None, missing))}"
    return True


async def _numbers(release: Release, product: str) -> list[int]:
    rows = await fetch(
        release.parts.postgres.url,
        "SELECT trade_number FROM trades WHERE exchange = $1 AND product_id = $2",
        LABEL,
        product,
    )
    return [row["trade_number"] for row in rows]
