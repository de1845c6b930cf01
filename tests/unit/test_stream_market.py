"""Which updates follow from the log, and what a snapshot says: the same on every gateway, whenever it began."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.events import Indicators
from services.contracts.topics import Topic
from services.gateway.hub import Product
from services.gateway.stream.frames import payload_of, text_frame, with_skipped
from services.gateway.stream.history import Replay
from services.gateway.stream.market import Market
from services.gateway.stream.series import Series, Update
from tests.support.stream import BTC, START_NS, candle, trade, validated

WINDOW = 8
TRADES, CANDLES, INDICATORS, VALIDATED = Topic.MARKET_TRADES, Topic.CANDLES, Topic.INDICATORS, Topic.VALIDATED_TRADES
PARTITIONS = 1


def market(window: int = WINDOW, updates_max: int = 50, start: int = 0, end: int = 0) -> Market:
    made = Market(dedup_window=window, partitions=PARTITIONS, updates_max=updates_max, series_max=1_000)
    for topic in (TRADES, CANDLES, INDICATORS, VALIDATED):
        made.begin(topic, 0, start, end)
    return made


def read(frame: bytes) -> Any:
    return json.loads(payload_of(frame))


def series(of: Market, channel: str, product: Product | tuple[str, str] = BTC) -> Series:
    (found,) = of.find(channel, *product)
    return found


def snapshot(of: Market, channel: str, product: tuple[str, str] = BTC) -> Any:
    return read(series(of, channel, product).snapshot(START_NS))


def test_a_trade_is_an_update_of_trades_and_of_ticker() -> None:
    updates = market().absorb(TRADES, 0, 41, trade(7, 100))
    assert updates is not None
    trades, ticker = (read(update.frame) for update in updates)
    assert trades == {
        "type": "update",
        "channel": "trades",
        "exchange": "coinbase",
        "product": "BTC-USD",
        "sequence": 41,
        "previous": None,
        "time": "2026-01-01T00:00:00.000000007Z",
        "data": {"trade_id": "7", "price": "100", "size": "1", "side": "BUY", "origin": "live"},
    }
    assert ticker["data"] == {"price": "100", "last_size": "1", "trade_id": "7", "side": "BUY"}
    assert not updates[0].is_state
    assert updates[1].is_state


def test_a_repeat_is_no_update_and_without_a_window_it_is() -> None:
    one, control = market(), market(window=0)
    for made in (one, control):
        made.absorb(TRADES, 0, 1, trade(7))
    assert one.absorb(TRADES, 0, 2, trade(7)) is None
    assert control.absorb(TRADES, 0, 2, trade(7))


def test_a_late_trade_is_a_trade_and_does_not_change_the_ticker() -> None:
    made = market()
    made.absorb(TRADES, 0, 1, trade(8, 100))
    updates = made.absorb(TRADES, 0, 2, trade(7, 90))
    assert updates is not None
    assert [update.series.channel.name for update in updates] == ["trades"]
    assert snapshot(made, "ticker")["data"]["price"] == "100"
    assert (snapshot(made, "ticker")["sequence"], snapshot(made, "trades")["sequence"]) == (1, 2)


def test_the_snapshot_of_trades_has_the_last_ones_oldest_first() -> None:
    made = market(updates_max=200)
    for number in range(60):
        made.absorb(TRADES, 0, 2 * number, trade(number))
    shown = snapshot(made, "trades")
    assert [one["sequence"] for one in shown["data"]["trades"]] == list(range(20, 120, 2))
    assert shown["sequence"] == 118
    assert shown["data"]["trades"][-1]["time"] == shown["time"]


def test_bars_are_states_while_open_and_the_snapshot_has_the_newest_of_each() -> None:
    made = market()
    bars = [
        candle(0, closed=True, count=3, sequence=1),
        candle(1, closed=False, count=1, sequence=2),
        candle(1, closed=False, count=2, sequence=3),
    ]
    updates = [update for offset, bar in enumerate(bars) for update in made.absorb(CANDLES, 0, offset, bar) or ()]
    assert [update.is_state for update in updates] == [False, True, True]
    shown = snapshot(made, "candles:1m")["data"]["candles"]
    assert [(bar["closed"], bar["trade_count"]) for bar in shown] == [(True, 3), (False, 2)]
    assert shown[1]["timestamp"] == "2026-01-01T00:01:00Z"
    made.absorb(CANDLES, 0, 3, candle(1, closed=True, count=2, sequence=4))
    made.absorb(CANDLES, 0, 4, candle(0, closed=True, count=4, sequence=5))
    assert [bar["trade_count"] for bar in snapshot(made, "candles:1m")["data"]["candles"]] == [2]
    assert snapshot(made, "candles:5m")["sequence"] is None


def test_indicators_come_together_in_the_snapshot() -> None:
    made = market()
    made.absorb(INDICATORS, 0, 1, Indicators(*BTC, "trade", START_NS, {"ema_12": 1.0}, 1))
    updates = made.absorb(INDICATORS, 0, 2, Indicators(*BTC, "1m", START_NS, {"rsi_14@1m": 50.0}, 1))
    assert updates is not None
    assert read(updates[0].frame)["data"] == {"source": "1m", "values": {"rsi_14@1m": 50.0}}
    assert snapshot(made, "indicators")["data"] == {"values": {"ema_12": 1.0, "rsi_14@1m": 50.0}}
    assert made.absorb(INDICATORS, 0, 3, Indicators(*BTC, "1m", START_NS, {"rsi_14@1m": 50.0}, 1)) is None


def test_validated_trades_belong_to_no_exchange_and_their_integers_are_text() -> None:
    made = market()
    made.absorb(VALIDATED, 0, 1, validated("a"))
    made.absorb(VALIDATED, 0, 2, validated("b", valid=False))
    shown = snapshot(made, "validated", ("*", "AAPL"))
    assert (shown["exchange"], shown["product"]) == ("*", "AAPL")
    good, bad = shown["data"]["trades"]
    assert (good["volume"], good["timestamp_ns"], good["vwap_20m"]) == ("10", str(START_NS), 100.25)
    assert "reason" not in good
    assert (bad["status"], bad["reason"]) == ("INVALID", "Price out of acceptable range")


@pytest.mark.parametrize(
    ("channel", "exchange", "product", "count"),
    [
        ("trades", "coinbase", "BTC-USD", 1),
        ("trades", "coinbase", "*", 2),
        ("trades", "*", "BTC-USD", 2),
        ("trades", "*", "*", 3),
        ("trades", "coinbase", "BTC-*", 0),
        ("trades", "kraken", "ETH-USD", 0),
        ("validated", "*", "*", 1),
        ("validated", "*", "AAPL", 1),
        ("validated", "*", "BTC-USD", 0),
    ],
)
def test_names_and_stars(channel: str, exchange: str, product: str, count: int) -> None:
    made = market()
    for one in (BTC, ("coinbase", "ETH-USD"), ("kraken", "BTC-USD"), ("*", "AAPL")):
        made.learn(Product(*one))
    assert len(made.find(channel, exchange, product)) == count


def test_there_are_no_more_series_than_may_be() -> None:
    made = Market(dedup_window=1, partitions=1, updates_max=50, series_max=10)
    assert made.learn(Product("a", "P1"))
    assert made.learn(Product("a", "P2")) == {}
    assert made.absorb(TRADES, 0, 1, trade(1, product=("a", "P2"))) == []


def test_redis_fills_only_what_the_log_did_not_give() -> None:
    made = market()
    made.learn(Product(*BTC))
    price = {"price": "42.5", "size": "2", "side": "SELL", "time": "1", "trade_id": "9"}
    made.fill(Product(*BTC), price, {"rsi_14": "50.5", "time": "1"})
    assert snapshot(made, "ticker")["data"] == {"price": "42.5", "last_size": "2", "trade_id": "9", "side": "SELL"}
    assert snapshot(made, "indicators")["data"]["values"] == {"rsi_14": 50.5}
    made.absorb(TRADES, 0, 1, trade(10, 43))
    made.fill(Product(*BTC), price, {})
    assert snapshot(made, "ticker")["data"]["price"] == "43"


def test_what_is_in_memory_after_a_sequence() -> None:
    made = market(updates_max=3)
    for offset in (1, 3, 5, 7, 9):
        made.absorb(TRADES, 0, offset, trade(offset))
    one = series(made, "trades")

    def after(sequence: int) -> list[int] | None:
        updates = one.after(sequence)
        return None if updates is None else [update.sequence for update in updates]

    assert [after(s) for s in (9, 7, 5, 6, 3, 10)] == [[], [9], [7, 9], None, None, None]
    assert one.known_from == 4
    assert [one.since(offset) is None for offset in (3, 4)] == [True, False]
    assert [update.sequence for update in one.since(6) or ()] == [7, 9]


Record = tuple[int, int]
LOG = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=20, max_size=80)
"""Trade numbers, repeated and late at random, of two products."""


def fold(made: Market, log: list[Record], start: int) -> dict[str, list[tuple[int, int | None]]]:
    found: dict[str, list[tuple[int, int | None]]] = {}
    for offset, (number, which) in enumerate(log):
        if offset >= start:
            product = ("coinbase", f"P{which}")
            for update in made.absorb(TRADES, 0, offset, trade(number, product=product)) or ():
                assert isinstance(update, Update)
                key = f"{update.series.channel.name}:{update.series.product.product_id}"
                found.setdefault(key, []).append((update.sequence, update.previous))
    return found


@settings(max_examples=300)
@given(LOG, st.integers(0, WINDOW), st.integers(1, 40))
def test_a_gateway_that_began_later_says_the_same(log: list[Record], window: int, start: int) -> None:
    everything = fold(market(window), log, 0)
    later = fold(market(window, start=start, end=len(log)), log, start)
    exact = start + window
    for key, updates in later.items():
        expected = [(sequence, previous) for sequence, previous in everything.get(key, []) if sequence >= exact]
        assert [sequence for sequence, _ in updates] == [sequence for sequence, _ in expected]
        assert updates[1:] == expected[1:]
        assert updates[0][1] is None


@given(LOG, st.integers(0, WINDOW), st.sampled_from(["trades", "ticker"]), st.data())
def test_what_kafka_replays_is_what_was_delivered(
    log: list[Record], window: int, channel: str, data: st.DataObject
) -> None:
    made = market(window, updates_max=1_000)
    fold(made, log, 0)
    found = made.find(channel, "coinbase", "P0")
    if not found or not found[0].updates:
        return
    delivered = list(found[0].updates)
    seen = data.draw(st.sampled_from(delivered))
    start = max(0, seen.sequence - window)
    replay = Replay(found[0], start, window, 1_000)
    for offset, (number, which) in enumerate(log):
        if offset >= start and which == 0:
            replay.absorb(offset, trade(number, product=("coinbase", "P0")))
    missed = replay.series.after(seen.sequence)
    assert missed is not None
    assert [read(update.frame) for update in missed] == [
        read(update.frame) for update in delivered if update.sequence > seen.sequence
    ]


def test_a_log_shorter_than_the_window_is_delivered_all_the_same() -> None:
    made = market(window=100, start=50, end=60)
    assert made.absorb(TRADES, 0, 55, trade(1)) == []
    assert made.absorb(TRADES, 0, 60, trade(2))


def test_what_came_before_memory_is_learnt() -> None:
    made = market(window=0, start=10, end=10)
    made.absorb(TRADES, 0, 12, trade(1))
    one = series(made, "trades")
    assert read(one.updates[0].frame)["previous"] is None
    one.learn_previous(4)
    assert read(one.updates[0].frame)["previous"] == 4
    quiet = series(made, "candles:1m")
    quiet.learn_previous(3)
    assert quiet.after(3) == []


@pytest.mark.parametrize("length", [1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length(length: int) -> None:
    payload = b"{" + b"x" * (length - 1)
    assert payload_of(text_frame(payload)) == payload


def test_how_many_were_skipped_is_spliced_in() -> None:
    assert payload_of(with_skipped(text_frame(b'{"a":1}'), 3)) == b'{"a":1,"skipped":3}'


def test_updates_are_encoded_once() -> None:
    updates = market().absorb(TRADES, 0, 1, trade(1))
    assert updates
    assert updates[0].frame is updates[0].frame
