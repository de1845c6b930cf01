"""Asks every shard for its ``/status``, within a time; restarts the pod of one that stays silent."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from market_operator.api import Api, RefusedError
from market_operator.cache import Cache
from market_operator.desired import OPS_PORT
from market_operator.feeds import SHARD_LABEL, Key
from market_operator.observing import Answer, Polled, Problem, is_pod_ready, is_pod_running, is_pod_stuck, of_stuck_pod
from market_operator.settings import OperatorSettings
from market_operator.tracking import Tracking
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.clock import NS_PER_S, Clock, parse_rfc3339
from services.runtime.metrics import counter

Object = dict[str, Any]
_decoder = msgspec.json.Decoder(Answer)
STUCK_AFTER_S = 20
"""How old a pod is before its Events are asked for: most begin sooner."""
STUCK_MAX = 10
"""Pods whose Events are asked for in one cycle."""


@dataclass(frozen=True)
class Target:
    """The pod of a shard to ask: the newest that is ready, else the newest that runs. Or one that does not begin."""

    feed: Key
    shard: int
    pod: Object


class Polls:
    """What is known of every shard. ``changed`` is called with each feed whose status may have to change."""

    def __init__(
        self, cache: Cache, api: Api, settings: OperatorSettings, clock: Clock, changed: Callable[[Key], None]
    ) -> None:
        self._cache = cache
        self._api = api
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._tracked: dict[tuple[Key, int], Tracking] = {}
        self._stuck: dict[tuple[Key, int], Problem] = {}
        self._polled_at: dict[tuple[Key, int], float] = {}
        self._shapes: dict[tuple[Key, int], object] = {}
        self._client = httpx.AsyncClient(timeout=settings.poll_timeout_s, trust_env=False)
        self._log = logging.logger()

    async def close(self) -> None:
        await self._client.aclose()

    def of(self, feed: Key, shard: int) -> Polled:
        """What polling found out about a shard."""
        tracking, stuck = self._tracked.get((feed, shard)), self._stuck.get((feed, shard))
        polled = Polled() if tracking is None else tracking.polled(self._clock.monotonic())
        return polled if stuck is None else Polled(polled.answer, (*polled.problems, stuck))

    async def cycle(self) -> None:
        """Ask every shard once, those first that waited longest; what an interval has no time for comes next time."""
        asked, stuck = self._targets()
        self._forget_gone()
        asked.sort(key=lambda target: self._polled_at.get((target.feed, target.shard), 0.0))
        at_once = asyncio.Semaphore(self._settings.poll_concurrency)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll_interval_s), asyncio.TaskGroup() as group:
                for target in asked:
                    group.create_task(self._poll(target, at_once))
                group.create_task(self._look_at(stuck))

    def _targets(self) -> tuple[list[Target], list[Target]]:
        """Pods to ask, one for each shard, and pods that do not begin."""
        asked: dict[tuple[Key, int], Target] = {}
        stuck: dict[tuple[Key, int], Target] = {}
        for feed in self._cache.feeds():
            pods = sorted(
                self._cache.of_feed("Pod", feed).values(), key=lambda pod: pod["metadata"]["creationTimestamp"]
            )
            # What comes later replaces what came before: ready before running, and newer before older.
            for pod in sorted(pods, key=is_pod_ready):
                number = pod["metadata"]["labels"].get(SHARD_LABEL, "")
                if not number.isdecimal():
                    continue
                target = Target(feed, int(number), pod)
                if is_pod_running(pod):
                    asked[feed, target.shard] = target
                elif is_pod_stuck(pod) and self._is_old(pod):
                    stuck[feed, target.shard] = target
        return list(asked.values()), list(stuck.values())

    def _is_old(self, pod: Object) -> bool:
        age_ns = self._clock.now_ns() - parse_rfc3339(pod["metadata"]["creationTimestamp"])
        return age_ns >= STUCK_AFTER_S * NS_PER_S

    def _forget_gone(self) -> None:
        feeds = set(self._cache.feeds())
        for known in (self._tracked, self._polled_at, self._shapes):
            for name in [name for name in known if name[0] not in feeds]:
                known.pop(name)

    # ---- shards that run

    async def _poll(self, target: Target, at_once: asyncio.Semaphore) -> None:
        name = (target.feed, target.shard)
        async with at_once:
            tracking = self._tracked.setdefault(name, self._new_tracking(target))
            tracking.begin(target.pod["metadata"]["uid"], is_pod_ready(target.pod), self._clock.monotonic())
            answer = await self._ask(target.pod["status"]["podIP"])
            now = self._polled_at[name] = self._clock.monotonic()
        if answer is not None:
            tracking.answered(answer, now)
        if tracking.wants_restart(now):
            await self._restart(target, tracking, now)
        shape = _shape(self.of(*name))
        if shape != self._shapes.get(name):
            self._shapes[name] = shape
            self._changed(target.feed)

    def _new_tracking(self, target: Target) -> Tracking:
        body = self._cache.feed(target.feed) or {}
        conditions = body.get("status", {}).get("conditions", [])
        reasons = {each["reason"] for each in conditions if each["type"] == "Degraded"}
        return Tracking(target.shard, self._settings, assumed=reasons)

    async def _ask(self, address: str) -> Answer | None:
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._client.stream("GET", f"http://{host}:{OPS_PORT}/status") as response:
                response.raise_for_status()
                answer = _decoder.decode(await _limited(response, self._settings.poll_bytes_max))
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            counter(Metric.OPERATOR_POLLS).labels("error").inc()
            self._log.info("poll_failed", address=address, error=f"{type(error).__name__}: {error}")
            return None
        counter(Metric.OPERATOR_POLLS).labels("ok").inc()
        return answer

    async def _restart(self, target: Target, tracking: Tracking, now: float) -> None:
        pod = target.pod["metadata"]
        self._log.warning("stale_restart", feed=str(target.feed), shard=target.shard, pod=pod["name"])
        tracking.restarted(now)
        counter(Metric.OPERATOR_STALE_RESTARTS).inc()
        with self._may_fail():
            await self._api.delete("Pod", Key(pod["namespace"], pod["name"]))

    # ---- pods that do not begin

    async def _look_at(self, stuck: list[Target]) -> None:
        """Their newest warnings say why. A few at a time: each is a request to the API server."""
        found = {}
        for target in stuck[:STUCK_MAX]:
            pod = target.pod["metadata"]
            warnings: list[Object] = []
            with self._may_fail():
                warnings = await self._api.warnings(Key(pod["namespace"], pod["name"]))
            if warnings:
                newest = max(warnings, key=lambda each: each.get("lastTimestamp") or each.get("eventTime") or "")
                found[target.feed, target.shard] = of_stuck_pod(newest.get("message", ""))
        changed = {name[0] for name in found.keys() | self._stuck.keys() if found.get(name) != self._stuck.get(name)}
        self._stuck = found
        for feed in changed:
            self._changed(feed)

    @contextlib.contextmanager
    def _may_fail(self) -> Iterator[None]:
        """The next cycle tries again."""
        try:
            yield
        except (InfraError, RefusedError) as error:
            self._log.warning("poll_request_failed", error=str(error))


def _shape(polled: Polled) -> object:
    """What a status says of it besides figures."""
    products = polled.answer.products if polled.answer is not None else {}
    return polled.problems, {name: (product.subscribed, product.rejected) for name, product in products.items()}


async def _limited(response: httpx.Response, bytes_max: int) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > bytes_max:
            raise httpx.DecodingError(f"more than {bytes_max} bytes")
    return bytes(body)
