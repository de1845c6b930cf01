"""Coinbase Advanced Trade: the channels ``market_trades`` and ``heartbeats``.

Sources: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview,
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels. How an unknown product is
refused is not documented; here an error names it and the rest of the message is ignored, as on Coinbase Exchange. The
history is that of Coinbase Exchange: the two feeds have the same trades under the same ids.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from services.contracts.events import Side
from services.replay.dialects.base import (
    Answer,
    Dialect,
    RecordedFrame,
    Session,
    decode_object,
    dumps,
    strings,
    wire_time,
)
from services.replay.dialects.coinbase_exchange import product_trades
from services.replay.market import ExchangeTrade, Market
from services.runtime.clock import NS_PER_S, parse_rfc3339

SNAPSHOT_TRADES = 100
MAKER: dict[Side, Side] = {"BUY": "SELL", "SELL": "BUY"}
"""``side`` on the wire is the maker's."""
TAKER: dict[str, Side] = {"BUY": "SELL", "SELL": "BUY"}
HEARTBEATS = "heartbeats:heartbeats"


class CoinbaseSession(Session):
    """``sequence_num`` counts every frame of the connection, whatever its channel."""

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self._sequence = 0
        self._beats = 0

    @staticmethod
    def trade_stream(product_id: str) -> str:
        return f"market_trades:{product_id}"

    def on_text(self, text: str, now_ns: int) -> list[str]:
        message = decode_object(text)
        channel, kind = str(message.get("channel")), message.get("type")
        products = strings(message.get("product_ids"))
        unknown = [product for product in products if product not in self.market]
        if kind not in ("subscribe", "unsubscribe") or channel not in ("market_trades", "heartbeats"):
            return [_error("type or channel is not valid")]
        if unknown:
            return [_error(f"failed to {kind}: {unknown[0]} is not a valid product")]
        streams = [HEARTBEATS] if channel == "heartbeats" else [f"{channel}:{product}" for product in products]
        if kind == "unsubscribe":
            self.streams.difference_update(streams)
            return [self._subscriptions(now_ns)]
        return self._subscribe(streams, now_ns)

    def _subscribe(self, streams: Sequence[str], now_ns: int) -> list[str]:
        new = [stream for stream in dict.fromkeys(streams) if stream not in self.streams]
        self.streams.update(new)
        products = [stream.partition(":")[2] for stream in new if stream != HEARTBEATS]
        snapshots = [self.market.newest(product, SNAPSHOT_TRADES) for product in products]
        frames = [self._market_trades("snapshot", trades, now_ns) for trades in snapshots]
        return [*frames, self._subscriptions(now_ns)]

    def _subscriptions(self, now_ns: int) -> str:
        channels: dict[str, list[str]] = {}
        for channel, _, product in sorted(stream.partition(":") for stream in self.streams):
            channels.setdefault(channel, []).append(product)
        return self._frame("subscriptions", {"subscriptions": channels}, now_ns)

    def encode(self, trades: Sequence[ExchangeTrade], now_ns: int) -> list[str]:
        return [self._market_trades("update", trades, now_ns)]

    def _market_trades(self, kind: str, trades: Sequence[ExchangeTrade], now_ns: int) -> str:
        """The trades of one frame stand newest first."""
        return self._frame(
            "market_trades", {"type": kind, "trades": [_row(trade) for trade in reversed(trades)]}, now_ns
        )

    def on_beat(self, now_ns: int) -> list[str]:
        if HEARTBEATS not in self.streams:
            return []
        self._beats += 1
        event = {"current_time": _go_time(now_ns, self._beats), "heartbeat_counter": self._beats}
        return [self._frame("heartbeats", event, now_ns)]

    def _frame(self, channel: str, event: Mapping[str, object], now_ns: int) -> str:
        envelope = {"channel": channel, "client_id": "", "timestamp": wire_time(now_ns), "sequence_num": self._sequence}
        self._sequence += 1
        return dumps(envelope | {"events": [event]})


class Coinbase(Dialect):
    name: ClassVar[str] = "coinbase"

    def session(self, market: Market, path: str) -> Session:
        return CoinbaseSession(market)

    def history(self, market: Market, path: str, query: Mapping[str, str]) -> Answer:
        return product_trades(market, path, query)

    def read(self, text: str) -> RecordedFrame | None:
        message = decode_object(text)
        if message.get("channel") != "market_trades":
            return None
        try:
            rows = [row for event in message["events"] for row in event["trades"]]
            trades = tuple(sorted((_read_row(row) for row in rows), key=lambda trade: trade.number))
            snapshot = any(event["type"] == "snapshot" for event in message["events"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None
        return RecordedFrame("market_trades", trades, snapshot)


def _row(trade: ExchangeTrade) -> dict[str, str]:
    return {
        "trade_id": str(trade.number),
        "product_id": trade.product_id,
        "price": format(trade.price, "f"),
        "size": format(trade.size, "f"),
        "side": MAKER[trade.side],
        "time": wire_time(trade.time_ns),
    }


def _read_row(row: Mapping[str, Any]) -> ExchangeTrade:
    return ExchangeTrade(
        row["product_id"],
        int(row["trade_id"]),
        Decimal(row["price"]),
        Decimal(row["size"]),
        TAKER[row["side"]],
        parse_rfc3339(row["time"]),
    )


def _go_time(now_ns: int, running_s: int) -> str:
    """As Go's ``Time.String`` writes it, with the monotonic reading that the feed really sends."""
    seconds, nanoseconds = divmod(now_ns, NS_PER_S)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{head}.{nanoseconds:09d} +0000 UTC m=+{running_s}.000000001"


def _error(message: str) -> str:
    return dumps({"type": "error", "message": message})
