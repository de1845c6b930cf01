"""``TICKPLANE_FEEDS``: the short form and the file."""

from pathlib import Path

import pytest

from market_operator.resource import MarketFeedSpec, environment, seconds
from services.contracts.errors import ConfigError
from services.local.feeds import DEFAULT_PRODUCTS, read_feeds, service_names

FILE = """
apiVersion: tickplane.io/v1alpha1
kind: MarketFeed
metadata: {name: kraken}
spec:
  venue: kraken
  exchange: kraken-replayed
  products: [BTC-USD, ETH-USD]
  endpoint: ws://127.0.0.1:9901
  gapRepair: {enabled: true, maxAge: 90m, maxTrades: 500}
  backfill: {since: "2026-01-01T00:00:00Z"}
  settings: {depth: "10"}
---
apiVersion: tickplane.io/v1alpha1
kind: MarketFeed
spec: {venue: binance, products: [BTC-USDT], paused: true}
---
"""


def test_the_default_is_three_venues() -> None:
    assert read_feeds("coinbase,kraken,demo") == [
        MarketFeedSpec(v, DEFAULT_PRODUCTS) for v in ("coinbase", "kraken", "demo")
    ]


def test_products_and_endpoints_are_optional() -> None:
    first, second, third = read_feeds("coinbase:BTC-USD+ETH-USD, kraken:BTC-USD@ws://127.0.0.1:9901,demo")
    assert first == MarketFeedSpec("coinbase", products=("BTC-USD", "ETH-USD"))
    assert second == MarketFeedSpec("kraken", products=("BTC-USD",), endpoint="ws://127.0.0.1:9901")
    assert third.products == DEFAULT_PRODUCTS


@pytest.mark.parametrize("text", ["", "coinbase,", "coinbase:", "coinbase:btc-usd", "coinbase@http://x", "Coin base"])
def test_what_cannot_be_read_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigError, match="TICKPLANE_FEEDS"):
        read_feeds(text)


def test_a_file_says_everything_and_leaves_out_the_paused(tmp_path: Path) -> None:
    path = tmp_path / "feeds.yaml"
    path.write_text(FILE)
    (spec,) = read_feeds(str(path))
    assert environment(spec, spec.products) == {
        "TICKPLANE_VENUE": "kraken",
        "TICKPLANE_EXCHANGE": "kraken-replayed",
        "TICKPLANE_PRODUCTS": "BTC-USD,ETH-USD",
        "TICKPLANE_ENDPOINT": "ws://127.0.0.1:9901",
        "TICKPLANE_GAP_REPAIR_ENABLED": "true",
        "TICKPLANE_GAP_REPAIR_MAX_AGE_S": "5400",
        "TICKPLANE_GAP_REPAIR_MAX_TRADES": "500",
        "TICKPLANE_BACKFILL_SINCE": "2026-01-01T00:00:00Z",
        "TICKPLANE_VENUE_SETTINGS": '{"depth": "10"}',
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: MarketFeed", "kind: Pod"),
        ("v1alpha1", "v9"),
        ("maxAge: 90m", "maxAge: soon"),
        ("maxTrades", "maxTrade"),
        ("products: [BTC-USD, ETH-USD]", "products: []"),
        ("venue: kraken", "venue: [kraken"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "feeds.yaml"
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match="TICKPLANE_FEEDS"):
        read_feeds(str(path))


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_feeds("nowhere.yaml")


def test_what_is_left_out_is_left_to_the_feed() -> None:
    assert environment(MarketFeedSpec("demo", ("BTC-USD",)), ("BTC-USD",)) == {
        "TICKPLANE_VENUE": "demo",
        "TICKPLANE_PRODUCTS": "BTC-USD",
        "TICKPLANE_GAP_REPAIR_ENABLED": "true",
    }


def test_each_feed_has_a_name_of_its_own() -> None:
    specs = [MarketFeedSpec(venue, DEFAULT_PRODUCTS) for venue in ("kraken", "demo", "kraken", "kraken")]
    assert service_names(specs) == ["feed-kraken", "feed-demo", "feed-kraken-2", "feed-kraken-3"]


@pytest.mark.parametrize(("duration", "expected"), [("5s", 5), ("90m", 5_400), ("24h", 86_400), ("2d", 172_800)])
def test_durations(duration: str, expected: int) -> None:
    assert seconds(duration) == expected
