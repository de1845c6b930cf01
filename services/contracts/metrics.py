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
    debug: bool = False
    """For looking closer: no rule and no panel needs it. Every other metric is in one of them, a test says."""


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
        "batch_records",
        "histogram",
        "Records in one batch.",
        ("consumer_group",),
        (1, 10, 100, 1_000, 10_000, 100_000),
        debug=True,
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
        "Trades older than the retention setting, left out.",
        ("exchange",),
        debug=True,
    )
    PRIMARY_KEY_REPEATS = MetricSpec(
        "primary_key_repeats_total", "counter", "Repeats that only the primary key stopped.", ("exchange",), debug=True
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
    CANDLES_NEWEST_TRADE_TIME = MetricSpec(
        "candles_newest_trade_time_seconds",
        "gauge",
        "The exchange's time of the newest trade whose bar is stored.",
        ("exchange",),
    )
    CANDLES_CLOSED = MetricSpec(
        "candles_closed_total",
        "counter",
        "1m bars stored closed, each once: when a later trade tells whether it is complete.",
        ("exchange", "complete"),
    )
    # feeds
    FEED_TRADES = MetricSpec(
        "feed_trades_total",
        "counter",
        "Trades acknowledged by Kafka, of every origin: live, snapshot, repair.",
        ("exchange", "product_id"),
    )
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
    GATEWAY_SUBSCRIPTIONS = MetricSpec(
        "gateway_subscriptions", "gauge", "Series followed, over all clients of /v1/stream.", ("channel",)
    )
    GATEWAY_REQUESTS = MetricSpec(
        "gateway_requests_total", "counter", "Frames of clients of /v1/stream, by what came of them.", ("op", "result")
    )
    GATEWAY_RESUMES = MetricSpec(
        "gateway_resumes_total", "counter", "Resumes, by what answered them: memory, kafka, or why not.", ("source",)
    )
    GATEWAY_SLOW_CLIENTS = MetricSpec("gateway_slow_clients", "gauge", "Clients that do not read at the moment.")
    GATEWAY_UPDATES_SKIPPED = MetricSpec(
        "gateway_updates_skipped_total", "counter", "Updates of a state left out for clients that did not read."
    )
    GATEWAY_BOOK_LOSSES = MetricSpec(
        "gateway_book_losses_total",
        "counter",
        "Records of the topic book that do not fit the gateway's copy, by why: hole or checksum.",
        ("reason",),
    )
    GATEWAY_HEARTBEATS = MetricSpec(
        "gateway_heartbeats_total", "counter", "Heartbeats sent on quiet connections.", debug=True
    )
    GATEWAY_FLUSH_SECONDS = MetricSpec(
        "gateway_flush_duration_seconds", "histogram", "One flush: from the first client's socket to the last's."
    )
    GATEWAY_TICKS = MetricSpec(
        "gateway_ticks_total",
        "counter",
        "Frames of /ws/marketdata, by what became of them: answered, unanswered (the validator went away before it "
        "answered) or refused (no tick).",
        ("result",),
    )
    GATEWAY_TICK_SECONDS = MetricSpec(
        "gateway_tick_duration_seconds", "histogram", "From a tick's arrival to its answer at the client's socket."
    )
    GATEWAY_READ_PAUSES = MetricSpec(
        "gateway_read_pauses_total",
        "counter",
        "Times that a /ws/marketdata socket was not read for a while, by reason: in_flight, rate or slow_client.",
        ("reason",),
    )
    VALIDATOR_STREAM_FAILURES = MetricSpec(
        "gateway_validator_stream_failures_total",
        "counter",
        "Streams to the validator that broke or were never opened, by gRPC status.",
        ("code",),
    )
    VALIDATOR_BREAKER_STATE = MetricSpec(
        "gateway_validator_breaker_state",
        "gauge",
        "The circuit breaker before the validator: 0 closed, 1 half-open, 2 open.",
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
    # what api asks the stores and the log, so that no exporter is needed
    PROBE_UP = MetricSpec("probe_up", "gauge", "1 while the dependency answers api's probe.", ("dependency",))
    PROBE_SECONDS = MetricSpec(
        "probe_duration_seconds", "gauge", "How long the last answer to api's probe took.", ("dependency",)
    )
    POSTGRES_DATABASE_SIZE = MetricSpec("postgres_database_size_bytes", "gauge", "What the database takes on disk.")
    POSTGRES_DATABASE_SIZE_LIMIT = MetricSpec(
        "postgres_database_size_limit_bytes", "gauge", "What it may take, by the setting; absent without one."
    )
    POSTGRES_CONNECTIONS = MetricSpec(
        "postgres_connections", "gauge", "Clients that are connected to the server, in whatever database."
    )
    POSTGRES_CONNECTIONS_MAX = MetricSpec(
        "postgres_connections_max", "gauge", "Connections that the server takes: its max_connections."
    )
    REDIS_MEMORY_USED = MetricSpec("redis_memory_used_bytes", "gauge", "What Redis holds: its used_memory.")
    REDIS_MEMORY_MAX = MetricSpec(
        "redis_memory_max_bytes", "gauge", "What Redis may hold: its maxmemory; absent where it has none."
    )
    KAFKA_TOPIC_HEALTHY = MetricSpec(
        "kafka_topic_healthy", "gauge", "1 while api sees the topic, with a leader for each partition.", ("topic",)
    )
    # validator
    VALIDATOR_TICKS = MetricSpec(
        "validator_ticks_total",
        "counter",
        "Ticks answered, by origin and status.",
        ("origin", "status"),
    )
    VALIDATOR_STREAMS = MetricSpec("validator_streams", "gauge", "Open gRPC calls, by method.", ("method",))
    VALIDATOR_CALLS = MetricSpec(
        "validator_calls_total", "counter", "gRPC calls ended, by method and status code.", ("method", "code")
    )
    VALIDATOR_IN_FLIGHT = MetricSpec(
        "validator_verdicts_in_flight", "gauge", "Verdicts that Kafka has not acknowledged yet."
    )
    VALIDATOR_PUBLISH_RETRIES = MetricSpec(
        "validator_publish_retries_total", "counter", "Verdicts sent again, because Kafka did not acknowledge them."
    )
    VALIDATOR_WINDOW_TICKS = MetricSpec(
        "validator_window_ticks", "gauge", "Ticks and merged seconds kept for the VWAP, of all instruments.", debug=True
    )
    VALIDATOR_WINDOW_INSTRUMENTS = MetricSpec(
        "validator_window_instruments", "gauge", "Instruments whose ticks are kept.", debug=True
    )
    VALIDATOR_MERGED_TICKS = MetricSpec(
        "validator_merged_ticks_total", "counter", "Ticks merged per second: their instrument has too many.", debug=True
    )
    VALIDATOR_INSTRUMENTS_REFUSED = MetricSpec(
        "validator_instruments_refused_total", "counter", "Ticks of one instrument more than are kept."
    )
    VALIDATOR_SHARED_TICKS = MetricSpec(
        "validator_shared_ticks_total",
        "counter",
        "Valid ticks of other replicas, or of before the start, counted in.",
        debug=True,
    )
    # orders
    ORDERS_COMMANDS = MetricSpec(
        "orders_commands_total",
        "counter",
        "Commands of clients, by what came of them: received, repeated (an id that had the same body before) or "
        "unavailable (Kafka did not acknowledge it).",
        ("command", "result"),
    )
    ORDERS_REFUSALS = MetricSpec(
        "orders_refusals_total", "counter", "Requests refused, by the code of the answer.", ("code",)
    )
    ORDERS_PUBLISH_SECONDS = MetricSpec(
        "orders_publish_duration_seconds", "histogram", "From a command to Kafka's acknowledgement."
    )
    ORDERS_READS = MetricSpec(
        "orders_reads_total", "counter", "Trades and books asked for, by where they were found.", ("what", "source")
    )
    ORDERS_IDS_PRUNED = MetricSpec(
        "orders_ids_pruned_total", "counter", "Ids of clients that are free again.", debug=True
    )
    # order lab
    MATCHING_COMMANDS = MetricSpec(
        "matching_commands_total", "counter", "Commands of the journal done and stored, by kind.", ("command",)
    )
    MATCHING_EXECUTIONS = MetricSpec("matching_executions_total", "counter", "Executions stored.", ("symbol",))
    MATCHING_REFUSALS = MetricSpec(
        "matching_refusals_total",
        "counter",
        "Orders rejected, and other commands that changed nothing, by reason.",
        ("command", "reason"),
    )
    MATCHING_OPEN_ORDERS = MetricSpec("matching_open_orders", "gauge", "Orders that are open.", ("market_group",))
    MATCHING_CONSERVATION = MetricSpec(
        "matching_conservation_units",
        "gauge",
        "The sum of an asset over all accounts, the world and fees included, in units of 10^-18: 0, or money was made.",
        ("market_group", "asset"),
    )
    MATCHING_JOURNAL_TO_READABLE = MetricSpec(
        "matching_journal_to_readable_seconds",
        "histogram",
        "From the broker's time of a batch's oldest command to its results being in Postgres and Redis.",
    )
    MATCHING_RECOVERY_SECONDS = MetricSpec(
        "matching_recovery_seconds", "gauge", "How long the last recovery took: snapshot, replay.", ("market_group",)
    )
    MATCHING_REPLAYED = MetricSpec(
        "matching_replayed_commands",
        "gauge",
        "Commands that the last recovery replayed.",
        ("market_group",),
        debug=True,
    )
    MATCHING_SNAPSHOTS = MetricSpec(
        "matching_snapshots_total", "counter", "Snapshots of the engine's state, by what became of them.", ("result",)
    )
    # operator
    OPERATOR_RECONCILES = MetricSpec(
        "operator_reconciles_total", "counter", "MarketFeeds looked at, by result: ok or error.", ("result",)
    )
    OPERATOR_RECONCILE_SECONDS = MetricSpec("operator_reconcile_duration_seconds", "histogram", "One reconciliation.")
    OPERATOR_QUEUE_DEPTH = MetricSpec("operator_queue_depth", "gauge", "MarketFeeds waiting to be reconciled.")
    OPERATOR_FEEDS = MetricSpec(
        "operator_feeds", "gauge", "MarketFeeds of which the condition is true.", ("condition",)
    )
    OPERATOR_API_REQUESTS = MetricSpec(
        "operator_api_requests_total",
        "counter",
        "Requests to the API server.",
        ("verb", "resource", "code"),
    )
    OPERATOR_API_WRITES = MetricSpec(
        "operator_api_writes_total", "counter", "Writes that the API server took.", ("verb", "resource")
    )
    OPERATOR_POLLS = MetricSpec(
        "operator_polls_total", "counter", "Shards asked for their status, by result: ok or error.", ("result",)
    )
    OPERATOR_STALE_RESTARTS = MetricSpec(
        "operator_stale_restarts_total", "counter", "Pods restarted because they received nothing."
    )
    OPERATOR_FEED_SHARDS = MetricSpec(
        "operator_feed_shards", "gauge", "Shards that a MarketFeed wants; 0 while paused.", ("feed_namespace", "feed")
    )
    OPERATOR_FEED_SHARDS_READY = MetricSpec(
        "operator_feed_shards_ready", "gauge", "Its shards that have a ready pod.", ("feed_namespace", "feed")
    )
    OPERATOR_WATCH_CHECKED_TIME = MetricSpec(
        "operator_watch_checked_time_seconds", "gauge", "When a list last showed that the watch is alive, in Unix time."
    )
    # runtime
    DEPENDENCY_UP = MetricSpec("dependency_up", "gauge", "1 while the dependency answers.", ("service", "dependency"))
    EVENT_LOOP_LAG = MetricSpec(
        "event_loop_lag_seconds", "gauge", "How late a timer fired, at worst in the last 15 s.", ("service",)
    )
    MEMORY_LIMIT = MetricSpec(
        "memory_limit_bytes", "gauge", "What the process' cgroup may take; absent without a limit.", ("service",)
    )
    TLS_CERTIFICATE_EXPIRY_TIME = MetricSpec(
        "tls_certificate_expiry_time_seconds",
        "gauge",
        "When the first certificate of the file of that setting expires, in Unix time.",
        ("service", "certificate"),
    )


PROCESS_METRICS = frozenset(
    {
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
    }
)
"""What prometheus-client says of every process by itself, as far as rules and dashboards use it."""

PROMETHEUS_METRICS = frozenset({"up", "ALERTS", "scrape_samples_scraped"})
"""What Prometheus says itself: of its targets and of its alerts."""
