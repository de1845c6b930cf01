"""Folds the journal of one market group: commands into the book, what comes of them to the topics and the tables."""

import asyncio
import contextlib
import gc
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from aiokafka import ConsumerRecord

from services.adapters.pipeline import Batch, Outcome, Publication, dead_letter
from services.adapters.postgres import Connection, sql
from services.contracts.errors import ConfigError, PeerError
from services.contracts.events import input_offset
from services.contracts.lab import LAB_EXCHANGE, ClockTick, ListSymbolRules, OrderCommand, SymbolRules, group_key
from services.contracts.metrics import Metric
from services.contracts.topics import Group, Topic
from services.domain import lab_commands
from services.domain.lab_records import FILLS_MAX, Fill, Records, Results
from services.domain.matching import Market, apply
from services.domain.orders import Event
from services.domain.symbols import symbol_of
from services.matching.journal import Journal
from services.matching.latest import Latest
from services.matching.rows import Rows
from services.matching.snapshots import Snapshots
from services.runtime import logging
from services.runtime.clock import NS_PER_MS, NS_PER_S, Clock
from services.runtime.metrics import counter, gauge, histogram

COMMANDS_PER_TURN = 200
"""After so many commands the event loop gets a turn: probes are answered, fetches go on."""
CONSERVATION_INTERVAL_S = 10.0
FORGET_TIMEOUT_S = 3_600.0
"""How long emptying the tables may take, which somebody asked for."""


@dataclass
class _Work:
    """What one batch comes to."""

    results: Results = field(default_factory=Results)
    commands: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[ConsumerRecord, PeerError]] = field(default_factory=list)


