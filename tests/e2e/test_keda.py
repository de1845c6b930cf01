"""Consumers follow their lag, where the cluster has KEDA."""

import pytest

from tests.crash.verdict import candle_differences, caught_up
from tests.e2e.cluster import RELEASE, Cluster, CommandError
from tests.e2e.conftest import Release
from tests.support.log import publish
from tests.support.polling import eventually
from tests.support.trades import generate

pytestmark = pytest.mark.cluster

BACKLOG = 120_000
SLOW = {"TICKPLANE_BATCH_RECORDS_MAX": "100"}
"""So that a backlog of some seconds is one of a minute."""
KEDA = {
    "enabled": True,
    "maxReplicas": 3,
    "lagRecords": 5_000,
    "pollingSeconds": 2,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
}
PAUSED = "autoscaling.keda.sh/paused-replicas"


async def test_a_stopped_consumers_lag_scales_it_out_and_back_in_and_the_candles_are_the_oracles(
    release: Release,
) -> None:
    cluster = release.cluster
    await _needs_keda(cluster)
    await cluster.install(release.values | {"candles": release.values["candles"] | {"keda": KEDA, "settings": SLOW}})
    await _annotate(cluster, "0")
    await eventually(lambda: _pods(cluster, 0, 0), 90, interval_s=0.5)
    backlog = generate(BACKLOG, seed=31)
    await publish(release.parts.kafka.url, backlog)
    release.published += backlog

    await _annotate(cluster, None)
    await eventually(lambda: _pods(cluster, 2, 3), 120, interval_s=0.5)
    url = release.parts.postgres.url
    await eventually(lambda: caught_up(url, release.parts.kafka.url), 240, interval_s=0.5)
    assert await candle_differences(url, release.published) == []
    await eventually(lambda: _pods(cluster, 1, 1), 180, interval_s=0.5)
    await cluster.install(release.values)


async def _needs_keda(cluster: Cluster) -> None:
    try:
        await cluster.get("apiservice", "v1beta1.external.metrics.k8s.io")
    except CommandError:
        pytest.skip("the cluster has no KEDA")


async def _annotate(cluster: Cluster, replicas: str | None) -> None:
    await cluster.patch("scaledobject", f"{RELEASE}-candles", {"metadata": {"annotations": {PAUSED: replicas}}})


async def _pods(cluster: Cluster, at_least: int, at_most: int) -> bool:
    return at_least <= len(await cluster.pods("candles")) <= at_most
