"""Folds ``market_trades`` into rows, each once, and ``feed_state`` into the gaps that people see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg
import msgspec
from aiokafka import ConsumerRecord

from services.adapters import candles_table, seen_table
from services.adapters.pipeline import Batch, Outcome, Publication, dead_letter
from services.adapters.postgres import Connection, sql
from services.adapters.records import Counts, feed_states, trades
from services.adapters.redis import LatestWriter, price_key
from services.adapters.retention import DAY_NS, Retention
from services.contracts.events import FeedState, Trade
from services.contracts.metrics import Metric
from services.contracts.topics import Group, Topic
from services.domain import money
from services.domain.seen import Seen
from services.recorder.partitions import DayPartitions
from services.recorder.rows import TRADE_COLUMNS, copy_line
from services.runtime import logging
from services.runtime.clock import Clock
from services.runtime.metrics import counter

STATE_VERSION = 1
GAP_COLUMNS = 7
"""The leading fields of a gap are columns; what follows is for the feed alone."""

Product = tuple[str, str]


class ProductState(msgspec.Struct):
    version: int = STATE_VERSION
    seen: Seen = msgspec.field(default_factory=Seen)
    newest: Trade | None = None


@dataclass
class _Work:
    """What one batch comes to."""

    counts: Counts
    lines: list[str] = field(default_factory=list)
    days: set[int] = field(default_factory=set)
    changed: dict[Product, int] = field(default_factory=dict)
    """Products with new trades, and their partition number."""
    feeds: dict[Product, FeedState] = field(default_factory=dict)


class RecorderEngine:
    group = Group.RECORDER
    topics = (Topic.MARKET_TRADES, Topic.FEED_STATE)

    def __init__(
        self, days: DayPartitions, retention: Retention, latest: LatestWriter, clock: Clock, partitions: int
    ) -> None:
        self._days = days
        self._retention = retention
        self._latest = latest
        self._clock = clock
        self._partitions = partitions
        self._products: dict[Product, ProductState] = {}
        self._lost: dict[Product, int] = {}

    def forget(self) -> None:
        self._products.clear()
        self._lost.clear()
        self._latest.forget()

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        for row in await connection.fetch(sql("product_states_load"), self.group, list(partitions)):
            product = (row["exchange"], row["product_id"])
            self._products[product] = _state(row["state"]) or await _rebuilt(connection, *product)
            self._lost[product] = self._products[product].seen.numbers.lost
            self._show(product)

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        work = _Work(Counts(self.group, self._partitions))
        for partition, topics in batch.records.items():
            self._absorb(partition, topics.get(Topic.MARKET_TRADES, ()), work)
            for state in feed_states(topics.get(Topic.FEED_STATE, ()), work.counts):
                work.feeds[state.exchange, state.product_id] = state
        await self._days.make(connection, work.days)

        async def store(connection: Connection) -> None:
            await self._store(connection, work)

        async def stored() -> None:
            work.counts.report()
            for product in work.changed:
                self._count_lost(product)
                self._show(product)
            await self._latest.flush()

        return Outcome(self._dead_letters(work.counts), store if work.changed or work.feeds else None, stored)

    def _absorb(self, partition: int, records: Iterable[ConsumerRecord], work: _Work) -> None:
        oldest_day = self._retention.oldest_day()
        for _offset, trade in trades(records, work.counts):
            product = (trade.exchange, trade.product_id)
            state = self._products.get(product)
            if state is None:
                state = self._products[product] = ProductState()
            if not state.seen.add(trade):
                work.counts.repeated[trade.exchange] += 1
                continue
            work.changed[product] = partition
            if state.newest is None or _order(trade) >= _order(state.newest):
                state.newest = trade
            day = trade.time // DAY_NS
            if oldest_day is not None and day < oldest_day:
                work.counts.beyond_retention[trade.exchange] += 1
                continue
            work.days.add(day)
            work.lines.append(copy_line(trade))

    def _dead_letters(self, counts: Counts) -> list[Publication]:
        now_ns = self._clock.now_ns()
        publications = []
        for record, error in counts.refused:
            exchange = counts.exchange_of(record.key)
            publications.append(dead_letter(Topic.MARKET_TRADES_DLQ, record, error, exchange, now_ns))
        return publications

    async def _store(self, connection: Connection, work: _Work) -> None:
        if work.lines:
            await self._copy(connection, work.lines)
        names = list(work.changed)
        await connection.execute(
            sql("product_states_store"),
            self.group,
            [exchange for exchange, _ in names],
            [product_id for _, product_id in names],
            list(work.changed.values()),
            [msgspec.msgpack.encode(self._products[name]) for name in names],
        )
        for state in work.feeds.values():
            await self._store_feed(connection, state)

    async def _copy(self, connection: Connection, lines: list[str]) -> None:
        """Straight into the table. The primary key is the guard behind the intervals: what it stops is counted."""
        source = "".join(lines).encode()
        try:
            async with connection.transaction():
                await connection.copy_to_table("trades", source=_once(source), columns=TRADE_COLUMNS)
        except asyncpg.UniqueViolationError:
            await connection.execute(sql("trades_staging"))
            await connection.copy_to_table("trades_staging", source=_once(source), columns=TRADE_COLUMNS)
            for row in await connection.fetch(sql("trades_from_staging")):
                counter(Metric.PRIMARY_KEY_REPEATS).labels(row["exchange"]).inc(row["repeats"])

    async def _store_feed(self, connection: Connection, state: FeedState) -> None:
        product = (state.exchange, state.product_id)
        gaps = [*state.open_gaps, *state.closed_gaps]
        if gaps:
            columns = zip(*(msgspec.structs.astuple(gap)[:GAP_COLUMNS] for gap in gaps), strict=True)
            await connection.execute(sql("gaps_store"), *product, *map(list, columns))
        open_firsts = [gap.first for gap in state.open_gaps]
        await connection.execute(sql("gaps_close"), *product, open_firsts, state.written_time)
        await connection.execute(
            sql("feed_products_store"),
            *product,
            state.venue,
            state.contiguous_number,
            state.last_trade_time,
            state.last_message_time,
            len(state.open_gaps),
            state.written_time,
        )

    def _count_lost(self, product: Product) -> None:
        """Holes given up since the last batch."""
        lost = self._products[product].seen.numbers.lost
        counter(Metric.INTERVALS_LOST).labels(self.group, product[0]).inc(lost - self._lost.get(product, 0))
        self._lost[product] = lost

    def _show(self, product: Product) -> None:
        trade = self._products[product].newest
        if trade is not None:
            self._latest.put(
                trade.exchange,
                price_key(*product),
                {
                    "price": money.plain(trade.price),
                    "size": money.plain(trade.size),
                    "side": trade.side,
                    "time": str(trade.time),
                    "trade_id": trade.trade_id,
                },
            )


def _order(trade: Trade) -> tuple[int, int]:
    return (trade.time, -1 if trade.trade_number is None else trade.trade_number)


def _state(raw: bytes) -> ProductState | None:
    """The stored state, if this version can read it."""
    try:
        state = msgspec.msgpack.decode(raw, type=ProductState)
    except msgspec.DecodeError:
        return None
    return state if state.version == STATE_VERSION else None


async def _rebuilt(connection: Connection, exchange: str, product_id: str) -> ProductState:
    logging.logger().warning("state_rebuilt", group=Group.RECORDER, exchange=exchange, product=product_id)
    newest = await connection.fetchrow(sql("trade_newest"), exchange, product_id)
    return ProductState(
        seen=await seen_table.seen(connection, exchange, product_id),
        newest=None if newest is None else candles_table.trade(newest),
    )


async def _once(source: bytes):  # type: ignore[no-untyped-def]
    yield source
