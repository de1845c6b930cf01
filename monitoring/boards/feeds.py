"""From the exchange's socket to the log: sessions, trades, gaps and their repair."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Column, Query, Unit, lines, over, table, timeline
from monitoring.boards.promql import EXCHANGE, HERE, PRODUCT, REPLICA, also, events, quantile, rate

SESSION = "exchange, venue"
SESSIONS = f"feed_connected{EXCHANGE}"
PRODUCTS = f"feed_last_trade_time_seconds{PRODUCT}"

NOW = row(
    "Now",
    timeline(
        "Sessions",
        "Whether each feed's session with its exchange is open. Of several shards the worst counts.",
        Query(
            f"min by ({SESSION}) (min_over_time(feed_connected{EXCHANGE}[$__rate_interval]))", "{{exchange}} {{venue}}"
        ),
        alerts=("FeedDisconnected",),
    ),
    table(
        "MarketFeeds",
        "Shards that each MarketFeed wants, and those that have a ready pod, as the operator sees them.",
        {"feed_namespace": "Namespace", "feed": "MarketFeed"},
        Column("Wanted", Unit.COUNT, f"max by (feed_namespace, feed) (operator_feed_shards{HERE})"),
        Column("Ready", Unit.COUNT, f"max by (feed_namespace, feed) (operator_feed_shards_ready{HERE})"),
        Column(
            "Missing",
            Unit.COUNT,
            f"max by (feed_namespace, feed) (operator_feed_shards{HERE})"
            f" - max by (feed_namespace, feed) (operator_feed_shards_ready{HERE})",
            over(red=1),
        ),
        width=12,
        alerts=("FeedWithoutPods",),
        board="operator",
    ),
)

TRADES = row(
    "Trades",
    lines(
        "Trades",
        "Trades acknowledged by Kafka, of every origin: live, snapshot, repair.",
        Unit.PER_SECOND,
        Query(rate("feed_trades_total", PRODUCT, "exchange"), "{{exchange}}"),
        stacked=True,
        alerts=("FeedStale",),
    ),
    lines(
        "Busiest products",
        "The ten products with most trades.",
        Unit.PER_SECOND,
        Query(f"topk(10, {rate('feed_trades_total', PRODUCT, 'exchange, product_id')})", "{{exchange}} {{product_id}}"),
    ),
    lines(
        "Oldest newest trades",
        "Since the newest trade, of the ten products that are quiet for longest. What is normal differs by product.",
        Unit.SECONDS,
        Query(
            f"topk(10, time() - max by (exchange, product_id) ({PRODUCTS} > 0))",
            "{{exchange}} {{product_id}}",
        ),
        alerts=("FeedStale",),
    ),
    lines(
        "Last message",
        "Since the exchange said anything at all, heartbeats included.",
        Unit.SECONDS,
        Query(f"max by ({SESSION}) (feed_last_message_age_seconds{EXCHANGE})", "{{exchange}} {{venue}}"),
        steps=over(orange=30, red=60),
        alerts=("FeedStale",),
    ),
    lines(
        "Frame to log",
        "From a frame's arrival to Kafka's acknowledgement of its trades.",
        Unit.SECONDS,
        Query(quantile(0.5, "feed_frame_to_kafka_seconds", EXCHANGE, "exchange"), "p50 {{exchange}}"),
        Query(quantile(0.99, "feed_frame_to_kafka_seconds", EXCHANGE, "exchange"), "p99 {{exchange}}"),
    ),
    lines(
        "Frames waiting",
        "Frames read from the socket and not yet published. Growing: Kafka is slower than the exchange.",
        Unit.COUNT,
        Query(f"max by ({SESSION}) (feed_queue_frames{EXCHANGE})", "{{exchange}} {{venue}}"),
    ),
)

HEALTH = row(
    "Sessions",
    lines(
        "Sessions ended",
        "By the reason.",
        Unit.PER_MINUTE,
        Query(
            events("feed_reconnects_total", EXCHANGE, "exchange, reason", SESSIONS, "exchange"),
            "{{exchange}} {{reason}}",
        ),
        width=12,
        alerts=("FeedDisconnected",),
    ),
    lines(
        "Products",
        "Products whose subscription is acknowledged, and those that the exchange refused.",
        Unit.COUNT,
        Query(f"sum by ({SESSION}) (feed_products_subscribed{EXCHANGE})", "subscribed, {{exchange}} {{venue}}"),
        Query(f"sum by ({SESSION}) (feed_products_rejected{EXCHANGE})", "refused, {{exchange}} {{venue}}"),
        width=12,
    ),
    lines(
        "Frames lost and bad",
        "Lost: missing by the exchange's own sequence. Bad: skipped, because they could not be read.",
        Unit.PER_MINUTE,
        Query(
            events("feed_frames_lost_total", EXCHANGE, SESSION, SESSIONS, SESSION),
            "lost, {{exchange}} {{venue}}",
        ),
        Query(
            events("feed_bad_frames_total", EXCHANGE, SESSION, SESSIONS, SESSION),
            "bad, {{exchange}} {{venue}}",
        ),
        width=12,
    ),
    lines(
        "Dead letters",
        "What an exchange sent as a trade and is none, by what is wrong with it.",
        Unit.PER_MINUTE,
        Query(
            events(
                "dlq_messages_total",
                also(EXCHANGE, 'consumer_group="feed"'),
                "exchange, error_type",
                SESSIONS,
                "exchange",
            ),
            "{{exchange}} {{error_type}}",
        ),
        width=12,
        alerts=("DlqNonZero",),
        board="pipeline",
    ),
)

REPAIR = row(
    "Gaps and repair",
    lines(
        "Open gaps",
        "Gaps that are not closed, of the ten products with most.",
        Unit.COUNT,
        Query(f"topk(10, sum by (exchange, product_id) (feed_gaps_open{PRODUCT}))", "{{exchange}} {{product_id}}"),
        steps=over(orange=1, red=10),
        alerts=("FeedGapsOpen",),
    ),
    lines(
        "Gaps seen, trades repaired",
        "Gaps as they are found; missing trades fetched from the exchange's history and published.",
        Unit.PER_MINUTE,
        Query(
            events("feed_gaps_opened_total", PRODUCT, "exchange", PRODUCTS, "exchange"),
            "gaps, {{exchange}}",
        ),
        Query(
            events("feed_trades_repaired_total", PRODUCT, "exchange", PRODUCTS, "exchange"),
            "repaired, {{exchange}}",
        ),
        alerts=("FeedGapsOpen",),
    ),
    lines(
        "Repair errors",
        "Requests to the exchange's history that failed, by reason.",
        Unit.PER_MINUTE,
        Query(
            events("feed_repair_errors_total", EXCHANGE, "exchange, reason", SESSIONS, "exchange"),
            "{{exchange}} {{reason}}",
        ),
        alerts=("FeedGapsOpen",),
    ),
    timeline(
        "Repair",
        "Repair is off until its source has agreed with the socket, and for ten minutes after it has not.",
        Query(f"min by (exchange) (feed_repair_trusted{EXCHANGE})", "{{exchange}}"),
        states={0: ("off", "orange"), 1: ("on", "green")},
        alerts=("FeedGapsOpen",),
    ),
    lines(
        "Restarts",
        "Times that a feed's process began anew.",
        Unit.COUNT,
        Query(
            f"sum by ({REPLICA}) (changes(process_start_time_seconds{also(HERE, 'job="feed"')}[$__rate_interval]))",
            "{{pod}} {{instance}}",
        ),
        width=12,
        alerts=("ServiceCrashLooping",),
        board="dependencies",
    ),
)

BOARD = Board(
    "feeds",
    "Feeds",
    "From the exchange's socket to the log: sessions, trades, gaps and their repair.",
    (Variable.NAMESPACE, Variable.EXCHANGE, Variable.PRODUCT),
    (NOW, TRADES, HEALTH, REPAIR),
)
