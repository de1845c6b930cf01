"""The engine's events to records and rows."""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from services.contracts import lab
from services.contracts.events import input_sequence
from services.domain import lab_commands
from services.domain.lab_records import BOOK_SNAPSHOT_INTERVAL_NS, FILLS_MAX, OrderRow, Records, Results
from services.domain.market_state import dump, load
from services.domain.matching import Market, apply
from services.domain.orders import TRANSITIONS
from tests.support.journal import Flow, deposit, funds, order

RULES = lab.SymbolRules(
    "DEMO-USD", "DEMO", "USD", Decimal("0.01"), Decimal("0.001"), Decimal(100), maker_fee_bps=10, taker_fee_bps=20
)
NOON = 1_700_000_000 * 10**9


class Journal:
    """Commands one after the other, each a batch of its own."""

    def __init__(self) -> None:
        self.market = Market("0")
        self.records = Records(self.market, 0)
        self.offset = -1
        self.time = NOON
        self.orders: dict[str, OrderRow] = {}
        self.all = Results()
        self.do(lab.ListSymbolRules(RULES))
        for account in ("alice", "bob"):
            for asset in ("USD", "DEMO"):
                self.do(deposit(account, asset, 10_000))

    def do(self, given: lab.OrderCommand) -> Results:
        self.offset += 1
        results, first = Results(), self.market.sequence
        events = apply(self.market, self.offset, self.time, lab_commands.command(self.market, given))
        self.records.absorb(self.offset, given, first, events, results)
        self.orders |= {row.id: row for row in results.created.values()}
        self.all.steps += results.steps
        return results

    def states(self, order_id: str) -> list[str]:
        number = self.orders[order_id].number
        return [step.state for step in self.all.steps if step.number == number]


def seen(*values: object) -> tuple[object, ...]:
    """What is compared with whole numbers, though it is decimals."""
    return values


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_a_resting_order_is_received_accepted_and_rests(journal: Journal) -> None:
    results = journal.do(order("alice", "a1", "buy", "2", "100.50"))
    (row,) = results.created.values()
    assert seen(row.number, row.state, row.price, row.remaining) == (journal.offset, "resting", Decimal("100.50"), 2)
    assert journal.states("a1") == ["received", "accepted", "resting"]
    received, accepted, _ = results.steps
    assert row.placed is not None
    assert seen(received.time, accepted.time) == (row.placed.received_time, NOON)
    assert [step.ordinal for step in results.steps] == [0, 1, 2]
    (update,) = results.updates
    assert seen(update.kind, update.bids, update.best_ask) == ("delta", ((Decimal("100.50"), Decimal(2)),), None)
    assert results.accounts == {"alice"}


def test_an_execution_is_a_record_and_a_fill_of_both_orders(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "2", "100.50"))
    journal.do(order("alice", "a2", "buy", "1", "100"))
    sequence = journal.market.sequence
    results = journal.do(order("bob", "b1", "sell", "2.5", "99"))
    first, second = (trade.execution for trade in results.trades)
    assert seen(first.price, first.quantity, first.maker_id) == (Decimal("100.50"), 2, "a1")
    assert seen(second.price, second.quantity, second.maker_id) == (Decimal(100), Decimal("0.5"), "a2")
    assert first.sequence == sequence + 1, "behind the event that the order is accepted"
    assert first.execution_id == f"0-{first.sequence}"
    assert [first.input_sequence, second.input_sequence] == [
        input_sequence(journal.offset),
        input_sequence(journal.offset, 1),
    ]
    taker = journal.orders["b1"]
    assert seen(taker.state, taker.filled, taker.filled_quote) == ("filled", Decimal("2.5"), Decimal(251))
    assert taker.fee == Decimal("0.502") == first.taker_fee + second.taker_fee
    assert [fill.price for fill in taker.fills or ()] == [Decimal("100.50"), Decimal(100)]
    assert set(results.changed) == {journal.orders["a1"].number, journal.orders["a2"].number}
    assert set(results.traded) == {row.number for row in journal.orders.values()}
    assert journal.states("a1")[-1] == "filled"
    assert journal.states("a2")[-1] == "partially_filled"
    assert journal.states("b1") == ["received", "accepted", "partially_filled", "filled"]
    assert journal.records.open_count() == 1, "what is over is forgotten"


