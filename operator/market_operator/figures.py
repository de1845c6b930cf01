"""What the metrics say of the MarketFeeds, which is what their statuses say."""

import contextlib
from typing import Any

from market_operator.feeds import Key
from services.contracts.metrics import Metric
from services.runtime.metrics import gauge

Object = dict[str, Any]

SHARDS = {Metric.OPERATOR_FEED_SHARDS: "shards", Metric.OPERATOR_FEED_SHARDS_READY: "readyShards"}


class Figures:
    def __init__(self) -> None:
        self._true: dict[Key, frozenset[str]] = {}
        """The conditions of each feed that are true."""

    def show(self, feed: Key, status: Object) -> None:
        self._count(feed, frozenset(each["type"] for each in status["conditions"] if each["status"] == "True"))
        for metric, name in SHARDS.items():
            # A status of a spec that nobody could read yet has none.
            if name in status:
                gauge(metric).labels(*feed).set(status[name])

    def forget(self, feed: Key) -> None:
        """It is deleted, or there never was any."""
        self._count(feed, frozenset())
        del self._true[feed]
        for metric in SHARDS:
            with contextlib.suppress(KeyError):
                gauge(metric).remove(*feed)

    def _count(self, feed: Key, true: frozenset[str]) -> None:
        before = self._true.get(feed, frozenset())
        for kind in true - before:
            gauge(Metric.OPERATOR_FEEDS).labels(kind).inc()
        for kind in before - true:
            gauge(Metric.OPERATOR_FEEDS).labels(kind).dec()
        self._true[feed] = true
