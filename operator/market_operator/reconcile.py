"""One MarketFeed made so, whatever it is like now: level-based, from caches, and no write where nothing differs."""

from collections.abc import Awaitable, Mapping
from dataclasses import replace

import msgspec

from market_operator.api import Api, FieldConflictError, Object, RefusedError
from market_operator.cache import Cache
from market_operator.claims import Claim, Holder, claims, conflicts
from market_operator.desired import desired
from market_operator.drift import is_as_wanted
from market_operator.events import event
from market_operator.feeds import SHARD_LABEL, Feed, Key
from market_operator.figures import Figures
from market_operator.moves import held, products_of
from market_operator.observing import Problem, Shard, is_rolling, observed_shard
from market_operator.polling import Polls
from market_operator.resource import KIND
from market_operator.settings import OperatorSettings
from market_operator.status import Change, Observed, change, invalid, status, transitions
from services.runtime import logging
from services.runtime.clock import NS_PER_S, Clock, rfc3339

MESSAGES_INTERVAL_S = 30.0
"""How often a message alone is written: that of a crash has another time in it each time."""


class TryAgainError(Exception):
    """The status says what is wrong; it may pass without an event."""


class Reconciler:
    """``venues``: the label of each venue that the operator's own image has."""

    def __init__(
        self, api: Api, cache: Cache, polls: Polls, venues: Mapping[str, str], settings: OperatorSettings, clock: Clock
    ) -> None:
        self._api = api
        self._cache = cache
        self._polls = polls
        self._venues = venues
        self._settings = settings
        self._clock = clock
        self._log = logging.logger()
        self._began_at = clock.monotonic()
        self._looked_at: dict[Key, float] = {}
        self._asked: dict[Key, str] = {}
        self._figures = Figures()

    def claims_of(self, feed: Feed) -> dict[Claim, Holder]:
        return claims(feed, self._exchange(feed), self._settings.feed_kafka_bootstrap_servers)

    async def reconcile(self, key: Key) -> float | None:
        """Returns in how many seconds to look again, where that is known; an event may come before.

        Raises InfraError where the API server is away, TryAgainError where it refused something.
        """
        body = self._cache.feed(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._forget(key)
            return None
        try:
            feed = Feed.of(body)
        except msgspec.ValidationError as error:
            await self._say_invalid(key, body, str(error))
            return None
        return await self._make(feed)

    async def _make(self, feed: Feed) -> float:
        problems = self._of_venue(feed)
        taken = conflicts(self.claims_of(feed), self._cache.claims)
        without = frozenset(feed.spec.products if problems else taken)
        wanted = desired(feed, self._settings, monitored="PodMonitor" in self._cache.kinds, without=without)
        waiting = self._held(feed, wanted)
        refused = await self._apply(feed, wanted, waiting)
        refused += await self._prune(feed, wanted, waiting)
        shards = self._shards(feed, wanted, waiting)
        observed = Observed(self._exchange(feed), shards, [*problems, *refused], taken)
        again_in_s = await self._write_status(feed, status(feed, observed, self._now()))
        if refused:
            raise TryAgainError("; ".join(problem.message for problem in refused))
        return again_in_s

    # ---- children

    async def _apply(self, feed: Feed, wanted: list[Object], waiting: set[str]) -> list[Problem]:
        """Apply what is not as wanted. Returns what the API server refused."""
        everything = self._is_asked_anew(feed)
        problems = []
        for item in wanted:
            live = self._cache.of_feed(item["kind"], feed.key).get(item["metadata"]["name"])
            if live is not None and (_is_ending(live) or _is_waiting(item, waiting)):
                continue
            if live is None or everything or not is_as_wanted(item, live):
                problems += await self._apply_one(feed, item)
        return problems

    def _is_asked_anew(self, feed: Feed) -> bool:
        """Whether the annotation ``tickplane.io/reconcile`` has another value than when it was seen last."""
        before = self._asked.setdefault(feed.key, feed.asked)
        self._asked[feed.key] = feed.asked
        return before != feed.asked

    async def _apply_one(self, feed: Feed, item: Object) -> list[Problem]:
        """What others changed by an update is taken back; what they hold by an apply is theirs: a person decides."""
        kind, name = item["kind"], item["metadata"]["name"]
        try:
            live = await self._write(kind, feed.key, name, self._taken_back(item))
        except FieldConflictError as error:
            return [Problem("FieldConflict", f"{kind} {name}: {error}")]
        except RefusedError as error:
            reason = "QuotaExceeded" if "exceeded quota" in str(error) else "ApplyRefused"
            return [Problem(reason, f"{kind} {name}: {error}")]
        self._log.info("applied", feed=str(feed.key), kind=kind, name=name)
        if not is_as_wanted(item, live):
            return [Problem("ApplyRefused", f"{kind} {name}: something in the cluster changes it as it is written")]
        return []

    async def _taken_back(self, item: Object) -> Object:
        try:
            return await self._api.apply(item, force=False)
        except FieldConflictError as error:
            if error.by_apply:
                raise
            return await self._api.apply(item, force=True)

    async def _prune(self, feed: Feed, wanted: list[Object], waiting: set[str]) -> list[Problem]:
        """Delete the shards that the operator made for this feed and wants no longer. The rest is wanted always."""
        names = {item["metadata"]["name"] for item in wanted if item["kind"] == "Deployment"}
        problems = []
        for name, live in self._cache.of_feed("Deployment", feed.key).items():
            if name in names | waiting or _is_ending(live) or not _is_owned(live, feed):
                continue
            try:
                deletion = self._api.delete("Deployment", Key(feed.key.namespace, name))
                await self._write("Deployment", feed.key, name, deletion)
            except RefusedError as error:
                problems.append(Problem("ApplyRefused", f"Deployment {name}: {error}"))
                continue
            self._log.info("pruned", feed=str(feed.key), name=name)
        return problems

    def _held(self, feed: Feed, wanted: list[Object]) -> set[str]:
        """Deployments that wait until what they give up streams elsewhere; none where nothing streams anyway."""
        if feed.spec.paused:
            return set()
        live = {
            name: item for name, item in self._cache.of_feed("Deployment", feed.key).items() if not _is_ending(item)
        }
        shards = {item["metadata"]["name"]: item for item in wanted if item["kind"] == "Deployment"}
        settled = {n for n in shards if n in live and is_as_wanted(shards[n], live[n]) and not is_rolling(live[n])}
        streaming = {name: products_of(item) for name, item in live.items() if item["spec"]["replicas"]}
        return held({name: products_of(item) for name, item in shards.items()}, streaming, settled)

    # ---- status

    def _shards(self, feed: Feed, wanted: list[Object], waiting: set[str]) -> dict[int, Shard]:
        deployments, pods = (self._cache.of_feed(kind, feed.key) for kind in ("Deployment", "Pod"))
        found = {}
        for item in wanted:
            if item["kind"] != "Deployment":
                continue
            number, live = item["metadata"]["labels"][SHARD_LABEL], deployments.get(item["metadata"]["name"])
            own = [pod for pod in pods.values() if pod["metadata"]["labels"].get(SHARD_LABEL) == number]
            state = observed_shard(live, own, self._polls.of(feed.key, int(number)))
            found[int(number)] = replace(state, rolling=state.rolling or _is_waiting(item, waiting))
        return found

    async def _write_status(self, feed: Feed, found: Object) -> float:
        """Write it where it differs: at once, or in its time where only messages or figures do. Returns when to look
        again, in seconds.
        """
        self._figures.show(feed.key, found)
        what = change(feed.status, found)
        waits_s = self._waits_s(feed.key, what)
        if waits_s > 0:
            return waits_s
        self._looked_at[feed.key] = self._clock.monotonic()
        if what:
            await self._write(KIND, feed.key, feed.key.name, self._api.write_status(feed.key, feed.uid, found))
        for condition in transitions(feed.status, found):
            await self._api.record(event(feed, condition, self._now()))
        return self._settings.operator_figures_interval_s

    async def _say_invalid(self, key: Key, body: Object, message: str) -> None:
        """A spec from a newer operator: what runs is left as it is."""
        found = invalid(body, message, self._now())
        self._figures.show(key, found)
        if change(body.get("status", {}), found):
            await self._write(KIND, key, key.name, self._api.write_status(key, body["metadata"]["uid"], found))

    async def _write[T: Object | None](self, kind: str, feed: Key, name: str, write: Awaitable[T]) -> T:
        """Wait for a write, and remember its answer."""
        since = self._cache.brought(kind, feed, name)
        after = await write
        self._cache.wrote(kind, feed, name, after, since)
        return after

    def _waits_s(self, key: Key, what: Change) -> float:
        """How long a change has to wait yet. A new operator waits too, so that its start writes nothing."""
        interval_s = {"all": 0.0, "messages": MESSAGES_INTERVAL_S}.get(what, self._settings.operator_figures_interval_s)
        return self._looked_at.get(key, self._began_at) + interval_s - self._clock.monotonic()

    def _of_venue(self, feed: Feed) -> list[Problem]:
        """An image of one's own may have adapters of one's own."""
        if feed.spec.venue in self._venues or feed.spec.image is not None:
            return []
        known = ", ".join(sorted(self._venues))
        return [Problem("UnknownVenue", f"there is no venue {feed.spec.venue}; there are {known}")]

    def _exchange(self, feed: Feed) -> str:
        return feed.spec.exchange or self._venues.get(feed.spec.venue, feed.spec.venue)

    def _forget(self, key: Key) -> None:
        """Its children have owner references: Kubernetes deletes them."""
        self._figures.forget(key)
        for known in (self._looked_at, self._asked):
            known.pop(key, None)

    def _now(self) -> str:
        return rfc3339(self._clock.now_ns() // NS_PER_S * NS_PER_S)


def _is_ending(live: Object) -> bool:
    return "deletionTimestamp" in live["metadata"]


def _is_waiting(item: Object, waiting: set[str]) -> bool:
    return item["kind"] == "Deployment" and item["metadata"]["name"] in waiting


def _is_owned(live: Object, feed: Feed) -> bool:
    return any(owner["uid"] == feed.uid for owner in live["metadata"].get("ownerReferences", ()))
