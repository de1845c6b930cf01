"""Coinbase Advanced Trade, from its documented frames (each page is named in ``tests.support.frames``)."""

from decimal import Decimal

import pytest

from services.adapters.venues.base import (
    Action,
    Alive,
    BadFrame,
    Emit,
    Event,
    FramesLost,
    Reconnect,
    Rejected,
    Send,
    Subscribed,
)
from services.adapters.venues.coinbase import Coinbase
from services.contracts.errors import PeerError
from services.runtime.clock import NS_PER_S, rfc3339
from tests.support.frames import (
    EXCHANGE_HISTORY,
    NOW_NS,
    coinbase_heartbeat,
    coinbase_subscriptions,
    coinbase_trade,
    coinbase_trades,
    refused_in,
    text,
    trades_in,
)


def opened(*products: str) -> Coinbase:
    venue = Coinbase(products or ("ETH-USD",))
    venue.on_open(NOW_NS)
    return venue


def sent(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Send)]


def test_the_side_on_the_wire_is_the_makers() -> None:
    trades = trades_in(opened().on_frame(coinbase_trades(coinbase_trade()), NOW_NS))
    assert [(t.side, t.price, t.size, t.trade_number) for t in trades] == [
        ("SELL", Decimal("1260.01"), Decimal("0.3"), 0)
    ]
    trades = trades_in(opened().on_frame(coinbase_trades(coinbase_trade(side="SELL")), NOW_NS))
    assert [t.side for t in trades] == ["BUY"]


def test_a_trade_says_what_it_is() -> None:
    (trade,) = trades_in(opened().on_frame(coinbase_trades(coinbase_trade("7")), NOW_NS))
    assert (trade.exchange, trade.venue, trade.product_id, trade.trade_id) == ("coinbase", "coinbase", "ETH-USD", "7")
    assert rfc3339(trade.time) == "2019-08-14T20:42:27.265Z"
    assert (trade.received_time, trade.origin) == (NOW_NS, "live")


def test_a_frame_is_newest_first_and_comes_out_oldest_first() -> None:
    frame = coinbase_trades(*(coinbase_trade(number) for number in ("12", "11", "9", "10")))
    assert [t.trade_number for t in trades_in(opened().on_frame(frame, NOW_NS))] == [9, 10, 11, 12]


def test_a_snapshot_is_history() -> None:
    frame = coinbase_trades(coinbase_trade(), kind="snapshot")
    assert [t.origin for t in trades_in(opened().on_frame(frame, NOW_NS))] == ["snapshot"]


@pytest.mark.parametrize(
    "time",
    [
        "2023-02-09T20:19:35.3962Z",
        "2023-02-09T20:19:35.39625Z",
        "2023-02-09T20:19:35.396251Z",
        "2023-02-09T20:19:35.3962513Z",
        "2023-02-09T20:19:35.39625135Z",
        "2023-02-09T20:19:35.396251351Z",
        "2023-02-09T20:19:35Z",
    ],
)
def test_a_time_has_4_to_9_fractional_digits(time: str) -> None:
    (trade,) = trades_in(opened().on_frame(coinbase_trades(coinbase_trade(time=time)), NOW_NS))
    assert rfc3339(trade.time) == time


def test_the_sequence_is_contiguous_across_channels() -> None:
    venue = opened()
    assert venue.on_frame(coinbase_subscriptions("ETH-USD", sequence=0), NOW_NS) == [Subscribed(("ETH-USD",))]
    assert venue.on_frame(coinbase_heartbeat(1), NOW_NS) == [Alive()]
    lost, *_ = venue.on_frame(coinbase_trades(coinbase_trade(), sequence=4), NOW_NS)
    assert lost == FramesLost(2)
    assert venue.on_frame(coinbase_heartbeat(5), NOW_NS) == [Alive()]
    assert venue.on_frame(coinbase_heartbeat(5), NOW_NS) == [Alive()], "a repeated frame is not a lost one"
    unknown = text({"channel": "status", "sequence_num": 7, "events": []})
    assert venue.on_frame(unknown, NOW_NS) == [FramesLost(1), Alive()]
    assert venue.on_frame(coinbase_heartbeat(8), NOW_NS) == [Alive()]


