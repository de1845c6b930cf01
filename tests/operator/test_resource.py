"""What the API server makes of a MarketFeed by its schema alone."""

from typing import Any

import pytest
from lightkube import ApiError

from market_operator.resource import KIND, NAME_MAX
from tests.operator.kube import Kube

pytestmark = pytest.mark.cluster

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"products": []}, "should have at least 1 items"),
        ({"products": ["btc-usd"]}, "spec.products[0] in body should match"),
        ({"products": ["BTC-USD", "BTC-USD"]}, 'Duplicate value: "BTC-USD"'),
        ({"shards": 0}, "should be greater than or equal to 1"),
        ({"shards": 2}, "shards must not be more than products"),
        ({"endpoint": "http://exchange"}, "spec.endpoint in body should match"),
        ({"settings": {"Depth": "1"}}, "a setting's name is lower case"),
        ({"gapRepair": {"maxAge": "soon"}}, "spec.gapRepair.maxAge in body should match"),
        ({"backfill": {"since": "yesterday"}}, "spec.backfill.since"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "spec.kafka.bootstrapServers in body should match"),
        ({"resources": {"limits": {"cpu": "much"}}}, "spec.resources.limits.cpu in body should match"),
        ({"logLevel": "LOUD"}, "Unsupported value"),
        ({"tolerations": [{"operator": "Maybe"}]}, "Unsupported value"),
    ],
)
async def test_a_wrong_spec_is_refused_with_words(kube: Kube, spec: Object, message: str) -> None:
    with pytest.raises(ApiError, match=r".*") as refused:
        await kube.feed("wrong", **spec)
    assert message in str(refused.value)


async def test_a_name_that_is_too_long_is_refused(kube: Kube) -> None:
    await kube.feed("a" * NAME_MAX)
    with pytest.raises(ApiError, match="must not have more than 45 characters"):
        await kube.feed("a" * (NAME_MAX + 1))


async def test_the_venue_is_immutable(kube: Kube) -> None:
    await kube.feed("a")
    with pytest.raises(ApiError, match="venue is immutable"):
        await kube.patch(KIND, "a", {"spec": {"venue": "kraken"}})


async def test_the_plainest_feed_gets_its_defaults(kube: Kube) -> None:
    made = await kube.create(KIND, "a", spec={"venue": "demo", "products": ["BTC-USD"], "gapRepair": {}})
    assert made["spec"] == {
        "venue": "demo",
        "products": ["BTC-USD"],
        "shards": 1,
        "paused": False,
        "gapRepair": {"enabled": True},
    }


async def test_a_field_that_does_not_exist_is_dropped(kube: Kube) -> None:
    assert "wish" not in (await kube.feed("a", wish="more"))["spec"]


async def test_an_amount_may_be_a_number(kube: Kube) -> None:
    made = await kube.feed("a", resources={"limits": {"cpu": 2}})
    assert made["spec"]["resources"] == {"limits": {"cpu": 2}}


async def test_scale(kube: Kube) -> None:
    await kube.feed("a", products=["BTC-USD", "ETH-USD"])
    await kube.scale("a", 2)
    assert (await kube.get(KIND, "a"))["spec"]["shards"] == 2
    with pytest.raises(ApiError, match="shards must not be more than products"):
        await kube.scale("a", 3)
