"""How many requests a client may make: counted in Redis for all replicas, or by this one while Redis is away."""

import asyncio
import ipaddress
from typing import Any, Self, cast

from services.adapters.redis import AWAY, Redis, rate_limit_key
from services.contracts.metrics import Metric
from services.runtime import logging
from services.runtime.clock import Clock
from services.runtime.metrics import counter
from services.runtime.settings import RestSettings

WINDOW_S = 60.0
IPV6_CLIENT_BITS = 64
"""The part of an IPv6 address that one customer is given: the rest is theirs to choose (RFC 6177)."""

_COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


def client_of(address: str) -> str:
    """Who is counted: an IPv4 address, an IPv6 /64, or ``unknown``: bounded, whatever a header said."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, IPV6_CLIENT_BITS), strict=False))


class RateLimiter:
    """``limit`` requests in the minute that begins with a client's first one. One round trip a request."""

    def __init__(
        self,
        service: str,
        redis: Redis,
        clock: Clock,
        *,
        limit: int,
        timeout_s: float,
        retry_s: float,
        clients_max: int,
    ) -> None:
        self._service = service
        self._redis = redis
        self._clock = clock
        self._limit = limit
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._local = LocalWindows(clients_max)
        self._count = redis.client.register_script(_COUNT)
        self._away_until_s = 0.0

    @classmethod
    def of(cls, settings: RestSettings, service: str, redis: Redis, clock: Clock, *, limit: int) -> Self:
        return cls(
            service,
            redis,
            clock,
            limit=limit,
            timeout_s=settings.rate_limit_timeout_ms / 1_000,
            retry_s=settings.rate_limit_retry_s,
            clients_max=settings.rate_limit_clients_max,
        )

    async def wait_s(self, client: str) -> float:
        """Count one request of this client. 0 lets it in; else the seconds until the client may ask again."""
        now_s = self._clock.monotonic()
        if now_s < self._away_until_s:
            return self._alone(client, now_s)
        try:
            count, left_s = await self._shared(client)
        except AWAY as error:
            self._away_until_s = now_s + self._retry_s
            self._redis.report(error)
            logging.logger().warning("rate_limit_local", error=str(error), error_type=type(error).__name__)
            return self._alone(client, now_s)
        self._redis.report(None)
        return self._verdict(count, left_s)

    async def _shared(self, client: str) -> tuple[int, float]:
        async with asyncio.timeout(self._timeout_s):
            reply = await cast(Any, self._count)(
                keys=[rate_limit_key(self._service, client)], args=[int(WINDOW_S * 1_000)]
            )
        count, left_ms = reply
        return int(count), max(0, int(left_ms)) / 1_000

    def _alone(self, client: str, now_s: float) -> float:
        counter(Metric.RATE_LIMIT_LOCAL).labels(self._service).inc()
        return self._verdict(*self._local.count(client, now_s))

    def _verdict(self, count: int, left_s: float) -> float:
        return 0.0 if count <= self._limit else max(left_s, 0.001)


class LocalWindows:
    """What one replica knows of its clients, for at most ``clients_max`` of them."""

    def __init__(self, clients_max: int) -> None:
        self._clients_max = clients_max
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, client: str, now_s: float) -> tuple[int, float]:
        """Count one more; returns the count in this window and the seconds left of it."""
        count, end_s = self._windows.get(client, (0, 0.0))
        if now_s >= end_s:
            self._windows.pop(client, None)
            count, end_s = 0, now_s + WINDOW_S
        self._windows[client] = (count + 1, end_s)
        if len(self._windows) > self._clients_max:
            del self._windows[next(iter(self._windows))]
        return count + 1, end_s - now_s
