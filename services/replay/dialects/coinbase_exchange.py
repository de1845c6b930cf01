"""Coinbase Exchange's side: the channels ``matches`` and ``heartbeat``."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from services.contracts.events import Side
from services.replay.dialects.base import Answer, Dialect, encode, time_text
from services.replay.dialects.coinbase_history import MAKER, trades_page
from services.replay.history import ExchangeTrade

CHANNELS = frozenset({"matches", "heartbeat"})

_TAKER: dict[str, Side] = {"buy": "SELL", "sell": "BUY"}


class _Channel(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    channels: list[str | _Channel]
    product_ids: list[str] = []


class _Match(msgspec.Struct, gc=False):
    type: Literal["match", "last_match"]
    trade_id: int
    product_id: str
    price: Decimal
    size: Decimal
    side: Literal["buy", "sell"]
    time: msgspec.Raw
