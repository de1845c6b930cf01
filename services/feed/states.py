"""``feed_state``: read when a feed starts, written after its trades are acknowledged."""

import asyncio
import contextlib
from collections.abc import Mapping

import msgspec

from services.adapters.kafka import read_all
from services.adapters.records import Counts, feed_states
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.feed.product import Product
from services.feed.publisher import Publisher
from services.runtime import logging
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import counter, gauge
from services.runtime.settings import KafkaSettings


class States:
    """A component: ``start`` resumes the products, ``run`` writes those that changed, ``stop`` writes the last time."""

    def __init__(
        self,
        products: Mapping[str, Product],
        publisher: Publisher,
        settings: KafkaSettings,
        interval_ms: int,
        clock: Clock,
    ) -> None:
        self._products = products
        self._publisher = publisher
        self._settings = settings
        self._interval_s = interval_ms / 1000
        self._clock = clock
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Read the whole topic first: a feed that began without it would miss what happened while it was away."""
        backoff = Backoff(0.2, 5)
        while True:
            try:
                await self._resume()
                break
            except InfraError as error:
                logging.logger().warning("feed_state_unread", error=str(error))
                await asyncio.sleep(backoff.next_s())
        # Of each product from the start on: one that never trades, and a gap of before, show too.
        for product in self._products.values():
            counter(Metric.FEED_TRADES).labels(product.exchange, product.product_id)
            self._measure(product)

    async def run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval_s)
            await self._write()

    async def stop(self) -> None:
        self._stopping.set()
        await self._write()
        await self._publisher.settled()

    async def _resume(self) -> None:
        records = [record async for record in read_all(self._settings, Topic.FEED_STATE)]
        counts = Counts("feed", self._settings.partitions)
        for state in feed_states(records, counts):
            product = self._products.get(state.product_id)
            if product is not None and product.exchange == state.exchange:
                product.resume(state)
        counts.report()

    async def _write(self) -> None:
        """The states as they are now, once all that they speak of is acknowledged."""
        changed = [product for product in self._products.values() if product.changed]
        if not changed:
            return
        now_ns = self._clock.now_ns()
        states = [(product.key, msgspec.json.encode(product.state(now_ns))) for product in changed]
        for product in changed:
            product.changed = False
            self._measure(product)
        await self._publisher.settled()
        for key, value in states:
            await self._publisher.publish(Topic.FEED_STATE, key, value)

    def _measure(self, product: Product) -> None:
        labels = (product.exchange, product.product_id)
        gauge(Metric.FEED_GAPS_OPEN).labels(*labels).set(len(product.tracker.open))
        if product.tracker.newest_time is not None:
            gauge(Metric.FEED_LAST_TRADE_TIME).labels(*labels).set(product.tracker.newest_time / NS_PER_S)
