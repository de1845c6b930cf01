"""Kraken spot: the channel ``trade`` of WebSocket v2."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.adapters.venues.base import (
    Action,
    Alive,
    BadFrame,
    Event,
    HistoryPage,
    HistoryRequest,
    Rejected,
    RequestBudget,
    Send,
    Subscribed,
    Venue,
)
from services.adapters.venues.parsing import (
    MESSAGE_MAX,
    UNUSABLE,
    Labels,
    bad_frame,
    bad_trade,
    decode_history,
    time_ns,
    trades_event,
)
from services.contracts.errors import PeerError
from services.contracts.events import Origin, Side, Trade
from services.runtime.clock import NS_PER_MS, NS_PER_S

WEBSOCKET_NAMES = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's old names of assets to those of WebSocket v2."""
REST_NAMES = {usual: old for old, usual in WEBSOCKET_NAMES.items()}

GROUP_MAX = 100
QUIET_NS = 2 * NS_PER_S
"""After this long without a frame a ping asks for one. Heartbeats only come once something is subscribed."""
PAGE_MAX = 1000
NS_PER_US = 1_000
TIME_MAX_S = 10**10
SINCE_MARGIN_NS = NS_PER_MS
"""``since`` is exclusive and finer than the socket's times: the neighbour below the gap must be on the page."""

_TAKER: dict[str, Side] = {"buy": "BUY", "sell": "SELL", "b": "BUY", "s": "SELL"}


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    qty: Decimal
    trade_id: int
    timestamp: str


class _Trades(msgspec.Struct, gc=False, tag_field="channel", tag="trade"):
    type: str
    data: list[_Trade]


class _Heartbeat(msgspec.Struct, gc=False, tag_field="channel", tag="heartbeat"):
    """Nothing but that the session lives."""


class _RawTrades(msgspec.Struct, gc=False):
    type: str
    data: list[msgspec.Raw]


class _Result(msgspec.Struct, gc=False):
    channel: str = ""
    symbol: str = ""


class _Envelope(msgspec.Struct, gc=False):
    """Any frame at all: answers to requests, channels that are not ours, and trades of which some cannot be used."""

    channel: str = ""
    method: str = ""
    success: bool = True
    symbol: str = ""
    error: str = ""
    result: _Result = msgspec.field(default_factory=_Result)


class _HistoryTrade(msgspec.Struct, gc=False, array_like=True):
    price: Decimal
    volume: Decimal
    time_s: Decimal
    side: Literal["b", "s"]
    order_type: str
    miscellaneous: str
    trade_id: int


class _History(msgspec.Struct, gc=False):
    error: list[str]
    result: dict[str, msgspec.Raw] = {}


_decode = msgspec.json.Decoder(_Trades | _Heartbeat).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_raw_trades = msgspec.json.Decoder(_RawTrades).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_HISTORY = msgspec.json.Decoder(_History)
_HISTORY_TRADES = msgspec.json.Decoder(list[_HistoryTrade])
_HISTORY_LAST = msgspec.json.Decoder(str)


