"""The latest values that Redis has of a product, for what the log read so far did not give."""

from collections.abc import Callable, Hashable

from services.adapters.redis import Redis, indicator_key, price_key
from services.gateway.hub import Delivery, Hub, Product
from services.gateway.stream.market import Market
from services.gateway.stream.series import Series
from services.runtime import logging


class LatestValues[S: Hashable]:
    """Reads both hashes of a product once, however many clients ask at the same time."""

    def __init__(self, hub: Hub[S], market: Market, cache: Redis) -> None:
        self._hub = hub
        self._market = market
        self.filled: Callable[[Series], None] = lambda _series: None
        """Told of each series of the stream whose snapshot is another now."""
        self._cache = cache
        self._asked: set[Product] = set()

    async def fill(self, product: Product) -> list[Delivery[S]]:
        """What to deliver to those who follow it; nothing where Redis is away or has nothing usable."""
        if product in self._asked:
            return []
        self._asked.add(product)
        try:
            price, indicators = await self._cache.hashes([price_key(*product), indicator_key(*product)])
            for series in self._market.fill(product, price, indicators):
                self.filled(series)
            return self._hub.fill(product, price, indicators)
        except (KeyError, ValueError) as error:
            exchange, product_id = product
            logging.logger().warning("latest_values_unusable", exchange=exchange, product=product_id, error=repr(error))
            return []
        finally:
            self._asked.discard(product)

    async def check(self) -> None:
        """Say in ``/ready`` whether Redis answers."""
        await self._cache.hashes([price_key("", "")])
