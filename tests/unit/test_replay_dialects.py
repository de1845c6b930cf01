"""The fake exchange's protocols: what they say is what the real adapters understand."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.adapters.venues import registry
from services.adapters.venues.base import (
    Emit,
    Event,
    FramesLost,
    HistoryRequest,
    Rejected,
    Send,
    Subscribed,
    TailSeen,
    Trades,
    Venue,
)
from services.contracts.events import Side, Trade
from services.replay.dialects import dialect_of, names
from services.replay.dialects.base import Session, Shift
from services.replay.dialects.binance import server_shutdown
from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import NS_PER_MS, NS_PER_S, parse_rfc3339

NOW_NS = parse_rfc3339("2026-01-02T03:04:05.678Z")
PROTOCOLS = names()
SNAPSHOT = {"coinbase-exchange": 1, "coinbase": 100, "kraken": 50, "binance": 0}


def trade(number: int, product: str = "BTC-USD") -> ExchangeTrade:
    price = Decimal(50_000) + Decimal(number) / 100
    side: Side = "BUY" if number % 3 else "SELL"
    return ExchangeTrade(product, number, price, Decimal("0.00000001") * number, side, NOW_NS + number * NS_PER_MS)


def market_of(count: int, *products: str) -> Market:
    market = Market(products or ["BTC-USD"], 1_000_000)
    for product in market.products:
        for number in range(1, count + 1):
            market.add(trade(number, product))
    return market


def core(known: Trade) -> tuple[object, ...]:
    return known.product_id, known.trade_number, known.price, known.size, known.side, known.time


def truth(known: ExchangeTrade) -> tuple[object, ...]:
    return known.product_id, known.number, known.price, known.size, known.side, known.time_ns


class Wire:
    """A real adapter and a dialect's session, without the wire between them."""

    def __init__(self, protocol: str, market: Market, products: list[str]) -> None:
        self.dialect = dialect_of(protocol)
        self.venue: Venue = registry.load(protocol)(products)
        address = urlsplit(self.venue.url("ws://exchange" + self.dialect.path))
        self.session: Session = self.dialect.session(market, address.path)
        self.events: list[Event] = []
        self.now_ns = NOW_NS
        self.hear(self.session.on_open(self.now_ns))
        self._do(self.venue.on_open(self.now_ns))

    def hear(self, frames: list[str]) -> list[Event]:
        heard = [event for frame in frames for event in self.venue.on_frame(frame, self.now_ns)]
        self.events += heard
        return heard

    def subscribe(self, seconds: int = 10) -> None:
        """Let the adapter ask for what it paces."""
        for _ in range(seconds * 10):
            self.now_ns += NS_PER_S // 10
            self._do(self.venue.on_tick(self.now_ns))

    def of[T](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def _do(self, actions: Any) -> None:
        for action in actions:
            match action:
                case Send():
                    self.hear(self.session.on_text(action.text, self.now_ns))
                case Emit():
                    self.events += action.events
                case _:
                    pytest.fail(f"the adapter wants {action}")


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_adapter_subscribes_and_gets_the_documented_snapshot(protocol: str) -> None:
    wire = Wire(protocol, market_of(200, "BTC-USD", "ETH-USD"), ["BTC-USD", "ETH-USD"])
    wire.subscribe()

    assert {product for event in wire.of(Subscribed) for product in event.products} == {"BTC-USD", "ETH-USD"}
    snapshot = [known for event in wire.of(Trades) for known in event.trades if known.product_id == "BTC-USD"]
    expected = [truth(trade(number)) for number in range(201 - SNAPSHOT[protocol], 201)]
    assert [core(known) for known in snapshot] == expected
    assert {known.origin for known in snapshot} <= {"snapshot"}


def test_trades_reach_the_adapter_as_they_happened(protocol: str) -> None:
    market = market_of(0, "BTC-USD", "ETH-USD")
    wire = Wire(protocol, market, ["BTC-USD"])
    wire.subscribe()

    happened = [trade(number) for number in range(1, 6)]
    heard = wire.hear(wire.session.on_trades([*happened, trade(1, "ETH-USD")], wire.now_ns))

    known = [known for event in heard if isinstance(event, Trades) for known in event.trades]
    assert [core(item) for item in known] == [truth(item) for item in happened]
    assert {item.origin for item in known} == {"live"}


@pytest.mark.parametrize("protocol", ["coinbase-exchange", "coinbase", "kraken"])
def test_an_unknown_product_is_refused_and_the_other_subscribed(protocol: str) -> None:
    wire = Wire(protocol, market_of(3), ["NOPE-USD", "BTC-USD"])
    wire.subscribe()

    assert [event.product_id for event in wire.of(Rejected)] == ["NOPE-USD"]
    assert wire.session.follows("BTC-USD")
    assert not wire.session.follows("NOPE-USD")


def test_a_stream_of_an_unknown_symbol_is_acknowledged_by_binance() -> None:
    wire = Wire("binance", market_of(3), ["NOPE-USD"])
    wire.subscribe()

    assert wire.of(Subscribed)
    assert not wire.of(Rejected)


def history(protocol: str, market: Market, product: str, first: int, last: int) -> tuple[list[tuple[object, ...]], int]:
    """What the real adapter gets by following its own pages; and how many they were."""
    dialect, venue = dialect_of(protocol), registry.load(protocol)([product])
    request: HistoryRequest | None = venue.history_request(
        product, first, last, before_time_ns=trade(first - 1).time_ns, after_time_ns=trade(last + 1).time_ns
    )
    trades: list[Trade] = []
    pages = 0
    while request is not None:
        answer = dialect.history(market, request.path, dict(request.query))
        assert answer.status == 200, answer.body
        page = venue.on_history(
            product, request, answer.body, answer.headers, NOW_NS, first=first, last=last, origin="repair"
        )
        trades += page.trades
        request = page.next
        pages += 1
        assert pages < 20
    return sorted({core(known) for known in trades}, key=lambda values: int(str(values[1]))), pages


@pytest.mark.parametrize(("first", "last"), [(50, 50), (2, 2), (10, 2500)])
def test_the_adapter_repairs_from_the_history(protocol: str, first: int, last: int) -> None:
    known, pages = history(protocol, market_of(3000), "BTC-USD", first, last)

    wanted = [truth(trade(number)) for number in range(first - 1, last + 2)]
    assert [values for values in known if values in wanted] == wanted
    assert pages <= 4


def test_ids_that_never_were_are_absent_between_neighbours(protocol: str) -> None:
    market = market_of(10)
    market.skip("BTC-USD", 3)
    for number in range(14, 20):
        market.add(trade(number))

    known, _pages = history(protocol, market, "BTC-USD", 11, 13)

    numbers = [values[1] for values in known]
    assert {10, 14} <= set(numbers)
    assert not {11, 12, 13} & set(numbers)


def test_a_product_without_history_is_an_error(protocol: str) -> None:
    paths: Mapping[str, str] = {
        "coinbase": "/products/NOPE-USD/trades",
        "coinbase-exchange": "/products/NOPE-USD/trades",
        "kraken": "/0/public/Trades?pair=NOPEUSD&since=0",
        "binance": "/api/v3/historicalTrades?symbol=NOPEUSD",
    }
    address = urlsplit(paths[protocol])
    answer = dialect_of(protocol).history(market_of(1), address.path, dict(parse_qsl(address.query)))

    assert (answer.status, b"Unknown asset pair" in answer.body) in {(404, False), (400, False), (200, True)}


def test_before_gives_the_newest_page_of_the_exchange() -> None:
    """https://docs.cdp.coinbase.com/exchange/rest-api/pagination: ``before`` pages from the newest, down to it."""
    answer = dialect_of("coinbase-exchange").history(
        market_of(100), "/products/BTC-USD/trades", {"before": "90", "limit": "5"}
    )

    assert [row["trade_id"] for row in msgspec.json.decode(answer.body)] == [100, 99, 98, 97, 96]
    assert answer.headers == {"cb-before": "100", "cb-after": "96"}


def test_a_heartbeat_names_the_last_trade() -> None:
    wire = Wire("coinbase-exchange", market_of(7), ["BTC-USD"])

    assert wire.hear(wire.session.on_beat(NOW_NS)) == [TailSeen("BTC-USD", 7)]


def test_sequence_numbers_count_every_frame_of_a_connection() -> None:
    wire = Wire("coinbase", market_of(3), ["BTC-USD"])
    wire.subscribe()
    wire.hear(wire.session.on_beat(NOW_NS))
    lost = wire.session.on_trades([trade(4)], NOW_NS)
    heard = wire.hear(wire.session.on_trades([trade(5)], NOW_NS))

    assert len(lost) == 1
    assert [event for event in heard if isinstance(event, FramesLost)] == [FramesLost(1)]
    assert wire.of(FramesLost) == [FramesLost(1)]


def test_a_frame_of_several_trades_stands_newest_first() -> None:
    market = market_of(0)
    session = dialect_of("coinbase").session(market, "/")
    session.on_text('{"type":"subscribe","channel":"market_trades","product_ids":["BTC-USD"]}', NOW_NS)

    (frame,) = session.on_trades([trade(1), trade(2)], NOW_NS)

    event = msgspec.json.decode(frame)["events"][0]
    assert event["type"] == "update"
    assert [row["trade_id"] for row in event["trades"]] == ["2", "1"]
    assert event["trades"][0]["side"] == "SELL", "the maker's side of a taker that bought"


def test_kraken_sends_no_snapshot_unasked_and_a_heartbeat_when_quiet() -> None:
    session = dialect_of("kraken").session(market_of(3), "/v2")
    (ack,) = session.on_text('{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}', NOW_NS)

    assert msgspec.json.decode(ack)["result"] == {"channel": "trade", "snapshot": False, "symbol": "BTC/USD"}
    assert session.on_beat(NOW_NS) == []
    assert session.on_beat(NOW_NS) == ['{"channel":"heartbeat"}']
    session.on_trades([trade(4)], NOW_NS)
    assert session.on_beat(NOW_NS) == []


def test_kraken_answers_a_ping() -> None:
    (pong,) = dialect_of("kraken").session(market_of(0), "/v2").on_text('{"method":"ping","req_id":101}', NOW_NS)

    assert msgspec.json.decode(pong)["method"] == "pong"
    assert msgspec.json.decode(pong)["req_id"] == 101


def test_binance_wraps_combined_streams_only() -> None:
    dialect = dialect_of("binance")
    raw = dialect.session(market_of(0), "/ws/btcusd@trade")
    combined = dialect.session(market_of(0), "/stream?streams=btcusd@trade/ethusd@trade")

    assert combined.streams == {"btcusd@trade", "ethusd@trade"}
    payload = msgspec.json.decode(raw.on_trades([trade(3)], NOW_NS)[0])
    assert payload["e"] == "trade"
    assert payload["m"] is True, "the taker sold"
    assert msgspec.json.decode(combined.on_trades([trade(3)], NOW_NS)[0]) == {
        "stream": "btcusd@trade",
        "data": payload,
    }


def test_the_shutdown_of_a_server_makes_the_adapter_move() -> None:
    wire = Wire("binance", market_of(0), ["BTC-USD"])
    wire.subscribe()
    wire.hear([server_shutdown(NOW_NS)])

    assert [type(action).__name__ for action in wire.venue.on_tick(wire.now_ns)] == ["HandOver"]


def test_recorded_frames_are_read_back(protocol: str) -> None:
    dialect = dialect_of(protocol)
    wire = Wire(protocol, market_of(0), ["BTC-USDT"])
    wire.session.market.list_product("BTC-USDT")
    happened = [trade(number, "BTC-USDT") for number in (1, 2)]
    session = dialect.session(market_of(0, "BTC-USDT"), "/stream")
    session.streams.add(session.trade_stream("BTC-USDT"))

    read = [dialect.read(frame) for frame in session.on_trades(happened, NOW_NS)]

    assert [known for frame in read if frame for known in frame.trades] == happened
    assert not any(frame.snapshot for frame in read if frame)


def test_a_shift_moves_a_frame_and_its_trades_alike(protocol: str) -> None:
    dialect = dialect_of(protocol)
    session = dialect.session(market_of(0, "BTC-USDT"), "/stream")
    session.streams.add(session.trade_stream("BTC-USDT"))
    shift = Shift(1_000_000, 3600 * NS_PER_S)

    for text in session.on_trades([trade(5, "BTC-USDT")], NOW_NS):
        frame = dialect.read(text)
        assert frame is not None
        moved = dialect.shifted(frame, shift)
        assert moved.trades == (shift.trade(trade(5, "BTC-USDT")),)
        if moved.text is not None:
            again = dialect.read(moved.text)
            assert again is not None
            assert again.trades == moved.trades


KEYS = ["type", "channel", "channels", "product_ids", "method", "params", "symbol", "name", "id", "data", "events"]
KEYS += ["trades", "stream", "e", "snapshot", "product_id", "trade_id", "price"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.sampled_from(["subscribe", "trade", "BTC-USD", "matches"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@given(message=JSON, protocol=st.sampled_from(PROTOCOLS))
def test_nothing_that_a_client_sends_is_too_strange(message: object, protocol: str) -> None:
    dialect = dialect_of(protocol)
    text = msgspec.json.encode(message).decode()

    replies = dialect.session(market_of(1), "/stream").on_text(text, NOW_NS)

    assert all(isinstance(msgspec.json.decode(reply), dict) for reply in replies)
    dialect.read(text)
