"""The cache: what was written counts until the watch has brought something newer."""

from typing import Any

from market_operator.cache import Cache, trimmed
from market_operator.claims import Claim, Holder
from market_operator.feeds import Key, feed_of
from market_operator.listing import behind
from market_operator.resource import KIND

Object = dict[str, Any]
FEED, OTHER = Key("feeds", "kraken"), Key("feeds", "other")


def _item(version: str, name: str = "mf-kraken", **spec: object) -> Object:
    return {"metadata": {"name": name, "namespace": "feeds", "resourceVersion": version}, "spec": spec}


def _cache(*items: Object) -> Cache:
    cache = Cache()
    cache.watch([KIND, "Deployment"])
    for item in items:
        cache.bring("Deployment", FEED, item)
    return cache


def _names(cache: Cache, feed: Key = FEED) -> list[str]:
    return sorted(cache.of_feed("Deployment", feed))


def test_what_was_written_is_seen_before_the_watch_brings_it() -> None:
    cache = _cache(_item("1", replicas=0))
    cache.wrote("Deployment", FEED, "mf-kraken", _item("2", replicas=1), since="1")
    assert cache.of_feed("Deployment", FEED)["mf-kraken"]["spec"] == {"replicas": 1}
    cache.bring("Deployment", FEED, _item("3", replicas=5))
    assert cache.of_feed("Deployment", FEED)["mf-kraken"]["spec"] == {"replicas": 5}


def test_two_writes_before_the_watch_brings_either() -> None:
    cache = _cache(_item("1"))
    cache.wrote("Deployment", FEED, "mf-kraken", _item("2", replicas=1), since="1")
    cache.wrote("Deployment", FEED, "mf-kraken", _item("3", replicas=2), since="1")
    assert cache.of_feed("Deployment", FEED)["mf-kraken"]["spec"] == {"replicas": 2}


def test_an_answer_does_not_hide_what_the_watch_brought_before_it_came() -> None:
    """Somebody changed the object right after our write, and the watch was faster than the answer to the write."""
    cache = _cache(_item("1", replicas=0))
    since = cache.brought("Deployment", FEED, "mf-kraken")
    cache.bring("Deployment", FEED, _item("3", replicas=5))
    cache.wrote("Deployment", FEED, "mf-kraken", _item("2", replicas=0), since)
    assert cache.of_feed("Deployment", FEED)["mf-kraken"]["spec"] == {"replicas": 5}


def test_what_was_made_or_deleted_counts_at_once() -> None:
    cache = _cache(_item("1", "old"))
    cache.wrote("Deployment", FEED, "new", _item("2", "new"), since=None)
    cache.wrote("Deployment", FEED, "old", None, since="1")
    assert _names(cache) == ["new"]


def test_what_is_deleted_before_it_was_ever_brought_is_not_there() -> None:
    cache = _cache()
    cache.wrote("Deployment", FEED, "new", _item("2", "new"), since=None)
    cache.bring("Deployment", FEED, _item("2", "new"))
    cache.drop("Deployment", _item("3", "new"))
    assert _names(cache) == []


def test_what_changes_hands_belongs_to_one() -> None:
    cache = _cache(_item("1"))
    cache.bring("Deployment", OTHER, _item("2"))
    assert (_names(cache), _names(cache, OTHER)) == ([], ["mf-kraken"])
    cache.bring("Deployment", None, _item("3"))
    assert (_names(cache, OTHER), cache.versions("Deployment")) == ([], {})


def test_a_feed_without_anything_has_nothing() -> None:
    cache = _cache()
    assert cache.of_feed("Deployment", OTHER) == {}
    assert cache.of_feed("PodMonitor", FEED) == {}
    assert cache.feed(FEED) is None
    assert cache.feeds() == []


def test_claims_are_those_made_last() -> None:
    cache = _cache()
    btc, eth = (("kafka:9092", "kraken", product) for product in ("BTC-USD", "ETH-USD"))
    mine, theirs = (("2026", key) for key in (FEED, OTHER))
    _claim(cache, FEED, {btc: mine})
    _claim(cache, OTHER, {btc: theirs, eth: theirs})
    assert {claim: set(holders) for claim, holders in cache.claims.items()} == {btc: {mine, theirs}, eth: {theirs}}
    _claim(cache, OTHER, {})
    _claim(cache, FEED, {eth: mine})
    assert {claim: set(holders) for claim, holders in cache.claims.items()} == {eth: {mine}}
    assert list(cache.claimed_by(FEED)) == [eth]


def _claim(cache: Cache, feed: Key, claims: dict[Claim, Holder]) -> None:
    cache.claim(feed, claims)


def test_who_set_which_field_is_not_kept() -> None:
    metadata = {"name": "a", "managedFields": [1]}
    body = {"kind": "Pod", "metadata": metadata, "spec": {"x": 1}, "status": {"phase": "Running"}}
    assert trimmed("Pod", body) == {"metadata": {"name": "a"}, "status": {"phase": "Running"}}
    assert "spec" in trimmed("Deployment", body)


def test_whose_object_it_is() -> None:
    owned = {"ownerReferences": [{"kind": "ReplicaSet", "name": "r"}, {"kind": KIND, "name": "a"}], "namespace": "n"}
    labelled = {"labels": {"tickplane.io/feed": "b"}, "namespace": "n"}
    assert feed_of("Deployment", {"metadata": owned}) == Key("n", "a")
    assert feed_of("Pod", {"metadata": labelled}) == Key("n", "b")
    assert feed_of("Pod", {"metadata": {"namespace": "n"}}) is None
    assert feed_of(KIND, {"metadata": {"name": "c", **labelled}}) == Key("n", "c")


def test_a_cache_is_behind_where_it_differs_from_a_listing() -> None:
    a, b, c = (Key("n", name) for name in "abc")
    assert behind({a: "2", b: "1"}, {a: "1", b: "1", c: "9"}) == {(a, "1"), (c, "9")}
    assert behind({a: "1"}, {}) == {(a, "")}
