"""What a batch of commands has changed, as rows: lines for COPY, columns for the rest.

Lines are COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2): formatting one
costs a fifth of what the client needs to encode its columns. Names are printable, so that only backslashes are escaped.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from services.adapters.postgres import Connection, sql
from services.contracts.lab import PlaceOrder
from services.domain.lab_records import OrderRow, Results, Step, Trade, Transfer, balances_of
from services.domain.matching import Market

ORDER_COLUMNS = (
    "market_group",
    "number",
    "account",
    "id",
    "symbol",
    "side",
    "type",
    "time_in_force",
    "post_only",
    "self_trade",
    "price",
    "stop_price",
    "expire_time",
    "quantity",
    "remaining",
    "filled",
    "filled_quote",
    "fee",
    "state",
    "reason",
    "received_time",
    "updated_time",
)
STEP_COLUMNS = (
    "market_group",
    "number",
    "input_offset",
    "ordinal",
    "state",
    "reason",
    "price",
    "quantity",
    "remaining",
    "execution_sequence",
    "time",
)
EXECUTION_COLUMNS = (
    "market_group",
    "sequence",
    "symbol",
    "price",
    "quantity",
    "taker_side",
    "maker_account",
    "maker_id",
    "maker_number",
    "maker_fee",
    "taker_account",
    "taker_id",
    "taker_number",
    "taker_fee",
    "time",
)
TRANSFER_COLUMNS = ("market_group", "sequence", "account", "id", "asset", "amount", "refused", "time")


class Rows:
    """Made of a batch's results before the transaction; ``store`` is what is done within it."""

    def __init__(self, market: Market, market_group: int, results: Results) -> None:
        self._group = market_group
        self._copies = [
            ("orders", ORDER_COLUMNS, [_order(market_group, row) for row in results.created.values()]),
            ("order_steps", STEP_COLUMNS, [_step(market_group, step) for step in results.steps]),
            ("executions", EXECUTION_COLUMNS, [_trade(trade) for trade in results.trades]),
            ("transfers", TRANSFER_COLUMNS, [_transfer(market_group, each) for each in results.transfers]),
        ]
        self._changes = _columns(_change(row) for row in results.changed.values())
        self._balances = _columns(_balances(market, results.accounts))
        self._symbols = [_symbol(market, market_group, symbol) for symbol in results.symbols]

    async def store(self, connection: Connection) -> None:
        for table, columns, lines in self._copies:
            if lines:
                source = io.BytesIO("".join(lines).encode())
                await connection.copy_to_table(table, source=source, columns=columns)
        if self._changes:
            await connection.execute(sql("lab_orders_change"), self._group, *self._changes)
        if self._balances:
            await connection.execute(sql("lab_balances_store"), self._group, *self._balances)
        for symbol in self._symbols:
            await connection.execute(sql("lab_symbol_store"), *symbol)


def _order(group: int, row: OrderRow) -> str:
    placed = row.placed
    assert isinstance(placed, PlaceOrder), "an order that was placed before is not new"
    return (
        f"{group}\t{row.number}\t{_text(row.account)}\t{_text(row.id)}\t{_text(placed.symbol)}\t{placed.side}"
        f"\t{placed.type}\t{placed.time_in_force}\t{placed.post_only}\t{placed.self_trade}\t{_null(row.price)}"
        f"\t{_null(row.stop_price)}\t{_null(placed.expire_time)}\t{row.quantity}\t{row.remaining}\t{row.filled}"
        f"\t{row.filled_quote}\t{row.fee}\t{row.state}\t{_null(row.reason)}\t{placed.received_time}"
        f"\t{row.updated_time}\n"
    )


def _step(group: int, step: Step) -> str:
    return (
        f"{group}\t{step.number}\t{step.input_offset}\t{step.ordinal}\t{step.state}\t{_null(step.reason)}"
        f"\t{_null(step.price)}\t{_null(step.quantity)}\t{step.remaining}\t{_null(step.execution_sequence)}"
        f"\t{step.time}\n"
    )


def _trade(trade: Trade) -> str:
    it = trade.execution
    return (
        f"{it.market_group}\t{it.sequence}\t{_text(it.symbol)}\t{it.price}\t{it.quantity}\t{it.taker_side}"
        f"\t{_text(it.maker_account)}\t{_text(it.maker_id)}\t{trade.maker_number}\t{it.maker_fee}"
        f"\t{_text(it.taker_account)}\t{_text(it.taker_id)}\t{trade.taker_number}\t{it.taker_fee}\t{it.time}\n"
    )


def _transfer(group: int, transfer: Transfer) -> str:
    return (
        f"{group}\t{transfer.sequence}\t{_text(transfer.account)}\t{_text(transfer.id)}\t{_text(transfer.asset)}"
        f"\t{transfer.amount}\t{_null(transfer.refused)}\t{transfer.time}\n"
    )


def _text(name: str) -> str:
    return name.replace("\\", "\\\\")


def _null(value: object) -> object:
    return "\\N" if value is None else value


def _change(row: OrderRow) -> tuple[Any, ...]:
    """What the statement ``lab_orders_change`` wants of an order. Numbers as text: the server reads them faster than
    the client encodes them."""
    return (
        row.number,
        None if row.price is None else str(row.price),
        None if row.stop_price is None else str(row.stop_price),
        str(row.quantity),
        str(row.remaining),
        str(row.filled),
        str(row.filled_quote),
        str(row.fee),
        row.state,
        row.reason,
        row.updated_time,
    )


def _balances(market: Market, accounts: Iterable[str]) -> list[tuple[Any, ...]]:
    """Of the accounts that moved, and of the two that everything moves against."""
    if not accounts:
        return []
    ledger = market.ledger
    moved = [ledger.world, ledger.fees, *(market.accounts[name] for name in accounts if name in market.accounts)]
    return [(account.name, *balance) for account in moved for balance in balances_of(account)]


def _symbol(market: Market, group: int, symbol: str) -> tuple[Any, ...]:
    book = market.books[symbol]
    rules = book.rules
    return (
        symbol,
        group,
        rules.base,
        rules.quote,
        rules.tick_size,
        rules.lot_size,
        rules.price(rules.reference_price),
        rules.quantity(rules.min_quantity),
        rules.quantity(rules.max_quantity),
        rules.min_notional,
        rules.max_notional,
        rules.band_bps,
        rules.maker_fee_bps,
        rules.taker_fee_bps,
        book.halted,
    )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
