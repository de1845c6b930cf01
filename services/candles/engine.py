"""Folds ``market_trades`` into bars; ``feed_state`` tells which trade numbers do not exist."""

from collections.abc import Iterable, Sequence

import asyncpg
import msgspec
from aiokafka import ConsumerRecord

from services.adapters import candles_table, seen_table
from services.adapters.pipeline import Batch, Outcome, Publication
from services.adapters.postgres import Connection, sql
from services.adapters.records import Counts, feed_states, trades
from services.adapters.retention import Retention
from services.candles.figures import Figures
from services.contracts.events import product_key
from services.contracts.topics import Group, Topic
from services.domain.bars import INCOMPLETE_MAX, STATE_VERSION, Key, ProductBars, ProductState, StoredBar, candle
from services.domain.seen import Seen
from services.domain.trades import EARLIEST_NS, LATEST_NS
from services.runtime.clock import NS_PER_MS

Product = tuple[str, str]
Changes = list[tuple[ProductBars, list[tuple[Key, StoredBar]]]]


class CandleEngine:
    group = Group.CANDLES
    topics = (Topic.MARKET_TRADES, Topic.FEED_STATE)

    def __init__(self, grace_after_bar_ms: int, partitions: int, retention: Retention) -> None:
        self._partition_count = partitions
        self._retention = retention
        self._grace_ns = grace_after_bar_ms * NS_PER_MS
        self._partitions: dict[int, dict[Product, ProductBars]] = {}
        self._figures = Figures()

    def forget(self) -> None:
        self._partitions.clear()
        self._figures.forget()

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._partitions[partition] = {}
        for row in await connection.fetch(sql("product_states_load"), self.group, list(partitions)):
            product = await self._product(connection, row)
            self._partitions[row["partition"]][product.exchange, product.product_id] = product
        for row in await connection.fetch(sql("candles_unfinished"), self.group, list(partitions), INCOMPLETE_MAX):
            product = self._partitions[row["partition"]][row["exchange"], row["product_id"]]
            key = (row["resolution"], row["timestamp"])
            if key in product.bars:
                continue
            if not row["closed"]:
                product.provide(key, candles_table.stored_bar(row))
            if not row["complete"] and row["lowest_number"] is not None:
                product.incomplete[key] = (row["lowest_number"], row["highest_number"])
        self._figures.loaded(product for products in self._partitions.values() for product in products.values())

    async def _product(self, connection: Connection, row: asyncpg.Record) -> ProductBars:
        """With its stored state; where this version cannot read that, rebuilt from the stored trades."""
        name = (row["exchange"], row["product_id"])
        try:
            state = msgspec.msgpack.decode(row["state"], type=ProductState)
            if state.version == STATE_VERSION:
                return ProductBars(*name, state)
        except msgspec.DecodeError:
            pass
        seen = await seen_table.recorded(connection, self.group, row["partition"], *name)
        return await _rebuilt(connection, *name, seen)

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        counts = Counts(self.group, self._partition_count)
        for partition, topics in batch.records.items():
            self._absorb_voids(self._partitions[partition], topics.get(Topic.FEED_STATE, ()), counts)
            self._absorb_trades(self._partitions[partition], topics.get(Topic.MARKET_TRADES, ()), counts)
        await self._provide(connection)
        changes = self._settle(batch)
        publications = [
            Publication(
                Topic.CANDLES,
                product_key(product.exchange, product.product_id),
                msgspec.json.encode(candle(product.exchange, product.product_id, key, stored)),
                product.exchange,
            )
            for product, bars in changes
            for key, stored in bars
        ]

        async def store(connection: Connection) -> None:
            await self._store(connection, changes, batch)

        async def stored() -> None:
            counts.report()
            self._figures.stored(changes)

        return Outcome(publications, store if changes else None, stored)

    def _absorb_trades(
        self, products: dict[Product, ProductBars], records: Iterable[ConsumerRecord], counts: Counts
    ) -> None:
        oldest_ns = self._retention.oldest_ns()
        for offset, trade in trades(records, counts):
            name = (trade.exchange, trade.product_id)
            product = products.get(name)
            if product is None:
                product = products[name] = ProductBars(*name)
            if trade.time < oldest_ns:
                # Its bar is pruned, and would begin anew with this trade alone.
                product.pass_over(trade)
                counts.beyond_retention[trade.exchange] += 1
            elif not product.absorb(trade, offset):
                counts.repeated[trade.exchange] += 1

    def _absorb_voids(
        self, products: dict[Product, ProductBars], records: Iterable[ConsumerRecord], counts: Counts
    ) -> None:
        for state in feed_states(records, counts):
            if not state.voids:
                continue
            name = (state.exchange, state.product_id)
            product = products.get(name)
            if product is None:
                product = products[name] = ProductBars(*name)
            product.absorb_voids(state.voids)

    async def _provide(self, connection: Connection) -> None:
        """Read the stored bars that late trades and repairs reach."""
        wanted = [
            (product, key)
            for products in self._partitions.values()
            for product in products.values()
            if product.touched()
            for key in product.wanted()
        ]
        if not wanted:
            return
        by_name = {(p.exchange, p.product_id): p for p, _ in wanted}
        rows = await connection.fetch(
            sql("candles_read"),
            [product.exchange for product, _ in wanted],
            [product.product_id for product, _ in wanted],
            [key[0] for _, key in wanted],
            [key[1] for _, key in wanted],
        )
        for row in rows:
            product = by_name[row["exchange"], row["product_id"]]
            product.provide((row["resolution"], row["timestamp"]), candles_table.stored_bar(row))

    def _settle(self, batch: Batch) -> Changes:
        changes: Changes = []
        for partition, products in self._partitions.items():
            clock_ns, head = batch.clock_ns.get(partition, 0), batch.heads.get(partition, 0)
            changes += (
                (product, product.settle(clock_ns=clock_ns, head=head, grace_ns=self._grace_ns))
                for product in products.values()
                if product.touched() or product.closable(clock_ns, self._grace_ns)
            )
        return changes

    async def _store(self, connection: Connection, changes: Changes, batch: Batch) -> None:
        partition_of = {name: number for number, products in self._partitions.items() for name in products}
        products = [product for product, _ in changes]
        await connection.execute(
            sql("product_states_store"),
            self.group,
            [product.exchange for product in products],
            [product.product_id for product in products],
            [partition_of[product.exchange, product.product_id] for product in products],
            [msgspec.msgpack.encode(product.state) for product in products],
        )
        await candles_table.store(connection, changes)


async def _rebuilt(connection: Connection, exchange: str, product_id: str, seen: Seen) -> ProductBars:
    """All that the recorder has, folded. What of it the builder has still to read counts as seen: it is in the bars."""
    nothing = ProductBars(exchange, product_id)
    fresh = await candles_table.compute(connection, nothing, EARLIEST_NS, LATEST_NS)
    state = ProductState(
        seen=seen,
        newest_time=max((bar.last_time for bar in fresh.values()), default=0),
        last_sequence=await connection.fetchval(sql("candles_newest_sequence"), exchange, product_id),
    )
    product = ProductBars(exchange, product_id, state)
    product.rebuild(fresh, await candles_table.read(connection, product, EARLIEST_NS, LATEST_NS))
    return product
