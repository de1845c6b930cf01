"""Bars: any cut of the log into batches, and any crash between them, gives the same bars."""

import random
from collections.abc import Iterable
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.events import Trade
from services.domain.bars import Key, ProductBars, ProductState, StoredBar
from services.domain.candles import NS_PER_MINUTE, RESOLUTIONS, Bar, absorb, bar_start, merge

NOON = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z: a whole day."""
GRACE_NS = 2_000_000_000
NO_CLOCK = 0


def _trade(number: int, at_s: float, price: str = "10", size: str = "1") -> Trade:
    time = NOON + int(at_s * 1e9)
    return Trade("x", "A-B", str(number), number, Decimal(price), Decimal(size), "BUY", time, time, "live", "x")


class Store:
    """What Postgres does for the engine: keeps every bar, hands in those asked for."""

    def __init__(self) -> None:
        self.state = msgspec.msgpack.encode(ProductState())
        self.bars: dict[Key, StoredBar] = {}

    def load(self) -> ProductBars:
        product = ProductBars("x", "A-B", msgspec.msgpack.decode(self.state, type=ProductState))
        for key, stored in self.bars.items():
            if not stored.closed:
                product.provide(key, _copy(stored))
            if not stored.complete and stored.bar.lowest_number is not None and stored.bar.highest_number is not None:
                product.incomplete[key] = (stored.bar.lowest_number, stored.bar.highest_number)
        return product

    def run(self, product: ProductBars, log: list[Trade], first: int, clock_ns: int = NO_CLOCK) -> list[int]:
        for offset, trade in enumerate(log, first):
            product.absorb(trade, offset)
        for key in product.wanted():
            if key in self.bars:
                product.provide(key, _copy(self.bars[key]))
        changed = product.settle(clock_ns=clock_ns, head=first + len(log), grace_ns=GRACE_NS)
        for key, stored in changed:
            self.bars[key] = _copy(stored)
        self.state = msgspec.msgpack.encode(product.state)
        return [stored.sequence for _, stored in changed]

    def content(self) -> dict[Key, tuple[object, ...]]:
        return {key: (*(getattr(s.bar, name) for name in Bar.__slots__), s.complete) for key, s in self.bars.items()}


def _copy(stored: StoredBar) -> StoredBar:
    return StoredBar(stored.bar.copy(), stored.closed, stored.complete, stored.revision, stored.sequence)


def _aggregate(bars: Iterable[Bar]) -> Bar | None:
    """One bar of all the trades of several, oldest first."""
    total: Bar | None = None
    for bar in bars:
        if total is None:
            total = bar.copy()
        else:
            merge(total, bar)
    return total


LOGS = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.one_of(st.floats(0, 700), st.floats(0, 200_000)),
        st.integers(1, 5),
        st.integers(1, 3),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(LOGS, st.integers(0, 2**31), st.booleans())
def test_any_cut_into_batches_gives_the_same_bars(
    rows: list[tuple[int, float, int, int]], seed: int, crash: bool
) -> None:
    log = [_trade(number, at_s, str(price), str(size)) for number, at_s, price, size in rows]
    whole, cut = Store(), Store()
    whole.run(whole.load(), log, 0)
    chance = random.Random(seed)
    product, position = cut.load(), 0
    sequences: list[int] = []
    while position < len(log):
        count = chance.randint(1, 7)
        sequences += cut.run(product, log[position : position + count], position)
        position += count
        if crash:
            product = cut.load()
    assert cut.content() == whole.content()
    assert sequences == sorted(set(sequences)), "a reader that keeps the highest sequence would drop a change"


@given(LOGS)
def test_longer_bars_are_the_aggregate_of_the_minutes(rows: list[tuple[int, float, int, int]]) -> None:
    store = Store()
    store.run(store.load(), [_trade(n, at_s, str(p), str(z)) for n, at_s, p, z in rows], 0)
    minutes = {key[1]: stored.bar for key, stored in store.bars.items() if key[0] == "1m"}
    for (resolution, start), stored in store.bars.items():
        inside = [bar for at, bar in sorted(minutes.items()) if bar_start(at, RESOLUTIONS[resolution]) == start]
        total = _aggregate(inside)
        assert total is not None
        assert [getattr(total, n) for n in Bar.__slots__] == [getattr(stored.bar, n) for n in Bar.__slots__]


def test_a_trade_on_the_minute_opens_the_next_bar() -> None:
    store = Store()
    store.run(store.load(), [_trade(1, 59.999), _trade(2, 60)], 0)
    assert sorted(start for resolution, start in store.bars if resolution == "1m") == [NOON, NOON + NS_PER_MINUTE]


def test_equal_times_are_ordered_by_trade_number() -> None:
    bar = None
    for trade in (_trade(2, 1, "20"), _trade(3, 1, "30"), _trade(1, 1, "10")):
        bar = absorb(bar, trade)
    assert bar is not None
    assert [bar.open, bar.close] == [Decimal(10), Decimal(30)]


def test_a_bar_closes_by_its_own_products_trades_after_the_grace() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 30), _trade(2, 61.9)], 0)
    assert not store.bars["1m", NOON].closed
    store.run(product, [_trade(3, 62)], 2)
    assert store.bars["1m", NOON].closed
    assert store.bars["1m", NOON].revision == 1


def test_an_idle_bar_closes_by_the_clock_and_comes_after_all_records() -> None:
    store = Store()
    product = store.load()
    before = store.run(product, [_trade(1, 30)], 0)
    assert not product.closable(NOON + NS_PER_MINUTE + GRACE_NS - 1, GRACE_NS)
    after = store.run(product, [], 1, clock_ns=NOON + NS_PER_MINUTE + GRACE_NS)
    assert store.bars["1m", NOON].closed
    assert min(after) > max(before)
    later = store.run(product, [_trade(2, 31)], 1)
    assert min(later) > max(after), "a late trade's correction would be dropped"
    assert store.bars["1m", NOON].revision == 2


def test_complete_needs_both_neighbours() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 30), _trade(2, 70), _trade(3, 130)], 0)
    assert not store.bars["1m", NOON].complete, "nothing is known of trade 0"
    assert store.bars["1m", NOON + NS_PER_MINUTE].complete
    assert not store.bars["1m", NOON + 2 * NS_PER_MINUTE].complete, "nothing is known of trade 4"


def test_a_repair_completes_bars_that_it_is_not_in() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 10), _trade(2, 70), _trade(4, 130), _trade(5, 190)], 0)
    assert not store.bars["1m", NOON + NS_PER_MINUTE].complete
    store.run(store.load(), [_trade(3, 130)], 4)
    assert store.bars["1m", NOON + NS_PER_MINUTE].complete


def test_a_void_completes_a_bar() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 10), _trade(2, 70), _trade(4, 130)], 0)
    product.absorb_voids([(3, 3)])
    assert product.touched()
    store.run(product, [], 3)
    assert store.bars["1m", NOON + NS_PER_MINUTE].complete


def test_a_repeat_changes_nothing() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 10), _trade(2, 70)], 0)
    content = store.content()
    assert store.run(product, [_trade(1, 10)], 2) == []
    assert store.content() == content


def test_late_trades_of_two_days_ago_reach_bars_no_longer_in_memory() -> None:
    day = 86_400
    trades = [_trade(n, n * day / 4) for n in range(1, 13)]
    store = Store()
    product = store.load()
    store.run(product, trades, 0)
    key = ("1m", bar_start(trades[0].time, NS_PER_MINUTE))
    assert key not in product.bars
    store.run(product, [_trade(100, 1 * day / 4 + 1, "99")], 12)
    assert store.bars[key].bar.trade_count == 2
    assert store.bars[key].bar.high == 99


def test_a_trade_that_is_passed_over_is_in_no_bar_and_leaves_no_hole() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(2, 3_600)], 0)
    product.pass_over(_trade(1, 10))
    product.pass_over(_trade(3, 20))
    store.run(product, [], 1)
    assert [stored.bar.trade_count for key, stored in store.bars.items() if key[0] == "1m"] == [1]
    assert all(stored.complete for stored in store.bars.values())


def test_a_bar_that_is_stored_no_longer_is_not_missed() -> None:
    store = Store()
    product = store.load()
    store.run(product, [_trade(1, 0), _trade(3, 10), *(_trade(n, 90_000 * n) for n in range(4, 9))], 0)
    old = [key for key, stored in store.bars.items() if stored.bar.trade_count == 2]
    assert set(old) & set(product.incomplete)
    for key in old:
        del store.bars[key]
    product.absorb_voids([(0, 0), (2, 2)])
    store.run(product, [], 7)
    assert not set(old) & set(store.bars)
    assert not set(old) & set(product.incomplete)
