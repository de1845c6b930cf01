"""Two feeds, one product: the older has it."""

from collections import defaultdict
from typing import Any

from market_operator.claims import Claim, Holder, claims, conflicts, rivals
from market_operator.feeds import Feed, Key
from tests.operator.golden import feed

DEFAULT_KAFKA = "kafka:9092"


def _feed(name: str, created: str, **spec: Any) -> Feed:
    made = feed(spec, name)
    return Feed(made.key, f"uid-{name}", 1, created, made.spec, {})


def _all(*feeds: Feed) -> dict[Claim, list[Holder]]:
    found: dict[Claim, list[Holder]] = defaultdict(list)
    for each in feeds:
        for claim, holder in claims(each, each.spec.exchange or "kraken", DEFAULT_KAFKA).items():
            found[claim].append(holder)
    return dict(found)


OLD = _feed("old", "2026-01-01T00:00:00Z", products=["BTC-USD", "ETH-USD"])
YOUNG = _feed("young", "2026-01-02T00:00:00Z", products=["ETH-USD", "SOL-USD"])


def _lost(mine: Feed, *others: Feed) -> dict[str, Key]:
    return conflicts(claims(mine, mine.spec.exchange or "kraken", DEFAULT_KAFKA), _all(mine, *others))


def test_the_younger_gives_way() -> None:
    assert _lost(YOUNG, OLD) == {"ETH-USD": Key("feeds", "old")}
    assert _lost(OLD, YOUNG) == {}


def test_of_the_same_second_one_is_always_the_older() -> None:
    twin = _feed("twin", OLD.created, products=["ETH-USD"])
    assert sorted([bool(_lost(twin, OLD)), bool(_lost(OLD, twin))]) == [False, True]


def test_another_label_or_another_kafka_is_no_conflict() -> None:
    assert _lost(_feed("young", YOUNG.created, products=["ETH-USD"], exchange="kraken-replayed"), OLD) == {}
    assert _lost(_feed("young", YOUNG.created, products=["ETH-USD"], kafka={"bootstrapServers": "b:1"}), OLD) == {}


def test_a_paused_feed_claims_nothing() -> None:
    assert _lost(YOUNG, _feed("old", OLD.created, products=["ETH-USD"], paused=True)) == {}


def test_a_claim_that_changes_concerns_who_shares_it() -> None:
    mine = claims(OLD, "kraken", DEFAULT_KAFKA)
    assert rivals(mine, _all(OLD, YOUNG)) == {OLD.key, YOUNG.key}
