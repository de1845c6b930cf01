"""Any sequence of commands against the oracle: the same events, the same L2, the same money, after every step."""

from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from services.contracts.lab import OrderState
from services.domain import orders
from services.domain.market_state import dump, load, state_hash
from services.domain.orders import step
from tests.support.lab import MARKET_DATA, NOON, ONE, SYMBOL, TINY, Engine, Oracle, brief

SEQUENCES = 2_000
STEPS = 15
OPEN_ORDERS_MAX = 6

SECOND_NS = 10**9
ACCOUNTS = ("alice", "bob", "carol")
POOR = "dave"
SYMBOLS = (SYMBOL.symbol, TINY.symbol)

RICH_THRICE = (*ACCOUNTS, *ACCOUNTS, *ACCOUNTS, POOR)

symbols = st.sampled_from((SYMBOL.symbol,) * 4 + (TINY.symbol,))
sides = st.sampled_from(("buy", "sell"))
prices = st.integers(996, 1_004)
quantities = st.integers(1, 12)
later = st.sampled_from((0, 0, 0, SECOND_NS, 3 * SECOND_NS, 90_000 * SECOND_NS))
"""How much later than the last the next command is; the longest is more than a day."""
recent = st.integers(0, 11)
"""Which order: see ``Comparison.name``."""
entering = {
    "account": st.sampled_from(RICH_THRICE),
    "symbol": symbols,
    "side": sides,
    "quantity": quantities,
    "self_trade": st.sampled_from(("cancel_newest", "cancel_oldest", "cancel_both", "decrement_and_cancel")),
}
limits = st.fixed_dictionaries(
    entering | {"price": prices, "entry": st.sampled_from(("GTC",) * 6 + ("IOC", "FOK", "GTD", "post_only"))}
)
markets = st.fixed_dictionaries(entering | {"time_in_force": st.sampled_from(("IOC", "IOC", "FOK"))})
stops = st.fixed_dictionaries(
    entering | {"distance": st.integers(1, 4), "offset": st.none() | st.integers(-2, 3), "expires": st.booleans()}
)


