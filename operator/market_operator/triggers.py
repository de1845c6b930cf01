"""What an event means: what is cached of it, and which MarketFeeds have to be looked at."""

from collections.abc import Callable

import msgspec

from market_operator.api import Object
from market_operator.cache import Cache
from market_operator.claims import Claim, Holder, rivals
from market_operator.feeds import Feed, Key, feed_of
from market_operator.reconcile import Reconciler
from market_operator.resource import KIND


class Triggers:
    """``look_at`` is called with each feed that has to be looked at."""

    def __init__(self, cache: Cache, reconciler: Reconciler, look_at: Callable[[Key], None]) -> None:
        self._cache = cache
        self._reconciler = reconciler
        self._look_at = look_at
        self._generations: dict[Key, int] = {}

    def on_event(self, kind: str, body: Object, deleted: bool) -> None:
        """An object of this kind is new, changed or deleted."""
        feed = feed_of(kind, body)
        if deleted:
            self._cache.drop(kind, body)
        else:
            self._cache.bring(kind, feed, body)
        if feed is not None:
            self._look_at(feed)
            if kind == KIND and self._is_another_spec(feed, body, deleted):
                self._claim(feed, {} if deleted else self._claims_of(body))

    def _claim(self, feed: Key, claims: dict[Claim, Holder]) -> None:
        """Look at every feed that may get or lose a product by this."""
        concerned = rivals(self._cache.claimed_by(feed), self._cache.claims)
        self._cache.claim(feed, claims)
        for other in concerned | rivals(claims, self._cache.claims):
            self._look_at(other)

    def _claims_of(self, body: Object) -> dict[Claim, Holder]:
        """Nothing where the operator does not know what the spec says."""
        try:
            return self._reconciler.claims_of(Feed.of(body))
        except msgspec.ValidationError:
            return {}

    def _is_another_spec(self, feed: Key, body: Object, deleted: bool) -> bool:
        """Whether more than the status or the metadata changed since the last event."""
        generation = 0 if deleted else body["metadata"]["generation"]
        before = self._generations.pop(feed, 0)
        if not deleted:
            self._generations[feed] = generation
        return bool(generation != before)
