"""Which MarketFeeds an event concerns: its own, and those that share a product where a spec changed."""

from typing import Any, cast

from market_operator.cache import Cache
from market_operator.claims import Claim, Holder, claims
from market_operator.feeds import Feed, Key
from market_operator.reconcile import Reconciler
from market_operator.resource import KIND
from market_operator.triggers import Triggers

Object = dict[str, Any]


class _Reconciler:
    """Only what claims need; nothing is reconciled here."""

    def claims_of(self, feed: Feed) -> dict[Claim, Holder]:
        return claims(feed, feed.spec.venue, "kafka:9092")


def _body(name: str, generation: int, *products: str) -> Object:
    metadata = {
        "name": name,
        "namespace": "feeds",
        "uid": f"uid-{name}",
        "generation": generation,
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": {"venue": "demo", "products": list(products)}}


class _Seen:
    def __init__(self) -> None:
        self._looked_at: set[str] = set()
        self.cache = Cache()
        self.cache.watch([KIND, "Deployment"])
        reconciler = cast(Reconciler, _Reconciler())
        self._triggers = Triggers(self.cache, reconciler, lambda key: self._looked_at.add(key.name))

    def after(self, kind: str, body: Object, *, deleted: bool = False) -> set[str]:
        """Which feeds an event concerns."""
        self._looked_at.clear()
        self._triggers.on_event(kind, body, deleted)
        return set(self._looked_at)


def test_a_child_concerns_its_feed_alone() -> None:
    metadata = {"name": "mf-a-0", "namespace": "feeds", "labels": {"tickplane.io/feed": "a"}, "resourceVersion": "1"}
    seen = _Seen()
    assert seen.after("Deployment", {"metadata": metadata}) == {"a"}
    assert list(seen.cache.of_feed("Deployment", Key("feeds", "a"))) == ["mf-a-0"]
    assert seen.after("Deployment", {"metadata": metadata}, deleted=True) == {"a"}
    assert seen.cache.of_feed("Deployment", Key("feeds", "a")) == {}


def test_what_is_nobodys_concerns_nobody() -> None:
    seen = _Seen()
    assert seen.after("Deployment", {"metadata": {"name": "x", "namespace": "feeds"}}) == set()


def test_a_new_spec_concerns_who_shares_a_product_or_shared_one() -> None:
    seen = _Seen()
    assert seen.after(KIND, _body("a", 1, "BTC-USD")) == {"a"}
    assert seen.after(KIND, _body("b", 1, "ETH-USD")) == {"b"}
    assert seen.after(KIND, _body("c", 1, "BTC-USD")) == {"a", "c"}
    assert seen.after(KIND, _body("c", 2, "ETH-USD")) == {"a", "b", "c"}
    assert seen.after(KIND, _body("c", 3, "SOL-USD")) == {"b", "c"}


def test_a_new_status_concerns_its_feed_alone() -> None:
    seen = _Seen()
    seen.after(KIND, _body("a", 1, "BTC-USD"))
    seen.after(KIND, _body("b", 1, "BTC-USD"))
    assert seen.after(KIND, _body("b", 1, "BTC-USD")) == {"b"}


def test_a_deletion_concerns_who_shared_a_product() -> None:
    seen = _Seen()
    seen.after(KIND, _body("a", 1, "BTC-USD"))
    seen.after(KIND, _body("b", 1, "BTC-USD"))
    assert seen.after(KIND, _body("a", 1, "BTC-USD"), deleted=True) == {"a", "b"}
    assert seen.cache.feeds() == [Key("feeds", "b")]


def test_a_spec_that_is_not_understood_claims_nothing() -> None:
    seen = _Seen()
    body = _body("a", 1, "BTC-USD")
    body["spec"]["shardz"] = 2
    assert seen.after(KIND, body) == {"a"}
    assert list(seen.cache.claims) == []
