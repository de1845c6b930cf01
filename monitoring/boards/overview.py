"""What to look at first: is anything wrong, for whom, and which board says more."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import RUNBOOKS, UP_OR_DOWN, Column, Query, Unit, figure, lines, over, table, under
from monitoring.boards.promql import EXCHANGE, HERE, QUERIES, REQUESTS, also, events, or_zero, quantile, rate, running
from monitoring.boards.service_levels import SERVICE_LEVELS

FIRING = '{alertstate="firing", namespace=~"$namespace|"}'
"""With those that are of no namespace: what is not there at all is nowhere."""

NOW = row(
    "Now",
    figure(
        "Alerts firing",
        "Of every severity. The table below says which.",
        Unit.COUNT,
        Query(f"count(ALERTS{FIRING}) or vector(0)"),
        steps=over(red=1),
    ),
    figure(
        "Targets down",
        "Processes that Prometheus cannot read.",
        Unit.COUNT,
        Query(f"sum(up{HERE} == bool 0)"),
        steps=over(red=1),
        alerts=("ApiDown", "ServiceDown", "ReplicaDown", "ServiceCrashLooping"),
        board="dependencies",
    ),
    figure(
        "Dependencies down",
        "Pairs of a service and what it cannot reach: a store, the log, an exchange, another service.",
        Unit.COUNT,
        Query(f"sum(dependency_up{HERE} == bool 0)"),
        steps=over(red=1),
        alerts=(
            "DependencyDown",
            "PostgresUnreachable",
            "KafkaUnreachable",
            "RedisUnreachable",
            "DependencyUnreachable",
        ),
        board="dependencies",
    ),
    figure(
        "Feeds disconnected",
        "Feeds whose session with the exchange is not open.",
        Unit.COUNT,
        Query(f"sum(feed_connected{EXCHANGE} == bool 0)"),
        steps=over(red=1),
        alerts=("FeedDisconnected",),
        board="feeds",
    ),
    figure(
        "Open gaps",
        "Runs of trades known to be missing, not repaired yet.",
        Unit.COUNT,
        Query(f"sum(feed_gaps_open{EXCHANGE})"),
        steps=over(orange=1, red=10),
        alerts=("FeedGapsOpen",),
        board="feeds",
    ),
    figure(
        "Worst lag",
        "Records that the slowest consumer group is behind, in one topic.",
        Unit.COUNT,
        Query(f"max(sum by (namespace, consumer_group, topic) (consumer_lag{HERE}))"),
        steps=over(orange=1_000, red=10_000),
        alerts=("ConsumerLagHigh",),
        board="pipeline",
    ),
    figure(
        "Dead letters in an hour",
        "Records refused in the last hour, by every reader.",
        Unit.COUNT,
        Query(or_zero(f"sum(increase(dlq_messages_total{EXCHANGE}[1h]))", f"consumer_lag{HERE}")),
        steps=over(red=1),
        alerts=("DlqNonZero",),
        board="pipeline",
    ),
    figure(
        "Assets not conserved",
        "Assets of the order lab whose sum over all accounts is not 0: money was made or lost.",
        Unit.COUNT,
        Query(f"sum(matching_conservation_units{HERE} != bool 0)"),
        steps=over(red=1),
        alerts=("ConservationBroken",),
        board="order-lab",
    ),
    table(
        "Firing alerts",
        "Each row's alert links to its runbook.",
        {"alertname": "Alert", "severity": "Severity", "namespace": "Namespace"},
        Column("Series", Unit.COUNT, f"count by (alertname, severity, namespace) (ALERTS{FIRING})"),
        key_links={"Alert": f"{RUNBOOKS}/${{__value.raw}}.md"},
        height=6,
        nothing="No alert fires",
    ),
)

LEVELS = row(
    "Service levels",
    *(
        figure(
            f"{level.name}: budget left",
            f"{level.description} Objective: {level.objective:.2%}. What is left of the misses that 30 days may have; "
            "below 0 the objective is missed.",
            Unit.SHARE,
            Query(level.budget_left()),
            width=6,
            steps=under(red=0, orange=0.25),
            alerts=level.alerts,
            range="30d",
        )
        for level in SERVICE_LEVELS
    ),
    lines(
        "Budget burnt",
        "How many times faster than the objective allows each budget is used up: at 1 it lasts 30 days, at 14.4 two.",
        Unit.COUNT,
        *(Query(level.burn_rate(), level.name) for level in SERVICE_LEVELS),
        width=24,
        steps=over(orange=1, red=14.4),
        alerts=[alert for level in SERVICE_LEVELS for alert in level.alerts],
    ),
)

TRAFFIC = row(
    "Traffic",
    lines(
        "Trades",
        "Trades that feeds have in the log, by exchange.",
        Unit.PER_SECOND,
        Query(rate("feed_trades_total", EXCHANGE, "exchange"), "{{exchange}}"),
        stacked=True,
        board="feeds",
    ),
    lines(
        "Records read",
        "Records folded and stored, by consumer group.",
        Unit.PER_SECOND,
        Query(rate("messages_consumed_total", EXCHANGE, "consumer_group"), "{{consumer_group}}"),
        board="pipeline",
    ),
    lines(
        "Frames to clients",
        "Frames written to WebSocket clients, by channel.",
        Unit.PER_SECOND,
        Query(or_zero(rate("gateway_frames_sent_total", HERE, "channel"), running("gateway")), "sent {{channel}}"),
        stacked=True,
        board="gateway",
    ),
    lines(
        "Requests",
        "HTTP requests answered, by service.",
        Unit.REQUESTS_PER_SECOND,
        Query(rate("http_requests_total", HERE, "service"), "{{service}}"),
        stacked=True,
        board="gateway",
    ),
    lines(
        "Clients",
        "Open WebSocket connections, by channel.",
        Unit.COUNT,
        Query(or_zero(f"sum by (channel) (gateway_connections{HERE})", running("gateway")), "open {{channel}}"),
        stacked=True,
        board="gateway",
    ),
    lines(
        "Commands",
        "Commands of the order lab done, by kind.",
        Unit.PER_SECOND,
        Query(or_zero(rate("matching_commands_total", HERE, "command"), running("matching")), "done {{command}}"),
        stacked=True,
        board="order-lab",
    ),
)

ANSWERED = also(HERE, REQUESTS)
FAILED = rate("http_requests_total", also(ANSWERED, 'status=~"5.."'), "service")

ERRORS = row(
    "Errors",
    lines(
        "Failed requests",
        "The share of HTTP requests answered with 5xx, by service.",
        Unit.SHARE,
        Query(
            f"({or_zero(FAILED, f'http_requests_total{ANSWERED}', 'service')})"
            f" / {rate('http_requests_total', ANSWERED, 'service')}",
            "{{service}}",
        ),
        steps=over(orange=0.001, red=0.05),
        alerts=("ApiErrorRatioHigh",),
        board="gateway",
    ),
    lines(
        "Dead letters",
        "Records refused, by consumer group.",
        Unit.PER_MINUTE,
        Query(
            events("dlq_messages_total", EXCHANGE, "consumer_group", f"consumer_lag{HERE}", "consumer_group"),
            "{{consumer_group}}",
        ),
        alerts=("DlqNonZero",),
        board="pipeline",
    ),
    lines(
        "Sessions ended",
        "Sessions with exchanges that ended, whatever the reason.",
        Unit.PER_MINUTE,
        Query(
            events("feed_reconnects_total", EXCHANGE, "exchange", f"feed_connected{EXCHANGE}", "exchange"),
            "{{exchange}}",
        ),
        alerts=("FeedDisconnected",),
        board="feeds",
    ),
)

LATENCY = row(
    "Latency",
    lines(
        "Exchange to client",
        "From a frame's arrival at the feed to the client's socket: 95 of 100 are faster.",
        Unit.SECONDS,
        Query(quantile(0.95, "gateway_frame_to_client_seconds", EXCHANGE, "exchange"), "{{exchange}}"),
        steps=over(red=0.25),
        alerts=("FreshnessBudgetBurn",),
        board="gateway",
    ),
    lines(
        "Requests",
        "Time to answer an HTTP request: 95 of 100 are faster.",
        Unit.SECONDS,
        Query(quantile(0.95, "http_request_duration_seconds", also(HERE, QUERIES), "service"), "{{service}}"),
        steps=over(orange=0.25, red=0.5),
        alerts=("ApiLatencyHigh",),
        board="gateway",
    ),
    lines(
        "Orders",
        "From a command's time in the journal to its results being readable: 95 of 100 are faster.",
        Unit.SECONDS,
        Query(quantile(0.95, "matching_journal_to_readable_seconds"), "journal to readable"),
        alerts=("MatchingStuck",),
        board="order-lab",
    ),
)

SATURATION = row(
    "Saturation",
    lines(
        "Lag",
        "Records behind the end of the log, by consumer group.",
        Unit.COUNT,
        Query(f"sum by (consumer_group) (consumer_lag{HERE})", "{{consumer_group}}"),
        alerts=("ConsumerLagHigh", "ConsumerLagGrowing"),
        board="pipeline",
    ),
    lines(
        "Event loop",
        "How late a timer fired, at worst, by service: a loop that is late is busy with one thing for too long.",
        Unit.SECONDS,
        Query(f"max by (service) (event_loop_lag_seconds{HERE})", "{{service}}"),
        steps=over(red=0.5),
        alerts=("EventLoopLagHigh",),
        board="dependencies",
    ),
    lines(
        "Memory",
        "Resident memory, by service.",
        Unit.BYTES,
        Query(f"sum by (job) (process_resident_memory_bytes{HERE})", "{{job}}"),
        stacked=True,
        alerts=("MemoryNearLimit",),
        board="dependencies",
    ),
)

FEEDS = row(
    "Feeds",
    table(
        "Exchanges",
        "Each exchange's feeds now. Of several shards the worst counts.",
        {"exchange": "Exchange", "namespace": "Namespace"},
        Column(
            "Session",
            Unit.STATE,
            f"min by (namespace, exchange) (feed_connected{EXCHANGE})",
            states=UP_OR_DOWN,
        ),
        Column("Trades", Unit.PER_SECOND, rate("feed_trades_total", EXCHANGE, "namespace, exchange")),
        Column(
            "Last message",
            Unit.SECONDS,
            f"max by (namespace, exchange) (feed_last_message_age_seconds{EXCHANGE})",
            over(orange=30, red=60),
        ),
        Column(
            "Newest trade",
            Unit.SECONDS,
            f"time() - max by (namespace, exchange) (feed_last_trade_time_seconds{EXCHANGE})",
        ),
        Column(
            "Open gaps",
            Unit.COUNT,
            f"sum by (namespace, exchange) (feed_gaps_open{EXCHANGE})",
            over(orange=1, red=10),
        ),
        Column(
            "Products",
            Unit.COUNT,
            f"sum by (namespace, exchange) (feed_products_subscribed{EXCHANGE})",
        ),
        board="feeds",
        alerts=("FeedDisconnected", "FeedStale"),
    ),
)

BOARD = Board(
    "overview",
    "Overview",
    "Is anything wrong, for whom, and which board says more.",
    (Variable.NAMESPACE, Variable.EXCHANGE),
    (NOW, LEVELS, FEEDS, TRAFFIC, ERRORS, LATENCY, SATURATION),
)
