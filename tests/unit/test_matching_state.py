"""The state of a market group: the same on any machine, whole in its bytes, and bounded."""

import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.contracts.lab import OrderSide
from services.domain import orders
from services.domain.book import COMPACT_ABOVE
from services.domain.market_state import VERSION, dump, load, state_hash
from services.domain.matching import EXPIRIES_SLACK, Market, apply
from tests.support.lab import FREE, NOON, SYMBOL, Engine, Oracle, Script

ROOT = Path(__file__).parents[2]
COMMANDS = 1_500
SIDES: tuple[OrderSide, OrderSide] = ("buy", "sell")
OPEN_ORDERS_MAX = 100_000


def crowded(lab: Script, seed: int, count: int = COMMANDS) -> None:
    """Many orders at few prices, most of them cancelled in the middle of their queues."""
    chosen = random.Random(seed)
    accounts = [f"account{number}" for number in range(40)]
    lab.fund(*accounts)
    standing: list[str] = []
    for number in range(count):
        name = f"{chosen.choice(accounts)}-{number}"
        kind, side = chosen.random(), chosen.choice(SIDES)
        lab.time += 1
        if kind < 0.5:
            price = chosen.randint(995, 999) if side == "buy" else chosen.randint(1_000, 1_004)
            lab.limit(name, side, chosen.randint(2, 9), price)
            standing.append(name)
        elif kind < 0.9 and standing:
            lab.cancel(standing.pop(chosen.randrange(len(standing))))
        elif kind < 0.95:
            lab.stop(name, side, 3, 1_001 if side == "buy" else 998)
        else:
            lab.market(name, side, chosen.randint(2, 30), self_trade=chosen.choice(("cancel_oldest", "cancel_both")))


def test_a_long_crowded_book_gives_the_same_depth_and_money_as_the_oracle() -> None:
    engine, oracle = Script(Engine(OPEN_ORDERS_MAX)), Script(Oracle(OPEN_ORDERS_MAX))
    for lab in (engine, oracle):
        crowded(lab, seed=11)
    assert engine.lab.depth(SYMBOL.symbol) == oracle.lab.depth(SYMBOL.symbol)
    for number in range(40):
        account = f"account{number}"
        assert engine.lab.open_orders(account) == oracle.lab.open_orders(account)
        for asset in ("USD", "DEMO"):
            assert engine.lab.balance(account, asset) == oracle.lab.balance(account, asset)


def made() -> Market:
    """A market that has been through a lot: orders of all kinds stand, one symbol is halted."""
    engine = Engine(OPEN_ORDERS_MAX)
    lab = Script(engine)
    crowded(lab, seed=5)
    lab.limit("account1-gtd", "buy", 5, 990, time_in_force="GTD", expire_time=lab.time + 1_000)
    lab.stop("account2-stop", "sell", 5, 980, price=975)
    lab.do(orders.Halt(FREE.symbol))
    return engine.market


def test_the_same_journal_gives_the_same_hash_whatever_the_hash_seed() -> None:
    code = (
        "from tests.unit.test_matching_state import made; from services.domain.market_state import state_hash;"
        "print(state_hash(made()))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert hashes == {state_hash(made()) + "\n"}


def test_another_journal_gives_another_hash() -> None:
    market = made()
    before = state_hash(market)
    apply(market, market.position + 1, market.time, orders.Clock())
    assert state_hash(market) != before


def test_a_loaded_state_is_the_same_and_stays_so() -> None:
    market = made()
    twin = load(dump(market))
    assert state_hash(twin) == state_hash(market)
    for command in (
        orders.Place("account3", "later", SYMBOL.symbol, 50, "sell", type="market", time_in_force="IOC"),
        orders.Replace("account2", "account2-stop", stop_price=985),
        orders.CancelAll("account4"),
        orders.Clock(),
    ):
        position, time = market.position + 1, market.time + 2_000
        assert apply(twin, position, time, command) == apply(market, position, time, command)
    assert state_hash(twin) == state_hash(market)


def test_a_state_of_another_version_is_refused() -> None:
    stored = msgspec.json.decode(dump(made())) | {"version": VERSION + 1}
    with pytest.raises(ValueError, match="version"):
        load(msgspec.json.encode(stored))


@pytest.mark.parametrize("position", [0, 1])
def test_a_position_that_is_not_new_is_refused_because_the_journal_has_each_once(position: int) -> None:
    market = Market("lab")
    apply(market, 1, NOON, orders.Clock())
    with pytest.raises(ValueError, match="position"):
        apply(market, position, NOON, orders.Clock())


def test_queues_do_not_keep_what_was_cancelled_in_their_middle() -> None:
    engine = Engine(OPEN_ORDERS_MAX)
    lab = Script(engine)
    lab.fund("alice")
    for number in range(1_000):
        lab.limit(f"alice-{number}", "buy", 2, 1_000)
    for number in range(999):
        lab.cancel(f"alice-{number}")
    level = engine.market.books[SYMBOL.symbol].bids.levels[1_000]
    assert level.quantity == 2
    assert len(level.queue) <= COMPACT_ABOVE + 2


def test_expiries_of_orders_that_are_over_are_forgotten() -> None:
    engine = Engine(OPEN_ORDERS_MAX)
    lab = Script(engine)
    lab.fund("alice")
    for number in range(3 * EXPIRIES_SLACK):
        lab.limit(f"alice-{number}", "buy", 2, 1_000, time_in_force="GTD", expire_time=NOON + 1_000)
        if number:
            lab.cancel(f"alice-{number}")
    assert len(engine.market.expiries) <= EXPIRIES_SLACK + 1
    lab.time = NOON + 1_000
    assert lab.do(orders.Clock()) == [{"event": "expired", "account": "alice", "id": "alice-0", "remaining": 2}]


def test_ids_are_forgotten_after_two_days_at_most() -> None:
    engine = Engine(OPEN_ORDERS_MAX)
    lab = Script(engine)
    lab.fund("alice")
    lab.limit("alice-1", "buy", 5, 1_000)
    for day in (1, 2):
        lab.time = NOON + day * 86_400 * 10**9
        lab.do(orders.Clock())
    account = engine.market.accounts["alice"]
    assert (account.ids, account.older_ids) == ({}, {})
