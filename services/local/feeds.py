"""Which feeds to run: the short form of ``TICKPLANE_FEEDS``, or a YAML file of MarketFeeds. Pure but for the file."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from services.contracts.errors import ConfigError

DEFAULT_PRODUCTS = ("BTC-USD", "ETH-USD")
UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SHORT_FORM = re.compile(r"(?P<venue>[a-z0-9-]+)(:(?P<products>[A-Z0-9+-]+))?(@(?P<endpoint>wss?://\S+))?")
SHORT_FORM_HELP = "venue[:PRODUCT+PRODUCT][@ws://host:port], comma-separated, or a .yaml file of MarketFeeds"

Venue = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+$")]
Product = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]+-[A-Z0-9]+$")]
Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+[smhd]$")]


class GapRepair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``max_age`` is a number and one of s, m, h, d. What is None is left to the feed's own default."""

    enabled: bool = True
    max_age: Duration | None = None
    max_trades: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Backfill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: str | None = None


class FeedSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The ``spec`` of a MarketFeed."""

    venue: Venue
    exchange: Venue | None = None
    products: Annotated[tuple[Product, ...], msgspec.Meta(min_length=1)] = DEFAULT_PRODUCTS
    endpoint: str | None = None
    gap_repair: GapRepair = GapRepair()
    backfill: Backfill = Backfill()
    settings: dict[str, str] = {}
    paused: bool = False


class MarketFeed(msgspec.Struct, frozen=True, rename="camel"):
    api_version: Literal["tickplane.io/v1alpha1"]
    kind: Literal["MarketFeed"]
    spec: FeedSpec
    metadata: dict[str, Any] = {}


def read_feeds(feeds: str) -> list[FeedSpec]:
    """The feeds to run, those that are paused left out. Raises ConfigError."""
    specs = _from_file(Path(feeds)) if feeds.endswith((".yaml", ".yml")) else _from_short_form(feeds)
    return [spec for spec in specs if not spec.paused]


def service_names(specs: list[FeedSpec]) -> list[str]:
    """A name for each feed's process: ``feed-kraken``, and ``feed-kraken-2`` where a venue comes again."""
    count: Counter[str] = Counter()
    found = []
    for spec in specs:
        count[spec.venue] += 1
        again = f"-{count[spec.venue]}" if count[spec.venue] > 1 else ""
        found.append(f"feed-{spec.venue}{again}")
    return found


def environment(spec: FeedSpec) -> dict[str, str]:
    """The variables of one ``feed`` process. What the spec leaves out is left to the feed's defaults."""
    repair = spec.gap_repair
    given: dict[str, object | None] = {
        "VENUE": spec.venue,
        "EXCHANGE": spec.exchange,
        "PRODUCTS": ",".join(spec.products),
        "ENDPOINT": spec.endpoint,
        "GAP_REPAIR_ENABLED": str(repair.enabled).lower(),
        "GAP_REPAIR_MAX_AGE_S": None if repair.max_age is None else seconds(repair.max_age),
        "GAP_REPAIR_MAX_TRADES": repair.max_trades,
        "BACKFILL_SINCE": spec.backfill.since,
        "VENUE_SETTINGS": json.dumps(spec.settings) if spec.settings else None,
    }
    return {f"TICKPLANE_{name}": str(value) for name, value in given.items() if value is not None}


def seconds(duration: str) -> int:
    """``90m`` to 5400."""
    return int(duration[:-1]) * UNIT_S[duration[-1]]


def _from_short_form(text: str) -> list[FeedSpec]:
    return [_from_item(item.strip()) for item in text.split(",")]


def _from_item(item: str) -> FeedSpec:
    match = SHORT_FORM.fullmatch(item)
    if match is None:
        raise ConfigError(f"TICKPLANE_FEEDS: cannot read {item!r}; write {SHORT_FORM_HELP}")
    given: dict[str, object] = {"venue": match["venue"]}
    if match["products"]:
        given["products"] = match["products"].split("+")
    if match["endpoint"]:
        given["endpoint"] = match["endpoint"]
    return _convert(given, FeedSpec, item)


def _from_file(path: Path) -> list[FeedSpec]:
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
