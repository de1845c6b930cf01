"""What the gateway's clients see, as a function of the records."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.events import Indicators, Trade
from services.gateway.hub import Channel, Delivery, Hub, Product
from services.gateway.repeats import Repeats

BTC = Product("coinbase", "BTC-USD")
SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND


def trade(number: int | None, price: str, size: str = "1", *, trade_id: str = "", time: int = 0) -> Trade:
    return Trade(
        *BTC, trade_id or str(number), number, Decimal(price), Decimal(size), "BUY",
        BEGIN + time * SECOND, BEGIN + time * SECOND, "live", "coinbase",
    )  # fmt: skip


def indicators(values: dict[str, float], sequence: int, source: str = "trade") -> Indicators:
    return Indicators(*BTC, source, BEGIN, values, sequence)


def frames(deliveries: list[Delivery[str]]) -> list[dict[str, Any]]:
    return [json.loads(delivery.frame) for delivery in deliveries]


@pytest.fixture
def hub() -> Hub[str]:
    hub: Hub[str] = Hub()
    hub.learn(BTC)
    hub.subscribe(Channel.CRYPTO, BTC, "ann")
    return hub


def test_a_trade_becomes_a_flat_frame_with_its_place_in_the_log(hub: Hub[str]) -> None:
    (delivery,) = hub.on_trade(41, trade(7, "100.50", "2.0"))
    assert list(delivery.subscribers) == ["ann"]
    assert json.loads(delivery.frame) == {
        "exchange": "coinbase",
        "product_id": "BTC-USD",
        "price": "100.5",
        "last_size": "2",
        "time": "2023-11-14T22:13:20Z",
        "sequence": 41,
        "previous": None,
    }


def test_previous_is_the_sequence_delivered_before(hub: Hub[str]) -> None:
    hub.on_trade(41, trade(7, "100"))
    hub.on_trade(42, trade(7, "100"))
    (frame,) = frames(hub.on_trade(47, trade(8, "101")))
    assert (frame["previous"], frame["sequence"]) == (41, 47)


def test_indicators_are_in_the_frame_and_keep_the_trades_sequence(hub: Hub[str]) -> None:
    hub.on_trade(41, trade(7, "100"))
    (frame,) = frames(hub.on_indicators(3, indicators({"ema_12": 99.5}, 41)))
    assert frame["price"] == "100"
    assert frame["ema_12"] == 99.5
    assert frame["sequence"] == 41


def test_the_indicators_channel_has_indicators_only_and_its_own_sequence() -> None:
    hub: Hub[str] = Hub()
    hub.learn(BTC)
    hub.subscribe(Channel.INDICATORS, BTC, "bob")
    assert hub.on_trade(41, trade(7, "100")) == []
    hub.on_indicators(3, indicators({"ema_12": 99.0}, 41))
    (frame,) = frames(hub.on_indicators(5, indicators({"sma_20@1m": 98.0}, 42, "1m")))
    assert frame == {
        "exchange": "coinbase",
        "product_id": "BTC-USD",
        "ema_12": 99.0,
        "sma_20@1m": 98.0,
        "time": "2023-11-14T22:13:20Z",
        "sequence": 5,
        "previous": 3,
    }


def test_nothing_is_sent_when_nothing_changed(hub: Hub[str]) -> None:
    assert hub.on_trade(1, trade(7, "100"))
    assert hub.on_trade(2, trade(8, "100.0")) == []
    assert hub.on_indicators(1, indicators({"ema_12": 1.0}, 1))
    assert hub.on_indicators(2, indicators({"ema_12": 1.0}, 2)) == []


def test_a_late_trade_does_not_change_the_price(hub: Hub[str]) -> None:
    hub.on_trade(1, trade(8, "100"))
    assert hub.on_trade(2, trade(7, "90")) == []


def test_without_numbers_an_older_time_is_late(hub: Hub[str]) -> None:
    hub.on_trade(1, trade(None, "100", trade_id="b", time=2))
    assert hub.on_trade(2, trade(None, "90", trade_id="a", time=1)) == []
    assert hub.on_trade(3, trade(None, "91", trade_id="c", time=2))


def test_an_indicator_record_published_again_is_dropped_by_its_input_sequence(hub: Hub[str]) -> None:
    hub.on_trade(1, trade(8, "100"))
    hub.on_indicators(1, indicators({"ema_12": 1.0}, 10))
    hub.on_indicators(2, indicators({"ema_12": 2.0}, 20))
    assert hub.on_indicators(3, indicators({"ema_12": 1.0}, 10)) == []
    assert hub.on_indicators(4, indicators({"rsi_14@1m": 50.0}, 10, "1m"))


def test_the_current_values_come_at_once(hub: Hub[str]) -> None:
    hub.on_trade(41, trade(7, "100"))
    frame = hub.subscribe(Channel.CRYPTO, BTC, "eve")
    assert frame is not None
    assert json.loads(frame)["sequence"] == 41


def test_redis_fills_only_what_the_log_did_not_give(hub: Hub[str]) -> None:
    hub.on_trade(41, trade(7, "100"))
    price = {"price": "1", "size": "1", "side": "BUY", "time": str(BEGIN), "trade_id": "1"}
    (frame,) = frames(hub.fill(BTC, price, {"ema_12": "99.5", "time": str(BEGIN)}))
    assert (frame["price"], frame["ema_12"]) == ("100", 99.5)
    assert not hub.lacks_values(BTC)
    assert hub.fill(BTC, price, {"ema_12": "1", "time": str(BEGIN)}) == []


def test_a_price_from_redis_has_no_place_in_the_log(hub: Hub[str]) -> None:
    price = {"price": "1", "size": "2", "side": "BUY", "time": str(BEGIN), "trade_id": "1"}
    (frame,) = frames(hub.fill(BTC, price, {}))
    assert (frame["price"], frame["sequence"], frame["previous"]) == ("1", None, None)


def test_who_left_gets_nothing(hub: Hub[str]) -> None:
    hub.unsubscribe(Channel.CRYPTO, BTC, "ann")
    assert hub.on_trade(1, trade(7, "100")) == []


@pytest.mark.parametrize("name", ["*", "BTC-*", "BTC-US?", "[B]TC-USD", ""])
def test_glob_characters_are_just_characters(hub: Hub[str], name: str) -> None:
    assert not hub.knows(Product("coinbase", name))


@given(st.lists(st.sampled_from("abcde"), max_size=60), st.integers(0, 8))
def test_repeats_are_exactly_those_within_the_window(identities: list[str], window: int) -> None:
    repeats = Repeats(window)
    for offset, identity in enumerate(identities):
        assert repeats.add(offset, identity) == (identity in identities[max(0, offset - window) : offset])


@given(st.lists(st.sampled_from("abcde"), max_size=60), st.integers(0, 8), st.integers(0, 60))
def test_a_gateway_that_began_a_window_earlier_agrees(identities: list[str], window: int, start: int) -> None:
    first, later = Repeats(window), Repeats(window)
    for offset, identity in enumerate(identities):
        said = first.add(offset, identity)
        if offset >= start - window:
            said_later = later.add(offset, identity)
            assert offset < start or said == said_later