class Kraken(Venue):
    """Prices and sizes are JSON numbers, so they are read from their text. A snapshot of 50 trades answers every
    subscription that asks for one; each symbol of a request is answered by itself. Sources:

    - https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade (``side`` is the taker's)
    - https://docs.kraken.com/api/docs/websocket-v2/heartbeat and https://docs.kraken.com/api/docs/websocket-v2/ping
    - https://docs.kraken.com/api/docs/rest-api/get-recent-trades (ascending from ``since``; ``last`` goes on)
    - https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits- (one public request a second)
    """

    name: ClassVar[str] = "kraken"
    exchange: ClassVar[str] = "kraken"
    endpoint: ClassVar[str | None] = "wss://ws.kraken.com/v2"
    history_endpoint: ClassVar[str | None] = "https://api.kraken.com"
    history_budget: ClassVar[RequestBudget] = RequestBudget(1, 1.0)
    history_by_time = True
    history_time_tolerance_ns: ClassVar[int] = NS_PER_US
    silence_limit_s: ClassVar[float] = 5.0
    ids_contiguous: ClassVar[bool] = True

    def __init__(
        self, products: Sequence[str], *, exchange: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(products, exchange=exchange, settings=settings)
        self._labels = Labels({_symbol(product, REST_NAMES, "/"): product for product in self.products})
        self._labels.update({_symbol(product, WEBSOCKET_NAMES, "/"): product for product in self.products})
        self._quiet_since_ns = 0
        self._pings = 0

    def on_open(self, now_ns: int) -> list[Action]:
        self._quiet_since_ns = now_ns
        symbols = [_symbol(product, WEBSOCKET_NAMES, "/") for product in self.products]
        return [Send(_subscribe(symbols[at : at + GROUP_MAX])) for at in range(0, len(symbols), GROUP_MAX)]

    def on_tick(self, now_ns: int) -> list[Action]:
        if now_ns - self._quiet_since_ns < QUIET_NS:
            return []
        self._quiet_since_ns = now_ns
        self._pings += 1
        return [Send(f'{{"method":"ping","req_id":{self._pings}}}')]

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        self._quiet_since_ns = received_ns
        try:
            message = _decode(frame)
            if type(message) is _Trades:
                return trades_event(self._normalised(message.data, message.type, received_ns))
            return [Alive()]
        except UNUSABLE:
            return self._on_other_frame(frame, received_ns)

    def _normalised(self, rows: list[_Trade], message_type: str, received_ns: int) -> list[Trade]:
        label, name, labels = self.label, self.name, self._labels
        origin: Origin = "snapshot" if message_type == "snapshot" else "live"
        return [
            Trade(
                label,
                labels[row.symbol],
                str(row.trade_id),
                row.trade_id,
                row.price,
                row.qty,
                _TAKER[row.side],
                time_ns(row.timestamp),
                received_ns,
                origin,
                name,
            )
            for row in rows
        ]

    def _on_other_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        try:
            envelope = _decode_envelope(frame)
            if envelope.channel == "trade":
                return self._salvage(_decode_raw_trades(frame), frame, received_ns)
            return [self._on_answer(envelope)] if envelope.method else [Alive()]
        except UNUSABLE as error:
            return [bad_frame(error)]

    def _on_answer(self, answer: _Envelope) -> Event:
        message = answer.error[:MESSAGE_MAX]
        if message or not answer.success:
            symbol = answer.symbol or answer.result.symbol
            return Rejected(self._labels[symbol], message) if symbol else BadFrame(f"the exchange says: {message}")
        if answer.method == "subscribe" and answer.result.channel == "trade":
            return Subscribed((self._labels[answer.result.symbol],))
        return Alive()

    def _salvage(self, message: _RawTrades, frame: str | bytes, received_ns: int) -> list[Event]:
        """Trade by trade: the bad ones with their reasons, the others as usual."""
        trades: list[Trade] = []
        bad: list[Event] = []
        for row in message.data:
            try:
                trades += self._normalised([_decode_trade(row)], message.type, received_ns)
            except UNUSABLE as error:
                bad.append(bad_trade(error, frame))
        return bad + trades_event(trades)

    def history_request(
        self, product_id: str, first: int, last: int, *, before_time_ns: int, after_time_ns: int | None
    ) -> HistoryRequest:
        return _page(product_id, before_time_ns - SINCE_MARGIN_NS)

    def on_history(
        self,
        product_id: str,
        request: HistoryRequest,
        body: bytes,
        headers: Mapping[str, str],
        received_ns: int,
        *,
        first: int,
        last: int,
        origin: Origin,
    ) -> HistoryPage:
        rows, next_since_ns = _history_rows(body)
        trades = [
            Trade(
                self.label,
                product_id,
                str(row.trade_id),
                row.trade_id,
                row.price,
                row.volume,
                _TAKER[row.side],
                _time_ns(row.time_s),
                received_ns,
                origin,
                self.name,
            )
            for row in rows
        ]
        if len(rows) < PAGE_MAX or max(row.trade_id for row in rows) > last:
            return HistoryPage(trades, None)
        if next_since_ns <= int(request.cursor):
            raise PeerError("history", f"the page since {request.cursor} says to go on at {next_since_ns}")
        return HistoryPage(trades, _page(product_id, next_since_ns))


def _symbol(product: str, names: Mapping[str, str], separator: str) -> str:
    return separator.join(names.get(asset, asset) for asset in product.split("-"))


def _subscribe(symbols: Sequence[str]) -> str:
    """``snapshot`` is always said: its default has not always been the same."""
    request = {"method": "subscribe", "params": {"channel": "trade", "symbol": symbols, "snapshot": True}}
    return msgspec.json.encode(request).decode()


def _page(product_id: str, since_ns: int) -> HistoryRequest:
    query = {"pair": _symbol(product_id, REST_NAMES, ""), "since": str(since_ns), "count": str(PAGE_MAX)}
    return HistoryRequest("/0/public/Trades", query, cursor=str(since_ns))


def _time_ns(time_s: Decimal) -> int:
    """Seconds as a double's digits, whose last are noise, to the microsecond that the socket gives."""
    if not (time_s.is_finite() and 0 <= time_s < TIME_MAX_S):
        raise PeerError("history", f"the time {time_s!r:.50} is out of range")
    return int(time_s.scaleb(6)) * NS_PER_US


def _history_rows(body: bytes) -> tuple[list[_HistoryTrade], int]:
    """The trades, under whatever name Kraken gives the pair (``XXBTZUSD``), and ``last`` in nanoseconds."""
    answer = decode_history(_HISTORY, body)
    if answer.error:
        raise PeerError("history", "; ".join(answer.error)[:MESSAGE_MAX])
    pairs = [rows for name, rows in answer.result.items() if name != "last"]
    if len(pairs) != 1 or "last" not in answer.result:
        raise PeerError("history", f"one pair and ``last`` expected, got {sorted(answer.result)}"[:MESSAGE_MAX])
    last = decode_history(_HISTORY_LAST, bytes(answer.result["last"]))
    if not last.isdecimal() or len(last) > 20:
        raise PeerError("history", f"``last`` is {last[:50]!r}")
    return decode_history(_HISTORY_TRADES, bytes(pairs[0])), int(last)