class Comparison(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.engine, self.oracle = Engine(OPEN_ORDERS_MAX), Oracle(OPEN_ORDERS_MAX)
        self.position = -1
        self.time = NOON
        self.levels: dict[tuple[str, str], dict[int, int]] = {}
        self.sequences = dict.fromkeys(SYMBOLS, 0)
        self.best = dict.fromkeys(SYMBOLS, ((0, 0), (0, 0)))
        self.states: dict[tuple[str, str], OrderState] = {}
        self.placed: list[tuple[str, str]] = []

    @initialize(several=st.lists(limits, min_size=4, max_size=10))
    def begin(self, several: list[dict[str, Any]]) -> None:
        for symbol in (SYMBOL, TINY):
            self.do(orders.ListSymbol(symbol))
        for account in ACCOUNTS:
            for asset in ("USD", "DEMO", "TINY"):
                self.do(orders.Deposit(account, f"fund-{asset}", asset, 10 * ONE))
        self.do(orders.Deposit(POOR, "fund", "USD", ONE // 10))
        self.limit(several, 0)

    @rule(several=st.lists(limits, min_size=1, max_size=5), later=later)
    def limit(self, several: list[dict[str, Any]], later: int) -> None:
        self.time += later
        for fields in several:
            entry = fields.pop("entry")
            fields["post_only"] = entry == "post_only"
            fields["time_in_force"] = "GTC" if entry == "post_only" else entry
            fields["expire_time"] = self.time + 2 * SECOND_NS if entry == "GTD" else None
            self.place(**fields)

    @rule(several=st.lists(stops, min_size=1, max_size=3))
    def stop(self, several: list[dict[str, Any]]) -> None:
        """Beyond the last price, where it waits; sometimes not, for another order of the same list moved it."""
        for fields in several:
            away = 1 if fields["side"] == "buy" else -1
            last = self.oracle.market.last.get(fields["symbol"], SYMBOL.reference_price)
            fields["stop_price"] = last + away * fields.pop("distance")
            offset = fields.pop("offset")
            fields["price"] = None if offset is None else fields["stop_price"] + away * offset
            fields["type"] = "stop" if offset is None else "stop_limit"
            if fields.pop("expires"):
                fields |= {"time_in_force": "GTD", "expire_time": self.time + 2 * SECOND_NS}
            self.place(**fields)

    @rule(fields=markets)
    def market(self, fields: dict[str, Any]) -> None:
        self.place(type="market", **fields)

    @rule(which=recent)
    def cancel(self, which: int) -> None:
        self.do(orders.Cancel(*self.name(which)))

    @rule(
        which=recent,
        quantity=st.none() | quantities,
        price=st.none() | prices,
        stop_price=st.none() | st.none() | prices,
    )
    def replace(self, which: int, **fields: Any) -> None:
        self.do(orders.Replace(*self.name(which), **fields))

    @rule(which=recent, fields=limits)
    def use_an_id_again(self, which: int, fields: dict[str, Any]) -> None:
        account, order_id = self.name(which)
        del fields["account"], fields["entry"]
        self.do(orders.Place(account, order_id, **fields))

    @rule(
        account=st.sampled_from(RICH_THRICE),
        symbol=st.none() | symbols,
        asset=st.sampled_from(("USD", "DEMO")),
        amount=st.integers(-6, 3).filter(bool),
    )
    def take_stock(self, account: str, symbol: str | None, asset: str, amount: int) -> None:
        """Money goes in or out; where it is little, all orders are cancelled too."""
        kind = orders.Deposit if amount > 0 else orders.Withdraw
        self.do(kind(account, f"move-{self.position}", asset, abs(amount) * ONE))
        if abs(amount) == 1:
            self.do(orders.CancelAll(account, symbol))

    @rule(symbol=symbols, inside=st.lists(limits, max_size=2), later=later)
    def pause(self, symbol: str, inside: list[dict[str, Any]], later: int) -> None:
        """A halt, in which orders come in and time passes."""
        self.do(orders.Halt(symbol))
        self.limit(inside, later)
        self.do(orders.Clock())
        self.do(orders.Resume(symbol))

    def place(self, account: str, **fields: Any) -> None:
        order_id = f"o{self.position}"
        self.placed.append((account, order_id))
        self.do(orders.Place(account, order_id, **fields))

    def name(self, which: int) -> tuple[str, str]:
        """Mostly an order that is open, sometimes one that may not be."""
        still = self.oracle.market.orders
        if which < 9 and still:
            return still[which % len(still)]["account"], still[which % len(still)]["id"]
        return self.placed[-1 - which % len(self.placed)] if self.placed else ("alice", "none")

    def do(self, command: orders.Command) -> None:
        self.position += 1
        made = self.engine.apply(self.position, self.time, command)
        wanted = self.oracle.apply(self.position, self.time, command)
        assert brief(made) == brief(wanted)
        assert made == wanted
        self.read_market_data()
        self.compare_books()
        self.compare_money()
        self.follow_lives(made)

    def read_market_data(self) -> None:
        """Keep L2 and BBO as a reader of the topic would."""
        for event in self.engine.market_data:
            symbol = event["symbol"]
            assert event["event"] in MARKET_DATA
            if event["event"] == "best":
                bid = event["bid_price"], event["bid_quantity"]
                assert self.best[symbol] != (bid, (event["ask_price"], event["ask_quantity"])), "nothing new"
                self.best[symbol] = bid, (event["ask_price"], event["ask_quantity"])
                continue
            self.sequences[symbol] += 1
            assert event["sequence"] == self.sequences[symbol]
            levels = self.levels.setdefault((symbol, event["side"]), {})
            assert levels.get(event["price"], 0) != event["quantity"], "nothing new"
            levels[event["price"]] = event["quantity"]

    def compare_books(self) -> None:
        for symbol in self.engine.market.books:
            bids, asks = wanted = self.oracle.depth(symbol)
            assert self.engine.depth(symbol) == wanted
            for side, levels in (("buy", bids), ("sell", asks)):
                read = {price: quantity for price, quantity in self.levels.get((symbol, side), {}).items() if quantity}
                assert read == dict(levels)
            assert self.best[symbol] == (bids[0] if bids else (0, 0), asks[0] if asks else (0, 0))
            assert not bids or not asks or bids[0][0] < asks[0][0], "a book is never crossed"

    def compare_money(self) -> None:
        for account in (*ACCOUNTS, POOR):
            assert self.engine.open_orders(account) == self.oracle.open_orders(account)
            for asset in ("USD", "DEMO", "TINY"):
                balance = self.engine.balance(account, asset)
                assert balance == self.oracle.balance(account, asset)
                assert min(balance) >= 0
        assert not any(self.engine.market.ledger.totals().values())

    def follow_lives(self, made: list[dict[str, Any]]) -> None:
        """No order takes a step that the table does not have."""
        for event in made:
            for account, order_id, state in orders.steps(msgspec.convert(event, orders.Event)):
                known = self.states.get((account, order_id))
                begins = state in {"accepted", "rejected"}
                assert (known is not None and bool(orders.TRANSITIONS[known])) != begins
                self.states[account, order_id] = step("received" if begins or known is None else known, state)

    def teardown(self) -> None:
        """What is stored and loaded is the same market, to the last bit and by the next command."""
        stored = dump(self.engine.market)
        loaded = load(stored)
        assert dump(loaded) == stored
        twin = Engine(OPEN_ORDERS_MAX)
        twin.market = loaded
        for command in (orders.Clock(), orders.CancelAll("alice"), orders.CancelAll("bob")):
            self.position += 1
            time = self.time + 6 * SECOND_NS
            assert twin.apply(self.position, time, command) == self.engine.apply(self.position, time, command)
            assert state_hash(twin.market) == state_hash(self.engine.market)


def test_any_sequence_of_commands_gives_the_events_the_depth_and_the_money_of_the_oracle() -> None:
    run_state_machine_as_test(
        Comparison,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
