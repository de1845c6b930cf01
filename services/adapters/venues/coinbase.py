"""Coinbase Advanced Trade: the channels ``market_trades`` and ``heartbeats``."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.adapters.venues.base import Alive, Event, FramesLost
from services.adapters.venues.coinbase_shared import TAKER, CoinbaseVenue
from services.adapters.venues.parsing import UNUSABLE, bad_frame, bad_trade, time_ns, trades_event
from services.contracts.errors import PeerError
from services.contracts.events import Origin, Trade

SNAPSHOT = "snapshot"


class _Trade(msgspec.Struct, gc=False):
    trade_id: str
    product_id: str
    price: Decimal
    size: Decimal
    side: Literal["BUY", "SELL"]
    time: str


class _TradesEvent(msgspec.Struct, gc=False):
    type: str
    trades: list[_Trade]


class _SubscriptionsEvent(msgspec.Struct, gc=False):
    subscriptions: dict[str, list[str]] = {}


class _MarketTrades(msgspec.Struct, gc=False, tag_field="channel", tag="market_trades"):
    sequence_num: int
    events: list[_TradesEvent]


class _Heartbeats(msgspec.Struct, gc=False, tag_field="channel", tag="heartbeats"):
    sequence_num: int


class _Subscriptions(msgspec.Struct, gc=False, tag_field="channel", tag="subscriptions"):
    sequence_num: int
    events: list[_SubscriptionsEvent]


class _RawEvent(msgspec.Struct, gc=False):
    type: str = ""
    trades: list[msgspec.Raw] = []


class _Envelope(msgspec.Struct, gc=False):
    """Any frame at all, read when the quick way failed."""

    channel: str = ""
    type: str = ""
    message: str = ""
    sequence_num: int | None = None
    events: msgspec.Raw = msgspec.Raw(b"[]")


_decode = msgspec.json.Decoder(_MarketTrades | _Heartbeats | _Subscriptions).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_events = msgspec.json.Decoder(list[_RawEvent]).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode


class Coinbase(CoinbaseVenue):
    """Trades come several to a frame, newest first; a snapshot of 100 follows every subscription.

    ``sequence_num`` is contiguous per connection, across its channels: a hole means frames lost. A connection without
    ``heartbeats`` is closed after 60 to 90 quiet seconds. Sources:

    - https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
    - https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
    """

    name: ClassVar[str] = "coinbase"
    endpoint: ClassVar[str | None] = "wss://advanced-trade-ws.coinbase.com"

    _sequence: int | None = None
    _heartbeats_asked = False

    def subscribe_messages(self, products: Sequence[str]) -> list[str]:
        trades = {"type": "subscribe", "channel": "market_trades", "product_ids": products}
        messages = [msgspec.json.encode(trades).decode()]
        if not self._heartbeats_asked:
            self._heartbeats_asked = True
            messages.append('{"type":"subscribe","channel":"heartbeats"}')
        return messages

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        try:
            message = _decode(frame)
            events: list[Event]
            if type(message) is _MarketTrades:
                events = self._trades(message, received_ns)
            elif type(message) is _Subscriptions:
                products = [name for event in message.events for name in event.subscriptions.get("market_trades", ())]
                events = [self.subscribed(products)]
            else:
                events = [Alive()]
        except UNUSABLE:
            return self._on_other_frame(frame, received_ns)
        return self._lost(message.sequence_num) + events

    def _trades(self, message: _MarketTrades, received_ns: int) -> list[Event]:
        trades: list[Trade] = []
        for event in message.events:
            origin: Origin = "snapshot" if event.type == SNAPSHOT else "live"
            trades += [self._trade(row, origin, received_ns) for row in event.trades]
        return trades_event(trades)

    def _trade(self, row: _Trade, origin: Origin, received_ns: int) -> Trade:
        number = _number(row.trade_id)
        return Trade(
            self.label,
            self._labels[row.product_id],
            str(number),
            number,
            row.price,
            row.size,
            TAKER[row.side],
            time_ns(row.time),
            received_ns,
            origin,
            self.name,
        )

    def _lost(self, sequence: int | None) -> list[Event]:
        """Frames missing before this one. One that is out of order or repeated says nothing."""
        last = self._sequence
        if sequence is None or (last is not None and sequence <= last):
            return []
        self._sequence = sequence
        return [] if last is None or sequence == last + 1 else [FramesLost(sequence - last - 1)]

    def _on_other_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        """Errors, channels that are not ours, and trades of which some cannot be used."""
        try:
            envelope = _decode_envelope(frame)
            if envelope.type == "error":
                return self.refused(envelope.message)
            lost = self._lost(envelope.sequence_num)
            if envelope.channel != "market_trades":
                return [*lost, Alive()]
            return lost + self._salvage(_decode_events(envelope.events), frame, received_ns)
        except UNUSABLE as error:
            return [bad_frame(error)]

    def _salvage(self, raw_events: list[_RawEvent], frame: str | bytes, received_ns: int) -> list[Event]:
        """Trade by trade: the bad ones with their reasons, the others as usual."""
        trades: list[Trade] = []
        bad: list[Event] = []
        for event in raw_events:
            origin: Origin = "snapshot" if event.type == SNAPSHOT else "live"
            for row in event.trades:
                try:
                    trades.append(self._trade(_decode_trade(row), origin, received_ns))
                except UNUSABLE as error:
                    bad.append(bad_trade(error, frame))
        return bad + trades_event(trades)


def _number(trade_id: str) -> int:
    try:
        return int(trade_id)
    except ValueError:
        raise PeerError("trade_id", f"not a number: {trade_id[:50]!r}") from None
