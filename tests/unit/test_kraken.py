"""Kraken WebSocket v2, from its documented frames (each page is named in ``tests.support.frames``)."""

from decimal import Decimal

import msgspec
import pytest

from services.adapters.venues.base import Alive, Rejected, Send, Subscribed
from services.adapters.venues.kraken import Kraken
from services.contracts.errors import PeerError
from services.runtime.clock import NS_PER_S, rfc3339
from tests.support.frames import (
    KRAKEN_ANSWER,
    KRAKEN_HEARTBEAT,
    KRAKEN_HISTORY,
    KRAKEN_PONG,
    KRAKEN_REFUSAL,
    KRAKEN_SNAPSHOT,
    KRAKEN_STATUS,
    KRAKEN_UPDATE,
    NOW_NS,
    refused_in,
    trades_in,
)


def opened(*products: str) -> Kraken:
    venue = Kraken(products or ("MATIC-USD",))
    venue.on_open(NOW_NS)
    return venue


def test_an_update_gives_the_takers_side() -> None:
    (trade,) = trades_in(opened().on_frame(KRAKEN_UPDATE, NOW_NS))
    assert (trade.exchange, trade.product_id, trade.trade_id, trade.side) == ("kraken", "MATIC-USD", "4665906", "SELL")
    assert (rfc3339(trade.time), trade.origin) == ("2023-09-25T07:49:37.708706Z", "live")


@pytest.mark.parametrize("number", ["0.5147", "64668.90", "0.1", "1e-7", "12345678901234567.123456789"])
def test_numbers_are_decimals_of_their_text(number: str) -> None:
    (trade,) = trades_in(opened().on_frame(KRAKEN_UPDATE.replace("0.5117", number), NOW_NS))
    assert str(trade.price) == str(Decimal(number))


def test_a_snapshot_is_history() -> None:
    trades = trades_in(opened().on_frame(KRAKEN_SNAPSHOT, NOW_NS))
    assert [(t.trade_number, t.origin) for t in trades] == [(4665846, "snapshot"), (4665847, "snapshot")]


def test_the_snapshot_is_always_said() -> None:
    (action,) = Kraken(("BTC-USD", "DOGE-EUR")).on_open(NOW_NS)
    assert isinstance(action, Send)
    assert msgspec.json.decode(action.text) == {
        "method": "subscribe",
        "params": {"channel": "trade", "symbol": ["BTC/USD", "DOGE/EUR"], "snapshot": True},
    }


@pytest.mark.parametrize(
    ("product", "symbol"), [("BTC-USD", "XBT/USD"), ("DOGE-USD", "XDG/USD"), ("ETH-BTC", "ETH/XBT")]
)
def test_the_old_names_of_assets_are_understood(product: str, symbol: str) -> None:
    frame = KRAKEN_UPDATE.replace("MATIC/USD", symbol)
    assert [t.product_id for t in trades_in(opened(product).on_frame(frame, NOW_NS))] == [product]


def test_answers_name_their_product() -> None:
    venue = opened()
    assert venue.on_frame(KRAKEN_ANSWER, NOW_NS) == [Subscribed(("MATIC-USD",))]
    assert venue.on_frame(KRAKEN_REFUSAL, NOW_NS) == [Rejected("MATIC-USD", "Currency pair not supported MATIC/USD")]


@pytest.mark.parametrize("frame", [KRAKEN_HEARTBEAT, KRAKEN_STATUS, KRAKEN_PONG])
def test_what_carries_no_trade_shows_life(frame: str) -> None:
    assert opened().on_frame(frame, NOW_NS) == [Alive()]


def test_a_quiet_connection_is_asked_for_a_pong() -> None:
    venue = opened()
    assert venue.on_tick(NOW_NS + NS_PER_S) == []
    assert venue.on_tick(NOW_NS + 2 * NS_PER_S) == [Send('{"method":"ping","req_id":1}')]
    assert venue.on_tick(NOW_NS + 3 * NS_PER_S) == []
    venue.on_frame(KRAKEN_PONG, NOW_NS + 3 * NS_PER_S)
    assert venue.on_tick(NOW_NS + 4 * NS_PER_S) == []


def test_a_bad_trade_does_not_take_its_frame_along() -> None:
    events = opened().on_frame(KRAKEN_SNAPSHOT.replace("6423.46326", '"?"'), NOW_NS)
    assert refused_in(events) == ["type"]
    assert [t.trade_number for t in trades_in(events)] == [4665847]


def test_the_history_has_other_names_and_the_id_seventh() -> None:
    venue = opened("BTC-USD")
    request = venue.history_request(
        "BTC-USD", 61044953, 61044955, before_time_ns=1688669597827736000, after_time_ns=None
    )
    assert request.path == "/0/public/Trades"
    assert request.query == {"pair": "XBTUSD", "since": "1688669597826736000", "count": "1000"}
    page = venue.on_history(
        "BTC-USD", request, KRAKEN_HISTORY, {}, NOW_NS, first=61044953, last=61044955, origin="repair"
    )
    assert [(t.trade_id, t.side, str(t.price), str(t.size)) for t in page.trades] == [
        ("61044952", "BUY", "30243.40000", "0.34507674"),
        ("61044953", "SELL", "30243.30000", "0.00376960"),
        ("61044956", "SELL", "30243.30000", "0.01235716"),
    ]
    assert [t.time for t in page.trades] == [1688669597827736000, 1688669598280411000, 1688669602698379000]
    assert page.next is None, "there is nothing after a page that is not full"


def full_page(first: int, last_ns: str) -> bytes:
    rows = [["1", "1", 1688669597.5, "b", "m", "", number] for number in range(first, first + 1000)]
    return msgspec.json.encode({"error": [], "result": {"XXBTZUSD": rows, "last": last_ns}})


def test_a_full_page_goes_on_at_last_until_the_gap_is_behind() -> None:
    venue = opened("BTC-USD")
    request = venue.history_request("BTC-USD", 10, 1500, before_time_ns=10**18, after_time_ns=None)
    body = full_page(9, "1688671969993150842")
    page = venue.on_history("BTC-USD", request, body, {}, NOW_NS, first=10, last=1500, origin="repair")
    assert page.next is not None
    assert page.next.query["since"] == "1688671969993150842"
    page = venue.on_history("BTC-USD", request, body, {}, NOW_NS, first=10, last=1000, origin="repair")
    assert page.next is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":["EGeneral:Too many requests"]}',
        b'{"error":[],"result":{}}',
        KRAKEN_HISTORY.replace(b'"1688671969993150842"', b'"soon"'),
        KRAKEN_HISTORY.replace(b"1688669597.8277369", b"1e400"),
        full_page(1, "1"),
    ],
)
def test_a_history_that_cannot_be_used_is_the_peers_fault(body: bytes) -> None:
    venue = opened("BTC-USD")
    request = venue.history_request("BTC-USD", 10, 5000, before_time_ns=10**18, after_time_ns=None)
    with pytest.raises(PeerError):
        venue.on_history("BTC-USD", request, body, {}, NOW_NS, first=10, last=5000, origin="repair")
