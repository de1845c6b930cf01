"""Every topic: its name, what its key is, and how it is kept. The one place that names them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LOG_IDENTITY_KEY = b"_log"
"""The key of ``feed_state`` that holds the log's identity, in partition 0."""

DAY_MS = 86_400_000


class Topic(StrEnum):
    MARKET_TRADES = "market_trades"
    CANDLES = "candles"
    INDICATORS = "indicators"
    FEED_STATE = "feed_state"
    RAW_FRAMES = "raw_frames"
    MARKET_TRADES_DLQ = "market_trades.dlq"
    RAW_TICKS = "raw_ticks"
    """Ticks that others publish to be validated. Made everywhere, empty where nobody does."""
    VALIDATED_TRADES = "validated_trades"
    RAW_TICKS_DLQ = "raw_ticks.dlq"
    ORDERS = "orders"
    """The order lab's journal: kept for ever, or the engine could not begin again."""
    EXECUTIONS = "executions"
    BOOK = "book"
    ORDERS_DLQ = "orders.dlq"


class Group(StrEnum):
    """Consumer groups, under the names that dashboards and alerts know."""

    RECORDER = "raw_consumer"
    CANDLES = "candle_builder"
    INDICATORS = "indicator_engine"
    VALIDATOR = "validator"
    MATCHING = "matching"


@dataclass(frozen=True)
class TopicSpec:
    """``retention_bytes_share`` is this topic's part of the byte cap given at install, shared by its partitions.

    ``partitioned_by`` says what is kept together: the products (their partitions are a setting), the market groups of
    the order lab (a partition each), or nothing (one partition).
    """

    topic: Topic
    partitioned_by: Literal["product", "market_group"] | None
    cleanup: Literal["delete", "compact"]
    retention_ms: int
    retention_bytes_share: float

    def config(self, *, partitions: int, retention_bytes: int) -> dict[str, str]:
        """The broker's settings. LogAppendTime: an idle bar closes by the broker's clock, one clock for all."""
        config = {"cleanup.policy": self.cleanup, "message.timestamp.type": "LogAppendTime"}
        if self.cleanup == "delete":
            config["retention.ms"] = str(self.retention_ms)
        else:
            # Small segments, cleaned early: whoever starts reads the whole of it.
            config |= {"segment.bytes": str(16 << 20), "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
        if self.retention_bytes_share > 0 and retention_bytes > 0:
            per_partition = max(1 << 20, int(retention_bytes * self.retention_bytes_share / partitions))
            config["retention.bytes"] = str(per_partition)
            config["segment.bytes"] = str(max(1 << 20, min(128 << 20, per_partition // 4)))
        return config


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(Topic.MARKET_TRADES, "product", "delete", 7 * DAY_MS, 0.5),
    TopicSpec(Topic.CANDLES, "product", "delete", 7 * DAY_MS, 0.15),
    TopicSpec(Topic.INDICATORS, "product", "delete", 7 * DAY_MS, 0.15),
    TopicSpec(Topic.FEED_STATE, "product", "compact", -1, 0),
    TopicSpec(Topic.RAW_FRAMES, "product", "delete", DAY_MS, 0),
    TopicSpec(Topic.MARKET_TRADES_DLQ, None, "delete", 30 * DAY_MS, 0.05),
    TopicSpec(Topic.VALIDATED_TRADES, "product", "delete", DAY_MS, 0.1),
    TopicSpec(Topic.RAW_TICKS, "product", "delete", DAY_MS, 0.04),
    TopicSpec(Topic.RAW_TICKS_DLQ, None, "delete", 30 * DAY_MS, 0.01),
    TopicSpec(Topic.ORDERS, "market_group", "delete", -1, 0),
    TopicSpec(Topic.EXECUTIONS, "market_group", "delete", 7 * DAY_MS, 0),
    TopicSpec(Topic.BOOK, "market_group", "delete", DAY_MS, 0),
    TopicSpec(Topic.ORDERS_DLQ, None, "delete", 30 * DAY_MS, 0),
)
