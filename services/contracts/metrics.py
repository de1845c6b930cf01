"""Every metric's name, kind, labels and help, in one type. Rules, dashboards and docs refer to these names."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

LATENCY_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.02, 0.04, 0.07, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True)
class MetricSpec:
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = LATENCY_SECONDS


class Metric(Enum):
    # pipeline
    MESSAGES_PUBLISHED = MetricSpec(
        "messages_published_total", "counter", "Records acknowledged by Kafka.", ("exchange", "topic")
    )
    MESSAGES_CONSUMED = MetricSpec(
        "messages_consumed_total", "counter", "Records folded and stored.", ("consumer_group", "topic", "exchange")
    )
    MESSAGES_REPEATED = MetricSpec(
        "messages_repeated_total",
        "counter",
        "Trades already folded, dropped by their id.",
        ("consumer_group", "exchange"),
    )
    REDIS_WRITES = MetricSpec(
        "redis_writes_total", "counter", "Keys written to Redis.", ("consumer_group", "exchange", "keyspace")
    )
    DLQ_MESSAGES = MetricSpec(
        "dlq_messages_total",
        "counter",
        "Records refused: dead-lettered by raw_consumer and the feeds, counted by every group.",
        ("consumer_group", "topic", "error_type", "exchange"),
    )
    CONSUMER_LAG = MetricSpec(
        "consumer_lag", "gauge", "Records behind the end of the partition.", ("consumer_group", "topic", "partition")
    )
    POSITION_OUTSIDE_LOG = MetricSpec(
        "position_outside_log",
        "gauge",
        "1 while a stored position is outside the log and the partition is stopped.",
        ("consumer_group", "topic", "partition"),
    )
    OWNERSHIP_LOST = MetricSpec(
        "ownership_lost_total", "counter", "Commits rolled back: a newer owner has the partition.", ("consumer_group",)
    )
    BATCH_SECONDS = MetricSpec(
        "batch_duration_seconds", "histogram", "One batch: fold, publish, store.", ("consumer_group",)
    )
    BATCH_RECORDS = MetricSpec(
        "batch_records", "histogram", "Records in one batch.", ("consumer_group",), (1, 10, 100, 1_000, 10_000, 100_000)
    )
    INTERVALS_LOST = MetricSpec(
        "id_intervals_lost_total",
        "counter",
        "Holes given up because a product has too many.",
        ("consumer_group", "exchange"),
    )
    TRADES_BEYOND_RETENTION = MetricSpec(
        "trades_beyond_retention_total",
        "counter",
        "Trades older than the retention setting, not stored.",
        ("exchange",),
    )
    PRIMARY_KEY_REPEATS = MetricSpec(
        "primary_key_repeats_total", "counter", "Repeats that only the primary key stopped.", ("exchange",)
    )
    LATE_TRADES = MetricSpec(
        "late_trades_total",
        "counter",
        "Trades not above the highest folded: repairs, late ones.",
        ("consumer_group", "exchange"),
    )
    CANDLE_CORRECTIONS = MetricSpec(
        "candle_corrections_total", "counter", "Closed bars stored again.", ("exchange", "resolution")
    )
    # feeds
    FEED_CONNECTED = MetricSpec("feed_connected", "gauge", "1 while the session is open.", ("exchange", "venue"))
    FEED_LAST_MESSAGE_AGE = MetricSpec(
        "feed_last_message_age_seconds", "gauge", "Since the last message of any kind.", ("exchange", "venue")
    )
    FEED_RECONNECTS = MetricSpec(
        "feed_reconnects_total", "counter", "Sessions ended, by reason.", ("exchange", "venue", "reason")
    )
    FEED_PRODUCTS_SUBSCRIBED = MetricSpec(
        "feed_products_subscribed", "gauge", "Products whose subscription is acknowledged.", ("exchange", "venue")
    )
    FEED_PRODUCTS_REJECTED = MetricSpec(
        "feed_products_rejected", "gauge", "Products that the exchange refused.", ("exchange", "venue")
    )
    FEED_BAD_FRAMES = MetricSpec("feed_bad_frames_total", "counter", "Frames skipped.", ("exchange", "venue"))
    FEED_FRAMES_LOST = MetricSpec(
        "feed_frames_lost_total", "counter", "Frames missing by the exchange's own sequence.", ("exchange", "venue")
    )
    FEED_GAPS_OPEN = MetricSpec("feed_gaps_open", "gauge", "Gaps not closed.", ("exchange", "product_id"))
    FEED_GAPS_OPENED = MetricSpec("feed_gaps_opened_total", "counter", "Gaps seen.", ("exchange", "product_id"))
    FEED_TRADES_REPAIRED = MetricSpec(
        "feed_trades_repaired_total", "counter", "Missing trades fetched and published.", ("exchange", "product_id")
    )
    FEED_REPAIR_ERRORS = MetricSpec(
        "feed_repair_errors_total", "counter", "Repair requests that failed, by reason.", ("exchange", "reason")
    )
    FEED_REPAIR_TRUSTED = MetricSpec(
        "feed_repair_trusted", "gauge", "1 once the repair source agrees with the socket, 0 while off.", ("exchange",)
    )
    FEED_QUEUE_FRAMES = MetricSpec(
        "feed_queue_frames", "gauge", "Frames read from the socket and not yet published.", ("exchange", "venue")
    )
    FEED_LAST_TRADE_TIME = MetricSpec(
        "feed_last_trade_time_seconds", "gauge", "The exchange's time of the newest trade.", ("exchange", "product_id")
    )
    FEED_FRAME_TO_KAFKA = MetricSpec(
        "feed_frame_to_kafka_seconds", "histogram", "From a frame's arrival to Kafka's acknowledgement.", ("exchange",)
    )
    # edge
    FRAME_TO_CLIENT = MetricSpec(
        "gateway_frame_to_client_seconds",
        "histogram",
        "From a frame's arrival at the feed to the client's socket.",
        ("exchange",),
    )
    GATEWAY_CONNECTIONS = MetricSpec("gateway_connections", "gauge", "Open WebSocket connections.", ("channel",))
    GATEWAY_FRAMES_SENT = MetricSpec("gateway_frames_sent_total", "counter", "Frames written to clients.", ("channel",))
    GATEWAY_SLOW_CLIENT_CLOSES = MetricSpec(
        "gateway_slow_client_closes_total", "counter", "Clients closed because they did not read.", ("channel",)
    )
    GATEWAY_REFUSALS = MetricSpec(
        "gateway_refusals_total", "counter", "WebSocket connections refused, by reason.", ("reason",)
    )
    HTTP_REQUESTS = MetricSpec(
        "http_requests_total", "counter", "Requests answered.", ("service", "method", "route", "status")
    )
    HTTP_REQUEST_SECONDS = MetricSpec(
        "http_request_duration_seconds", "histogram", "Time to answer.", ("service", "method", "route")
    )
    RATE_LIMITED = MetricSpec("rate_limited_total", "counter", "Requests refused with 429.", ("service",))
    RATE_LIMIT_LOCAL = MetricSpec(
        "rate_limit_local_total", "counter", "Requests limited by this replica alone, Redis being away.", ("service",)
    )
    # runtime
    DEPENDENCY_UP = MetricSpec("dependency_up", "gauge", "1 while the dependency answers.", ("service", "dependency"))
    EVENT_LOOP_LAG = MetricSpec(
        "event_loop_lag_seconds", "gauge", "How late a timer fired, at worst in the last 15 s.", ("service",)
    )