def test_a_rejected_order_is_a_row_and_touches_nothing_else(journal: Journal) -> None:
    results = journal.do(order("alice", "a1", "buy", "1000", "100"))
    (row,) = results.created.values()
    assert seen(row.state, row.reason, row.filled) == ("rejected", "insufficient_balance", 0)
    assert journal.states("a1") == ["received", "rejected"]
    assert not results.updates
    assert journal.records.open_count() == 0


def test_an_order_for_no_symbol_is_a_row_too(journal: Journal) -> None:
    given = msgspec.structs.replace(order("alice", "a1", "buy", "1.2345", "100"), symbol="NO-USD")
    (row,) = journal.do(given).created.values()
    assert seen(row.state, row.reason, row.quantity, row.filled_quote) == (
        "rejected",
        "unknown_symbol",
        Decimal("1.2345"),
        0,
    )


def test_a_repeated_order_is_nothing(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "1", "100"))
    results = journal.do(order("alice", "a1", "buy", "1", "100"))
    assert not results.created
    assert not results.steps


def test_cancelling_and_expiring_say_why(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "1", "100"))
    results = journal.do(lab.CancelOrder("alice", "a1"))
    (row,) = results.changed.values()
    assert seen(row.state, row.reason, row.remaining) == ("cancelled", "requested", 1)
    journal.do(order("alice", "a2", "buy", "1", "100", time_in_force="GTD", expire_time=NOON + 1))
    journal.time = NOON + 1
    (row,) = journal.do(lab.ClockTick()).changed.values()
    assert seen(row.id, row.state, row.updated_time) == ("a2", "expired", NOON + 1)


def test_a_replacement_changes_the_row(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "2", "100"))
    less = journal.do(lab.ReplaceOrder("alice", "a1", quantity=Decimal(1)))
    (row,) = less.changed.values()
    assert seen(row.quantity, row.remaining, row.price) == (1, 1, 100)
    assert [(step.state, step.reason) for step in less.steps] == [("resting", "replaced")]
    moved = journal.do(lab.ReplaceOrder("alice", "a1", price=Decimal("99.5")))
    (row,) = moved.changed.values()
    assert seen(row.price, row.state) == (Decimal("99.5"), "resting")
    assert journal.states("a1") == ["received", "accepted", "resting", "resting", "resting"]


def test_a_triggered_stop_keeps_its_stop_price_in_the_row(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "1", "105", type="stop_limit", stop_price=Decimal(101)))
    assert journal.states("a1") == ["received", "accepted"]
    journal.do(order("bob", "b1", "sell", "1", "101"))
    journal.do(order("alice", "a2", "buy", "1", "101"))
    row = journal.orders["a1"]
    assert seen(row.state, row.price, row.stop_price) == ("resting", 105, 101)


def test_prevented_self_trades_take_off_quantity(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "3", "100"))
    journal.do(order("alice", "a2", "sell", "1", "100", self_trade="decrement_and_cancel"))
    assert seen(journal.orders["a1"].quantity, journal.orders["a1"].remaining) == (2, 2)
    assert seen(journal.orders["a2"].state, journal.orders["a2"].reason) == ("cancelled", "self_trade")


def test_transfers_are_told_with_their_sign_and_refusals_with_their_reason(journal: Journal) -> None:
    (came,) = journal.do(deposit("carol", "USD", 5)).transfers
    (went,) = journal.do(lab.WithdrawFunds("carol", "w1", "USD", Decimal(2))).transfers
    (refused,) = journal.do(lab.WithdrawFunds("carol", "w2", "USD", Decimal(4))).transfers
    assert [seen(it.amount, it.refused) for it in (came, went, refused)] == [
        (5, None),
        (-2, None),
        (-4, "insufficient_balance"),
    ]


