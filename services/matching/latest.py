"""What the engine keeps in Redis: what has traded of each order, and the books' depth. Written after the commit."""

import time
from collections.abc import Iterable

import msgspec

from services.adapters import lab_trades
from services.adapters.lab_trades import TRADE_TTL_S, trade_keys
from services.adapters.postgres import Connection, sql
from services.adapters.redis import AWAY, LATEST_TTL_S, REWRITE_INTERVAL_S, Redis, book_key
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
RECENT_EXECUTIONS = 20_000
"""A death between the commit and Redis leaves at most a batch behind: so many are looked at when we start."""
SCAN_KEYS = 1_000


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
    """What cannot be written while Redis is away is deleted when it is back: who finds it missing asks Postgres."""

    def __init__(self, redis: Redis, market_group: int, anonymous_account: str) -> None:
        self._redis = redis
        self._group = market_group
        self._anonymous_account = anonymous_account
        self._changed_books: set[str] = set()
        self._books_at = 0.0
        self._all_books_at = 0.0
        self._stale: set[str] = set()
        self._all_stale = False

    async def begin(self, connection: Connection) -> None:
        """An owner before may have stored what it did not live to write here."""
        for row in await connection.fetch(sql("lab_executions_newest"), self._group, RECENT_EXECUTIONS):
            self._stale.update(trade_keys(row["maker_account"], row["maker_id"], self._anonymous_account))
            self._stale.update(trade_keys(row["taker_account"], row["taker_id"], self._anonymous_account))
        self._all_books_at = 0.0

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
        if not values and not self._stale and not self._all_stale:
            await self.write_books(market)
            return
        try:
            await self._unstale()
            pipeline = self._redis.client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=TRADE_TTL_S)
            await pipeline.execute()
        except AWAY as error:
            self._redis.report(error)
            self._remember_stale(values)
            return
        self._redis.report(None)
        counter(Metric.REDIS_WRITES).labels(Group.MATCHING, LAB_EXCHANGE, "trade").inc(len(values))
        await self.write_books(market)

    async def write_books(self, market: Market) -> None:
        """Write the books that changed, if it is time; now and then all of them. Only between commits."""
        now = time.monotonic()
        if now - self._all_books_at >= REWRITE_INTERVAL_S:
            self._changed_books.update(market.books)
            self._all_books_at = now
        if not self._changed_books or now - self._books_at < BOOK_INTERVAL_S:
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
            self._redis.report(error)
            return
        self._redis.report(None, time.perf_counter() - began)
        self._changed_books.difference_update(symbols)
        counter(Metric.REDIS_WRITES).labels(Group.MATCHING, LAB_EXCHANGE, "book").inc(len(symbols))

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
            async for key in client.scan_iter("trade:*", count=SCAN_KEYS):
                await client.unlink(key)
            self._all_stale = False
        while self._stale:
            some = [key for key, _ in zip(self._stale, range(SCAN_KEYS), strict=False)]
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