def test_a_product_asked_for_as_usdc_keeps_that_name() -> None:
    venue = opened("BTC-USDC")
    for wire_name in ("BTC-USD", "BTC-USDC"):
        frame = coinbase_trades(coinbase_trade(product_id=wire_name))
        assert [t.product_id for t in trades_in(venue.on_frame(frame, NOW_NS))] == ["BTC-USDC"]
    assert venue.on_frame(coinbase_subscriptions("BTC-USD", sequence=1), NOW_NS) == [Subscribed(("BTC-USDC",))]
    request = venue.history_request("BTC-USDC", 5, 6, before_time_ns=0, after_time_ns=None)
    assert request.path == "/products/BTC-USD/trades"


def test_an_alias_asked_for_beside_its_product_is_rejected() -> None:
    venue = Coinbase(("BTC-USD", "BTC-USDC", "USDT-USD", "USDT-USDC"))
    emitted: list[Event] = [e for a in venue.on_open(NOW_NS) if isinstance(a, Emit) for e in a.events]
    assert [e.product_id for e in emitted if isinstance(e, Rejected)] == ["BTC-USDC"]


def test_it_asks_for_trades_and_for_heartbeats() -> None:
    trades, heartbeats = sent(Coinbase(("ETH-USD", "BTC-USD")).on_open(NOW_NS))
    assert trades == '{"type":"subscribe","channel":"market_trades","product_ids":["ETH-USD","BTC-USD"]}'
    assert heartbeats == '{"type":"subscribe","channel":"heartbeats"}'


def test_many_products_are_asked_for_at_the_allowed_pace() -> None:
    products = [f"P{number}-USD" for number in range(120)]
    venue = Coinbase(products)
    messages = sent(venue.on_open(NOW_NS))
    assert sent(venue.on_tick(NOW_NS + NS_PER_S)) == [], "the first group is not answered yet"
    venue.on_frame(coinbase_subscriptions(*products[:50]), NOW_NS)
    assert sent(venue.on_tick(NOW_NS + 100)) == [], "too early for another message"
    for sequence in (1, 2):
        messages += sent(venue.on_tick(NOW_NS + sequence * NS_PER_S))
        venue.on_frame(coinbase_subscriptions(*products[: 50 * sequence + 50], sequence=sequence), NOW_NS)
    asked = [product for product in products if any(f'"{product}"' in message for message in messages)]
    assert (asked, len(messages)) == (products, 4)


def test_a_refusal_that_names_no_product_is_narrowed_down() -> None:
    venue = Coinbase(("A-USD", "B-USD", "BAD-USD"))
    good, rejected, actions = {"A-USD", "B-USD"}, list[str](), venue.on_open(NOW_NS)
    acknowledged: set[str] = set()
    for tick in range(1, 20):
        for message in sent(actions):
            asked = {product for product in ("A-USD", "B-USD", "BAD-USD") if f'"{product}"' in message}
            if asked and asked <= good:
                acknowledged |= asked
                venue.on_frame(coinbase_subscriptions(*sorted(acknowledged)), NOW_NS)
            elif asked:
                events = venue.on_frame(text({"type": "error", "message": "failure to subscribe"}), NOW_NS)
                rejected += [event.product_id for event in events if isinstance(event, Rejected)]
        actions = venue.on_tick(NOW_NS + tick * NS_PER_S)
    assert (acknowledged, rejected) == (good, ["BAD-USD"])


def test_an_error_that_answers_nothing_is_counted() -> None:
    venue = opened()
    venue.on_frame(coinbase_subscriptions("ETH-USD"), NOW_NS)
    (event,) = venue.on_frame(text({"type": "error", "message": "rate limit exceeded"}), NOW_NS)
    assert isinstance(event, BadFrame)
    assert "rate limit" in event.message


def test_a_subscription_without_an_answer_ends_the_session() -> None:
    assert opened().on_tick(NOW_NS + 11 * NS_PER_S) == [Reconnect("subscription_not_answered")]


