"""What clients see, without a socket: the latest values of each product, who follows them, and the frames that follow.

``sequence`` is the offset in the topic delivered, and ``previous`` the one delivered before it on the same channel and
product: a frame whose ``previous`` is not the ``sequence`` before it, and whose ``sequence`` is not it either, follows
a hole. On ``crypto`` the topic is ``market_trades``; a frame that only indicators changed keeps the trade's.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from services.contracts.events import Indicators, Trade
from services.domain.money import plain
from services.runtime.clock import rfc3339

_encode = msgspec.json.Encoder().encode


class Channel(StrEnum):
    CRYPTO = "crypto"
    INDICATORS = "indicators"


class Product(NamedTuple):
    """What is followed: a product of an exchange, or an instrument of none."""

    exchange: str
    product_id: str


class Delivery[S: Hashable](NamedTuple):
    """One frame, encoded once, for everyone who follows it."""

    channel: Channel
    subscribers: Collection[S]
    frame: bytes


@dataclass(slots=True)
class Place:
    """Where the newest frame of one channel and product stands in the log; None where the log did not tell."""

    time_ns: int = 0
    sequence: int | None = None
    previous: int | None = None

    def move(self, time_ns: int, offset: int) -> None:
        self.time_ns, self.sequence, self.previous = time_ns, offset, self.sequence


@dataclass(slots=True)
class Latest:
    """The latest values of one product. ``number`` and ``trade_time_ns`` are the newest trade's."""

    price: str | None = None
    last_size: str | None = None
    number: int | None = None
    trade_time_ns: int = 0
    indicators: dict[str, float] = field(default_factory=dict)
    input_sequences: dict[str, int] = field(default_factory=dict)
    trade_place: Place = field(default_factory=Place)
    indicators_place: Place = field(default_factory=Place)

    def is_late(self, trade: Trade) -> bool:
        """Whether a newer trade is known: by number, or by time where one of the two has none."""
        if trade.trade_number is not None and self.number is not None:
            return trade.trade_number < self.number
        return trade.time < self.trade_time_ns


class Hub[S: Hashable]:
    """Give it the records in log order, without repeats: each gives the frames to deliver."""

    def __init__(self) -> None:
        self._latest: dict[Product, Latest] = {}
        self._subscribers: defaultdict[tuple[Channel, Product], set[S]] = defaultdict(set)

    def knows(self, product: Product) -> bool:
        """Whether a feed has it, or it was ever seen."""
        return product in self._latest

    def learn(self, product: Product) -> None:
        """A feed has this product."""
        self._latest.setdefault(product, Latest())

    def lacks_values(self, product: Product) -> bool:
        """Whether the log read so far did not give all of a known product's values."""
        latest = self._latest[product]
        return latest.price is None or not latest.indicators

    def on_trade(self, offset: int, trade: Trade) -> list[Delivery[S]]:
        """A trade that is older than the newest changes nothing."""
        product = Product(trade.exchange, trade.product_id)
        self.learn(product)
        latest = self._latest[product]
        if latest.is_late(trade):
            return []
        latest.number, latest.trade_time_ns = trade.trade_number, trade.time
        price, size = plain(trade.price), plain(trade.size)
        if (price, size) == (latest.price, latest.last_size):
            return []
        latest.price, latest.last_size = price, size
        latest.trade_place.move(trade.time, offset)
        return self._deliver(product, Channel.CRYPTO)

    def on_indicators(self, offset: int, indicators: Indicators) -> list[Delivery[S]]:
        """A record that is not above the highest ``input_sequence`` seen of its source was published before."""
        product = Product(indicators.exchange, indicators.product_id)
        self.learn(product)
        latest = self._latest[product]
        if indicators.input_sequence <= latest.input_sequences.get(indicators.source, -1):
            return []
        latest.input_sequences[indicators.source] = indicators.input_sequence
        if indicators.values.items() <= latest.indicators.items():
            return []
        latest.indicators.update(indicators.values)
        latest.indicators_place.move(indicators.time, offset)
        return self._deliver(product, Channel.INDICATORS, Channel.CRYPTO)

    def fill(self, product: Product, price: dict[str, str], indicators: dict[str, str]) -> list[Delivery[S]]:
        """Take from the hashes in Redis what the log read so far did not give. Raises ValueError for what is none."""
        latest = self._latest[product]
        channels = []
        if latest.price is None and price:
            latest.trade_time_ns = latest.trade_place.time_ns = int(price["time"])
            latest.price, latest.last_size = price["price"], price["size"]
            channels.append(Channel.CRYPTO)
        if not latest.indicators and indicators:
            latest.indicators_place.time_ns = int(indicators["time"])
            latest.indicators = {name: float(value) for name, value in indicators.items() if name != "time"}
            channels = [Channel.INDICATORS, Channel.CRYPTO]
        return self._deliver(product, *channels)

    def subscribe(self, channel: Channel, product: Product, subscriber: S) -> bytes | None:
        """Follow a known product. Returns the frame of its current values; None while there are none."""
        self._subscribers[channel, product].add(subscriber)
        return self._frame(channel, product)

    def unsubscribe(self, channel: Channel, product: Product, subscriber: S) -> None:
        followers = self._subscribers[channel, product]
        followers.discard(subscriber)
        if not followers:
            del self._subscribers[channel, product]

    def _deliver(self, product: Product, *channels: Channel) -> list[Delivery[S]]:
        deliveries = []
        for channel in channels:
            subscribers = self._subscribers.get((channel, product))
            frame = self._frame(channel, product) if subscribers else None
            if subscribers and frame is not None:
                deliveries.append(Delivery(channel, tuple(subscribers), frame))
        return deliveries

    def _frame(self, channel: Channel, product: Product) -> bytes | None:
        latest = self._latest[product]
        if channel is Channel.CRYPTO:
            if latest.price is None:
                return None
            values = {"price": latest.price, "last_size": latest.last_size, **latest.indicators}
            place = latest.trade_place
        else:
            if not latest.indicators:
                return None
            values, place = dict(latest.indicators), latest.indicators_place
        return _encode(
            {
                "exchange": product.exchange,
                "product_id": product.product_id,
                **values,
                "time": rfc3339(place.time_ns),
                "sequence": place.sequence,
                "previous": place.previous,
            }
        )