def test_a_delta_has_each_level_once_as_it_is_afterwards(journal: Journal) -> None:
    for number in range(3):
        journal.do(order("alice", f"a{number}", "buy", "1", "100" if number else "99"))
    before = journal.market.books["DEMO-USD"].sequence
    (update,) = journal.do(lab.CancelAllOrders("alice")).updates
    assert seen(update.previous, update.sequence) == (before, before + 3)
    assert [seen(*level) for level in sorted(update.bids)] == [(99, 0), (100, 0)]
    assert update.best_bid is None


def test_every_update_has_the_checksum_of_the_book_after_it(journal: Journal) -> None:
    told = 0
    for given in [*funds(5), *Flow(accounts=5, levels=40).commands(3_000)]:
        for update in journal.do(given).updates:
            assert update.checksum == journal.market.books["DEMO-USD"].checksum()
            told += 1
    assert told > 1_000


def test_books_are_told_whole_when_listed_and_at_the_first_clock_of_each_ten_seconds(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "1", "100"))
    (first,) = journal.do(lab.ClockTick()).updates
    assert seen(first.kind, first.previous, first.bids) == ("snapshot", first.sequence, ((100, 1),))
    assert not journal.do(lab.ClockTick()).updates
    journal.time += BOOK_SNAPSHOT_INTERVAL_NS
    (again,) = journal.do(lab.ClockTick()).updates
    assert seen(again.kind, again.sequence) == ("snapshot", first.sequence)
    (listed,) = journal.do(lab.ListSymbolRules(msgspec.structs.replace(RULES, band_bps=2_000))).updates
    assert listed.kind == "snapshot"


def test_the_newest_fills_of_an_order_are_kept(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "2", "95"))
    for number in range(FILLS_MAX + 5):
        journal.do(order("bob", f"b{number}", "sell", "0.001", "95"))
    fills = journal.orders["a1"].fills or ()
    assert len(fills) == FILLS_MAX
    assert journal.orders["a1"].filled == Decimal("0.105")


@pytest.mark.parametrize(
    "then",
    [
        lambda: order("bob", "b2", "sell", "1", "99"),
        lambda: lab.CancelOrder("alice", "a1"),
        lambda: lab.ReplaceOrder("alice", "a1", quantity=Decimal(1)),
        lambda: lab.ReplaceOrder("alice", "a1", price=Decimal(98)),
    ],
)
def test_records_made_of_a_loaded_state_go_on_the_same(journal: Journal, then: Callable[[], lab.OrderCommand]) -> None:
    journal.do(order("alice", "a1", "buy", "3", "100"))
    journal.do(order("bob", "b1", "sell", "0.5", "99"))
    journal.do(order("alice", "a2", "buy", "1", None, type="stop", stop_price=Decimal(105), time_in_force="GTC"))
    before = journal.orders["a1"]
    loaded = load(dump(journal.market))
    again = Records(loaded, 0, journal.records.clock_time)
    again.row("alice", "a1").restore(before.state, before.filled_quote)
    for fill in before.fills or ():
        again.row("alice", "a1").remember(fill)
    given = then()
    offset, first, results = journal.offset + 1, loaded.sequence, Results()
    events = apply(loaded, offset, journal.time, lab_commands.command(loaded, given))
    again.absorb(offset, given, first, events, results)
    expected = journal.do(given)
    assert [comparable(row) for row in results.changed.values()] == [
        comparable(row) for row in expected.changed.values()
    ]
    assert seen(results.steps, results.trades, results.updates) == (expected.steps, expected.trades, expected.updates)
    assert again.open_count() == journal.records.open_count()


def comparable(row: OrderRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name not in ("placed", "rules")}


def test_every_order_that_is_over_is_one_that_has_no_further_step(journal: Journal) -> None:
    journal.do(order("alice", "a1", "buy", "1", "100"))
    journal.do(order("bob", "b1", "sell", "1", None))
    for row in journal.orders.values():
        assert not TRANSITIONS[row.state]
    assert journal.records.open_count() == 0
