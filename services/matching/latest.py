"""What the engine keeps in Redis: what has traded of each order, and the books' depth. Written after the commit."""

import time
import uuid
from collections.abc import Iterable, Mapping
from itertools import batched

import msgspec

from services.adapters import lab_trades
from services.adapters.lab_trades import TRADE_TTL_S, trade_keys
from services.adapters.postgres import Connection, sql
from services.adapters.redis import AWAY, LATEST_TTL_S, REWRITE_INTERVAL_S, Redis, book_key, matching_key
from services.contracts.lab import LAB_EXCHANGE, BookLevel
from services.contracts.metrics import Metric
from services.contracts.topics import Group
from services.domain.lab_records import OrderRow, levels_of
from services.domain.matching import Market
from services.runtime.metrics import counter

BOOK_INTERVAL_S = 0.02
"""A book is written no more often: it changes with every order."""
BOOK_LEVELS = 100
STALE_MAX = 100_000
"""Keys that could not be written and are remembered one by one; beyond that, every trade's key goes."""
KEYS_PER_CALL = 1_000
"""Redis does nothing else in the meantime."""
AWAY_PAUSE_S = 10.0
"""How long Redis is left alone once it did not answer: each attempt may take seconds, which matching would wait for."""

WRITE_TRADES = """
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[2]) end
return 1
"""
"""Given the group's hash and then the keys; the owner, the time to live and then the values. 1 where the owner is still
the same: one that was stalled between its commit and this may not put older values over a newer owner's."""
WRITTEN = """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then redis.call('HSET', KEYS[1], 'sequence', ARGV[2]) end
"""


class BookDocument(msgspec.Struct, frozen=True):
    """Best levels first. ``time`` is the journal's (nanoseconds); the checksum is in ticks and lots of these sizes."""

    symbol: str
    sequence: int
    time: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    tick_size: str
    lot_size: str
    checksum: int


