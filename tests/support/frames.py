"""Frames as the exchanges' documentation shows them; each names its page."""

from typing import Any

import msgspec

from services.adapters.venues.base import BadTrade, Event, Trades
from services.contracts.events import Trade

Fields = dict[str, Any]

NOW_NS = 1_800_000_000_000_000_000


def text(message: object) -> str:
    return msgspec.json.encode(message).decode()


def trades_in(events: list[Event]) -> list[Trade]:
    return [trade for event in events if isinstance(event, Trades) for trade in event.trades]


def refused_in(events: list[Event]) -> list[str]:
    """The error types of the trades that could not be used."""
    return [event.error_type for event in events if isinstance(event, BadTrade)]


def coinbase_trade(number: str = "000000000", **changes: str) -> Fields:
    """https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels#market-trades-channel"""
    return {
        "trade_id": number,
        "product_id": "ETH-USD",
        "price": "1260.01",
        "size": "0.3",
        "side": "BUY",
        "time": "2019-08-14T20:42:27.265Z",
    } | changes


def coinbase_trades(*rows: Fields, kind: str = "update", sequence: int = 0) -> str:
    """The same page: a ``snapshot`` or an ``update``."""
    return text(
        {
            "channel": "market_trades",
            "client_id": "",
            "timestamp": "2023-02-09T20:19:35.39625135Z",
            "sequence_num": sequence,
            "events": [{"type": kind, "trades": rows}],
        }
    )


def coinbase_heartbeat(sequence: int = 0) -> str:
    """The same page, #heartbeats-channel; the time is Go's."""
    return text(
        {
            "channel": "heartbeats",
            "client_id": "",
            "timestamp": "2023-06-23T20:31:26.122969572Z",
            "sequence_num": sequence,
            "events": [
                {
                    "current_time": "2023-06-23 20:31:56.121961769 +0000 UTC m=+91717.525857105",
                    "heartbeat_counter": "3049",
                }
            ],
        }
    )


def coinbase_subscriptions(*products: str, sequence: int = 0) -> str:
    """https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview#subscribing"""
    subscriptions = {"market_trades": products, "heartbeats": ["heartbeats"]}
    return text(
        {
            "channel": "subscriptions",
            "client_id": "",
            "timestamp": "2023-02-09T20:19:35.39625135Z",
            "sequence_num": sequence,
            "events": [{"subscriptions": subscriptions}],
        }
    )


def exchange_match(kind: str = "match", **changes: object) -> str:
    """https://docs.cdp.coinbase.com/exchange/websocket-feed/channels#match"""
    return text(
        {
            "type": kind,
            "trade_id": 10,
            "sequence": 50,
            "maker_order_id": "ac928c66-ca53-498f-9c13-a110027a60e8",
            "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
            "time": "2014-11-07T08:19:27.028459Z",
            "product_id": "BTC-USD",
            "size": "5.23512",
            "price": "400.23",
            "side": "sell",
        }
        | changes
    )


EXCHANGE_HEARTBEAT = text(
    {
        "type": "heartbeat",
        "sequence": 90,
        "last_trade_id": 20,
        "product_id": "BTC-USD",
        "time": "2014-11-07T08:19:28.464459Z",
    }
)
"""https://docs.cdp.coinbase.com/exchange/websocket-feed/channels#heartbeat-channel"""

EXCHANGE_SUBSCRIPTIONS = text(
    {
        "type": "subscriptions",
        "channels": [
            {"name": "matches", "product_ids": ["BTC-USD"]},
            {"name": "heartbeat", "product_ids": ["BTC-USD"]},
        ],
    }
)
"""https://docs.cdp.coinbase.com/exchange/websocket-feed/overview#subscribe"""

EXCHANGE_REFUSAL = text(
    {"type": "error", "message": "Failed to subscribe", "reason": "GIBBERISH-USD is not a valid product"}
)
"""https://docs.cdp.coinbase.com/exchange/websocket-feed/errors"""

EXCHANGE_HISTORY = (
    b'[{"time":"2020-03-20T00:36:59.860Z","trade_id":86327327,'
    b'"price":"6225.32000000","size":"0.06469797","side":"sell"}]'
)
"""https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades"""

KRAKEN_SNAPSHOT = """{"channel":"trade","type":"snapshot","data":[
{"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":4665846,
"timestamp":"2023-09-25T07:48:36.925533Z"},
{"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":1136.19677815,"ord_type":"limit","trade_id":4665847,
"timestamp":"2023-09-25T07:49:36.925603Z"}]}"""
"""https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade"""

KRAKEN_UPDATE = """{"channel":"trade","type":"update","data":[
{"symbol":"MATIC/USD","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,
"timestamp":"2023-09-25T07:49:37.708706Z"}]}"""
"""The same page."""

KRAKEN_ANSWER = """{"method":"subscribe","result":{"channel":"trade","snapshot":true,"symbol":"MATIC/USD"},
"success":true,"time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}"""
"""The same page."""

KRAKEN_REFUSAL = """{"error":"Currency pair not supported MATIC/USD","method":"subscribe","success":false,
"symbol":"MATIC/USD","time_in":"2023-09-25T09:21:10.428340Z","time_out":"2023-09-25T09:21:10.428375Z"}"""
"""The same page."""

KRAKEN_HEARTBEAT = '{"channel":"heartbeat"}'
"""https://docs.kraken.com/api/docs/websocket-v2/heartbeat"""

KRAKEN_STATUS = """{"channel":"status","data":[{"api_version":"v2","connection_id":13834774380200032777,
"system":"online","version":"2.0.0"}],"type":"update"}"""
"""https://docs.kraken.com/api/docs/websocket-v2/status"""

KRAKEN_PONG = """{"method":"pong","req_id":101,"time_in":"2023-09-24T14:10:23.799685Z",
"time_out":"2023-09-24T14:10:23.799703Z"}"""
"""https://docs.kraken.com/api/docs/websocket-v2/ping"""

KRAKEN_HISTORY = b"""{"error":[],"result":{"XXBTZUSD":[
["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],
["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953],
["30243.30000","0.01235716",1688669602.698379,"s","m","",61044956]],"last":"1688671969993150842"}}"""
"""https://docs.kraken.com/api/docs/rest-api/get-recent-trades"""


def binance_trade(**changes: object) -> Fields:
    """https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md#trade-streams"""
    return {
        "e": "trade",
        "E": 1672515782136,
        "s": "BNBBTC",
        "t": 12345,
        "p": "0.001",
        "q": "100",
        "T": 1672515782136,
        "m": True,
        "M": True,
    } | changes


def binance_combined(payload: Fields, stream: str = "bnbbtc@trade") -> str:
    """The same page, #general-wss-information."""
    return text({"stream": stream, "data": payload})


BINANCE_SHUTDOWN = {"e": "serverShutdown", "E": 1770123456789}
"""The same page, #server-shutdown; the combined stream is ``!serverShutdown``."""

BINANCE_ANSWER = '{"result":null,"id":1}'
"""The same page, #subscribe-to-a-stream."""

BINANCE_REFUSAL = '{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}'
"""The same page, #error-messages."""

BINANCE_HISTORY = b"""[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
"time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]"""
"""https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md#old-trade-lookup"""
