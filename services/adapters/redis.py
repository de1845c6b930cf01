"""Redis (Valkey): only what can be rebuilt. Keys are named here and nowhere else."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError

from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.health import Health
from services.runtime.metrics import counter
from services.runtime.serve import Resource
from services.runtime.settings import RedisSettings

AWAY: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
LATEST_TTL_S = 600
"""How long a latest value outlives its writer."""
REWRITE_INTERVAL_S = 30.0
"""How often each writer of latest values writes them again, so that FLUSHALL heals itself."""


def price_key(exchange: str, product_id: str) -> str:
    """Hash: price, size, side, time (nanoseconds), trade_id of the newest trade."""
    return f"crypto:{exchange}:{product_id}"


def indicator_key(exchange: str, product_id: str) -> str:
    """Hash: each indicator's name and value, and time (nanoseconds)."""
    return f"indicator:{exchange}:{product_id}"


def book_key(symbol: str) -> str:
    """JSON: symbol, sequence, time (nanoseconds), bids, asks, checksum: the depth of the order lab's book."""
    return f"book:{symbol}"


def matching_key(market_group: int) -> str:
    """Hash: owner, the engine that may write this group's trades; sequence, the event up to which it has."""
    return f"matching:{market_group}"


def rate_limit_key(service: str, client: str) -> str:
    """Counter: requests of one client in its current window; gone when the window ends."""
    return f"rate_limit:{service}:{client}"


@dataclass(frozen=True)
class Memory:
    """What it takes, and may take. None: not known, or no limit."""

    used_bytes: int | None = None
    max_bytes: int | None = None


class Redis(Resource):
    def __init__(self, settings: RedisSettings, health: Health) -> None:
        self.client = redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            decode_responses=True,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
        if settings.redis_password:
            # As an argument it would give way to one in the URL.
            self.client.connection_pool.connection_kwargs["password"] = settings.redis_password.get_secret_value()
        self._health = health

    async def start(self) -> None:
        """Redis holds nothing that cannot be rebuilt, so nobody waits for it."""
        began = time.perf_counter()
        try:
            await self.client.ping()
            self.report(None, time.perf_counter() - began)
        except AWAY as error:
            self.report(error)

    async def stop(self) -> None:
        await self.client.aclose()

    async def hashes(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """The hash of each key, in one round trip; empty ones where there is none, and all while Redis is away."""
        if not keys:
            return []
        pipeline = self.client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        began = time.perf_counter()
        try:
            found: list[dict[str, str]] = await pipeline.execute()
        except AWAY as error:
            self.away(error)
            return [{} for _ in keys]
        self.report(None, time.perf_counter() - began)
        return found

    async def memory(self) -> Memory:
        """Not known where our user may not ask. Raises InfraError while Redis is away."""
        began = time.perf_counter()
        try:
            info = await self.client.info("memory")
        except NoPermissionError:
            info = {}
        except AWAY as error:
            raise self.away(error) from error
        self.report(None, time.perf_counter() - began)
        return Memory(info.get("used_memory"), info.get("maxmemory") or None)

    def away(self, error: Exception) -> InfraError:
        """The error to raise when Redis is away."""
        self.report(error)
        logging.logger().warning("redis_away", error=str(error), error_type=type(error).__name__)
        return InfraError("redis", str(error) or type(error).__name__)

    def report(self, error: Exception | None, latency_s: float | None = None) -> None:
        """Say in ``/ready`` how Redis is, and how long it took to answer."""
        detail = "" if error is None else f"{type(error).__name__}: {error}"
        self._health.report("redis", error is None, detail, latency_s)


class LatestWriter:
    """Writes latest values of products, coalesced, and all of them again every ``REWRITE_INTERVAL_S``.

    A component. While Redis is away values are kept in memory, one a key, and written when it is back.
    """

    def __init__(self, redis: Redis, group: str, keyspace: str) -> None:
        self._redis = redis
        self._group = group
        self._keyspace = keyspace
        self._values: dict[str, tuple[str, dict[str, str]]] = {}
        self._changed: set[str] = set()
        self._stopping = asyncio.Event()

    def put(self, exchange: str, key: str, value: dict[str, str]) -> None:
        """Have the hash ``key`` replaced at the next flush."""
        self._values[key] = (exchange, value)
        self._changed.add(key)

    def forget(self) -> None:
        """The products are no longer ours: whoever has them now writes them."""
        self._values.clear()
        self._changed.clear()

    async def flush(self) -> None:
        """Write what changed, in one round trip. Redis being away is reported, not raised."""
        keys = [key for key in self._changed if key in self._values]
        if not keys:
            return
        written = Counter[str]()
        began = time.perf_counter()
        try:
            async with self._redis.client.pipeline(transaction=True) as pipe:
                for key in keys:
                    exchange, value = self._values[key]
                    pipe.delete(key)
                    pipe.hset(key, mapping=value)  # type: ignore[arg-type]
                    pipe.expire(key, LATEST_TTL_S)
                    written[exchange] += 1
                await pipe.execute()
        except AWAY as error:
            self._redis.report(error)
            return
        self._redis.report(None, time.perf_counter() - began)
        self._changed.difference_update(keys)
        for exchange, count in written.items():
            counter(Metric.REDIS_WRITES).labels(self._group, exchange, self._keyspace).inc(count)

    async def start(self) -> None:
        return None

    async def run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), REWRITE_INTERVAL_S)
            self._changed.update(self._values)
            await self.flush()

    async def stop(self) -> None:
        self._stopping.set()
