"""Binance spot: ``<symbol>@trade`` streams of the market-data-only host."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from services.adapters.venues.base import (
    Action,
    Alive,
    BadFrame,
    Emit,
    Event,
    HandOver,
    HistoryPage,
    HistoryRequest,
    Rejected,
    RequestBudget,
    Send,
    Subscribed,
    Trades,
    Venue,
)
from services.adapters.venues.parsing import MESSAGE_MAX, UNUSABLE, Labels, bad_frame, bad_trade, decode_history
from services.adapters.venues.subscribing import Subscriber
from services.contracts.errors import PeerError
from services.contracts.events import Origin, Trade
from services.runtime.clock import NS_PER_MS, NS_PER_S

STREAMS_MAX = 1024
GROUP_MAX = 100
MESSAGE_INTERVAL_NS = 500 * NS_PER_MS
"""Two messages a second leave room for pongs below the limit of five."""
ANSWER_LIMIT_NS = 10 * NS_PER_S
SESSION_NS = (23 * 3600 + 1800) * NS_PER_S
"""A connection ends after 24 hours; half an hour earlier there is time to open another."""
QUIET_NS = 10 * NS_PER_S
"""After this long without a frame a request asks for one, so that a quiet product is told from a dead connection."""
PAGE_MAX = 1000

OUR_EVENTS = frozenset({"trade", "serverShutdown"})


class _Trade(msgspec.Struct, gc=False, tag_field="e", tag="trade"):
    symbol: str = msgspec.field(name="s")
    number: int = msgspec.field(name="t")
    price: Decimal = msgspec.field(name="p")
    size: Decimal = msgspec.field(name="q")
    time_ms: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")


class _Shutdown(msgspec.Struct, gc=False, tag_field="e", tag="serverShutdown"):
    """This connection will end soon."""


class _Combined(msgspec.Struct, gc=False):
    data: _Trade | _Shutdown


class _Error(msgspec.Struct, gc=False):
    msg: str = ""


class _Payload(msgspec.Struct, gc=False):
    event: str = msgspec.field(name="e", default="")


class _Envelope(msgspec.Struct, gc=False):
    """Any frame at all: answers to requests, raw streams, events that are not ours."""

    id: int | str | None = None
    event: str = msgspec.field(name="e", default="")
    data: _Payload = msgspec.field(default_factory=_Payload)
    error: _Error | None = None
    code: int | None = None
    msg: str = ""


class _HistoryTrade(msgspec.Struct, gc=False):
    id: int
    price: Decimal
    qty: Decimal
    time: int
    is_buyer_maker: bool = msgspec.field(name="isBuyerMaker")


_decode = msgspec.json.Decoder(_Combined).decode
_decode_raw = msgspec.json.Decoder(_Trade | _Shutdown).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_HISTORY = msgspec.json.Decoder(list[_HistoryTrade])


class Binance(Venue):
    """Symbols have no separator on the wire, so only the products asked for tell where one ends. ``m`` says that the
    buyer is the maker: then the taker sold. A stream of a symbol that does not exist is acknowledged and stays silent.

    The server pings every 20 seconds; the WebSocket library answers, and our own LIST_SUBSCRIPTIONS is answered by a
    frame where nothing else comes. Sources:

    - https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md (five messages a second, 1024
      streams, 24 hours, ``serverShutdown``)
    - https://github.com/binance/binance-spot-api-docs/blob/master/faqs/market_data_only.md (the data-stream host; of
      trades its REST host has only the newest 1000, ``/api/v3/trades``)
    - https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#old-trade-lookup (``historicalTrades``:
      no key, weight 25 of the 6000 that an address has a minute)
    """

    name: ClassVar[str] = "binance"
    exchange: ClassVar[str] = "binance"
    endpoint: ClassVar[str | None] = "wss://data-stream.binance.vision"
    history_endpoint: ClassVar[str | None] = "https://api.binance.com"
    history_budget: ClassVar[RequestBudget] = RequestBudget(2, 1.0)
    """Weight 3000 a minute, half of the limit."""
    silence_limit_s: ClassVar[float] = 30.0
    ids_contiguous: ClassVar[bool] = True

    def __init__(
        self, products: Sequence[str], *, exchange: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(products, exchange=exchange, settings=settings)
        asked, self._beyond = self.products[:STREAMS_MAX], self.products[STREAMS_MAX:]
        self._labels = Labels({_symbol(product): product for product in asked})
        self._subscriber = Subscriber(
            asked, group_max=GROUP_MAX, interval_ns=MESSAGE_INTERVAL_NS, answer_limit_ns=ANSWER_LIMIT_NS
        )
        self._opened_ns = self._quiet_since_ns = 0
        self._message_id = self._asked_id = 0
        self._leaving = ""

    def url(self, endpoint: str) -> str:
        """Combined streams, unless the endpoint says otherwise."""
        return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + "/stream"

    def on_open(self, now_ns: int) -> list[Action]:
        self._opened_ns = self._quiet_since_ns = now_ns
        beyond: list[Event] = [
            Rejected(product, f"a connection has at most {STREAMS_MAX} streams") for product in self._beyond
        ]
        return [*([Emit(beyond)] if beyond else []), *self.on_tick(now_ns)]

    def on_tick(self, now_ns: int) -> list[Action]:
        if self._leaving:
            reason, self._leaving = self._leaving, ""
            return [HandOver(reason)]
        if now_ns - self._opened_ns >= SESSION_NS:
            self._opened_ns = now_ns
            return [HandOver("session_limit")]
        if overdue := self._subscriber.overdue(now_ns):
            return overdue
        if group := self._subscriber.next_group(now_ns):
            message = self._request("SUBSCRIBE", [f"{_symbol(product).lower()}@trade" for product in group])
            self._asked_id = self._message_id
            return [message]
        if now_ns - self._quiet_since_ns >= QUIET_NS:
            self._quiet_since_ns = now_ns
            return [self._request("LIST_SUBSCRIPTIONS")]
        return []

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        self._quiet_since_ns = received_ns
        try:
            return self._on_payload(_decode(frame).data, received_ns)
        except UNUSABLE as error:
            return self._on_other_frame(frame, received_ns, error)

    def _on_payload(self, payload: _Trade | _Shutdown, received_ns: int) -> list[Event]:
        if type(payload) is not _Trade:
            self._leaving = "server_shutdown"
            return [Alive()]
        trade = Trade(
            self.label,
            self._labels[payload.symbol],
            str(payload.number),
            payload.number,
            payload.price,
            payload.size,
            "SELL" if payload.buyer_is_maker else "BUY",
            payload.time_ms * NS_PER_MS,
            received_ns,
            "live",
            self.name,
        )
        return [Trades([trade])]

    def _on_other_frame(self, frame: str | bytes, received_ns: int, error: Exception) -> list[Event]:
        """Raw streams, answers, events that are not ours, and trades that cannot be used because of ``error``."""
        try:
            envelope = _decode_envelope(frame)
        except UNUSABLE:
            return [bad_frame(error)]
        if envelope.error is not None or envelope.code is not None:
            return self._on_error(envelope)
        if envelope.event in OUR_EVENTS:
            return self._on_raw_stream(frame, received_ns)
        return [bad_trade(error, frame) if envelope.data.event in OUR_EVENTS else self._on_answer(envelope)]

    def _on_raw_stream(self, frame: str | bytes, received_ns: int) -> list[Event]:
        try:
            return self._on_payload(_decode_raw(frame), received_ns)
        except UNUSABLE as error:
            return [bad_trade(error, frame)]

    def _on_answer(self, answer: _Envelope) -> Event:
        if answer.id is None or answer.id != self._asked_id or not self._subscriber.asked:
            return Alive()
        products = self._subscriber.asked
        self._subscriber.acknowledged(products)
        return Subscribed(products)

    def _on_error(self, answer: _Envelope) -> list[Event]:
        message = (answer.error.msg if answer.error is not None else answer.msg)[:MESSAGE_MAX]
        if answer.id not in (None, self._asked_id) or not self._subscriber.asked:
            return [BadFrame(f"the exchange says: {message}")]
        return self._subscriber.refused(message)

    def _request(self, method: str, params: Sequence[str] = ()) -> Send:
        self._message_id += 1
        message = {"method": method, **({"params": params} if params else {}), "id": self._message_id}
        return Send(msgspec.json.encode(message).decode())

    def history_request(
        self, product_id: str, first: int, last: int, *, before_time_ns: int, after_time_ns: int | None
    ) -> HistoryRequest:
        return _page(product_id, max(0, first - 1), last)

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
        trades = [
            Trade(
                self.label,
                product_id,
                str(row.id),
                row.id,
                row.price,
                row.qty,
                "SELL" if row.is_buyer_maker else "BUY",
                row.time * NS_PER_MS,
                received_ns,
                origin,
                self.name,
            )
            for row in decode_history(_HISTORY, body)
        ]
        highest = max((trade.trade_number for trade in trades if trade.trade_number is not None), default=last + 1)
        if highest > last:
            return HistoryPage(trades, None)
        if highest < int(request.cursor):
            raise PeerError("history", f"the page from {request.cursor} ends at {highest}")
        return HistoryPage(trades, _page(product_id, highest + 1, last))


def _symbol(product: str) -> str:
    return product.replace("-", "")


def _page(product_id: str, first: int, last: int) -> HistoryRequest:
    """From ``first`` upwards, to the neighbour above ``last``."""
    limit = min(PAGE_MAX, max(1, last - first + 2))
    query = {"symbol": _symbol(product_id), "fromId": str(first), "limit": str(limit)}
    return HistoryRequest("/api/v3/historicalTrades", query, cursor=str(first))
