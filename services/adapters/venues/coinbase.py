"""Coinbase Advanced Trade: the channels ``market_trades`` and ``heartbeats``."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.adapters.venues.base import Alive, Event, FramesLost
from services.adapters.venues.coinbase_shared import TAKER, CoinbaseVenue
from services.adapters.venues.parsing import UNUSABLE, bad_frame, bad_trade, time_ns, trades_event
from services.contracts.events import Origin, Trade


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

    _next_sequence = -1
    """The next frame's ``sequence_num``; below zero before the first."""
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
        if message.sequence_num == self._next_sequence:
            self._next_sequence += 1
            return events
        return self._lost(message.sequence_num) + events

    def _trades(self, message: _MarketTrades, received_ns: int) -> list[Event]:
        trades: list[Trade] = []
        for event in message.events:
            trades += self._normalised(event.trades, event.type, received_ns)
        return trades_event(trades)

    def _normalised(self, rows: list[_Trade], event_type: str, received_ns: int) -> list[Trade]:
        label, name, labels = self.label, self.name, self._labels
        origin: Origin = "snapshot" if event_type == "snapshot" else "live"
        return [
            Trade(
                label,
                labels[row.product_id],
                row.trade_id,
                int(row.trade_id),
                row.price,
                row.size,
                TAKER[row.side],
                time_ns(row.time),
                received_ns,
                origin,
                name,
            )
            for row in rows
        ]

    def _lost(self, sequence: int | None) -> list[Event]:
        """Frames missing before this one. One that is out of order or repeated says nothing."""
        expected = self._next_sequence
        if sequence is None or sequence < expected:
            return []
        self._next_sequence = sequence + 1
        return [FramesLost(sequence - expected)] if 0 <= expected < sequence else []

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
            for row in event.trades:
                try:
                    trades += self._normalised([_decode_trade(row)], event.type, received_ns)
                except UNUSABLE as error:
                    bad.append(bad_trade(error, frame))
        return bad + trades_event(trades)
