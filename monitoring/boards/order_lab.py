"""From an order to its executions: entry, the journal, the engine, and that no money is made."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Query, Unit, lines
from monitoring.boards.promql import HERE, also, events, or_zero, quantile, rate, running

ORDERS = running("orders")
MATCHING = running("matching")
OF_ORDERS = also(HERE, 'service="orders"')
OF_MATCHING = also(HERE, 'consumer_group="matching"')

ENTRY = row(
    "Order entry",
    lines(
        "Commands",
        "Commands of clients: received, repeated (an id that had the same body) or unavailable (Kafka did not answer).",
        Unit.PER_SECOND,
        Query(
            or_zero(rate("orders_commands_total", HERE, "command, result"), ORDERS), "commands {{command}} {{result}}"
        ),
        alerts=("OrdersUnavailable",),
    ),
    lines(
        "Refused",
        "Requests refused, by the code of the answer.",
        Unit.PER_SECOND,
        Query(or_zero(rate("orders_refusals_total", HERE, "code"), ORDERS), "refused {{code}}"),
    ),
    lines(
        "Command to log",
        "From a command to Kafka's acknowledgement.",
        Unit.SECONDS,
        Query(quantile(0.5, "orders_publish_duration_seconds"), "p50"),
        Query(quantile(0.99, "orders_publish_duration_seconds"), "p99"),
    ),
    lines(
        "Requests",
        "HTTP requests answered, by status.",
        Unit.REQUESTS_PER_SECOND,
        Query(rate("http_requests_total", OF_ORDERS, "status"), "{{status}}"),
        stacked=True,
    ),
    lines(
        "Slowest routes",
        "95 of 100 requests are faster.",
        Unit.SECONDS,
        Query(quantile(0.95, "http_request_duration_seconds", OF_ORDERS, "method, route"), "{{method}} {{route}}"),
    ),
    lines(
        "Reads",
        "Trades and books asked for, by where they were found; ids of clients that are free again.",
        Unit.PER_SECOND,
        Query(or_zero(rate("orders_reads_total", HERE, "what, source"), ORDERS), "read {{what}} {{source}}"),
        Query(or_zero(rate("orders_ids_pruned_total"), ORDERS), "ids free again"),
    ),
)

ENGINE = row(
    "Matching",
    lines(
        "Commands done",
        "Commands of the journal done and stored, by kind. `clock` goes on without clients: none at all means that the "
        "engine stands still.",
        Unit.PER_SECOND,
        Query(or_zero(rate("matching_commands_total", HERE, "command"), MATCHING), "done {{command}}"),
        alerts=("MatchingStuck",),
    ),
    lines(
        "Lag",
        "Commands in the journal that are not done yet.",
        Unit.COUNT,
        Query(f"sum by (topic, partition) (consumer_lag{OF_MATCHING})", "{{topic}} {{partition}}"),
        alerts=("MatchingStuck", "ConsumerLagHigh"),
    ),
    lines(
        "Journal to readable",
        "From the broker's time of a batch's oldest command to its results being in Postgres and Redis.",
        Unit.SECONDS,
        Query(quantile(0.5, "matching_journal_to_readable_seconds"), "p50"),
        Query(quantile(0.99, "matching_journal_to_readable_seconds"), "p99"),
    ),
    lines(
        "Executions",
        "Executions stored, by symbol.",
        Unit.PER_SECOND,
        Query(or_zero(rate("matching_executions_total", HERE, "symbol"), MATCHING), "executions {{symbol}}"),
        stacked=True,
    ),
    lines(
        "Rejected",
        "Orders rejected, and other commands that changed nothing, by reason.",
        Unit.PER_SECOND,
        Query(
            or_zero(rate("matching_refusals_total", HERE, "command, reason"), MATCHING),
            "rejected {{command}} {{reason}}",
        ),
    ),
    lines(
        "Open orders",
        "Orders that are open, by market group.",
        Unit.COUNT,
        Query(f"sum by (market_group) (matching_open_orders{HERE})", "{{market_group}}"),
    ),
)

SAFETY = row(
    "Money and recovery",
    lines(
        "Conservation",
        "The sum of each asset over all accounts, the world and fees included, in units of 10^-18. Always 0: anything "
        "else is money made or lost.",
        Unit.COUNT,
        Query(f"sum by (market_group, asset) (matching_conservation_units{HERE})", "{{market_group}} {{asset}}"),
        from_zero=False,
        alerts=("ConservationBroken",),
    ),
    lines(
        "Snapshots",
        "Snapshots of the engine's state, by what became of them. Without any for long, a recovery replays much.",
        Unit.PER_MINUTE,
        Query(events("matching_snapshots_total", HERE, "result", MATCHING), "snapshots {{result}}"),
        alerts=("MatchingSnapshotsFail",),
    ),
    lines(
        "Last recovery",
        "How long the last recovery took: snapshot and replay.",
        Unit.SECONDS,
        Query(f"max by (market_group) (matching_recovery_seconds{HERE})", "{{market_group}}"),
        width=4,
    ),
    lines(
        "Replayed",
        "Commands that the last recovery replayed.",
        Unit.COUNT,
        Query(f"max by (market_group) (matching_replayed_commands{HERE})", "{{market_group}}"),
        width=4,
    ),
)

BOARD = Board(
    "order-lab",
    "Order lab",
    "From an order to its executions: entry, the journal, the engine, and that no money is made.",
    (Variable.NAMESPACE,),
    (ENTRY, ENGINE, SAFETY),
)
