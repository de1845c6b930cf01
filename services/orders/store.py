"""What ``orders`` reads of what ``matching`` wrote: Redis first where it has it, else one statement an answer."""

from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec

from services.adapters.lab_trades import Trade, fill_miss, read_trade, trade_key, trade_keys
from services.adapters.postgres import Postgres, sql
from services.adapters.redis import AWAY, Redis, book_key
from services.contracts.metrics import Metric
from services.domain.symbols import Symbol
from services.orders import documents
from services.orders.parameters import Cursor
from services.runtime import logging
from services.runtime.metrics import counter

STEPS_MAX = 10_000
EXECUTIONS_MAX = 1_000
"""Executions that are told with an order; all of them are in ``GET /v1/executions``."""
ASSETS_MAX = 10_000
_OPEN = {"open": True, "closed": False, None: None}


class Store:
    """Raises InfraError while Postgres is away; without Redis it reads Postgres."""

    def __init__(self, database: Postgres, cache: Redis, timeout_s: float, anonymous_account: str) -> None:
        self._database = database
        self._cache = cache
        self._timeout_s = timeout_s
        self._anonymous_account = anonymous_account

    async def trade(self, account: str, order_id: str) -> msgspec.Raw | Trade | None:
        """What has traded of the order; None while nothing has."""
        cached = await self._cached(trade_key(account, order_id))
        if cached is not None:
            _count("trade", "redis")
            return msgspec.Raw(cached)
        found = await self._database.ask(lambda c: read_trade(c, account, order_id), timeout_s=self._timeout_s)
        _count("trade", "nothing" if found is None else "postgres")
        if found is not None:
            await fill_miss(self._cache, trade_keys(account, order_id, self._anonymous_account), found)
        return found

    async def book(self, symbol: Symbol, depth: int) -> documents.Book:
        """At most ``depth`` levels a side."""
        cached = await self._cached(book_key(symbol.symbol))
        if cached is not None and (found := documents.book(symbol, cached, depth)) is not None:
            _count("book", "redis")
            return found
        _count("book", "postgres")
        return documents.book_without_sequence(symbol, await self._rows("order_book", symbol.symbol, depth))

    async def order(self, account: str, order_id: str) -> documents.OrderHistory | None:
        """With its steps and its newest executions; None where the engine has not seen such an order."""
        rows = await self._rows("orders_find", account, order_id)
        if not rows:
            return None
        group, number = rows[0]["market_group"], rows[0]["number"]
        steps = await self._rows("order_steps_list", group, number, STEPS_MAX)
        executions = await self._rows("executions_of_order", group, number, EXECUTIONS_MAX)
        return documents.order_history(
            rows[0],
            [documents.step(row) for row in steps],
            [documents.own_execution(account, row) for row in executions],
        )

    async def placed(self, account: str, command_id: str) -> asyncpg.Record | None:
        """The market_group, symbol (None for a transfer) and received_time of what has the id."""
        rows = await self._rows("order_id_find", account, command_id)
        return rows[0] if rows else None

    async def orders(
        self, account: str, symbol: str | None, state: str | None, before: Cursor, limit: int
    ) -> tuple[list[documents.Order], Cursor | None]:
        """A page, newest first, and where the next one begins; None where this is the last."""
        rows = await self._rows("orders_list", account, symbol, _OPEN[state], *before, limit)
        return _page(rows, documents.order, ("received_time", "market_group", "number"), limit)

    async def own_executions(
        self, account: str, symbol: str | None, before: Cursor, limit: int
    ) -> tuple[list[documents.Execution], Cursor | None]:
        rows = await self._rows("executions_of_account", account, symbol, *before, limit)
        return _page(rows, lambda row: documents.own_execution(account, row), _BY_SEQUENCE, limit)

    async def public_executions(
        self, symbol: str | None, before: Cursor, limit: int
    ) -> tuple[list[documents.Execution], Cursor | None]:
        rows = await self._rows("executions_public", symbol, *before, limit)
        return _page(rows, documents.execution, _BY_SEQUENCE, limit)

    async def balances(self, account: str) -> documents.Account:
        rows = await self._rows("balances_of_account", account, ASSETS_MAX)
        return documents.Account(account, [documents.Balance(*row) for row in rows])

    async def transfers(
        self, account: str, before: Cursor, limit: int
    ) -> tuple[list[documents.TransferDone], Cursor | None]:
        rows = await self._rows("transfers_of_account", account, *before, limit)
        return _page(rows, documents.transfer, _BY_SEQUENCE, limit)

    async def sums(self) -> list[documents.AssetSum]:
        return [documents.AssetSum(*row) for row in await self._rows("balances_sums", ASSETS_MAX)]

    async def _rows(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._database.fetch(sql(name), *arguments, timeout_s=self._timeout_s)

    async def _cached(self, key: str) -> bytes | None:
        """The value of a key; None where there is none, and while Redis is away."""
        try:
            value = await self._cache.client.get(key)
        except AWAY as error:
            self._cache.report(error)
            logging.logger().warning("redis_away", error=str(error), error_type=type(error).__name__)
            return None
        self._cache.report(None)
        return value.encode() if isinstance(value, str) else value


_BY_SEQUENCE = ("time", "market_group", "sequence")


def _page[D](
    rows: Sequence[asyncpg.Record], document: Callable[[Any], D], key: tuple[str, str, str], limit: int
) -> tuple[list[D], Cursor | None]:
    following = Cursor(*(rows[-1][name] for name in key)) if len(rows) == limit else None
    return [document(row) for row in rows], following


def _count(what: str, source: str) -> None:
    counter(Metric.ORDERS_READS).labels(what, source).inc()
