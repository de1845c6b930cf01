"""Folds ``market_trades`` and ``candles`` into indicators; the newest of each product and batch are published."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from aiokafka import ConsumerRecord

from services.adapters import candles_table, seen_table
from services.adapters.pipeline import Batch, Outcome, Publication
from services.adapters.postgres import Connection, sql
from services.adapters.records import Counts, check_partition, trades
from services.adapters.redis import LatestWriter, indicator_key
from services.contracts.errors import PeerError
from services.contracts.events import Candle, Indicators, product_key
from services.contracts.metrics import Metric
from services.contracts.topics import Group, Topic
from services.domain import candle_records
from services.domain.indicators import (
    STATE_VERSION,
    Absorbed,
    BarRow,
    News,
    Plan,
    ProductIndicators,
    ProductState,
)
from services.indicators import bars_table
from services.runtime.metrics import counter

Product = tuple[str, str]


@dataclass
class _Work:
    """What one batch comes to."""

    counts: Counts
    changed: dict[Product, int] = field(default_factory=dict)
    """Products with something new in their state, and their partition number."""
    late: Counter[str] = field(default_factory=Counter)
    candles: Counter[str] = field(default_factory=Counter)
    rows: list[tuple[str, str, BarRow]] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)

    def report(self, group: str) -> None:
        self.counts.report()
        for exchange, count in self.late.items():
            counter(Metric.LATE_TRADES).labels(group, exchange).inc(count)
        for exchange, count in self.candles.items():
            counter(Metric.MESSAGES_CONSUMED).labels(group, Topic.CANDLES, exchange).inc(count)


class IndicatorEngine:
    group = Group.INDICATORS
    topics = (Topic.MARKET_TRADES, Topic.CANDLES)

    def __init__(self, plan: Plan, latest: LatestWriter, partitions: int) -> None:
        self._plan = plan
        self._latest = latest
        self._partitions = partitions
        self._products: dict[Product, ProductIndicators] = {}

    def forget(self) -> None:
        self._products.clear()
        self._latest.forget()

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        self.forget()  # what is loaded is all that is owned: nothing folded and not stored may stay beside it
        for row in await connection.fetch(sql("product_states_load"), self.group, list(partitions)):
            product = (row["exchange"], row["product_id"])
            state = _state(row["state"])
            if state is None:
                state = await self._rebuilt(connection, row["partition"], *product)
            self._products[product] = ProductIndicators(self._plan, state)
        await self._restore_bars(connection)
        for product in self._products:
            self._show(product)
        await self._latest.flush()

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        work = _Work(Counts(self.group, self._partitions))
        for partition, topics in batch.records.items():
            self._absorb_trades(partition, topics.get(Topic.MARKET_TRADES, ()), work)
            self._absorb_candles(partition, topics.get(Topic.CANDLES, ()), work)
        await self._provide(connection, work)
        self._settle(work)

        async def store(connection: Connection) -> None:
            await self._store(connection, work)

        async def stored() -> None:
            work.report(self.group)
            for product in work.changed:
                self._show(product)
            await self._latest.flush()

        return Outcome(work.publications, store if work.changed else None, stored)

    # ---- parts of load and fold

    async def _rebuilt(self, connection: Connection, partition: int, exchange: str, product_id: str) -> ProductState:
        """From the stored trades; those of them that are still to be read count as folded. Those that came late are
        folded in the exchange's order here: only the log knows of another."""
        seen = await seen_table.recorded(connection, self.group, partition, exchange, product_id)
        product = ProductIndicators(self._plan)
        async with connection.transaction():
            async for row in connection.cursor(sql("trades_newest"), exchange, product_id, *self._plan.memory):
                product.absorb(candles_table.trade(row), 0)
        product.state.seen, product.state.sequence = seen, -1
        return product.state

    async def _restore_bars(self, connection: Connection) -> None:
        keys = [(*product, resolution) for product in self._products for resolution in self._plan.bars]
        if not keys:
            return
        await bars_table.begin(connection, keys)
        everything = dict.fromkeys(keys, bars_table.AFTER_ALL)
        for (*product, resolution), history in (await bars_table.histories(connection, self._plan, everything)).items():
            self._products[product[0], product[1]].restore(resolution, history)

    def _absorb_trades(self, partition: int, records: Iterable[ConsumerRecord], work: _Work) -> None:
        for offset, trade in trades(records, work.counts):
            product = (trade.exchange, trade.product_id)
            absorbed = self._of(product).absorb(trade, offset)
            if absorbed is Absorbed.REPEATED:
                work.counts.repeated[trade.exchange] += 1
                continue
            work.changed[product] = partition
            if absorbed is Absorbed.LATE:
                work.late[trade.exchange] += 1

    def _absorb_candles(self, partition: int, records: Iterable[ConsumerRecord], work: _Work) -> None:
        for offset, candle in _candles(records, work.counts):
            product = (candle.exchange, candle.product_id)
            work.candles[candle.exchange] += 1
            if self._of(product).absorb_candle(candle, offset):
                work.changed[product] = partition

    async def _provide(self, connection: Connection, work: _Work) -> None:
        """Read the stored bars behind those that were corrected."""
        wanted = {
            (*product, resolution): since
            for product in work.changed
            for resolution, since in self._products[product].wanted().items()
        }
        if not wanted:
            return
        histories = await bars_table.histories(connection, self._plan, wanted)
        for (exchange, product_id, resolution), history in histories.items():
            self._products[exchange, product_id].provide(resolution, history)

    def _settle(self, work: _Work) -> None:
        for product in work.changed:
            settlement = self._products[product].settle()
            work.rows += ((*product, row) for row in settlement.rows)
            work.publications += (_publication(product, news) for news in settlement.news)

    async def _store(self, connection: Connection, work: _Work) -> None:
        names = list(work.changed)
        await connection.execute(
            sql("product_states_store"),
            self.group,
            [exchange for exchange, _ in names],
            [product_id for _, product_id in names],
            list(work.changed.values()),
            [msgspec.msgpack.encode(self._products[name].state) for name in names],
        )
        await bars_table.store(connection, self._plan, work.rows)

    def _show(self, product: Product) -> None:
        indicators = self._products[product]
        values = {name: repr(value) for name, value in indicators.values().items()}
        if values:
            self._latest.put(product[0], indicator_key(*product), {**values, "time": str(indicators.time)})

    def _of(self, product: Product) -> ProductIndicators:
        found = self._products.get(product)
        if found is None:
            found = self._products[product] = ProductIndicators(self._plan)
        return found


def _candles(records: Iterable[ConsumerRecord], counts: Counts) -> Iterator[tuple[int, Candle]]:
    """(offset, candle) of each good record."""
    for record in records:
        try:
            candle = candle_records.decode(record.key, record.value)
            check_partition(record, counts.partitions)
        except PeerError as error:
            counts.refused.append((record, error))
            continue
        yield record.offset, candle


def _publication(product: Product, news: News) -> Publication:
    event = Indicators(*product, news.source, news.time, news.values, news.sequence)
    return Publication(Topic.INDICATORS, product_key(*product), msgspec.json.encode(event), product[0])


def _state(raw: bytes) -> ProductState | None:
    """The stored state, if this version can read it."""
    try:
        state = msgspec.msgpack.decode(raw, type=ProductState)
    except msgspec.DecodeError:
        return None
    return state if state.version == STATE_VERSION else None
