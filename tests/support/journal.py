"""The order lab from a test's side: write its journal, read what came of it, and replay it in the pure core."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from services.adapters.lab_trades import Trade, fill, trade
from services.contracts.errors import PeerError
from services.contracts.lab import (
    BookUpdate,
    CancelAllOrders,
    CancelOrder,
    DepositFunds,
    Execution,
    ListSymbolRules,
    OrderCommand,
    PlaceOrder,
    ReplaceOrder,
    group_key,
)
from services.contracts.topics import Topic
from services.domain import lab_commands
from services.domain.lab_records import Records, Results
from services.domain.market_state import state_hash
from services.domain.matching import Market, apply
from services.matching.settings import SYMBOLS, read_symbols
from services.runtime.clock import NS_PER_MS
from tests.support.log import producer, records

GROUP = 0
CHUNK = 500


async def write(bootstrap_servers: str, commands: Sequence[OrderCommand | bytes], *, over_s: float = 0) -> None:
    """Append commands, or bytes as they are, to the journal in this order, spread evenly over ``over_s`` seconds."""
    started = time.monotonic()
    async with producer(bootstrap_servers) as client:
        for first in range(0, len(commands), CHUNK):
            chunk = commands[first : first + CHUNK]
            values = [command if isinstance(command, bytes) else msgspec.json.encode(command) for command in chunk]
            sends = [await client.send(Topic.ORDERS, value, key=group_key(GROUP), partition=GROUP) for value in values]
            await asyncio.gather(*sends)
            due = started + over_s * (first + len(chunk)) / len(commands)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def read(bootstrap_servers: str) -> list[ConsumerRecord]:
    return await records(bootstrap_servers, Topic.ORDERS)


async def executions(bootstrap_servers: str) -> list[Execution]:
    return without_repeats([_decoded(r, Execution) for r in await records(bootstrap_servers, Topic.EXECUTIONS)])


async def updates(bootstrap_servers: str) -> list[BookUpdate]:
    return without_repeats([_decoded(r, BookUpdate) for r in await records(bootstrap_servers, Topic.BOOK)])


def without_repeats[T: Execution | BookUpdate](found: Iterable[T]) -> list[T]:
    """What a reader keeps: only what is above the highest ``input_sequence`` it has seen."""
    highest = -1
    kept = []
    for record in found:
        if record.input_sequence > highest:
            highest = record.input_sequence
            kept.append(record)
    return kept


def _decoded[T](record: ConsumerRecord, kind: type[T]) -> T:
    return msgspec.json.decode(record.value, type=kind)


@dataclass
class Replay:
    """What a journal comes to, folded from its first command without an interruption. ``hashes``: by next offset."""

    market: Market
    results: Results
    hashes: dict[int, str]

    def trades(self) -> dict[tuple[str, str], Trade]:
        """What Redis should have of each order that has traded."""
        return {
            (row.account, row.id): trade(
                row.filled,
                row.filled_quote,
                [fill(f.price, f.quantity, f.time, GROUP, f.sequence) for f in row.fills or ()],
            )
            for row in self.results.traded.values()
        }


def replay(journal: Iterable[ConsumerRecord], hashes_at: Iterable[int] = ()) -> Replay:
    """Fold a journal. ``hashes_at`` are the next offsets at which the state's hash is wanted."""
    market, results, wanted = Market(str(GROUP)), Results(), set(hashes_at)
    follow = Records(market, GROUP)
    hashes = {}
    for record in journal:
        first_sequence = market.sequence
        try:
            given = lab_commands.decode(record.value)
            command = lab_commands.command(market, given)
        except PeerError:
            pass
        else:
            events = apply(market, record.offset, record.timestamp * NS_PER_MS, command)
            follow.absorb(record.offset, given, first_sequence, events, results)
        if record.offset + 1 in wanted:
            hashes[record.offset + 1] = state_hash(market)
    return Replay(market, results, hashes)


def deposit(account: str, asset: str, amount: int, deposit_id: str = "") -> DepositFunds:
    return DepositFunds(account, deposit_id or f"fund-{asset}", asset, Decimal(amount))


def order(account: str, order_id: str, side: Any, quantity: str, price: str | None, **fields: Any) -> PlaceOrder:
    """A limit order for DEMO-USD; without a price a market order."""
    kind = {"type": "market", "time_in_force": "IOC"} if price is None else {}
    return PlaceOrder(
        account,
        order_id,
        "DEMO-USD",
        Decimal(quantity),
        time.time_ns(),
        side,
        price=None if price is None else Decimal(price),
        **{**kind, **fields},
    )


def listing() -> list[OrderCommand]:
    """What an engine that starts on an empty journal puts on it."""
    return [ListSymbolRules(rules) for rules in read_symbols(SYMBOLS)]


def funds(accounts: int, amount: int = 10**9) -> list[DepositFunds]:
    """Both of DEMO-USD's assets for ``account-0`` and so on."""
    return [deposit(f"account-{number}", asset, amount) for number in range(accounts) for asset in ("USD", "DEMO")]


@dataclass(frozen=True)
class Flow:
    """Makes orders for DEMO-USD around its reference price, 100. The shares are out of 100, the rest limit orders."""

    accounts: int = 50
    levels: int = 900
    cancels: int = 25
    markets: int = 10
    replaces: int = 5
    stops: int = 4
    sweeps: int = 1
    """Cancels of everything that an account has."""
    repeats: int = 2
    market_size: int = 1
    """How many times as much a market order is for: what keeps the book from growing."""

    def commands(self, count: int, seed: int = 1) -> list[OrderCommand]:
        chance = random.Random(seed)
        live: list[tuple[str, str]] = []
        made: list[OrderCommand] = []
        while len(made) < count:
            made.append(self._one(chance, live, len(made), made))
        return made

    def _one(
        self, chance: random.Random, live: list[tuple[str, str]], number: int, made: list[OrderCommand]
    ) -> OrderCommand:
        account, order_id = f"account-{chance.randrange(self.accounts)}", f"order-{number}"
        side, quantity = chance.choice(("buy", "sell")), str(Decimal(chance.randrange(1, 2_000)).scaleb(-3))
        kind = chance.randrange(100)
        if kind < self.cancels and live:
            at = chance.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            return CancelOrder(*live.pop())
        kind -= self.cancels
        if 0 <= kind < self.markets:
            return order(account, order_id, side, str(self.market_size * Decimal(quantity)), None)
        kind -= self.markets
        if 0 <= kind < self.replaces and live:
            return ReplaceOrder(*chance.choice(live), Decimal(quantity), Decimal(self._price(chance, side)))
        kind -= self.replaces
        if 0 <= kind < self.stops:
            stop = Decimal(self._price(chance, "sell" if side == "buy" else "buy"))
            fields = {"type": "stop", "time_in_force": "GTC"}
            return order(account, order_id, side, quantity, None, stop_price=stop, **fields)
        kind -= self.stops
        if 0 <= kind < self.sweeps:
            return CancelAllOrders(account)
        kind -= self.sweeps
        if 0 <= kind < self.repeats and made:
            return chance.choice(made)
        live.append((account, order_id))
        return order(account, order_id, side, quantity, self._price(chance, side))

    def _price(self, chance: random.Random, side: str) -> str:
        """Below 100 to buy and above it to sell, mostly."""
        away = chance.randrange(-5, self.levels)
        return str(Decimal(10_000 + (away if side == "sell" else -away)).scaleb(-2))
