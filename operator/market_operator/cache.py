"""What the watches have brought, and over it what was written since: nobody acts on his own write twice."""

from collections.abc import Iterable, Mapping
from typing import Any

from market_operator.claims import Claim, Holder
from market_operator.feeds import Key
from market_operator.resource import KIND

Object = dict[str, Any]


class Cache:
    """Objects by kind and by their feed; MarketFeeds by themselves. Also who claims which product."""

    def __init__(self) -> None:
        self._watched: dict[str, dict[Key, dict[str, Object]]] = {}
        self._written: dict[tuple[str, Key], dict[str, tuple[str | None, Object | None]]] = {}
        self._feeds: dict[tuple[str, Key], Key] = {}
        self._claimed: dict[Key, Mapping[Claim, Holder]] = {}
        self._holders: dict[Claim, set[Holder]] = {}

    # ---- what the watches bring

    def watch(self, kinds: Iterable[str]) -> None:
        """These are the kinds that will be brought."""
        self._watched = {kind: {} for kind in kinds}

    def bring(self, kind: str, feed: Key | None, body: Mapping[str, Any]) -> None:
        """An object is new or changed. ``feed`` None: it is nobody's."""
        name = _name(body)
        if self._feeds.get((kind, name)) != feed:
            self.drop(kind, body)
        if feed is not None:
            self._feeds[kind, name] = feed
            self._watched[kind].setdefault(feed, {})[name.name] = trimmed(kind, body)

    def drop(self, kind: str, body: Mapping[str, Any]) -> None:
        """An object is deleted, or is another feed's now."""
        name = _name(body)
        feed = self._feeds.pop((kind, name), None)
        if feed is None:
            return
        self._forget_written(kind, feed, name.name)
        items = self._watched[kind][feed]
        del items[name.name]
        if not items:
            del self._watched[kind][feed]

    def claim(self, feed: Key, claims: Mapping[Claim, Holder]) -> None:
        """What a feed claims from now on."""
        for claim, holder in self._claimed.pop(feed, {}).items():
            self._holders[claim].discard(holder)
            if not self._holders[claim]:
                del self._holders[claim]
        for claim, holder in claims.items():
            self._holders.setdefault(claim, set()).add(holder)
        if claims:
            self._claimed[feed] = claims

    # ---- what there is

    @property
    def kinds(self) -> list[str]:
        return list(self._watched)

    @property
    def claims(self) -> Mapping[Claim, Iterable[Holder]]:
        """Who claims each product."""
        return self._holders

    def claimed_by(self, feed: Key) -> Iterable[Claim]:
        return self._claimed.get(feed, {})

    def feeds(self) -> list[Key]:
        return list(self._watched[KIND])

    def feed(self, key: Key) -> Object | None:
        return self.of_feed(KIND, key).get(key.name)

    def of_feed(self, kind: str, feed: Key) -> dict[str, Object]:
        """The feed's objects of a kind, by name."""
        found = dict(self._watched.get(kind, {}).get(feed, {}))
        written = self._written.get((kind, feed), {})
        for name, (before, after) in list(written.items()):
            if version(found.get(name)) != before:
                self._forget_written(kind, feed, name)
            elif after is None:
                found.pop(name, None)
            else:
                found[name] = after
        return found

    def versions(self, kind: str) -> dict[Key, str]:
        """The version of every object that the watch has brought."""
        found = self._watched[kind]
        return {
            Key(feed.namespace, name): item["metadata"]["resourceVersion"]
            for feed, items in found.items()
            for name, item in items.items()
        }

    # ---- what was written since

    def brought(self, kind: str, feed: Key, name: str) -> str | None:
        """The version of an object that the watch brought last; None where it has brought none."""
        return version(self._watched[kind].get(feed, {}).get(name))

    def wrote(self, kind: str, feed: Key, name: str, after: Object | None, since: str | None) -> None:
        """Remember an answer of the API server (None: deleted) until the watch brings something newer.

        ``since`` is what it had ``brought`` when the write began: where it has brought something meanwhile that may be
        newer than the answer, and another event may never come, so that one counts.
        """
        if self.brought(kind, feed, name) == since:
            self._written.setdefault((kind, feed), {})[name] = (since, None if after is None else trimmed(kind, after))

    def _forget_written(self, kind: str, feed: Key, name: str) -> None:
        written = self._written.get((kind, feed), {})
        written.pop(name, None)
        if not written:
            self._written.pop((kind, feed), None)


def trimmed(kind: str, body: Mapping[str, Any]) -> Object:
    """What is kept of an object: there are thousands, and half of each is who set which field."""
    left_out = ("apiVersion", "kind", "spec") if kind == "Pod" else ("apiVersion", "kind")
    found = {name: value for name, value in body.items() if name not in left_out}
    found["metadata"] = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return found


def version(item: Object | None) -> str | None:
    return None if item is None else item["metadata"]["resourceVersion"]


def _name(body: Mapping[str, Any]) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])
