"""Coinbase Exchange: the channels ``matches`` and ``heartbeat``, and whatever else a recording holds.

Sources: https://docs.cdp.coinbase.com/exchange/websocket-feed/overview,
https://docs.cdp.coinbase.com/exchange/websocket-feed/channels, and for a subscription with an unknown product, which is
ignored as a whole, https://github.com/coinbase/coinbase-pro-node/issues/174. The history, with its cursors:
https://docs.cdp.coinbase.com/exchange/rest-api/pagination,
https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

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
    wire_time,
)
from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import parse_rfc3339

MAKER = {"BUY": "sell", "SELL": "buy"}
"""``side`` on the wire is the maker's."""
TAKER: dict[str, Side] = {"sell": "BUY", "buy": "SELL"}

_CHANNEL_OF = {
    "match": "matches",
    "last_match": "matches",
    "ticker": "ticker",
    "l2update": "level2",
    "snapshot": "level2",
}
"""What a recording has to play. Not its heartbeats: every client gets those of its own connection."""
_PATH = re.compile(r"/products/([^/]+)/trades")
_CURSOR_MAX = 2**63 - 1


class CoinbaseExchangeSession(Session):
    @staticmethod
    def trade_stream(product_id: str) -> str:
        return f"matches:{product_id}"

    def on_text(self, text: str, now_ns: int) -> list[str]:
        message = decode_object(text)
        streams = _streams(message)
        unknown = [product for _channel, product in streams if product not in self.market]
        if message.get("type") not in ("subscribe", "unsubscribe"):
            return [_error("Malformed JSON" if not message else f"Type {message.get('type')!r} is not valid")]
        if not streams:
            return [_error("Failed to subscribe", "No channels provided")]
        if unknown:
            return [_error("Failed to subscribe", f"{unknown[0]} is not a valid product")]
        if message["type"] == "unsubscribe":
            self.streams.difference_update(f"{channel}:{product}" for channel, product in streams)
            return [self._subscriptions()]
        return self._subscribe(streams)

    def _subscribe(self, streams: Iterable[tuple[str, str]]) -> list[str]:
        asked = dict.fromkeys(f"{channel}:{product}" for channel, product in streams)
        new = [stream for stream in asked if stream not in self.streams]
        self.streams.update(new)
        followed = [stream.partition(":")[2] for stream in new if stream.startswith("matches:")]
        last = [trade for product in followed for trade in self.market.newest(product, 1)]
        return [*(_match(trade, "last_match") for trade in last), self._subscriptions()]

    def _subscriptions(self) -> str:
        channels: dict[str, list[str]] = {}
        for channel, _, product in sorted(stream.partition(":") for stream in self.streams):
            channels.setdefault(channel, []).append(product)
        listed = [{"name": name, "product_ids": products} for name, products in channels.items()]
        return dumps({"type": "subscriptions", "channels": listed})

    def encode(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        return [_match(trade, "match") for trade in trades]

    def on_beat(self, now_ns: int) -> list[str]:
        channels = sorted(stream.partition(":")[::2] for stream in self.streams)
        return [self._heartbeat(product, now_ns) for channel, product in channels if channel == "heartbeat"]

    def _heartbeat(self, product: str, now_ns: int) -> str:
        newest = self.market.newest(product, 1)
        last = newest[0].number if newest else 0
        message = {"type": "heartbeat", "last_trade_id": last, "product_id": product, "sequence": last}
        return dumps(message | {"time": wire_time(now_ns)})


class CoinbaseExchange(Dialect):
    name: ClassVar[str] = "coinbase-exchange"

    def session(self, market: Market, path: str) -> Session:
        return CoinbaseExchangeSession(market)

    def history(self, market: Market, path: str, query: Mapping[str, str]) -> Answer:
        return product_trades(market, path, query)

    def read(self, text: str) -> RecordedFrame | None:
        message = decode_object(text)
        channel = _CHANNEL_OF.get(str(message.get("type")))
        if channel is None or "product_id" not in message:
            return None
        stream = f"{channel}:{message['product_id']}"
        if channel != "matches":
            return RecordedFrame(stream, text=text)
        try:
            trade = _read_match(message)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None
        return RecordedFrame(stream, (trade,), message["type"] == "last_match", text)

    def shifted(self, frame: RecordedFrame, shift: Shift) -> RecordedFrame:
        moved = super().shifted(frame, shift)
        if frame.text is None:
            return moved
        message = decode_object(frame.text)
        if "trade_id" in message:
            message["trade_id"] += shift.numbers
        if "time" in message:
            message["time"] = wire_time(parse_rfc3339(message["time"]) + shift.time_ns)
        return msgspec.structs.replace(moved, text=dumps(message))


def product_trades(market: Market, path: str, query: Mapping[str, str]) -> Answer:
    """``/products/{id}/trades``: newest first. ``after`` goes to older ones, ``before`` gives the newest down to it."""
    matched = _PATH.fullmatch(path)
    if matched is None or matched[1] not in market:
        return answer({"message": "NotFound"}, 404)
    product = matched[1]
    try:
        limit = bounded(query.get("limit"), 1000)
        after, before = int(query.get("after", _CURSOR_MAX)), int(query.get("before", -1))
    except ValueError:
        return answer({"message": "limit, before and after are numbers"}, 400)
    page = [trade for trade in market.below(product, after)[-limit:] if trade.number > before][::-1]
    cursors = {"cb-before": str(page[0].number), "cb-after": str(page[-1].number)} if page else {}
    return answer([_history_row(trade) for trade in page], headers=cursors)


def _history_row(trade: ExchangeTrade) -> dict[str, object]:
    return {
        "trade_id": trade.number,
        "side": MAKER[trade.side],
        "size": format(trade.size, "f"),
        "price": format(trade.price, "f"),
        "time": wire_time(trade.time_ns),
    }


def _match(trade: ExchangeTrade, kind: str) -> str:
    """``sequence`` is the product's own in all its channels; here it has no other than the trades."""
    row = _history_row(trade)
    return dumps({"type": kind, "product_id": trade.product_id, "sequence": trade.number} | row)


def _read_match(message: dict[str, Any]) -> ExchangeTrade:
    return ExchangeTrade(
        message["product_id"],
        int(message["trade_id"]),
        Decimal(message["price"]),
        Decimal(message["size"]),
        TAKER[message["side"]],
        parse_rfc3339(message["time"]),
    )


def _streams(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Channel and product of what is asked for; a channel is a name, or an object with products of its own."""
    products, channels = strings(message.get("product_ids")), message.get("channels")
    streams: list[tuple[str, str]] = []
    for channel in channels if isinstance(channels, list) else []:
        named = channel if isinstance(channel, dict) else {"name": channel}
        streams += [(str(named.get("name")), product) for product in strings(named.get("product_ids")) or products]
    return streams


def _error(message: str, reason: str = "") -> str:
    return dumps({"type": "error", "message": message} | ({"reason": reason} if reason else {}))
