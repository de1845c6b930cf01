"""Binance spot: ``<symbol>@trade`` streams, and whatever else a recording holds.

Sources: https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md (raw and combined streams,
live subscribing; a stream of a symbol that does not exist is acknowledged and stays silent; a ping every 20 seconds),
https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md (``historicalTrades``, ``trades``).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from services.contracts.events import Side
from services.replay.dialects.base import (
    Answer,
    Dialect,
    RecordedFrame,
    Session,
    Shift,
    answer,
    bounded,
    decode_object,
    dumps,
    strings,
)
from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import NS_PER_MS

QUOTES = (
    "USDT",
    "USDC",
    "FDUSD",
    "TUSD",
    "BUSD",
    "USD1",
    "BTC",
    "ETH",
    "BNB",
    "EUR",
    "TRY",
    "BRL",
    "JPY",
    "GBP",
    "USD",
)
"""A recorded symbol has no separator: these tell where its base ends."""
METHODS = "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`"


class BinanceSession(Session):
    """Payloads are wrapped with their stream's name where the path is ``/stream``."""

    def __init__(self, market: Market, path: str) -> None:
        super().__init__(market)
        address = urlsplit(path)
        self._combined = address.path.rstrip("/") == "/stream"
        raw = address.path.removeprefix("/ws").strip("/") if address.path.startswith("/ws") else ""
        combined = "/".join(parse_qs(address.query).get("streams", []))
        self.streams.update(stream for stream in (raw, *combined.split("/")) if stream)

    @staticmethod
    def trade_stream(product_id: str) -> str:
        return f"{_symbol(product_id).lower()}@trade"

    def on_text(self, text: str, now_ns: int) -> list[str]:
        request = decode_object(text)
        method, params, identity = request.get("method"), strings(request.get("params")), {"id": request.get("id")}
        if not request:
            return [dumps({"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"})]
        if method == "SUBSCRIBE":
            self.streams.update(params)
        elif method == "UNSUBSCRIBE":
            self.streams.difference_update(params)
        elif method == "LIST_SUBSCRIPTIONS":
            return [dumps({"result": sorted(self.streams)} | identity)]
        else:
            message = f"Invalid request: unknown variant `{method}`, expected one of {METHODS}"
            return [dumps({"code": 2, "msg": message} | identity)]
        return [dumps({"result": None} | identity)]

    def encode(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        return [self._frame(trade, now_ns) for trade in trades]

    def _frame(self, trade: ExchangeTrade, now_ns: int) -> str:
        payload = {
            "e": "trade",
            "E": now_ns // NS_PER_MS,
            "s": _symbol(trade.product_id),
            "t": trade.number,
            "p": format(trade.price, "f"),
            "q": format(trade.size, "f"),
            "T": trade.time_ns // NS_PER_MS,
            "m": trade.side == "SELL",
            "M": True,
        }
        if not self._combined:
            return dumps(payload)
        return dumps({"stream": self.trade_stream(trade.product_id), "data": payload})

    def on_recorded(self, frame: RecordedFrame, now_ns: int) -> list[str]:
        """A recording of combined streams is unwrapped for a client of raw ones."""
        texts = super().on_recorded(frame, now_ns)
        return texts if self._combined else [dumps(decode_object(text).get("data")) for text in texts]


class Binance(Dialect):
    name: ClassVar[str] = "binance"
    time_resolution_ns: ClassVar[int] = NS_PER_MS
    beat_s: ClassVar[float] = 20.0
    pings: ClassVar[bool] = True

    def session(self, market: Market, path: str) -> Session:
        return BinanceSession(market, path)

    def history(self, market: Market, path: str, query: Mapping[str, str]) -> Answer:
        """``historicalTrades`` from ``fromId`` upwards, and ``trades``, the newest; both ascending."""
        if path not in ("/api/v3/historicalTrades", "/api/v3/trades"):
            return answer({"code": -1000, "msg": "Not found."}, 404)
        products = {_symbol(product): product for product in market.products}
        product = products.get(query.get("symbol", ""))
        if product is None:
            return answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        try:
            limit, first = bounded(query.get("limit"), 500), int(query.get("fromId", 0))
        except ValueError:
            return answer({"code": -1100, "msg": "Illegal characters found in a parameter."}, 400)
        from_first = path.endswith("historicalTrades") and "fromId" in query
        page = market.above(product, first - 1)[:limit] if from_first else market.newest(product, limit)
        return answer([_history_row(trade) for trade in page])

    def read(self, text: str) -> RecordedFrame | None:
        message = decode_object(text)
        stream, data = message.get("stream"), message.get("data")
        if not isinstance(stream, str) or not isinstance(data, dict):
            return None
        if data.get("e") != "trade":
            return RecordedFrame(stream, text=text)
        try:
            return RecordedFrame(stream, (_read_trade(data),), text=text)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None

    def shifted(self, frame: RecordedFrame, shift: Shift) -> RecordedFrame:
        moved = super().shifted(frame, shift)
        if frame.text is None:
            return moved
        message = decode_object(frame.text)
        data = message["data"]
        if data.get("e") == "trade":
            data["t"] += shift.numbers
        for key in ("E", "T"):
            if key in data:
                data[key] += shift.time_ns // NS_PER_MS
        return msgspec.structs.replace(moved, text=dumps(message))


def server_shutdown(now_ns: int) -> str:
    """The event that a server sends before it goes away."""
    return dumps({"e": "serverShutdown", "E": now_ns // NS_PER_MS})


def _history_row(trade: ExchangeTrade) -> dict[str, object]:
    return {
        "id": trade.number,
        "price": format(trade.price, "f"),
        "qty": format(trade.size, "f"),
        "quoteQty": format(trade.price * trade.size, "f"),
        "time": trade.time_ns // NS_PER_MS,
        "isBuyerMaker": trade.side == "SELL",
        "isBestMatch": True,
    }


def _read_trade(data: Mapping[str, Any]) -> ExchangeTrade:
    side: Side = "SELL" if data["m"] else "BUY"
    price, size = Decimal(data["p"]), Decimal(data["q"])
    return ExchangeTrade(_product(data["s"]), data["t"], price, size, side, data["T"] * NS_PER_MS)


def _symbol(product_id: str) -> str:
    return product_id.replace("-", "")


def _product(symbol: str) -> str:
    """``BTCUSDT`` is ``BTC-USDT``. Raises ValueError where no known quote ends it."""
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return f"{symbol.removesuffix(quote)}-{quote}"
    raise ValueError(f"{symbol} ends with no quote currency that is known here")
