"""The operator: MarketFeeds become Deployments, and what these do becomes their status."""

import asyncio
import time

from market_operator import venues
from market_operator.api import Api
from market_operator.cache import Cache
from market_operator.feeds import Key
from market_operator.listing import DeadWatchError, Listing
from market_operator.polling import Polls
from market_operator.reconcile import Reconciler
from market_operator.resource import KIND
from market_operator.settings import OperatorSettings
from market_operator.triggers import Triggers
from market_operator.watches import Watches
from market_operator.work_queue import WorkQueue
from market_operator.workers import Workers
from services.contracts.errors import InfraError
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.health import Health
from services.runtime.periodic import Periodic
from services.runtime.serve import Resource, run_service, serve

BACKOFF_BASE_S = 1.0
KINDS_NEEDED = (KIND, "Deployment", "ServiceAccount", "NetworkPolicy", "Pod")
KIND_OPTIONAL = "PodMonitor"


class Cluster(Resource):
    """A component: started once the API server answers and knows MarketFeeds. Then the cache knows what to be for."""

    def __init__(self, api: Api, cache: Cache, namespaces: tuple[str, ...], health: Health) -> None:
        self._api = api
        self._cache = cache
        self._namespace = namespaces[0] if namespaces else None
        self._health = health

    async def start(self) -> None:
        backoff = Backoff(BACKOFF_BASE_S, 10)
        while not await self._is_there():
            await asyncio.sleep(backoff.next_s())
        has_optional = await self._api.is_served(KIND_OPTIONAL, self._namespace)
        self._cache.watch((*KINDS_NEEDED, KIND_OPTIONAL) if has_optional else KINDS_NEEDED)

    async def stop(self) -> None:
        await self._api.close()

    async def check(self) -> None:
        """Raise DeadWatchError where PodMonitors came to be known, or are no longer."""
        began = time.perf_counter()
        is_served = await self._api.is_served(KIND_OPTIONAL, self._namespace)
        self._health.report("kubernetes", True, latency_s=time.perf_counter() - began)
        if is_served != (KIND_OPTIONAL in self._cache.kinds):
            raise DeadWatchError("the API server knows other kinds now")

    async def _is_there(self) -> bool:
        began = time.perf_counter()
        try:
            served = await self._api.is_served(KIND, self._namespace)
        except InfraError as error:
            self._health.report("kubernetes", False, str(error))
            return False
        detail = "" if served else f"the CustomResourceDefinition of {KIND} is missing"
        self._health.report("kubernetes", served, detail, time.perf_counter() - began)
        return served


class FirstSync(Resource):
    """A component: started once the watches have brought everything, and every shard was asked once."""

    def __init__(self, watches: Watches, listing: Listing, polls: Polls) -> None:
        self._watches = watches
        self._listing = listing
        self._polls = polls

    async def start(self) -> None:
        await self._watches.unless_ended(self._listing.wait_until_cached())
        await self._polls.cycle()

    async def stop(self) -> None:
        await self._polls.close()


async def run(settings: OperatorSettings, health: Health) -> None:
    log = logging.logger()
    queue = WorkQueue[Key](lambda: Backoff(BACKOFF_BASE_S, settings.operator_backoff_max_s))
    cache, api, clock = Cache(), Api(), health.clock
    polls = Polls(cache, api, settings, clock, queue.add)
    reconciler = Reconciler(api, cache, polls, venues.labels(), settings, clock)
    cluster = Cluster(api, cache, settings.namespaces, health)
    listing = Listing(api, cache, settings.namespaces, clock)
    triggers = Triggers(cache, reconciler, queue.add)
    watches = Watches(cache, settings.namespaces, triggers.on_event)

    async def find_dead_watches() -> None:
        try:
            await cluster.check()
            await listing.check(settings.operator_listing_patience_s)
        except InfraError as error:
            log.warning("listing_failed", error=str(error))

    await serve(
        health,
        settings,
        [
            cluster,
            watches,
            FirstSync(watches, listing, polls),
            Periodic(settings.poll_interval_s, polls.cycle),
            Periodic(settings.operator_listing_interval_s, find_dead_watches),
            Workers(settings.operator_workers, queue, reconciler, health),
        ],
    )


def main() -> None:
    run_service("operator", OperatorSettings, run)