class Latest:
    """What cannot be written while Redis is away is deleted when it is back: who finds it missing asks Postgres.

    A hash of the group says who owns its keys, and up to which event they hold what is stored.
    """

    def __init__(self, redis: Redis, market_group: int, anonymous_account: str) -> None:
        self._redis = redis
        self._group = market_group
        self._anonymous_account = anonymous_account
        self._key = matching_key(market_group)
        self._owner = ""
        self._is_claimed = False
        self._write_trades = redis.client.register_script(WRITE_TRADES)
        self._written = redis.client.register_script(WRITTEN)
        self._again_at = 0.0
        self._changed_books: set[str] = set()
        self._books_at = 0.0
        self._all_books_at = 0.0
        self._stale: set[str] = set()
        self._all_stale = False

    async def begin(self, connection: Connection, sequence: int) -> None:
        """Take the keys from the owner before, which may have stored what it did not live to write here.

        ``sequence`` is that of the newest event that is stored.
        """
        self._owner = uuid.uuid4().hex
        self._all_books_at = 0.0
        try:
            await self._claim()
            written = await self._redis.client.hget(self._key, "sequence")
        except AWAY as error:
            self._report_away(error)
            self._is_claimed, written = False, None
        if written is None or int(written) > sequence:
            self._all_stale = True
            return
        rows = await connection.fetch(sql("lab_executions_after"), self._group, int(written), STALE_MAX)
        self._all_stale |= len(rows) == STALE_MAX
        for row in rows:
            self._stale.update(trade_keys(row["maker_account"], row["maker_id"], self._anonymous_account))
            self._stale.update(trade_keys(row["taker_account"], row["taker_id"], self._anonymous_account))

    def forget(self) -> None:
        self._changed_books.clear()

    async def write(self, market: Market, traded: Iterable[OrderRow], books: Iterable[str]) -> None:
        """After a commit. Redis being away is reported, not raised."""
        self._changed_books.update(books)
        values: dict[str, bytes] = {}
        for row in traded:
            value = msgspec.json.encode(self._trade(row))
            for key in trade_keys(row.account, row.id, self._anonymous_account):
                values[key] = value
        if (values or self._stale or self._all_stale) and not await self._write(values, market.sequence):
            self._remember_stale(values)
        await self.write_books(market)

    async def _write(self, values: Mapping[str, bytes], sequence: int) -> bool:
        """Write the trades, and delete what is stale. Whether that was done."""
        if time.monotonic() < self._again_at:
            return False
        try:
            if not self._is_claimed:
                # The commit before this has shown that the group is ours.
                await self._claim()
            await self._unstale()
            for some in batched(values.items(), KEYS_PER_CALL, strict=False):
                keys, given = zip(*some, strict=True)
                if not await self._write_trades([self._key, *keys], [self._owner, TRADE_TTL_S, *given]):
                    self._is_claimed = False
                    return False
            await self._written([self._key], [self._owner, sequence])
        except AWAY as error:
            self._report_away(error)
            return False
        self._redis.report(None)
        counter(Metric.REDIS_WRITES).labels(Group.MATCHING, LAB_EXCHANGE, "trade").inc(len(values))
        return True

    async def write_books(self, market: Market) -> None:
        """Write the books that changed, if it is time; now and then all of them. Only between commits."""
        now = time.monotonic()
        if now - self._all_books_at >= REWRITE_INTERVAL_S:
            self._changed_books.update(market.books)
            self._all_books_at = now
        if not self._changed_books or now - self._books_at < BOOK_INTERVAL_S or now < self._again_at:
            return
        self._books_at = now
        symbols = list(self._changed_books)
        pipeline = self._redis.client.pipeline(transaction=False)
        for symbol in symbols:
            pipeline.set(book_key(symbol), msgspec.json.encode(_document(market, symbol)), ex=LATEST_TTL_S)
        began = time.perf_counter()
        try:
            await pipeline.execute()
        except AWAY as error:
            self._report_away(error)
            return
        self._redis.report(None, time.perf_counter() - began)
        self._changed_books.difference_update(symbols)
        counter(Metric.REDIS_WRITES).labels(Group.MATCHING, LAB_EXCHANGE, "book").inc(len(symbols))

    async def _claim(self) -> None:
        await self._redis.client.hset(self._key, "owner", self._owner)
        self._is_claimed = True

    def _report_away(self, error: Exception) -> None:
        self._redis.report(error)
        self._again_at = time.monotonic() + AWAY_PAUSE_S

    def _trade(self, row: OrderRow) -> lab_trades.Trade:
        fills = [
            lab_trades.fill(fill.price, fill.quantity, fill.time, self._group, fill.sequence)
            for fill in row.fills or ()
        ]
        return lab_trades.trade(row.filled, row.filled_quote, fills)

    def _remember_stale(self, keys: Iterable[str]) -> None:
        self._stale.update(keys)
        if len(self._stale) > STALE_MAX:
            self._stale.clear()
            self._all_stale = True

    async def _unstale(self) -> None:
        """Delete what may be older than what is stored."""
        client = self._redis.client
        if self._all_stale:
            cursor = -1
            while cursor:
                cursor, keys = await client.scan(max(0, cursor), match="trade:*", count=KEYS_PER_CALL)
                if keys:
                    await client.unlink(*keys)
            self._all_stale = False
        for some in batched(list(self._stale), KEYS_PER_CALL, strict=False):
            await client.unlink(*some)
            self._stale.difference_update(some)


def _document(market: Market, symbol: str) -> BookDocument:
    book = market.books[symbol]
    rules = book.rules
    return BookDocument(
        symbol,
        book.sequence,
        market.time,
        levels_of(rules, book.bids.depth(BOOK_LEVELS)),
        levels_of(rules, book.asks.depth(BOOK_LEVELS)),
        str(rules.tick_size),
        str(rules.lot_size),
        book.checksum(),
    )
