"""Events of a venue become records: trades in order and each once, gaps noted, bad trades dead-lettered."""

from collections.abc import Iterable, Mapping

import msgspec

from services.adapters.venues.base import (
    Alive,
    BadFrame,
    BadTrade,
    Event,
    FramesLost,
    Rejected,
    Subscribed,
    TailSeen,
    Trades,
)
from services.contracts.errors import PeerError
from services.contracts.events import Trade
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.domain import dead_letters
from services.domain.gaps import OpenGap
from services.domain.trades import NUMBER_MAX, check
from services.feed.product import Product
from services.feed.publisher import Publisher
from services.runtime import logging
from services.runtime.clock import Clock
from services.runtime.metrics import counter, gauge

GROUP = "feed"


class Intake:
    def __init__(
        self,
        products: Mapping[str, Product],
        publisher: Publisher,
        exchange: str,
        venue: str,
        future_ns: int,
        clock: Clock,
    ) -> None:
        self._products = products
        self._publisher = publisher
        self._exchange = exchange
        self._venue = venue
        self._future_ns = future_ns
        self._clock = clock
        self._log = logging.logger().bind(exchange=exchange, venue=venue)

    async def take(self, events: Iterable[Event], frame: str | bytes, received_ns: int) -> None:
        """Everything that one frame says."""
        for event in events:
            match event:
                case Trades():
                    await self.publish(event.trades, frame, received_ns)
                case TailSeen(product_id, number):
                    self._tail(product_id, number)
                case BadTrade(error_type, message, bad):
                    await self._refuse(PeerError(error_type, message), bad)
                case BadFrame(message):
                    counter(Metric.FEED_BAD_FRAMES).labels(self._exchange, self._venue).inc()
                    self._log.warning("bad_frame", error=message)
                case FramesLost(count):
                    counter(Metric.FEED_FRAMES_LOST).labels(self._exchange, self._venue).inc(count)
                    self._log.warning("frames_lost", count=count)
                case Subscribed(names):
                    self._subscribed(names)
                case Rejected(product_id, message):
                    self._rejected(product_id, message)
                case Alive():
                    pass

    async def publish(self, trades: Iterable[Trade], frame: str | bytes, received_ns: int) -> int:
        """Publish what is new. Returns how many were."""
        count = 0
        for trade in trades:
            product = self._products.get(trade.product_id)
            if product is None:
                continue
            try:
                check(trade, future_ns=self._future_ns)
            except PeerError as error:
                await self._refuse(error, frame or msgspec.json.encode(trade))
                self._pass_over(product, trade)
                continue
            count += await self._publish(product, trade, received_ns)
        return count

    async def publish_old(self, trades: Iterable[Trade]) -> None:
        """Publish trades from before the first one known: no gap is meant by them."""
        for trade in trades:
            product = self._products[trade.product_id]
            await self._publisher.publish(Topic.MARKET_TRADES, product.key, msgspec.json.encode(trade))

    async def _publish(self, product: Product, trade: Trade, received_ns: int) -> bool:
        number = trade.trade_number
        if number is not None and not product.tracker.is_new(number):
            return False
        await self._publisher.publish(Topic.MARKET_TRADES, product.key, msgspec.json.encode(trade), received_ns)
        product.changed = True
        if trade.origin in ("live", "snapshot"):
            product.recent.append(trade)
        if product.first is None:
            product.first = trade
        product.last_message_time = received_ns or product.last_message_time
        if number is not None:
            self._note(product, product.tracker.published(number, trade.time, self._clock.now_ns()))
        return True

    def _pass_over(self, product: Product, trade: Trade) -> None:
        """A refused trade is not a gap: what there is of it is the dead letter."""
        number = trade.trade_number
        if number is not None and 0 <= number <= NUMBER_MAX and product.tracker.is_new(number):
            self._note(product, product.tracker.published(number, 0, self._clock.now_ns()))
            product.changed = True

    def _tail(self, product_id: str, number: int) -> None:
        product = self._products.get(product_id)
        if product is not None:
            self._note(product, product.tracker.tail_seen(number, self._clock.now_ns()))

    def _note(self, product: Product, opened: OpenGap | None) -> None:
        if opened is None:
            return
        product.changed = True
        counter(Metric.FEED_GAPS_OPENED).labels(product.exchange, product.product_id).inc()
        self._log.warning("gap_opened", product=product.product_id, first=opened.first, last=opened.last)

    async def _refuse(self, error: PeerError, frame: str | bytes) -> None:
        key, letter = dead_letters.of_frame(frame, error, self._exchange, self._clock.now_ns())
        await self._publisher.publish(Topic.MARKET_TRADES_DLQ, key, msgspec.json.encode(letter))
        counter(Metric.DLQ_MESSAGES).labels(GROUP, Topic.MARKET_TRADES, error.error_type, self._exchange).inc()

    def _subscribed(self, names: Iterable[str]) -> None:
        for name in names:
            product = self._products.get(name)
            if product is not None:
                product.subscribed, product.rejected = True, ""
        self.measure()

    def _rejected(self, product_id: str, message: str) -> None:
        self._log.error("product_rejected", product=product_id, error=message)
        product = self._products.get(product_id)
        if product is not None:
            product.subscribed, product.rejected = False, message
        self.measure()

    def measure(self) -> None:
        subscribed = sum(product.subscribed for product in self._products.values())
        rejected = sum(bool(product.rejected) for product in self._products.values())
        gauge(Metric.FEED_PRODUCTS_SUBSCRIBED).labels(self._exchange, self._venue).set(subscribed)
        gauge(Metric.FEED_PRODUCTS_REJECTED).labels(self._exchange, self._venue).set(rejected)
