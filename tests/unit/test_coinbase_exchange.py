"""Coinbase Exchange, from its documented frames (each page is named in ``tests.support.frames``)."""

from decimal import Decimal

from services.adapters.venues.base import Alive, BadFrame, Rejected, Send, Subscribed, TailSeen
from services.adapters.venues.coinbase_exchange import CoinbaseExchange
from services.runtime.clock import rfc3339
from tests.support.frames import (
    EXCHANGE_HEARTBEAT,
    EXCHANGE_REFUSAL,
    EXCHANGE_SUBSCRIPTIONS,
    NOW_NS,
    exchange_match,
    refused_in,
    text,
    trades_in,
)


def opened(*products: str) -> CoinbaseExchange:
    venue = CoinbaseExchange(products or ("BTC-USD",))
    venue.on_open(NOW_NS)
    return venue


def test_the_side_on_the_wire_is_the_makers() -> None:
    (trade,) = trades_in(opened().on_frame(exchange_match(), NOW_NS))
    assert (trade.side, trade.price, trade.size) == ("BUY", Decimal("400.23"), Decimal("5.23512"))
    assert (trade.exchange, trade.venue, trade.trade_id, trade.trade_number) == (
        "coinbase",
        "coinbase-exchange",
        "10",
        10,
    )
    assert (rfc3339(trade.time), trade.origin) == ("2014-11-07T08:19:27.028459Z", "live")


def test_the_last_match_is_history() -> None:
    (trade,) = trades_in(opened().on_frame(exchange_match("last_match"), NOW_NS))
    assert trade.origin == "snapshot"


def test_the_heartbeat_shows_the_tail() -> None:
    assert opened().on_frame(EXCHANGE_HEARTBEAT, NOW_NS) == [TailSeen("BTC-USD", 20)]


def test_it_asks_for_matches_and_heartbeats_and_reads_the_answer() -> None:
    venue = CoinbaseExchange(("BTC-USD",))
    message = '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["matches","heartbeat"]}'
    assert venue.on_open(NOW_NS) == [Send(message)]
    assert venue.on_frame(EXCHANGE_SUBSCRIPTIONS, NOW_NS) == [Subscribed(("BTC-USD",))]


def test_a_refused_product_is_named_and_the_others_are_asked_for_again() -> None:
    venue = opened("BTC-USD", "GIBBERISH-USD")
    (event,) = venue.on_frame(EXCHANGE_REFUSAL, NOW_NS)
    assert event == Rejected("GIBBERISH-USD", "Failed to subscribe: GIBBERISH-USD is not a valid product")
    (again,) = venue.on_tick(NOW_NS + 10**9)
    assert isinstance(again, Send)
    assert "GIBBERISH" not in again.text
    assert "BTC-USD" in again.text


def test_a_bad_match_is_a_bad_trade_and_other_channels_are_not_ours() -> None:
    venue = opened()
    assert refused_in(venue.on_frame(exchange_match(price="?"), NOW_NS)) == ["type"]
    assert refused_in(venue.on_frame(exchange_match(product_id="ETH-USD"), NOW_NS)) == ["product"]
    assert venue.on_frame(text({"type": "ticker", "price": "1"}), NOW_NS) == [Alive()]
    assert isinstance(venue.on_frame("{", NOW_NS)[0], BadFrame)
