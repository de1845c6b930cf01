"""What the operator's metrics say of the MarketFeeds and of its watches."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from market_operator.api import Api
from market_operator.cache import Cache
from market_operator.desired import child_name
from market_operator.feeds import Key
from market_operator.figures import Figures
from market_operator.listing import DeadWatchError, Listing
from market_operator.observing import Polled, Shard
from market_operator.polling import Polls
from market_operator.reconcile import Reconciler
from market_operator.resource import KIND
from market_operator.settings import OperatorSettings
from market_operator.status import Observed, invalid, status
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime.clock import NS_PER_S, FakeClock
from tests.operator.golden import feed
from tests.support.metrics import value

Object = dict[str, Any]

NOW = "2026-01-01T00:00:00Z"
KEY = Key("feeds", "kraken")


# ---- shards


def said(spec: Object, *shards: Shard) -> Object:
    """The status of a feed with these shards."""
    products = ["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"]
    told = feed({"products": products, "shards": len(shards), **spec})
    return status(told, Observed("kraken", dict(enumerate(shards))), NOW)


def shards(key: Key) -> tuple[float | None, float | None]:
    """Wanted, and ready."""
    return value(Metric.OPERATOR_FEED_SHARDS, *key), value(Metric.OPERATOR_FEED_SHARDS_READY, *key)


def degraded() -> float | None:
    return value(Metric.OPERATOR_FEEDS, "Degraded")


def test_each_feed_has_its_shards_and_those_that_are_ready() -> None:
    figures = Figures()
    figures.show(KEY, said({}, Shard(ready=True), Shard()))
    assert shards(KEY) == (2, 1)
    figures.show(KEY, said({}, Shard(ready=True), Shard(ready=True)))
    assert shards(KEY) == (2, 2)
    figures.show(KEY, said({"paused": True}, Shard(ready=True), Shard()))
    assert shards(KEY) == (0, 0), "nobody waits for a feed that is paused"
    figures.forget(KEY)


def test_a_feed_that_is_deleted_is_not_spoken_of() -> None:
    figures, other = Figures(), Key("feeds", "other")
    for key in (KEY, other):
        figures.show(key, said({}, Shard()))
    for _ in range(2):
        figures.forget(KEY)
    assert (shards(KEY), shards(other)) == ((None, None), (1, 0))
    figures.forget(other)


def test_a_spec_that_nobody_can_read_leaves_what_was_known() -> None:
    figures, before = Figures(), degraded() or 0
    body: Object = {"metadata": {"generation": 2}}
    figures.show(KEY, invalid(body, "what is this?", NOW))
    assert (shards(KEY), degraded()) == ((None, None), before + 1)
    figures.show(KEY, invalid({**body, "status": said({}, Shard(ready=True))}, "what is this?", NOW))
    assert shards(KEY) == (1, 1)
    figures.forget(KEY)
    assert degraded() == before


class _Taking:
    """An API server that takes everything."""

    async def apply(self, item: Object, *, force: bool) -> Object:
        assert not force
        return {**item, "metadata": {**item["metadata"], "resourceVersion": "1", "generation": 1}}

    async def write_status(self, _key: Key, _uid: str, status: Object) -> Object:
        return _body(status=status)

    async def record(self, event: Object) -> None:
        pass


class _Polls:
    def of(self, _feed: Key, _shard: int) -> Polled:
        return Polled()


def _body(**fields: Any) -> Object:
    metadata = {
        "namespace": KEY.namespace,
        "name": KEY.name,
        "uid": "uid-of-it",
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": NOW,
    }
    return {"metadata": metadata, "spec": {"venue": "kraken", "products": ["BTC-USD"]}, **fields}


async def test_the_figures_are_those_of_the_last_reconciliation() -> None:
    api, polls, cache, clock = cast(Api, _Taking()), cast(Polls, _Polls()), Cache(), FakeClock()
    cache.watch([KIND, "Deployment", "Pod", "ServiceAccount", "NetworkPolicy"])
    reconciler = Reconciler(api, cache, polls, {"kraken": "kraken"}, OperatorSettings(_env_file=None), clock)
    cache.bring(KIND, KEY, _body())
    await reconciler.reconcile(KEY)
    assert shards(KEY) == (1, 0)
    deployment = cache.of_feed("Deployment", KEY)[child_name(KEY.name, 0)]
    metadata = {**deployment["metadata"], "resourceVersion": "2"}
    cache.bring("Deployment", KEY, {**deployment, "metadata": metadata, "status": {"readyReplicas": 1}})
    await reconciler.reconcile(KEY)
    assert shards(KEY) == (1, 1)
    cache.drop(KIND, _body())
    await reconciler.reconcile(KEY)
    assert shards(KEY) == (None, None)


# ---- watches


class _Listed:
    """An API server that lists what it is told to."""

    def __init__(self) -> None:
        self.found: Mapping[Key, str] = {}
        self.away = False

    async def versions(self, kind: str, _namespace: str | None) -> Mapping[Key, str]:
        if self.away:
            raise InfraError("kubernetes", "away")
        return self.found if kind == KIND else {}


class _Watched:
    def __init__(self) -> None:
        self.clock, self.api, self.cache = FakeClock(), _Listed(), Cache()
        self.cache.watch([KIND])
        self.listing = Listing(cast(Api, self.api), self.cache, (), self.clock)

    def bring(self, version: str) -> None:
        metadata = {"namespace": KEY.namespace, "name": KEY.name, "resourceVersion": version}
        self.cache.bring(KIND, KEY, {"metadata": metadata})

    async def checked_at(self) -> float:
        """When the watches were last seen alive, after one more look some time later."""
        self.clock.advance(60)
        await self.listing.check(0)
        found = value(Metric.OPERATOR_WATCH_CHECKED_TIME)
        assert found is not None
        return found

    def now(self) -> float:
        return self.clock.now_ns() / NS_PER_S


async def test_watches_are_alive_from_the_first_listing_that_they_have_all_of() -> None:
    watched = _Watched()
    watched.bring("1")
    watched.api.found = {KEY: "1"}
    await watched.listing.wait_until_cached()
    assert value(Metric.OPERATOR_WATCH_CHECKED_TIME) == watched.now()


async def test_a_listing_that_the_watches_agree_with_says_when_they_were_alive() -> None:
    watched = _Watched()
    watched.bring("1")
    watched.api.found = {KEY: "1"}
    assert await watched.checked_at() == watched.now()
    assert await watched.checked_at() == watched.now()


async def test_watches_that_are_dead_or_that_nobody_can_check_are_not_said_to_be_alive() -> None:
    watched = _Watched()
    watched.bring("1")
    watched.api.found = {KEY: "1"}
    alive_at = await watched.checked_at()
    watched.api.away = True
    with pytest.raises(InfraError):
        await watched.checked_at()
    watched.api.away, watched.api.found = False, {KEY: "2"}
    with pytest.raises(DeadWatchError):
        await watched.checked_at()
    assert value(Metric.OPERATOR_WATCH_CHECKED_TIME) == alive_at < watched.now()
    watched.bring("2")
    assert await watched.checked_at() == watched.now()