class MatchingEngine:
    group = Group.MATCHING
    topics = (Topic.ORDERS,)

    def __init__(
        self,
        market_group: int,
        symbols: Sequence[SymbolRules],
        snapshot_commands: int,
        journal: Journal,
        snapshots: Snapshots,
        latest: Latest,
        clock: Clock,
    ) -> None:
        self._group_number = market_group
        self._symbols = symbols
        self._snapshot_commands = snapshot_commands
        self._journal = journal
        self._snapshots = snapshots
        self._latest = latest
        self._clock = clock
        self._records: Records | None = None
        self._log_id = ""
        self._since_snapshot = 0
        self._conserved_at = 0.0

    # ---- the start

    def forget(self) -> None:
        self._records = None
        self._latest.forget()

    async def load(self, connection: Connection, partitions: Sequence[int]) -> None:
        """The newest snapshot, and what the journal has between it and the stored position, which emits nothing."""
        if not partitions:
            return
        began = time.monotonic()
        rows = await connection.fetch(sql("position_show"), self.group)
        (position,) = (row for row in rows if row["partition"] == self._group_number)
        self._log_id, end = position["log_id"], position["next_offset"]
        await self._check_tables(connection, end)
        beginning = await self._snapshots.newest(connection, self._log_id, end)
        market, clock_time = beginning.market, beginning.clock_time
        with _uncollected():
            async for records in self._journal.read(beginning.next_offset, end):
                clock_time = await self._replay(market, records, clock_time)
        self._records = Records(market, self._group_number, clock_time)
        await self._load_fills(connection, self._records)
        await self._latest.begin(connection, market.sequence)
        self._since_snapshot = end - beginning.next_offset
        await self._list_symbols(market)
        self._tell_recovered(time.monotonic() - began, end, end - beginning.next_offset)

    async def _check_tables(self, connection: Connection, next_offset: int) -> None:
        """A journal that is begun anew begins with empty tables: what they hold is of it, or of another log."""
        if next_offset == 0:
            await connection.execute(sql("lab_forget"), self._group_number, timeout=FORGET_TIMEOUT_S)
        elif await connection.fetchval(sql("lab_is_ahead"), self._group_number, next_offset):
            raise ConfigError(
                f"the tables have orders beyond the position {next_offset} of market group {self._group_number}: "
                f"`tickplane positions reset {self.group} beginning` makes them anew"
            )

    async def _replay(self, market: Market, records: Sequence[ConsumerRecord], clock_time: int) -> int:
        """Apply them and tell nobody. The journal's time at the last clock command so far."""
        for first in range(0, len(records), COMMANDS_PER_TURN):
            for record in records[first : first + COMMANDS_PER_TURN]:
                try:
                    given, _events = _do(market, record)
                except PeerError:
                    continue
                if type(given) is ClockTick:
                    clock_time = market.time
            await asyncio.sleep(0)
        return clock_time

    async def _load_fills(self, connection: Connection, records: Records) -> None:
        """What open orders have traded for is in the tables alone."""
        by_number = {}
        for stored in await connection.fetch(sql("lab_orders_filled"), self._group_number):
            row = by_number[stored["number"]] = records.row(stored["account"], stored["id"])
            row.restore(stored["state"], stored["filled_quote"])
        for fill in await connection.fetch(sql("lab_fills"), self._group_number, list(by_number), FILLS_MAX):
            by_number[fill["number"]].remember(
                Fill(fill["price"], fill["quantity"], fill["time"], fill["execution_sequence"])
            )

    async def _list_symbols(self, market: Market) -> None:
        """Put on the journal what the setting has and the books have not."""
        commands = []
        for rules in self._symbols:
            book = market.books.get(rules.symbol)
            if rules.market_group == self._group_number and (book is None or book.rules != symbol_of(rules)):
                commands.append(ListSymbolRules(rules))
        if commands:
            await self._journal.append(commands)

    def _tell_recovered(self, seconds: float, next_offset: int, replayed: int) -> None:
        gauge(Metric.MATCHING_RECOVERY_SECONDS).labels(self._group_number).set(seconds)
        gauge(Metric.MATCHING_REPLAYED).labels(self._group_number).set(replayed)
        logging.logger().info(
            "recovered",
            market_group=self._group_number,
            next_offset=next_offset,
            replayed=replayed,
            seconds=round(seconds, 3),
        )

    # ---- each batch

    async def fold(self, batch: Batch, connection: Connection) -> Outcome:
        assert self._records is not None, "folded before it was loaded"
        records = self._records
        await self._latest.write_books(records.market)
        journal = batch.records.get(self._group_number, {}).get(Topic.ORDERS, [])
        if not journal:
            return Outcome()
        work = _Work()
        for first in range(0, len(journal), COMMANDS_PER_TURN):
            for record in journal[first : first + COMMANDS_PER_TURN]:
                self._absorb(records, record, work)
            await asyncio.sleep(0)
        rows = Rows(records.market, self._group_number, work.results)

        async def stored() -> None:
            await self._latest.write(records.market, work.results.traded.values(), work.results.books)
            self._count(records, work, journal)
            self._keep_snapshots(records, journal)

        return Outcome(self._publications(work, batch), rows.store, stored)

    def _absorb(self, records: Records, record: ConsumerRecord, work: _Work) -> None:
        first_sequence = records.market.sequence
        try:
            given, events = _do(records.market, record)
        except PeerError as error:
            work.refused.append((record, error))
            return
        records.absorb(record.offset, given, first_sequence, events, work.results)
        work.commands[type(given).__struct_config__.tag] += 1  # type: ignore[index]

    def _publications(self, work: _Work, batch: Batch) -> list[Publication]:
        key, partition = group_key(self._group_number), self._group_number
        encode = msgspec.json.encode
        publications = []
        for trade in work.results.trades:
            it = trade.execution
            cause = batch.span_of(Topic.ORDERS, partition, input_offset(it.input_sequence))
            publications.append(Publication(Topic.EXECUTIONS, key, encode(it), LAB_EXCHANGE, partition, cause))
        publications += [
            Publication(Topic.BOOK, key, encode(update), LAB_EXCHANGE, partition) for update in work.results.updates
        ]
        return publications + [self._dead_letter(record, error) for record, error in work.refused]

    def _dead_letter(self, record: ConsumerRecord, error: PeerError) -> Publication:
        return dead_letter(Topic.ORDERS_DLQ, record, error, LAB_EXCHANGE, self._clock.now_ns())

    # ---- after the commit

    def _keep_snapshots(self, records: Records, journal: Sequence[ConsumerRecord]) -> None:
        self._since_snapshot += len(journal)
        if self._since_snapshot >= self._snapshot_commands and self._snapshots.take(
            records.market, self._log_id, journal[-1].offset + 1, records.clock_time
        ):
            self._since_snapshot = 0

    def _count(self, records: Records, work: _Work, journal: Sequence[ConsumerRecord]) -> None:
        oldest_ns = journal[0].timestamp * NS_PER_MS
        histogram(Metric.MATCHING_JOURNAL_TO_READABLE).observe(max(0, self._clock.now_ns() - oldest_ns) / NS_PER_S)
        counter(Metric.MESSAGES_CONSUMED).labels(self.group, Topic.ORDERS, LAB_EXCHANGE).inc(work.commands.total())
        for command, count in work.commands.items():
            counter(Metric.MATCHING_COMMANDS).labels(command).inc(count)
        for record, error in work.refused:
            counter(Metric.DLQ_MESSAGES).labels(self.group, record.topic, error.error_type, LAB_EXCHANGE).inc()
        for symbol, count in Counter(trade.execution.symbol for trade in work.results.trades).items():
            counter(Metric.MATCHING_EXECUTIONS).labels(symbol).inc(count)
        for row in work.results.created.values():
            if row.state == "rejected":
                counter(Metric.MATCHING_REFUSALS).labels("place", row.reason).inc()
        for refusal in work.results.refusals:
            counter(Metric.MATCHING_REFUSALS).labels(refusal.command, refusal.reason).inc()
            if refusal.command == "list":
                logging.logger().error("symbol_refused", symbol=refusal.target, reason=refusal.reason)
        gauge(Metric.MATCHING_OPEN_ORDERS).labels(self._group_number).set(records.open_count())
        self._show_conservation(records.market)

    def _show_conservation(self, market: Market) -> None:
        if time.monotonic() - self._conserved_at < CONSERVATION_INTERVAL_S:
            return
        self._conserved_at = time.monotonic()
        for asset, units in market.ledger.totals().items():
            gauge(Metric.MATCHING_CONSERVATION).labels(self._group_number, asset).set(units)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """What a replay makes is the book, or is freed as soon as it is done with: the garbage collector, which looks
    through a growing book again and again, would take a fifth of the time. Nor need it look at what is there after."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def _do(market: Market, record: ConsumerRecord) -> tuple[OrderCommand, list[Event]]:
    """Apply one record of the journal. Raises PeerError, and changes nothing, for one that is no command."""
    given = lab_commands.decode(record.value)
    command = lab_commands.command(market, given)
    return given, apply(market, record.offset, record.timestamp * NS_PER_MS, command)
