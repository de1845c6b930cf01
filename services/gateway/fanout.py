"""Reads every partition of what clients follow, and hands it to the hub and on to the sockets."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec
from aiokafka import ConsumerRecord, TopicPartition

from services.adapters.kafka import Reader
from services.adapters.records import Counts, feed_states, trades
from services.contracts.errors import InfraError, PeerError
from services.contracts.events import Indicators, Trade, product_key
from services.contracts.metrics import Metric
from services.contracts.topics import Topic
from services.gateway.hub import Delivery, Hub, Product
from services.runtime.backoff import Backoff
from services.runtime.clock import NS_PER_S, Clock
from services.runtime.metrics import histogram
from services.runtime.serve import Resource

TOPICS = (Topic.MARKET_TRADES, Topic.INDICATORS, Topic.FEED_STATE)
GROUP = "gateway"
"""Under this name the gateway counts what it read; it has no consumer group."""
RECORDS_PER_TURN = 200
"""After so many records the event loop gets a turn, so that a burst does not starve pings and new clients."""
STOP_NOTICED_MS = 500
"""How long one look for records may last, and so how soon a stop is noticed. New records end it at once."""

_decode_indicators = msgspec.json.Decoder(Indicators).decode


def start_offsets(spans: Mapping[TopicPartition, tuple[int, int]], dedup_window: int) -> dict[TopicPartition, int]:
    """Where to begin, given where each partition begins and ends: the last ``dedup_window`` records, which a later one
    may repeat, and the whole of ``feed_state``, which names the products."""
    return {
        tp: beginning if tp.topic == Topic.FEED_STATE else max(beginning, end - dedup_window)
        for tp, (beginning, end) in spans.items()
    }


class Fanout[S: Hashable](Resource):
    """``start`` returns once the hub has all there was in the log: nobody follows it by then, nothing is delivered."""

    def __init__(
        self,
        reader: Reader,
        hub: Hub[S],
        deliver: Callable[[Iterable[Delivery[S]]], None],
        clock: Clock,
        partitions: int,
    ) -> None:
        self._reader = reader
        self._hub = hub
        self._deliver = deliver
        self._clock = clock
        self._partitions = partitions
        self._stopping = False
        self._ended = asyncio.Event()

    async def start(self) -> None:
        await self._reader.start()
        backoff = Backoff(0.2, 5)
        while True:
            try:
                await self._catch_up()
                return
            except InfraError:
                await asyncio.sleep(backoff.next_s())

    async def run(self) -> None:
        backoff = Backoff(0.2, 5)
        try:
            while not self._stopping:
                try:
                    await self._absorb(await self._reader.fetch(STOP_NOTICED_MS))
                    backoff.reset()
                except InfraError:
                    await asyncio.sleep(backoff.next_s())
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._stopping = True
        await self._ended.wait()
        await self._reader.stop()

    async def _catch_up(self) -> None:
        ends = await self._reader.ends()
        while any(position < ends[tp] for tp, position in (await self._reader.positions()).items()):
            await self._absorb(await self._reader.fetch(STOP_NOTICED_MS))

    async def _absorb(self, records: Sequence[ConsumerRecord]) -> None:
        for begin in range(0, len(records), RECORDS_PER_TURN):
            counts = Counts(GROUP, self._partitions)
            turn = records[begin : begin + RECORDS_PER_TURN]
            for (topic, partition), group in groupby(turn, key=lambda record: (record.topic, record.partition)):
                self._absorb_partition(topic, partition, group, counts)
            counts.report()
            await asyncio.sleep(0)

    def _absorb_partition(self, topic: str, partition: int, records: Iterable[ConsumerRecord], counts: Counts) -> None:
        if topic == Topic.MARKET_TRADES:
            for offset, trade in trades(records, counts):
                self._deliver_trade(self._hub.on_trade(partition, offset, trade), trade)
        elif topic == Topic.INDICATORS:
            for offset, indicators in _indicators(records, counts):
                self._deliver(self._hub.on_indicators(offset, indicators))
        else:
            for state in feed_states(records, counts):
                self._hub.learn(Product(state.exchange, state.product_id))

    def _deliver_trade(self, deliveries: list[Delivery[S]], trade: Trade) -> None:
        if deliveries:
            self._deliver(deliveries)
            _frame_to_client(trade.exchange).observe((self._clock.now_ns() - trade.received_time) / NS_PER_S)


def _indicators(records: Iterable[ConsumerRecord], counts: Counts) -> Iterable[tuple[int, Indicators]]:
    """(offset, indicators) of each good record."""
    for record in records:
        try:
            indicators = _decode_indicators(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            counts.refused.append((record, PeerError("json", str(error))))
            continue
        if record.key != product_key(indicators.exchange, indicators.product_id):
            counts.refused.append((record, PeerError("key", "the key is not the product's")))
            continue
        yield record.offset, indicators


@lru_cache(1_000)
def _frame_to_client(exchange: str) -> Any:
    return histogram(Metric.FRAME_TO_CLIENT).labels(exchange)
