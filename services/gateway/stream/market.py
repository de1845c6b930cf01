"""Every series of the log, as a function of the records read: what is a repeat, and which products there are."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.adapters.records import partition_of
from services.contracts.events import Side
from services.contracts.lab import LAB_EXCHANGE
from services.contracts.topics import Topic
from services.gateway.hub import Product
from services.gateway.repeats import Repeats
from services.gateway.stream.channels import CHANNELS, SOURCES, Channel, channels_of, key_of
from services.gateway.stream.documents import TickerData
from services.gateway.stream.memories import Ticker, Values
from services.gateway.stream.requests import ANY
from services.gateway.stream.series import Refresh, Series, Update

Place = tuple[str, int]
"""A topic and the number of a partition."""


class Partition:
    """How far one partition was read. From ``exact_from`` on it is known what is a repeat."""

    __slots__ = ("_awaited", "exact_from", "position", "repeats")

    def __init__(self, start: int, exact_from: int, window: int) -> None:
        self.position = start
        self.exact_from = exact_from
        self.repeats = Repeats(window)
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    def reached(self, position: int) -> None:
        self.position = position
        if self._awaited:
            for offset, future in self._awaited:
                if offset < position and not future.done():
                    future.set_result(None)
            self._awaited = [(offset, future) for offset, future in self._awaited if not future.done()]

    async def has_read(self, offset: int) -> None:
        """Wait until the record at ``offset`` was read."""
        if offset >= self.position:
            future = asyncio.get_running_loop().create_future()
            self._awaited.append((offset, future))
            await future


def exact_from(start: int, window: int) -> int:
    """From which offset on repeats are known, where reading begins at ``start``: there is nothing before offset 0."""
    return start + window if start else 0


class Market:
    """Give it the records of each partition in log order. ``learned`` is told of each new series before its updates."""

    def __init__(
        self,
        *,
        dedup_window: int,
        partitions: int,
        updates_max: int,
        series_max: int,
        learned: Callable[[Series], None] = lambda _series: None,
    ) -> None:
        self.window = dedup_window
        self.log_id: str | None = None
        self.learned = learned
        self._partitions_count = partitions
        self._updates_max = updates_max
        self._series_max = series_max
        self._partitions: dict[Place, Partition] = {}
        self._series: dict[Product, dict[str, Series]] = {}
        self._count = 0

    def begin(self, topic: str, partition: int, start: int, end: int) -> None:
        """Records of this partition will be given from ``start`` on; so far it ends before ``end``. What comes then is
        an update, even where the log does not go back far enough to tell whether it is a repeat."""
        exact = min(exact_from(start, self.window), end)
        self._partitions[topic, partition] = Partition(start, exact, self.window)

    def partition(self, topic: str, number: int) -> Partition:
        found = self._partitions.get((topic, number))
        if found is None:
            found = self._partitions[topic, number] = Partition(0, 0, self.window)
        return found

    def absorb(self, topic: str, partition: int, offset: int, event: Any) -> list[Update | Refresh] | None:
        """The updates that one record is; None for a repeat."""
        source = SOURCES[topic]
        place = self.partition(topic, partition)
        series = self.learn(source.product(event), partition)
        repeat = place.repeats.add(offset, source.identity(event))
        exact = offset >= place.exact_from
        found: list[Update | Refresh] = [
            update
            for name in source.channels(event)
            if name in series and (update := series[name].absorb(offset, event, repeat=repeat, exact=exact)) is not None
        ]
        if topic == Topic.BOOK and "book" in series:
            refresh = series["book"].refresh(source.time_ns(event))
            found += [] if refresh is None else [refresh]
        return None if repeat else found

    def learn(self, product: Product, partition: int = 0) -> dict[str, Series]:
        """The series of a product by channel, made if they are new. Beyond ``series_max`` there are none.

        ``partition`` is where a record of it was, which for a symbol of the order lab nothing else tells.
        """
        series = self._series.get(product)
        if series is not None:
            return series
        channels = channels_of(product)
        if self._count + len(channels) > self._series_max:
            return {}
        series = self._series[product] = {channel.name: self._new(channel, product, partition) for channel in channels}
        self._count += len(series)
        for one in series.values():
            self.learned(one)
        return series

    def find(self, channel: str, exchange: str, product_id: str) -> list[Series]:
        """The series that these names stand for; each may be ``*``."""
        if product_id != ANY and (exchange != ANY or not CHANNELS[channel].has_exchanges):
            one = self._series.get(Product(exchange, product_id), {}).get(channel)
            return [] if one is None else [one]
        return [
            series[channel]
            for product, series in self._series.items()
            if channel in series and exchange in (ANY, product.exchange) and product_id in (ANY, product.product_id)
        ]

    def lacks_values(self, series: Series) -> bool:
        """Whether Redis may know what the log read so far did not give."""
        memory = series.memory
        return (isinstance(memory, Ticker) and memory.latest is None) or (
            isinstance(memory, Values) and not memory.values
        )

    def fill(self, product: Product, price: dict[str, str], indicators: dict[str, str]) -> list[Series]:
        """Take from the hashes in Redis what the log read so far did not give. Returns the series whose snapshot it
        changed. Raises KeyError and ValueError."""
        series = self.learn(product)
        ticker, values = series["ticker"].memory, series["indicators"].memory
        changed = []
        if isinstance(ticker, Ticker) and ticker.latest is None and price:
            side: Side = "BUY" if price["side"] == "BUY" else "SELL"
            ticker.latest = TickerData(price["price"], price["size"], price["trade_id"], side)
            changed.append(series["ticker"])
        if isinstance(values, Values) and not values.values and indicators:
            values.values = {name: float(value) for name, value in indicators.items() if name != "time"}
            changed.append(series["indicators"])
        for one in changed:
            one.changed_memory()
        return changed

    def _new(self, channel: Channel, product: Product, partition: int) -> Series:
        if channel.exchange != LAB_EXCHANGE:
            partition = partition_of(key_of(channel, product, partition), self._partitions_count)
        return Series(
            channel,
            product,
            partition,
            window=self.window,
            updates_max=self._updates_max,
            known_from=self.partition(channel.topic, partition).exact_from,
        )
