"""The paths that read what ``matching`` made of the journal."""

import os
import socket

from fastapi import APIRouter, Request, Response

from services.adapters.http.documents import json_response
from services.adapters.http.parameters import Limit
from services.contracts.lab import is_name
from services.orders import documents
from services.orders.callers import account_of, caller_of, check_scope
from services.orders.documents import TradeFound
from services.orders.parameters import (
    DEPTH_MAX,
    AccountName,
    AccountPath,
    Audience,
    CursorText,
    Depth,
    OrderId,
    State,
    SymbolName,
    SymbolPath,
    read_cursor,
    write_cursor,
)
from services.orders.problems import Refusal
from services.orders.routing import NOT_FOUND, get
from services.orders.store import Store
from services.orders.symbols import ListedSymbol, Symbols
from services.runtime.clock import rfc3339


class Queries:
    def __init__(self, service: str, store: Store, symbols: Symbols) -> None:
        self._service = service
        self._store = store
        self._symbols = symbols
        self._instance = f"{socket.gethostname()}-{os.getpid()}"

    def router(self) -> APIRouter:
        router = APIRouter(tags=["queries"])
        get(router, "/trade/{order_id:path}", self.trade, TradeFound)
        get(router, "/whoami", self.whoami, documents.WhoAmI)
        get(router, "/v1/orders", self.orders, documents.OrderPage)
        get(router, "/v1/orders/{order_id}", self.order, documents.OrderHistory, NOT_FOUND)
        get(router, "/v1/executions", self.executions, documents.ExecutionPage)
        get(router, "/v1/book/{symbol}", self.book, documents.Book, NOT_FOUND)
        get(router, "/v1/symbols", self.symbols, list[ListedSymbol])
        get(router, "/v1/accounts/{account}", self.account, documents.Account)
        get(router, "/v1/accounts/{account}/transfers", self.transfers, documents.TransferPage)
        get(router, "/v1/conservation", self.conservation, list[documents.AssetSum])
        return router

    async def whoami(self, request: Request) -> Response:
        """The replica that answers, and who it takes the caller for."""
        caller = caller_of(request)
        return json_response(documents.WhoAmI(self._service, self._instance, caller.account, sorted(caller.scopes)))

    async def trade(self, request: Request, order_id: OrderId, account: AccountName = None) -> Response:
        """What has traded of an order: the average price, the quantity, and the newest fills. 200, found or not."""
        owner = account_of(request, "read", account)
        found = await self._store.trade(owner, order_id) if is_name(owner) and is_name(order_id) else None
        if found is None:
            return json_response(TradeFound(found=False, order_id=order_id))
        return json_response({"found": True, "order_id": order_id, "trade": found})

    async def orders(
        self,
        request: Request,
        state: State = None,
        symbol: SymbolName = None,
        account: AccountName = None,
        limit: Limit = 100,
        cursor: CursorText = None,
    ) -> Response:
        """The account's orders, newest first."""
        owner, before = account_of(request, "read", account), read_cursor(cursor)
        if not _may_exist(owner, symbol):
            return json_response(documents.OrderPage([], None))
        page, following = await self._store.orders(owner, symbol, state, before, limit)
        return json_response(documents.OrderPage(page, write_cursor(following)))

    async def order(self, request: Request, order_id: OrderId, account: AccountName = None) -> Response:
        """An order, each step of its life, and its newest executions."""
        owner = account_of(request, "read", account)
        if not _may_exist(owner, order_id):
            raise _no_order()
        found = await self._store.order(owner, order_id)
        if found is not None:
            return json_response(found)
        placed = await self._store.placed(owner, order_id)
        if placed is None or placed["symbol"] is None:
            raise _no_order()
        received = rfc3339(placed["received_time"])
        raise Refusal(404, "order_pending", f"received at {received}; the engine has not come to it yet")

    async def executions(
        self,
        request: Request,
        symbol: SymbolName = None,
        scope: Audience = "own",
        account: AccountName = None,
        limit: Limit = 100,
        cursor: CursorText = None,
    ) -> Response:
        """The account's executions, or everybody's without their accounts, newest first."""
        owner, before = account_of(request, "read", account), read_cursor(cursor)
        if not _may_exist(owner, symbol):
            return json_response(documents.ExecutionPage([], None))
        if scope == "public":
            everybodys, following = await self._store.public_executions(symbol, before, limit)
            return json_response(documents.ExecutionPage(everybodys, write_cursor(following)))
        page, following = await self._store.own_executions(owner, symbol, before, limit)
        return json_response(documents.ExecutionPage(page, write_cursor(following)))

    async def book(self, request: Request, symbol: SymbolPath, depth: Depth = DEPTH_MAX) -> Response:
        """The depth of a symbol's book, best prices first."""
        check_scope(caller_of(request), "read")
        return json_response(await self._store.book(self._symbols.get(symbol).symbol, depth))

    async def symbols(self, request: Request) -> Response:
        """What may be traded, and its rules."""
        check_scope(caller_of(request), "read")
        return json_response([listed.document for listed in self._symbols.all().values()])

    async def account(self, request: Request, account: AccountPath) -> Response:
        """The account's balances."""
        owner = account_of(request, "read", account)
        if not _may_exist(owner):
            return json_response(documents.Account(owner, []))
        return json_response(await self._store.balances(owner))

    async def transfers(
        self, request: Request, account: AccountPath, limit: Limit = 100, cursor: CursorText = None
    ) -> Response:
        """The account's deposits and withdrawals, newest first."""
        owner, before = account_of(request, "read", account), read_cursor(cursor)
        if not _may_exist(owner):
            return json_response(documents.TransferPage([], None))
        page, following = await self._store.transfers(owner, before, limit)
        return json_response(documents.TransferPage(page, write_cursor(following)))

    async def conservation(self, request: Request) -> Response:
        """What each asset adds up to over all accounts: zero. Scope `admin`."""
        check_scope(caller_of(request), "admin")
        return json_response(await self._store.sums())


def _may_exist(*names: str | None) -> bool:
    """Whether there can be rows of these names at all."""
    return all(name is None or is_name(name) for name in names)


def _no_order() -> Refusal:
    return Refusal(404, "unknown_order", "the account has no order of this id")
