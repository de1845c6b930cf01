"""kopf's part: watches that fill the cache and name the MarketFeeds to look at.

Only ``on.event`` is used: it leaves the user's objects as they are, without finalizers or annotations. kopf's own
indices hold every event back until all are filled, and wake each one that waits for each one that comes: with 5,000
objects a start took half a minute. Here ``Listing`` says when everything is there.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import kopf

from market_operator.api import PLURALS
from market_operator.cache import Cache, Object
from market_operator.connection import kopf_login
from market_operator.desired import MANAGED
from market_operator.resource import KIND
from services.runtime.serve import Resource

SERVER_TIMEOUT_S = 300
"""A watch is asked anew this often, so that one whose other end has gone is not listened to for ever."""
CLIENT_TIMEOUT_S = SERVER_TIMEOUT_S + 30
CONNECT_TIMEOUT_S = 10
LIST_CHUNK = 250
WORKER_IDLE_S = 0.2
"""How long kopf keeps a task for each object that had an event: at the start that is every object."""

OnEvent = Callable[[str, Object, bool], None]
"""Called with the kind, the object, and whether it was deleted."""


class Watches(Resource):
    """A component. ``on_event`` is called with everything that there is, and then with every change."""

    def __init__(self, cache: Cache, namespaces: tuple[str, ...], on_event: OnEvent) -> None:
        """The kinds watched are those that the cache is for when it starts; ``namespaces``: empty for every one."""
        self._cache = cache
        self._namespaces = namespaces
        self._on_event = on_event
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        spawned = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
        )
        self._tasks = list(spawned)

    async def run(self) -> None:
        """Raises what ended the watches; they must not end by themselves."""
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not self._stop.is_set():
                raise RuntimeError("the watches ended")
        finally:
            await self._end()
            self._ended.set()

    async def stop(self) -> None:
        self._stop.set()
        await self._ended.wait()

    async def unless_ended(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for what needs the watches. Raises what ended them meanwhile."""
        task = asyncio.create_task(work)
        try:
            done, _ = await asyncio.wait([task, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            if task not in done:
                raise RuntimeError("the watches ended before they had brought anything")
            task.result()
        finally:
            task.cancel()

    async def _end(self) -> None:
        """kopf's own ``run_tasks`` would cancel every task of the process that is younger than the watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(kopf_login)
        for kind in self._cache.kinds:
            kopf.on.event(*PLURALS[kind], id=kind, registry=registry)(self._handler(kind))
        return registry

    def _handler(self, kind: str) -> Callable[..., Any]:
        async def handle(type: str | None, body: kopf.Body, **_: Any) -> None:
            self._on_event(kind, dict(body), type == "DELETED")

        return handle


def _settings() -> kopf.OperatorSettings:
    """Watches that end and are renewed, of our own objects only; nothing posted, no namespaces or CRDs observed."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = WORKER_IDLE_S
    settings.watching.server_timeout = SERVER_TIMEOUT_S
    settings.watching.client_timeout = CLIENT_TIMEOUT_S
    settings.watching.connect_timeout = CONNECT_TIMEOUT_S
    settings.watching.chunk_size = LIST_CHUNK
    ours = ",".join(f"{name}={value}" for name, value in MANAGED.items())
    settings.watching.label_selectors[lambda resource: resource.kind != KIND] = ours
    return settings
