"""Whether MarketFeeds become running feeds: the watch, reconciliation, and what the API server is asked."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Column, Query, Unit, figure, lines, over, table
from monitoring.boards.promql import HERE, REPLICA, also, events, or_zero, quantile, rate, running

OPERATOR = running("operator")
OF_OPERATOR = also(HERE, 'job="operator"')
WANTED = f"max by (feed_namespace, feed) (operator_feed_shards{HERE})"
READY = f"max by (feed_namespace, feed) (operator_feed_shards_ready{HERE})"

NOW = row(
    "Now",
    figure(
        "Shards missing",
        "Shards that MarketFeeds want and that have no ready pod.",
        Unit.COUNT,
        Query(f"sum({WANTED} - {READY})"),
        width=6,
        steps=over(red=1),
        alerts=("FeedWithoutPods",),
        board="feeds",
    ),
    figure(
        "Watch last seen alive",
        "Since a list last showed that the watch of MarketFeeds misses nothing.",
        Unit.SECONDS,
        Query(f"time() - max(operator_watch_checked_time_seconds{HERE})"),
        width=6,
        steps=over(orange=600, red=900),
        alerts=("OperatorWatchDead",),
    ),
    figure(
        "Waiting",
        "MarketFeeds waiting to be reconciled.",
        Unit.COUNT,
        Query(or_zero(f"sum(operator_queue_depth{HERE})", OPERATOR)),
        width=6,
        steps=over(orange=10, red=100),
    ),
    figure(
        "Pods restarted for silence",
        "Feeds' pods that the operator restarted in the last hour, because they received nothing.",
        Unit.COUNT,
        Query(or_zero(f"sum(increase(operator_stale_restarts_total{HERE}[1h]))", OPERATOR)),
        width=6,
        steps=over(orange=1, red=10),
        alerts=("FeedStale",),
    ),
    table(
        "MarketFeeds",
        "Shards that each MarketFeed wants (0 while paused), and those that have a ready pod.",
        {"feed_namespace": "Namespace", "feed": "MarketFeed"},
        Column("Wanted", Unit.COUNT, WANTED),
        Column("Ready", Unit.COUNT, READY),
        Column("Missing", Unit.COUNT, f"{WANTED} - {READY}", over(red=1)),
        width=12,
        alerts=("FeedWithoutPods",),
        board="feeds",
    ),
    lines(
        "MarketFeeds by condition",
        "MarketFeeds of which the condition is true.",
        Unit.COUNT,
        Query(f"sum by (condition) (operator_feeds{HERE})", "{{condition}}"),
        width=12,
        alerts=("FeedWithoutPods",),
    ),
)

RECONCILING = row(
    "Reconciliation",
    lines(
        "Reconciliations",
        "MarketFeeds looked at, by result.",
        Unit.PER_SECOND,
        Query(or_zero(rate("operator_reconciles_total", HERE, "result"), OPERATOR), "looked at {{result}}"),
        alerts=("OperatorReconcileErrors",),
    ),
    lines(
        "Duration",
        "One reconciliation.",
        Unit.SECONDS,
        Query(quantile(0.5, "operator_reconcile_duration_seconds"), "p50"),
        Query(quantile(0.99, "operator_reconcile_duration_seconds"), "p99"),
    ),
    lines(
        "Shards asked",
        "Shards asked for their status, by result.",
        Unit.PER_SECOND,
        Query(or_zero(rate("operator_polls_total", HERE, "result"), OPERATOR), "asked {{result}}"),
    ),
)

API_SERVER = row(
    "API server",
    lines(
        "Requests",
        "Requests to the API server, by verb and code.",
        Unit.REQUESTS_PER_SECOND,
        Query(rate("operator_api_requests_total", HERE, "verb, code"), "{{verb}} {{code}}"),
        alerts=("OperatorReconcileErrors",),
    ),
    lines(
        "Requests by resource",
        "What the requests are for.",
        Unit.REQUESTS_PER_SECOND,
        Query(rate("operator_api_requests_total", HERE, "resource"), "{{resource}}"),
    ),
    lines(
        "Writes",
        "Writes that the API server took. None, while nothing changes.",
        Unit.PER_MINUTE,
        Query(
            events("operator_api_writes_total", HERE, "verb, resource", OPERATOR),
            "wrote {{verb}} {{resource}}",
        ),
    ),
)

PROCESSES = row(
    "Process",
    lines(
        "Memory",
        "Resident memory of the operator.",
        Unit.BYTES,
        Query(f"max by ({REPLICA}) (process_resident_memory_bytes{OF_OPERATOR})", "{{pod}} {{instance}}"),
        alerts=("MemoryNearLimit",),
        board="dependencies",
    ),
    lines(
        "Processor",
        "Processor time used.",
        Unit.CORES,
        Query(rate("process_cpu_seconds_total", OF_OPERATOR, REPLICA), "{{pod}} {{instance}}"),
        board="dependencies",
    ),
    lines(
        "Event loop",
        "How late a timer fired, at worst.",
        Unit.SECONDS,
        Query(f"max by ({REPLICA}) ({OPERATOR})", "{{pod}} {{instance}}"),
        steps=over(red=0.5),
        alerts=("EventLoopLagHigh",),
        board="dependencies",
    ),
)

BOARD = Board(
    "operator",
    "Operator",
    "Whether MarketFeeds become running feeds: the watch, reconciliation, and what the API server is asked.",
    (Variable.NAMESPACE,),
    (NOW, RECONCILING, API_SERVER, PROCESSES),
)
