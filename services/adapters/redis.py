"""Redis (Valkey): only what can be rebuilt. Keys are named here and nowhere else."""

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.runtime.health import Health
from services.runtime.serve import Resource

AWAY: tuple[type[Exception], ...] = (RedisError, OSError, TimeoutError)
LATEST_TTL_S = 600
"""How long a latest value outlives its writer."""
REWRITE_INTERVAL_S = 30.0
"""How often each writer of latest values writes them again, so that FLUSHALL heals itself."""


def price_key(exchange: str, product_id: str) -> str:
    """Hash: price, size, side, time, trade_id of the newest trade."""
    return f"crypto:{exchange}:{product_id}"


def indicator_key(exchange: str, product_id: str) -> str:
    """Hash: each indicator's name and value, and time."""
    return f"indicator:{exchange}:{product_id}"


class Redis(Resource):
    def __init__(self, url: str, health: Health) -> None:
        self.client = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        self._health = health

    async def start(self) -> None:
        """Redis holds nothing that cannot be rebuilt, so nobody waits for it."""
        try:
            await self.client.ping()
            self.report(None)
        except AWAY as error:
            self.report(error)

    async def stop(self) -> None:
        await self.client.aclose()

    def report(self, error: Exception | None) -> None:
        self._health.report("redis", error is None, "" if error is None else f"{type(error).__name__}: {error}")
