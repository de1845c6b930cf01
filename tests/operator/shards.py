"""Pods that no node takes, made to look as if they ran: their addresses are this machine's, and feeds answer there.

The API server, the controllers and the operator are the real ones; only the kubelet and the feed's process are played.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

from market_operator.desired import OPS_PORT
from market_operator.feeds import SHARD_LABEL
from services.runtime.clock import SystemClock, rfc3339
from services.runtime.health import Health
from services.runtime.ops import Ops
from tests.operator.kube import Kube

Object = dict[str, Any]

LOOK_INTERVAL_S = 0.2
READY = {"type": "Ready", "status": "True", "lastTransitionTime": None}
_addresses = (f"127.{90 + n // 250}.0.{n % 250 + 1}" for n in count())


@dataclass
class FakeShard:
    """One pod's process, as far as its ``/status`` goes."""

    pod: str
    number: int
    address: str
    products: tuple[str, ...]
    connected: bool = True
    last_end: str = ""
    trading: bool = True
    kafka: bool = True
    rejected: dict[str, str] = field(default_factory=dict)
    open_gaps: int = 0
    last_time: str = "2026-01-01T00:00:00Z"

    def document(self) -> Object:
        if self.trading:
            self.last_time = rfc3339(SystemClock().now_ns())
        return {
            "connected": self.connected,
            "last_end": self.last_end,
            "dependencies": {"kafka": {"up": self.kafka, "detail": "" if self.kafka else "no broker answers"}},
            "products": {name: self._product(name) for name in self.products},
        }

    def _product(self, name: str) -> Object:
        return {
            "subscribed": self.connected and name not in self.rejected,
            "rejected": self.rejected.get(name, ""),
            "last_trade_time": self.last_time,
            "last_received_time": self.last_time,
            "open_gaps": [{"first": 1, "last": 2, "reason": ""}] * self.open_gaps,
        }


class Shards:
    """Plays the kubelet in one namespace. ``hold`` keeps new pods from becoming ready."""

    def __init__(self, kube: Kube) -> None:
        self.hold = False
        self._kube = kube
        self._by_pod: dict[str, tuple[FakeShard, Ops]] = {}

    async def __aenter__(self) -> Self:
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task
        for name in list(self._by_pod):
            await self._end(name)

    def __iter__(self) -> Iterator[FakeShard]:
        """Those that run, the oldest first."""
        return iter([shard for shard, _ in self._by_pod.values()])

    def of(self, number: int) -> FakeShard:
        """The newest pod of a shard."""
        return [shard for shard in self if shard.number == number][-1]

    async def _play(self) -> None:
        while not self._over.is_set():
            pods = await self._kube.listed("Pod")
            for name, pod in pods.items():
                if name not in self._by_pod and not self.hold:
                    await self._begin(name, pod)
            for name in self._by_pod.keys() - pods.keys():
                await self._end(name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), LOOK_INTERVAL_S)

    async def _begin(self, name: str, pod: Object) -> None:
        (container,) = pod["spec"]["containers"]
        variables = {each["name"]: each.get("value", "") for each in container["env"]}
        products = tuple(variables["TICKPLANE_PRODUCTS"].split(","))
        shard = FakeShard(name, int(pod["metadata"]["labels"][SHARD_LABEL]), next(_addresses), products)
        ops = Ops(Health("feed", SystemClock()), shard.address, OPS_PORT, shard.document)
        await ops.start()
        self._by_pod[name] = (shard, ops)
        running = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": True,
            "restartCount": 0,
        }
        now = rfc3339(SystemClock().now_ns() // 1_000_000_000 * 1_000_000_000)
        status = {
            "phase": "Running",
            "podIP": shard.address,
            "podIPs": [{"ip": shard.address}],
            "conditions": [{**READY, "lastTransitionTime": now}],
            "containerStatuses": [{**running, "state": {"running": {"startedAt": now}}}],
        }
        await self._kube.write_status("Pod", name, status)

    async def _end(self, name: str) -> None:
        _, ops = self._by_pod.pop(name)
        await ops.stop()