def test_a_product_that_is_passed_over_in_silence_is_rejected_and_the_others_run_on() -> None:
    """As https://github.com/ccxt/ccxt/issues/22157 shows: the acknowledgement just leaves it out."""
    venue = opened("ETH-USD", "NOPE-USD")
    venue.on_frame(coinbase_subscriptions("ETH-USD"), NOW_NS)
    (action,) = venue.on_tick(NOW_NS + 11 * NS_PER_S)
    assert isinstance(action, Emit)
    assert [event.product_id for event in action.events if isinstance(event, Rejected)] == ["NOPE-USD"]
    assert venue.on_tick(NOW_NS + 30 * NS_PER_S) == []


@pytest.mark.parametrize(
    ("bad", "error_type"),
    [
        (coinbase_trade("2", price="abc"), "type"),
        (coinbase_trade("2", side="HOLD"), "type"),
        (coinbase_trade("two"), "type"),
        (coinbase_trade("2", time="yesterday"), "time"),
        (coinbase_trade("2", product_id="XXX-USD"), "product"),
        ({"trade_id": "2"}, "type"),
    ],
)
def test_a_bad_trade_does_not_take_its_frame_along(bad: dict[str, str], error_type: str) -> None:
    venue = opened()
    events = venue.on_frame(coinbase_trades(coinbase_trade("3"), bad, coinbase_trade("1")), NOW_NS)
    assert refused_in(events) == [error_type]
    assert [t.trade_number for t in trades_in(events)] == [1, 3]
    assert venue.on_frame(coinbase_heartbeat(1), NOW_NS) == [Alive()], "the bad frame counted in the sequence"


def test_unknown_and_missing_optional_fields_are_fine() -> None:
    frame = text(
        {
            "channel": "market_trades",
            "sequence_num": 0,
            "new": 1,
            "events": [{"type": "update", "trades": [coinbase_trade("5") | {"x": []}]}],
        }
    )
    assert [t.trade_number for t in trades_in(opened().on_frame(frame, NOW_NS))] == [5]


def test_a_repair_begins_above_the_gap_and_goes_on_to_older_pages() -> None:
    venue = opened("BTC-USD")
    request = venue.history_request("BTC-USD", 10, 3000, before_time_ns=0, after_time_ns=None)
    assert request.path == "/products/BTC-USD/trades"
    assert request.query == {"limit": "1000", "after": "3002"}
    body = EXCHANGE_HISTORY.replace(b"86327327", b"2002")
    page = venue.on_history(
        "BTC-USD",
        request,
        body,
        {"cb-after": "2002", "cb-before": "3001"},
        NOW_NS,
        first=10,
        last=3000,
        origin="repair",
    )
    assert page.next is not None
    assert page.next.query["after"] == "2002"
    (trade,) = page.trades
    assert (trade.trade_id, trade.side, trade.origin, trade.venue) == ("2002", "BUY", "repair", "coinbase")
    assert rfc3339(trade.time) == "2020-03-20T00:36:59.86Z"


def test_a_repair_ends_below_the_gap() -> None:
    venue = opened("BTC-USD")
    request = venue.history_request("BTC-USD", 10, 20, before_time_ns=0, after_time_ns=None)
    assert request.query == {"limit": "13", "after": "22"}, "both neighbours of the gap are asked for"
    body = EXCHANGE_HISTORY.replace(b"86327327", b"9")
    page = venue.on_history("BTC-USD", request, body, {"cb-after": "9"}, NOW_NS, first=10, last=20, origin="repair")
    assert page.next is None


def test_a_repair_that_turns_in_a_circle_is_refused() -> None:
    venue = opened("BTC-USD")
    request = venue.history_request("BTC-USD", 10, 3000, before_time_ns=0, after_time_ns=None)
    body = EXCHANGE_HISTORY.replace(b"86327327", b"2002")
    with pytest.raises(PeerError):
        venue.on_history("BTC-USD", request, body, {"cb-after": "3002"}, NOW_NS, first=10, last=3000, origin="repair")
