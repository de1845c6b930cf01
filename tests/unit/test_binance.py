"""Binance spot streams, from their documented frames (each page is named in ``tests.support.frames``)."""

from decimal import Decimal

import msgspec
import pytest

from services.adapters.venues.base import Alive, BadFrame, Emit, HandOver, Rejected, Send, Subscribed
from services.adapters.venues.binance import STREAMS_MAX, Binance
from services.contracts.errors import PeerError
from services.runtime.clock import NS_PER_S
from tests.support.frames import (
    BINANCE_ANSWER,
    BINANCE_HISTORY,
    BINANCE_REFUSAL,
    BINANCE_SHUTDOWN,
    NOW_NS,
    Fields,
    binance_combined,
    binance_trade,
    refused_in,
    text,
    trades_in,
)


def opened(*products: str) -> Binance:
    venue = Binance(products or ("BNB-BTC",))
    venue.on_open(NOW_NS)
    return venue


@pytest.mark.parametrize("wrapped", [True, False])
def test_m_says_that_the_buyer_is_the_maker(wrapped: bool) -> None:
    def frame(payload: Fields) -> str:
        return binance_combined(payload) if wrapped else text(payload)

    (trade,) = trades_in(opened().on_frame(frame(binance_trade()), NOW_NS))
    assert (trade.side, trade.price, trade.size) == ("SELL", Decimal("0.001"), Decimal("100"))
    assert (trade.product_id, trade.trade_id, trade.time) == ("BNB-BTC", "12345", 1672515782136 * 10**6)
    (trade,) = trades_in(opened().on_frame(frame(binance_trade(m=False)), NOW_NS))
    assert trade.side == "BUY"


def test_it_subscribes_in_lower_case_and_reads_the_answer() -> None:
    venue = Binance(("BTC-USDT", "ETH-USDT"))
    message = '{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":1}'
    assert venue.on_open(NOW_NS) == [Send(message)]
    assert venue.on_frame(BINANCE_ANSWER, NOW_NS) == [Subscribed(("BTC-USDT", "ETH-USDT"))]
    assert venue.url("wss://data-stream.binance.vision") == "wss://data-stream.binance.vision/stream"
    assert venue.url("ws://127.0.0.1:9901/ws") == "ws://127.0.0.1:9901/ws"


def test_messages_stay_below_the_limit_of_a_second() -> None:
    venue = Binance([f"P{number}-USDT" for number in range(1000)])
    sent = [(0, action) for action in venue.on_open(NOW_NS) if isinstance(action, Send)]
    for tick in range(1, 100):
        if sent and sent[-1][0] == tick - 1:
            request = msgspec.json.decode(sent[-1][1].text)
            venue.on_frame(text({"result": None, "id": request["id"]}), NOW_NS)
        now_ns = NOW_NS + tick * NS_PER_S // 10
        sent += [(tick, action) for action in venue.on_tick(now_ns) if isinstance(action, Send)]
    assert sum(action.text.count("@trade") for _, action in sent) == 1000
    for tick, _ in sent:
        assert sum(tick <= other < tick + 10 for other, _ in sent) <= 3


def test_products_beyond_the_streams_of_a_connection_are_rejected() -> None:
    emit, _ = Binance([f"P{number}-USDT" for number in range(STREAMS_MAX + 1)]).on_open(NOW_NS)
    assert isinstance(emit, Emit)
    assert [event.product_id for event in emit.events if isinstance(event, Rejected)] == [f"P{STREAMS_MAX}-USDT"]


def test_a_refusal_is_narrowed_down_to_a_product() -> None:
    venue = opened()
    assert venue.on_frame(BINANCE_REFUSAL, NOW_NS) == [Rejected("BNB-BTC", "Invalid request: invalid stream")]


def test_a_shutdown_is_handed_over_once() -> None:
    for frame in (binance_combined(BINANCE_SHUTDOWN, "!serverShutdown"), text(BINANCE_SHUTDOWN)):
        venue = opened()
        assert venue.on_frame(frame, NOW_NS) == [Alive()]
        assert venue.on_tick(NOW_NS) == [HandOver("server_shutdown")]
        assert HandOver("server_shutdown") not in venue.on_tick(NOW_NS)


def test_a_session_is_handed_over_before_its_24_hours_end() -> None:
    venue = opened()
    venue.on_frame(BINANCE_ANSWER, NOW_NS)
    hour = 3600 * NS_PER_S
    assert all(not isinstance(action, HandOver) for action in venue.on_tick(NOW_NS + 23 * hour))
    assert venue.on_tick(NOW_NS + 24 * hour - hour // 2) == [HandOver("session_limit")]
    assert all(not isinstance(action, HandOver) for action in venue.on_tick(NOW_NS + 24 * hour))


def test_a_quiet_connection_is_asked_for_an_answer() -> None:
    venue = opened()
    venue.on_frame(BINANCE_ANSWER, NOW_NS)
    assert venue.on_tick(NOW_NS + 9 * NS_PER_S) == []
    assert venue.on_tick(NOW_NS + 10 * NS_PER_S) == [Send('{"method":"LIST_SUBSCRIPTIONS","id":2}')]
    assert venue.on_frame('{"result":["bnbbtc@trade"],"id":2}', NOW_NS + 11 * NS_PER_S) == [Alive()]
    assert venue.on_tick(NOW_NS + 20 * NS_PER_S) == []


def test_bad_trades_foreign_symbols_and_other_streams() -> None:
    venue = opened()
    assert refused_in(venue.on_frame(binance_combined(binance_trade(p="?")), NOW_NS)) == ["type"]
    assert refused_in(venue.on_frame(text(binance_trade(p="?")), NOW_NS)) == ["type"]
    assert refused_in(venue.on_frame(binance_combined(binance_trade(s="ETHBTC")), NOW_NS)) == ["product"]
    assert venue.on_frame(binance_combined({"e": "depthUpdate"}, "bnbbtc@depth"), NOW_NS) == [Alive()]
    assert isinstance(venue.on_frame('{"code":3,"msg":"Invalid JSON","id":77}', NOW_NS)[0], BadFrame)


def test_a_repair_goes_upwards_from_the_neighbour_below() -> None:
    venue = opened()
    request = venue.history_request("BNB-BTC", 28458, 31000, before_time_ns=0, after_time_ns=None)
    assert request.path == "/api/v3/historicalTrades"
    assert request.query == {"symbol": "BNBBTC", "fromId": "28457", "limit": "1000"}
    page = venue.on_history("BNB-BTC", request, BINANCE_HISTORY, {}, NOW_NS, first=28458, last=31000, origin="repair")
    (trade,) = page.trades
    assert (trade.trade_id, trade.side, str(trade.price)) == ("28457", "SELL", "4.00000100")
    assert page.next is not None
    assert page.next.query["fromId"] == "28458"
    page = venue.on_history("BNB-BTC", request, BINANCE_HISTORY, {}, NOW_NS, first=28450, last=28456, origin="repair")
    assert page.next is None


@pytest.mark.parametrize("body", [b'{"code":-1121,"msg":"Invalid symbol."}', BINANCE_HISTORY.replace(b"28457", b"3")])
def test_a_history_that_cannot_be_used_is_the_peers_fault(body: bytes) -> None:
    venue = opened()
    request = venue.history_request("BNB-BTC", 28458, 31000, before_time_ns=0, after_time_ns=None)
    with pytest.raises(PeerError):
        venue.on_history("BNB-BTC", request, body, {}, NOW_NS, first=28458, last=31000, origin="repair")
