"""Kraken spot: the channel ``trade`` of WebSocket v2.

Sources: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade (50 trades in a snapshot, which is not
sent unless asked for; each symbol is answered by itself), https://docs.kraken.com/api/docs/websocket-v2/heartbeat
(about once a second while nothing else is sent), https://docs.kraken.com/api/docs/websocket-v2/ping,
https://docs.kraken.com/api/docs/websocket-v2/status,
https://docs.kraken.com/api/docs/rest-api/get-recent-trades (1000 trades after ``since``, oldest first).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from services.contracts.events import Side
from services.replay.dialects.base import (
    Answer,
    Dialect,
    RecordedFrame,
    Session,
    answer,
    bounded,
    decode_object,
    dumps,
    strings,
    wire_time,
)
from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import NS_PER_S, parse_rfc3339

SNAPSHOT_TRADES = 50
TAKER: dict[str, Side] = {"buy": "BUY", "sell": "SELL"}
SECONDS_MAX = 10**12
"""A ``since`` below this is in seconds, above it in nanoseconds: the documentation has examples of both."""
OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
OLD_ASSETS = frozenset({"XBT", "ETH", "ETC", "LTC", "XRP", "XLM", "XMR", "ZEC"})
OLD_CURRENCIES = frozenset({"USD", "EUR", "GBP", "JPY", "CAD"})
"""A pair of these has an X before the one and a Z before the other: ``XXBTZUSD``."""

_KNOWN = (("subscribe", "trade"), ("unsubscribe", "trade"))

_numbers = msgspec.json.Encoder(decimal_format="number")


class KrakenSession(Session):
    _quiet = False

    @staticmethod
    def trade_stream(product_id: str) -> str:
        return f"trade:{product_id}"

    def on_open(self, now_ns: int) -> list[str]:
        status = {"version": "2.0.0", "system": "online", "api_version": "v2", "connection_id": now_ns}
        return [dumps({"channel": "status", "type": "update", "data": [status]})]

    def on_text(self, text: str, now_ns: int) -> list[str]:
        request = decode_object(text)
        method, params = str(request.get("method")), request.get("params")
        stamp = {"time_in": wire_time(now_ns), "time_out": wire_time(now_ns)}
        if "req_id" in request:
            stamp |= {"req_id": request["req_id"]}
        if method == "ping":
            return [dumps({"method": "pong"} | stamp)]
        if not isinstance(params, dict) or (method, params.get("channel")) not in _KNOWN:
            return [dumps({"method": method, "success": False, "error": "Method or channel not found"} | stamp)]
        snapshot = params.get("snapshot") is True
        answers = [self._asked(method, symbol, snapshot, stamp) for symbol in strings(params.get("symbol"))]
        return [frame for frames in answers for frame in frames]

    def _asked(self, method: str, symbol: str, snapshot: bool, stamp: dict[str, Any]) -> list[str]:
        product = symbol.replace("/", "-")
        if product not in self.market:
            refusal = {"method": method, "success": False, "error": f"Currency pair not supported {symbol}"}
            return [dumps(refusal | {"symbol": symbol} | stamp)]
        stream = self.trade_stream(product)
        if method == "unsubscribe":
            self.streams.discard(stream)
            return [
                dumps({"method": method, "success": True, "result": {"channel": "trade", "symbol": symbol}} | stamp)
            ]
        self.streams.add(stream)
        result = {"channel": "trade", "snapshot": snapshot, "symbol": symbol}
        frames = [dumps({"method": method, "success": True, "result": result} | stamp)]
        history = self.market.newest(product, SNAPSHOT_TRADES) if snapshot else []
        return [*frames, _trade_frame("snapshot", history)] if history else frames

    def encode(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        """One frame a symbol: a frame's trades are of one book."""
        self._quiet = False
        books: dict[str, list[ExchangeTrade]] = {}
        for trade in trades:
            books.setdefault(trade.product_id, []).append(trade)
        return [_trade_frame("update", book) for book in books.values()]

    def on_beat(self, now_ns: int) -> list[str]:
        quiet, self._quiet = self._quiet, True
        return ['{"channel":"heartbeat"}'] if quiet and self.streams else []


class Kraken(Dialect):
    name: ClassVar[str] = "kraken"
    path: ClassVar[str] = "/v2"

    def session(self, market: Market, path: str) -> Session:
        return KrakenSession(market)

    def history(self, market: Market, path: str, query: Mapping[str, str]) -> Answer:
        if path != "/0/public/Trades":
            return answer({"error": ["EGeneral:Unknown method"]}, 404)
        pairs = {alias: product for product in market.products for alias in pair_names(product)}
        product = pairs.get(query.get("pair", ""))
        if product is None:
            return answer({"error": ["EQuery:Unknown asset pair"]})
        try:
            since_ns, count = _nanoseconds(query.get("since", "0")), bounded(query.get("count"), 1000)
        except ValueError:
            return answer({"error": ["EGeneral:Invalid arguments"]})
        if "since" not in query and (newest := market.newest(product, count)):
            since_ns = newest[0].time_ns - 1
        page, last_ns = market.after(product, since_ns, count)
        result = {pair_names(product)[0]: [_history_row(trade) for trade in page], "last": str(last_ns)}
        return Answer(200, _numbers.encode({"error": [], "result": result}))

    def read(self, text: str) -> RecordedFrame | None:
        if decode_object(text).get("channel") != "trade":
            return None
        try:
            message = msgspec.json.decode(text, type=_TradeFrame)
            trades = tuple(_read_row(row) for row in message.data)
        except (KeyError, ValueError):
            return None
        return RecordedFrame("trade", trades, message.type == "snapshot")


class _Row(msgspec.Struct):
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str


class _TradeFrame(msgspec.Struct):
    type: str
    data: list[_Row]


def pair_names(product_id: str) -> list[str]:
    """What REST calls a product: first the name it answers with, then the others it understands."""
    base, _, quote = product_id.partition("-")
    old_base, old_quote = OLD_NAMES.get(base, base), OLD_NAMES.get(quote, quote)
    plain = [f"{old_base}{old_quote}", f"{base}{quote}", f"{base}/{quote}", f"{old_base}/{old_quote}"]
    is_old = old_base in OLD_ASSETS and old_quote in OLD_CURRENCIES
    return [f"X{old_base}Z{old_quote}", *plain] if is_old else plain


def _trade_frame(kind: str, trades: Sequence[ExchangeTrade]) -> str:
    """Prices and sizes are JSON numbers with every digit they have."""
    rows = [
        {
            "symbol": trade.product_id.replace("-", "/"),
            "side": trade.side.lower(),
            "price": trade.price,
            "qty": trade.size,
            "ord_type": "market",
            "trade_id": trade.number,
            "timestamp": wire_time(trade.time_ns),
        }
        for trade in trades
    ]
    return _numbers.encode({"channel": "trade", "type": kind, "data": rows}).decode()


def _history_row(trade: ExchangeTrade) -> list[Any]:
    seconds, nanoseconds = divmod(trade.time_ns, NS_PER_S)
    time_s = Decimal(f"{seconds}.{nanoseconds:09d}")
    price, size = format(trade.price, "f"), format(trade.size, "f")
    return [price, size, time_s, trade.side[0].lower(), "m", "", trade.number]


def _read_row(row: _Row) -> ExchangeTrade:
    product = row.symbol.replace("/", "-")
    return ExchangeTrade(product, row.trade_id, row.price, row.qty, TAKER[row.side], parse_rfc3339(row.timestamp))


def _nanoseconds(since: str) -> int:
    number = int(since)
    return number if number >= SECONDS_MAX else number * NS_PER_S
