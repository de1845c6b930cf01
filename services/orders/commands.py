"""The paths that put something on the journal: 202 once Kafka has it, before it is matched."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from msgspec.structs import replace

from services.adapters.http.documents import json_response
from services.contracts.lab import (
    CancelAllOrders,
    CancelOrder,
    DepositFunds,
    HaltSymbol,
    PlaceOrder,
    ReplaceOrder,
    ResumeSymbol,
    WithdrawFunds,
    is_name,
)
from services.domain.orders import TIMES_IN_FORCE
from services.orders import bodies
from services.orders.bodies import NewOrder, Replacement, ShortOrder, Transfer
from services.orders.callers import caller_of, check_scope, client_account_of
from services.orders.checks import check_order, check_price, check_quantity
from services.orders.documents import CommandReceived, OrderReceived, TransferReceived
from services.orders.journal import Journal
from services.orders.parameters import AccountName, AccountPath, OrderId, SymbolName, SymbolPath
from services.orders.problems import Refusal, misshapen
from services.orders.routing import AGAINST_RULES, CONFLICT, NOT_FOUND, command
from services.orders.store import Store
from services.orders.symbols import Symbols
from services.runtime.clock import rfc3339


class Commands:
    """Static checks are made here; what needs the book, a balance or the time is the engine's, and becomes an event."""

    def __init__(self, journal: Journal, store: Store, symbols: Symbols) -> None:
        self._journal = journal
        self._store = store
        self._symbols = symbols

    def router(self) -> APIRouter:
        router = APIRouter(tags=["commands"])
        placing = {**AGAINST_RULES, **CONFLICT}
        command(router, "POST", "/place_order", self.place_short, OrderReceived, placing, body=ShortOrder)
        command(router, "POST", "/v1/orders", self.place, OrderReceived, placing, body=NewOrder)
        one = "/v1/orders/{order_id}"
        command(router, "DELETE", one, self.cancel, CommandReceived, NOT_FOUND)
        command(router, "PATCH", one, self.replace, CommandReceived, NOT_FOUND | AGAINST_RULES, body=Replacement)
        command(router, "DELETE", "/v1/orders", self.cancel_all, CommandReceived, NOT_FOUND)
        accounts = "/v1/accounts/{account}"
        command(router, "POST", f"{accounts}/deposits", self.deposit, TransferReceived, placing, body=Transfer)
        command(router, "POST", f"{accounts}/withdrawals", self.withdraw, TransferReceived, placing, body=Transfer)
        command(router, "POST", "/v1/symbols/{symbol}/halt", self.halt, CommandReceived, NOT_FOUND)
        command(router, "POST", "/v1/symbols/{symbol}/resume", self.resume, CommandReceived, NOT_FOUND)
        return router

    async def place_short(self, request: Request) -> Response:
        """Place an order. The same as `POST /v1/orders`, with `qty`."""
        return await self._place(request, await bodies.read(request, ShortOrder), "qty")

    async def place(self, request: Request) -> Response:
        """Place an order. The same request again, by its `id`, is the same order and has the same answer."""
        return await self._place(request, await bodies.read(request, NewOrder), "quantity")

    async def _place(self, request: Request, body: NewOrder, quantity_path: str) -> Response:
        order = _order(client_account_of(request, "trade", body.account), body)
        listed = self._symbols.ordered(order.symbol)
        check_order(order, listed.symbol, quantity_path)
        group = listed.document.market_group
        claim = await self._journal.claim(order, group)
        order = replace(order, received_time=claim.received_time)
        await self._journal.publish(order, group, repeated=claim.repeated)
        received = rfc3339(claim.received_time)
        return json_response(
            OrderReceived(id=order.id, account=order.account, symbol=order.symbol, received_time=received), 202
        )

    async def cancel(self, request: Request, order_id: OrderId, account: AccountName = None) -> Response:
        """Cancel an open order."""
        owner = client_account_of(request, "trade", account)
        group, symbol = await self._find(owner, order_id)
        await self._journal.publish(CancelOrder(owner, order_id), group)
        return _received("cancel", account=owner, id=order_id, symbol=symbol)

    async def replace(self, request: Request, order_id: OrderId, account: AccountName = None) -> Response:
        """Change an open order. Less of the same keeps its priority, anything else loses it."""
        owner = client_account_of(request, "trade", account)
        body = await bodies.read(request, Replacement)
        if body == Replacement():
            raise misshapen("", "nothing to replace: give quantity, price or stop_price")
        group, symbol = await self._find(owner, order_id)
        self._check_replacement(body, symbol)
        change = ReplaceOrder(owner, order_id, body.quantity, body.price, body.stop_price)
        await self._journal.publish(change, group)
        return _received("replace", account=owner, id=order_id, symbol=symbol)

    async def cancel_all(self, request: Request, symbol: SymbolName = None, account: AccountName = None) -> Response:
        """Cancel every open order of the account, or of one symbol."""
        owner = client_account_of(request, "trade", account)
        groups = self._symbols.groups() if symbol is None else [self._symbols.get(symbol).document.market_group]
        for group in groups:
            await self._journal.publish(CancelAllOrders(owner, symbol), group)
        return _received("cancel_all", account=owner, symbol=symbol)

    async def deposit(self, request: Request, account: AccountPath) -> Response:
        """Bring money into an account. The same request again, by its `id`, is the same deposit. Scope `admin`."""
        return await self._transfer(request, account, DepositFunds)

    async def withdraw(self, request: Request, account: AccountPath) -> Response:
        """Take money out of an account. The same request again, by its `id`, is the same withdrawal. Scope `admin`."""
        return await self._transfer(request, account, WithdrawFunds)

    async def _transfer(
        self, request: Request, account: str, kind: type[DepositFunds] | type[WithdrawFunds]
    ) -> Response:
        check_scope(caller_of(request), "admin")
        owner = client_account_of(request, "admin", account)
        body = await bodies.read(request, Transfer)
        group = self._symbols.group_of(body.asset, body.market_group)
        transfer = kind(owner, body.id, body.asset, body.amount)
        claim = await self._journal.claim(transfer, group)
        await self._journal.publish(transfer, group, repeated=claim.repeated)
        received = rfc3339(claim.received_time)
        return json_response(TransferReceived(id=body.id, account=owner, asset=body.asset, received_time=received), 202)

    async def halt(self, request: Request, symbol: SymbolPath) -> Response:
        """Stop trading a symbol: no order enters, what is open can be cancelled. Scope `admin`."""
        return await self._switch(request, symbol, HaltSymbol)

    async def resume(self, request: Request, symbol: SymbolPath) -> Response:
        """Trade a symbol again. Scope `admin`."""
        return await self._switch(request, symbol, ResumeSymbol)

    async def _switch(
        self, request: Request, symbol: str, kind: Callable[[str], HaltSymbol | ResumeSymbol]
    ) -> Response:
        check_scope(caller_of(request), "admin")
        group = self._symbols.get(symbol).document.market_group
        switch = kind(symbol)
        await self._journal.publish(switch, group)
        return _received(str(switch.__struct_config__.tag), symbol=symbol)

    async def _find(self, account: str, order_id: str) -> tuple[int, str]:
        """The market group and the symbol of an order. Raises Refusal (404)."""
        row = await self._store.placed(account, order_id) if is_name(order_id) else None
        if row is None or row["symbol"] is None:
            raise Refusal(404, "unknown_order", "the account has no order of this id")
        return row["market_group"], row["symbol"]

    def _check_replacement(self, body: Replacement, symbol: str) -> None:
        rules = self._symbols.get(symbol).symbol
        if body.quantity is not None:
            check_quantity(body.quantity, rules, "quantity")
        check_price("price", body.price, rules)
        check_price("stop_price", body.stop_price, rules)


def _order(account: str, body: NewOrder) -> PlaceOrder:
    """The command, but for when it came in."""
    return PlaceOrder(
        account,
        body.id,
        body.symbol,
        body.quantity,
        received_time=0,
        side=body.side,
        type=body.type,
        price=body.price,
        stop_price=body.stop_price,
        time_in_force=body.time_in_force or TIMES_IN_FORCE[body.type][0],
        post_only=body.post_only,
        self_trade=body.self_trade,
        expire_time=bodies.time_ns("expire_time", body.expire_time),
    )


def _received(name: str, **about: Any) -> Response:
    return json_response(CommandReceived(command=name, **about), 202)
