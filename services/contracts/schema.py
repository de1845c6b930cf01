"""The JSON Schema of each topic's records, made from the structs. ``schemas/`` holds what is published."""

from typing import Any

import msgspec

from services.contracts.events import Candle, DeadLetter, FeedState, Indicators, RawTick, Trade, ValidatedTrade
from services.contracts.lab import BookUpdate, Execution, OrderCommand
from services.contracts.topics import Topic

RECORDS: dict[Topic, Any] = {
    Topic.MARKET_TRADES: Trade,
    Topic.CANDLES: Candle,
    Topic.INDICATORS: Indicators,
    Topic.FEED_STATE: FeedState,
    Topic.MARKET_TRADES_DLQ: DeadLetter,
    Topic.RAW_TICKS: RawTick,
    Topic.VALIDATED_TRADES: ValidatedTrade,
    Topic.RAW_TICKS_DLQ: DeadLetter,
    Topic.ORDERS: OrderCommand,
    Topic.EXECUTIONS: Execution,
    Topic.BOOK: BookUpdate,
    Topic.ORDERS_DLQ: DeadLetter,
}


def schema(topic: Topic) -> dict[str, Any]:
    """Draft 2020-12. Decimals are strings, times integer nanoseconds."""
    found = msgspec.json.schema(RECORDS[topic])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": str(topic), **found}
