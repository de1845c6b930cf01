"""Coinbase Exchange: the channels ``matches`` and ``heartbeat``."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.adapters.venues.base import Alive, Event, TailSeen, Trades
from services.adapters.venues.coinbase_shared import TAKER, CoinbaseVenue
from services.adapters.venues.parsing import UNUSABLE, bad_frame, bad_trade, time_ns
from services.contracts.events import Trade


class _Match(msgspec.Struct, gc=False, tag_field="type", tag="match"):
    trade_id: int
    product_id: str
    price: Decimal
    size: Decimal
    side: Literal["buy", "sell"]
    time: str


class _LastMatch(_Match, gc=False, tag_field="type", tag="last_match"):
    """The newest trade at the time of subscribing."""


class _Heartbeat(msgspec.Struct, gc=False, tag_field="type", tag="heartbeat"):
    product_id: str
    last_trade_id: int


class _Channel(msgspec.Struct, gc=False):
    name: str
    product_ids: list[str] = []


class _Subscriptions(msgspec.Struct, gc=False, tag_field="type", tag="subscriptions"):
    channels: list[_Channel]


class _Error(msgspec.Struct, gc=False, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _Envelope(msgspec.Struct, gc=False):
    type: str


_decode = msgspec.json.Decoder(_Match | _LastMatch | _Heartbeat | _Subscriptions | _Error).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class CoinbaseExchange(CoinbaseVenue):
    """One trade a frame; ``last_match`` after every subscription is history, not news.

    ``heartbeat`` names each product's last trade id every second, which shows a hole at the tail of a quiet product.
    Sources:

    - https://docs.cdp.coinbase.com/exchange/websocket-feed/overview
    - https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
    """

    name: ClassVar[str] = "coinbase-exchange"
    endpoint: ClassVar[str | None] = "wss://ws-feed.exchange.coinbase.com"

    def subscribe_messages(self, products: Sequence[str]) -> list[str]:
        message = {"type": "subscribe", "product_ids": products, "channels": ["matches", "heartbeat"]}
        return [msgspec.json.encode(message).decode()]

    def on_frame(self, frame: str | bytes, received_ns: int) -> list[Event]:
        try:
            message = _decode(frame)
            if isinstance(message, _Match):
                return [Trades([self._trade(message, received_ns)])]
            if type(message) is _Heartbeat:
                return [TailSeen(self._labels[message.product_id], message.last_trade_id)]
            if type(message) is _Subscriptions:
                matches = [channel.product_ids for channel in message.channels if channel.name == "matches"]
                return [self.subscribed([name for names in matches for name in names])]
            return self.refused(f"{message.message}: {message.reason}")
        except UNUSABLE as error:
            return _on_other_frame(frame, error)

    def _trade(self, row: _Match, received_ns: int) -> Trade:
        return Trade(
            self.label,
            self._labels[row.product_id],
            str(row.trade_id),
            row.trade_id,
            row.price,
            row.size,
            TAKER[row.side],
            time_ns(row.time),
            received_ns,
            "live" if type(row) is _Match else "snapshot",
            self.name,
        )


def _on_other_frame(frame: str | bytes, error: Exception) -> list[Event]:
    """A trade that cannot be used, a message of a type that is not ours, or no message at all."""
    try:
        kind = _decode_envelope(frame).type
    except UNUSABLE:
        return [bad_frame(error)]
    if kind in ("match", "last_match"):
        return [bad_trade(error, frame)]
    return [bad_frame(error)] if kind in ("heartbeat", "subscriptions", "error") else [Alive()]
