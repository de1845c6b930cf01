"""Which feeds to run: the short form of ``TICKPLANE_FEEDS``, or a YAML file of MarketFeeds. Pure but for the file.

What of a MarketFeed only a cluster has (shards, Kafka, image, resources, scheduling) means nothing here.
"""

import re
from collections import Counter
from pathlib import Path

import msgspec
import yaml

from market_operator.resource import MarketFeed, MarketFeedSpec
from services.contracts.errors import ConfigError

DEFAULT_PRODUCTS = ("BTC-USD", "ETH-USD")
SHORT_FORM = re.compile(r"(?P<venue>[a-z0-9-]+)(:(?P<products>[A-Z0-9+-]+))?(@(?P<endpoint>wss?://\S+))?")
SHORT_FORM_HELP = "venue[:PRODUCT+PRODUCT][@ws://host:port], comma-separated, or a .yaml file of MarketFeeds"


def read_feeds(feeds: str) -> list[MarketFeedSpec]:
    """The feeds to run, those that are paused left out. Raises ConfigError."""
    specs = _from_file(Path(feeds)) if feeds.endswith((".yaml", ".yml")) else _from_short_form(feeds)
    return [spec for spec in specs if not spec.paused]


def service_names(specs: list[MarketFeedSpec]) -> list[str]:
    """A name for each feed's process: ``feed-kraken``, and ``feed-kraken-2`` where a venue comes again."""
    count: Counter[str] = Counter()
    found = []
    for spec in specs:
        count[spec.venue] += 1
        again = f"-{count[spec.venue]}" if count[spec.venue] > 1 else ""
        found.append(f"feed-{spec.venue}{again}")
    return found


def _from_short_form(text: str) -> list[MarketFeedSpec]:
    return [_from_item(item.strip()) for item in text.split(",")]


def _from_item(item: str) -> MarketFeedSpec:
    match = SHORT_FORM.fullmatch(item)
    if match is None:
        raise ConfigError(f"TICKPLANE_FEEDS: cannot read {item!r}; write {SHORT_FORM_HELP}")
    products = match["products"].split("+") if match["products"] else DEFAULT_PRODUCTS
    given: dict[str, object] = {"venue": match["venue"], "products": products}
    if match["endpoint"]:
        given["endpoint"] = match["endpoint"]
    return _convert(given, MarketFeedSpec, item)


def _from_file(path: Path) -> list[MarketFeedSpec]:
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document is not None]
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"TICKPLANE_FEEDS: cannot read {path}: {error}") from None
    return [_convert(document, MarketFeed, str(path)).spec for document in documents]


def _convert[T](value: object, to: type[T], where: str) -> T:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        raise ConfigError(f"TICKPLANE_FEEDS: {where}: {error}") from None
