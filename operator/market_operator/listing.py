"""Lists what the watches should have brought: whether the caches are filled, and whether a watch has died unnoticed."""

import asyncio
import contextlib
from collections.abc import Mapping

from market_operator.api import Api
from market_operator.cache import Cache
from market_operator.feeds import Key
from services.contracts.metrics import Metric
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import gauge

Versions = Mapping[Key, str]

LOOK_INTERVAL_S = 0.1
LIST_AGAIN_S = 10.0


class DeadWatchError(Exception):
    """The process must begin again: there is no other way to a watch that works."""


class Listing:
    """``namespaces``: those served; empty for every one."""

    def __init__(self, api: Api, cache: Cache, namespaces: tuple[str, ...], clock: Clock) -> None:
        self._api = api
        self._cache = cache
        self._namespaces = namespaces or (None,)
        self._clock = clock

    async def wait_until_cached(self) -> None:
        """Return once everything that there is has been brought by the watches."""
        for kind in self._cache.kinds:
            while not await self._is_cached(kind):
                pass
        self._are_alive()

    async def check(self, patience_s: float) -> None:
        """Raise DeadWatchError where the cache of an object stands still though listings say otherwise."""
        before = {kind: await self._behind(kind) for kind in self._cache.kinds}
        doubtful = [kind for kind, behind in before.items() if behind]
        if doubtful:
            await asyncio.sleep(patience_s)
        for kind in doubtful:
            if dead := before[kind] & await self._behind(kind):
                raise DeadWatchError(f"the watch of {kind} missed {len(dead)} objects, such as {min(dead)[0]}")
        self._are_alive()

    def _are_alive(self) -> None:
        gauge(Metric.OPERATOR_WATCH_CHECKED_TIME).set(self._clock.now_ns() / NS_PER_S)

    async def _is_cached(self, kind: str) -> bool:
        listed = await self._listed(kind)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIST_AGAIN_S):
                while listed.keys() - self._cache.versions(kind).keys():
                    await asyncio.sleep(LOOK_INTERVAL_S)
                return True
        return False

    async def _behind(self, kind: str) -> set[tuple[Key, str]]:
        return behind(await self._listed(kind), self._cache.versions(kind))

    async def _listed(self, kind: str) -> Versions:
        found: dict[Key, str] = {}
        for namespace in self._namespaces:
            found |= await self._api.versions(kind, namespace)
        return found


def behind(listed: Versions, cached: Versions) -> set[tuple[Key, str]]:
    """Objects of another version in the cache than in a listing, with that version; empty where they are not there."""
    differ = {key for key in listed.keys() | cached.keys() if listed.get(key) != cached.get(key)}
    return {(key, cached.get(key, "")) for key in differ}
