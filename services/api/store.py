"""What the api reads: one statement an answer, and Redis for the latest values."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import asyncpg

from services.adapters.postgres import Postgres, sql
from services.adapters.redis import Memory, Redis, indicator_key, price_key
from services.api import documents
from services.runtime.clock import rfc3339

TIME_MAX_NS = 2**63 - 1
PRODUCTS_MAX = 10_000
"""Products one answer names: above what all the exchanges list together."""


@dataclass(frozen=True)
class Span:
    """Times from ``start_ns``, included, to ``end_ns``, not included."""

    start_ns: int = 0
    end_ns: int = TIME_MAX_NS


@dataclass(frozen=True)
class TradeKey:
    """A place in a product's trades: what comes before it is older."""

    time_ns: int = TIME_MAX_NS
    trade_id: str = ""


@dataclass(frozen=True)
class DatabaseFigures:
    """What Postgres takes on disk, and who is connected to it, in whatever database. None: not known."""

    size_bytes: int | None = None
    connections: int | None = None
    connections_max: int | None = None


class Store:
    """Reads from Postgres and Redis. Raises InfraError while Postgres is away; without Redis it reads Postgres."""

    def __init__(self, database: Postgres, cache: Redis, timeout_s: float) -> None:
        self._database = database
        self._cache = cache
        self._timeout_s = timeout_s

    async def candles(
        self, exchange: str, product_id: str, resolution: str, span: Span, limit: int
    ) -> list[documents.Candle]:
        """Newest first."""
        rows = await self._rows("api_candles", exchange, product_id, resolution, span.start_ns, span.end_ns, limit)
        return [documents.candle(exchange, product_id, row) for row in rows]

    async def trades(
        self, exchange: str, product_id: str, span: Span, before: TradeKey, limit: int
    ) -> tuple[list[documents.Trade], TradeKey | None]:
        """A page, newest first, and the key that the next one begins at; None where this is the last."""
        key = before.time_ns, before.trade_id
        rows = await self._rows("api_trades", exchange, product_id, span.start_ns, span.end_ns, *key, limit)
        page = [documents.trade(exchange, product_id, row) for row in rows]
        return page, TradeKey(rows[-1]["time"], rows[-1]["trade_id"]) if len(rows) == limit else None

    async def trade_pages(
        self, exchange: str, product_id: str, span: Span, page_rows: int
    ) -> AsyncIterator[list[documents.Trade]]:
        """Every trade of the span, newest first. A page is a statement: a slow reader holds no connection."""
        key: TradeKey | None = TradeKey()
        while key is not None:
            page, key = await self.trades(exchange, product_id, span, key, page_rows)
            if page:
                yield page

    async def products(self, exchange: str | None, limit: int = PRODUCTS_MAX) -> list[asyncpg.Record]:
        return await self._rows("api_products", exchange, limit)

    async def gaps(
        self, exchange: str | None, product_id: str | None, status: str | None, limit: int
    ) -> list[documents.Gap]:
        """Newest first."""
        rows = await self._rows("api_gaps", exchange, product_id, status, limit)
        return [documents.gap(row) for row in rows]

    async def gap_counts(self) -> list[documents.GapCount]:
        return [documents.GapCount(*row) for row in await self._rows("api_gap_counts")]

    async def positions(self) -> list[asyncpg.Record]:
        return await self._rows("api_positions")

    async def ticker(self, exchange: str, product_ids: Sequence[str]) -> list[documents.Ticker]:
        """The newest trade of each: from Redis, or from Postgres where Redis has none."""
        cached = await self._cache.hashes([price_key(exchange, product_id) for product_id in product_ids])
        found = {
            product_id: ticker
            for product_id, values in zip(product_ids, cached, strict=True)
            if (ticker := _ticker(exchange, product_id, values)) is not None
        }
        missing = [product_id for product_id in product_ids if product_id not in found]
        if missing:
            for product_id, price, size, side, time_ns, trade_id in await self._rows(
                "api_newest_trades", exchange, missing
            ):
                found[product_id] = documents.Ticker(
                    exchange, product_id, price, size, side, rfc3339(time_ns), trade_id
                )
        return [found[product_id] for product_id in product_ids if product_id in found]

    async def indicators(self, exchange: str, product_ids: Sequence[str]) -> list[documents.Indicators]:
        """The latest values of each product that Redis has; what it lost, its writer writes again."""
        cached = await self._cache.hashes([indicator_key(exchange, product_id) for product_id in product_ids])
        return [
            found
            for product_id, values in zip(product_ids, cached, strict=True)
            if (found := _indicators(exchange, product_id, values)) is not None
        ]

    async def database_figures(self) -> DatabaseFigures:
        (row,) = await self._rows("api_probe")
        return DatabaseFigures(**row)

    async def cache_memory(self) -> Memory:
        """Raises InfraError while Redis is away."""
        return await self._cache.memory()

    async def _rows(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._database.fetch(sql(name), *arguments, timeout_s=self._timeout_s)


def _ticker(exchange: str, product_id: str, values: dict[str, str]) -> documents.Ticker | None:
    """A ``price_key`` hash; None where it is empty or not whole."""
    try:
        time = rfc3339(int(values["time"]))
        return documents.Ticker(
            exchange, product_id, values["price"], values["size"], values["side"], time, values["trade_id"]
        )
    except (KeyError, ValueError, OverflowError):
        return None


def _indicators(exchange: str, product_id: str, values: dict[str, str]) -> documents.Indicators | None:
    """An ``indicator_key`` hash; None where it is empty or not whole."""
    try:
        time = rfc3339(int(values["time"]))
        numbers = {name: float(value) for name, value in values.items() if name != "time"}
    except (KeyError, ValueError, OverflowError):
        return None
    return documents.Indicators(exchange, product_id, time, numbers)
