"""What goes wrong outside, on a real API server: each has a reason that a user can act on."""

import pytest

from market_operator.resource import KIND
from tests.operator.kube import Kube
from tests.operator.running import Operator
from tests.support.polling import eventually

pytestmark = pytest.mark.cluster

ANYWHERE: dict[str, str] = {}
"""A node selector that every node fits."""


async def _degraded(kube: Kube, name: str, reason: str, words: str) -> None:
    async def check() -> bool:
        condition = await kube.condition(name, "Degraded")
        assert condition.get("status") == "True", condition
        assert condition["reason"] == reason, condition
        assert words in condition["message"], condition
        return True

    await eventually(check, 120, 0.5)


async def test_no_node_takes_the_pods(kube: Kube, running: Operator) -> None:
    await kube.feed("a")
    await _degraded(kube, "a", "Unschedulable", "node")


async def test_the_venue_does_not_exist(kube: Kube, running: Operator) -> None:
    await kube.feed("a", venue="bourse")
    await _degraded(kube, "a", "UnknownVenue", "there are binance, coinbase")
    assert (await kube.conditions("a"))["Ready"] == ("False", "UnknownVenue")
    assert not await kube.listed("Deployment")


async def test_an_image_of_ones_own_may_have_a_venue_of_ones_own(kube: Kube, running: Operator) -> None:
    await kube.feed("a", venue="bourse", image="tickplane.invalid/own:1")
    await _degraded(kube, "a", "Unschedulable", "node")


async def test_the_image_cannot_be_pulled(kube: Kube, running: Operator) -> None:
    await kube.feed("a", nodeSelector=ANYWHERE)
    await _degraded(kube, "a", "ImagePullFailed", "tickplane.invalid/tickplane:none")


async def test_the_quota_is_used_up(kube: Kube, running: Operator) -> None:
    await kube.create("ResourceQuota", "none", spec={"hard": {"pods": "0"}})
    await kube.feed("a")
    await _degraded(kube, "a", "QuotaExceeded", "exceeded quota")


async def test_deployments_themselves_are_used_up(kube: Kube, running: Operator) -> None:
    await kube.create("ResourceQuota", "none", spec={"hard": {"count/deployments.apps": "0"}})

    async def is_counted() -> bool:
        return bool((await kube.get("ResourceQuota", "none")).get("status", {}).get("hard"))

    await eventually(is_counted)
    await kube.feed("a")
    await _degraded(kube, "a", "QuotaExceeded", "exceeded quota")
    await kube.delete("ResourceQuota", "none")

    async def is_made() -> bool:
        return "mf-a-0" in await kube.listed("Deployment")

    await eventually(is_made, 60)


async def test_more_is_asked_for_than_may_be_used(kube: Kube, running: Operator) -> None:
    await kube.feed("a", resources={"requests": {"memory": "2Gi"}})
    await _degraded(kube, "a", "ApplyRefused", "must be less than or equal to memory limit")


@pytest.mark.parametrize("reference", ["secretRef", "caSecretRef"])
async def test_a_secret_is_missing(kube: Kube, running: Operator, reference: str, node_image: str) -> None:
    kafka = {"bootstrapServers": "kafka:9093", reference: {"name": "not-there"}}
    await kube.feed("a", nodeSelector=ANYWHERE, kafka=kafka, image=node_image)
    await _degraded(kube, "a", "SecretMissing", 'secret "not-there" not found')


async def test_the_feed_refuses_a_setting(kube: Kube, running: Operator, feed_image: str) -> None:
    """The operator cannot know which venues an image of one's own has: the feed says it."""
    await kube.feed("a", nodeSelector=ANYWHERE, image=feed_image, venue="bourse")
    await _degraded(kube, "a", "InvalidSettings", "there is no venue 'bourse'")


async def test_kafka_is_not_there(kube: Kube, running: Operator, feed_image: str) -> None:
    await kube.feed("a", nodeSelector=ANYWHERE, image=feed_image, kafka={"bootstrapServers": "127.0.0.1:1"})
    await _degraded(kube, "a", "KafkaUnavailable", "shard 0 does not get to Kafka")


async def test_status_patches_go_to_the_object_that_was_looked_at(kube: Kube, running: Operator) -> None:
    """Deleted and made again under the same name: the new one gets a status of its own."""
    await kube.feed("a")
    await eventually(lambda: kube.conditions("a"))
    await kube.delete(KIND, "a")
    made = await kube.feed("a", products=["ETH-USD"])
    await eventually(lambda: kube.conditions("a"))

    async def owned_by_the_new() -> bool:
        owners = (await kube.get("Deployment", "mf-a-0"))["metadata"]["ownerReferences"]
        return [owner["uid"] for owner in owners] == [made["metadata"]["uid"]]

    await eventually(owned_by_the_new, 60)
