"""What a resuming client missed: from memory, or else from Kafka.

A pass reads one partition from ``dedup_window`` records before the oldest sequence asked for, folds the records of the
products asked for as the gateway itself would have, and ends where memory begins. Those who ask meanwhile share the
next pass, so that a thousand clients who come back at once cost what one does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.adapters.kafka import NOT_READY, connection
from services.adapters.records import Counts
from services.contracts.errors import InfraError
from services.contracts.metrics import Metric
from services.gateway.hub import Product
from services.gateway.records import READERS
from services.gateway.repeats import Repeats
from services.gateway.stream.channels import SOURCES, key_of
from services.gateway.stream.market import Market, Place, exact_from
from services.gateway.stream.series import Series, Update
from services.runtime.metrics import counter
from services.runtime.serve import Resource
from services.runtime.settings import KafkaSettings

RECORDS_PER_TURN = 200
FETCH_TIMEOUT_MS = 1_000


class TooOld(Exception):
    """The log, or the limits, do not reach back that far."""


class UnknownSequence(Exception):
    """The sequence is not one of this channel and product."""


@dataclass(frozen=True)
class Missed:
    """Updates, oldest first, and the offset from which on there may be more."""

    updates: Sequence[Update]
    next_offset: int


class Replay:
    """One series folded anew from the records of its product, from the offset ``start`` on."""

    def __init__(self, series: Series, start: int, window: int, updates_max: int) -> None:
        self._channel = series.channel
        self._repeats = Repeats(window)
        self._source = SOURCES[series.channel.topic]
        self._exact_from = exact_from(start, window)
        self.series = Series(
            series.channel,
            series.product,
            series.partition,
            window=window,
            updates_max=updates_max,
            known_from=self._exact_from,
        )

    def absorb(self, offset: int, event: Any) -> None:
        repeat = self._repeats.add(offset, self._source.identity(event))
        if self._channel.name in self._source.channels(event):
            self.series.absorb(offset, event, repeat=repeat, exact=offset >= self._exact_from)


@dataclass(eq=False)
class _Ask:
    """What comes after the update at ``sequence`` is wanted; where there is none, what is from ``begin`` on."""

    series: Series
    sequence: int | None
    begin: int
    answer: "asyncio.Future[Missed]"


class History(Resource):
    def __init__(
        self,
        settings: KafkaSettings,
        market: Market,
        *,
        passes_max: int,
        records_max: int,
        updates_max: int,
        ahead_timeout_s: float,
    ) -> None:
        self._connection = connection(settings)
        self._partitions = settings.partitions
        self._market = market
        self._records_max = records_max
        self._updates_max = updates_max
        self._ahead_timeout_s = ahead_timeout_s
        self._passes = asyncio.Semaphore(passes_max)
        self._asks: defaultdict[Place, list[_Ask]] = defaultdict(list)
        self._readers: dict[Place, asyncio.Task[None]] = {}

    async def after(self, series: Series, sequence: int) -> Missed:
        """What comes after the update at ``sequence``. Raises TooOld, UnknownSequence, and InfraError."""
        await self._until_read(series, sequence)
        updates = series.after(sequence)
        if updates is not None:
            counter(Metric.GATEWAY_RESUMES).labels("memory").inc()
            return Missed(updates, self._position(series))
        if sequence >= series.known_from:
            raise UnknownSequence(f"{sequence} is no sequence of this channel and product")
        if series.channel.conflates_to_snapshot:
            raise TooOld("more updates were missed than are in memory, and the snapshot says all that they do")
        missed = await self._ask(series, sequence, sequence)
        counter(Metric.GATEWAY_RESUMES).labels("kafka").inc()
        return missed

    async def since(self, series: Series, next_offset: int) -> Missed:
        """The updates from an offset on, which is known to be good. Raises TooOld and InfraError."""
        updates = series.since(next_offset)
        if updates is not None:
            return Missed(updates, self._position(series))
        return await self._ask(series, None, next_offset)

    async def stop(self) -> None:
        readers = list(self._readers.values())
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def _place(self, series: Series) -> Place:
        return series.channel.topic, series.partition

    def _position(self, series: Series) -> int:
        return self._market.partition(*self._place(series)).position

    async def _until_read(self, series: Series, sequence: int) -> None:
        """Another gateway may be ahead of this one."""
        try:
            async with asyncio.timeout(self._ahead_timeout_s):
                await self._market.partition(*self._place(series)).has_read(sequence)
        except TimeoutError:
            raise UnknownSequence(f"the log does not go as far as {sequence}") from None

    async def _ask(self, series: Series, sequence: int | None, begin: int) -> Missed:
        place = self._place(series)
        ask = _Ask(series, sequence, begin, asyncio.get_running_loop().create_future())
        self._asks[place].append(ask)
        if place not in self._readers:
            self._readers[place] = asyncio.create_task(self._read_all(place))
        return await ask.answer

    async def _read_all(self, place: Place) -> None:
        try:
            while asks := [ask for ask in self._asks.pop(place, []) if not ask.answer.done()]:
                async with self._passes:
                    await self._read_or_fail(place, asks)
        finally:
            del self._readers[place]

    async def _read_or_fail(self, place: Place, asks: list[_Ask]) -> None:
        try:
            await self._read(place, asks)
        except NOT_READY as error:
            _fail(asks, InfraError("kafka", str(error) or type(error).__name__))
        except BaseException as error:
            _fail(asks, error)
            raise

    async def _read(self, place: Place, asks: list[_Ask]) -> None:
        consumer = AIOKafkaConsumer(**self._connection, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await consumer.start()
            partition = TopicPartition(*place)
            consumer.assign([partition])
            beginning = (await consumer.beginning_offsets([partition]))[partition]
            good = [ask for ask in asks if not self._refuse(ask, beginning)]
            if good:
                start = max(beginning, min(ask.begin for ask in good) - self._market.window)
                consumer.seek(partition, start)
                replays = await self._fold(consumer, partition, start, good)
                for ask in good:
                    self._answer(ask, replays[ask.series], await consumer.position(partition))
        finally:
            await consumer.stop()

    def _refuse(self, ask: _Ask, beginning: int) -> bool:
        """Whether the log, or the limit, does not reach back to ``begin`` and a window before it."""
        start = ask.begin - self._market.window
        if beginning > max(start, 0):
            _fail([ask], TooOld("the log does not reach back that far"))
        elif ask.series.known_from - start > self._records_max:
            _fail([ask], TooOld("that is further back than this gateway reads"))
        return ask.answer.done()

    async def _fold(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, asks: Sequence[_Ask]
    ) -> dict[Series, Replay]:
        replays = {ask.series: Replay(ask.series, start, self._market.window, self._updates_max) for ask in asks}
        product_of = SOURCES[partition.topic].product
        by_product: defaultdict[Product, list[Replay]] = defaultdict(list)
        for series, replay in replays.items():
            by_product[series.product].append(replay)
        keys = {key_of(series.channel, series.product, series.partition) for series in replays}
        counts = Counts("gateway", self._partitions)
        while await consumer.position(partition) < max(series.known_from for series in replays):
            batches = await consumer.getmany(timeout_ms=FETCH_TIMEOUT_MS, max_records=RECORDS_PER_TURN)
            for records in batches.values():
                wanted = [record for record in records if record.key in keys]
                for offset, event in READERS[partition.topic](wanted, counts):
                    for replay in by_product[product_of(event)]:
                        replay.absorb(offset, event)
            await asyncio.sleep(0)
        return replays

    def _answer(self, ask: _Ask, replay: Replay, next_offset: int) -> None:
        if ask.answer.done():
            return
        folded = replay.series
        if ask.begin < folded.known_from:
            _fail([ask], TooOld(f"more than {self._updates_max} updates were missed"))
            return
        updates = folded.since(ask.begin) if ask.sequence is None else folded.after(ask.sequence)
        if updates is None:
            _fail([ask], UnknownSequence(f"{ask.sequence} is no sequence of this channel and product"))
            return
        before = [update.sequence for update in folded.updates if update.sequence < ask.series.known_from]
        if before:
            ask.series.learn_previous(before[-1])
        ask.answer.set_result(Missed(updates, next_offset))


def _fail(asks: Sequence[_Ask], error: BaseException) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)
