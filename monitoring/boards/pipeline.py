"""From the log to the stores: who reads how far behind, what is refused, and whether bars are whole."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Query, Unit, lines, over, timeline, under
from monitoring.boards.promql import EXCHANGE, HERE, also, events, mean, or_zero, quantile, rate

GROUPS = f"consumer_lag{HERE}"
COMPLETE = rate("candles_closed_total", also(EXCHANGE, 'complete="true"'), "exchange")
PARTITION = "consumer_group, topic, partition"

LAG = row(
    "Lag",
    lines(
        "Lag",
        "Records behind the end of the log, by consumer group.",
        Unit.COUNT,
        Query(f"sum by (consumer_group) (consumer_lag{HERE})", "{{consumer_group}}"),
        steps=over(orange=1_000, red=10_000),
        alerts=("ConsumerLagHigh",),
        width=8,
    ),
    lines(
        "Worst partitions",
        "The ten partitions whose readers are furthest behind.",
        Unit.COUNT,
        Query(f"topk(10, max by ({PARTITION}) (consumer_lag{HERE}))", "{{consumer_group}} {{topic}} {{partition}}"),
        alerts=("ConsumerLagHigh", "ConsumerStuck"),
        width=16,
    ),
    lines(
        "Growth",
        "How fast the lag grows; below 0 a group is catching up.",
        Unit.PER_SECOND,
        Query(f"sum by (consumer_group) (deriv(consumer_lag{HERE}[$__rate_interval]))", "{{consumer_group}}"),
        from_zero=False,
        alerts=("ConsumerLagGrowing",),
        width=8,
    ),
    timeline(
        "Positions outside the log",
        "A partition is stopped while its stored position is not in the log: `tickplane positions` decides what then.",
        Query(
            f"max by (consumer_group, topic) (position_outside_log{HERE})",
            "{{consumer_group}} {{topic}}",
        ),
        states={0: ("inside", "green"), 1: ("outside", "red")},
        alerts=("PositionOutsideLog",),
        width=8,
    ),
    lines(
        "Partitions lost",
        "Commits rolled back, because a newer owner has the partition. A few at each rebalance are normal.",
        Unit.PER_MINUTE,
        Query(
            events("ownership_lost_total", HERE, "consumer_group", GROUPS, "consumer_group"),
            "{{consumer_group}}",
        ),
        width=8,
    ),
)

THROUGHPUT = row(
    "Throughput",
    lines(
        "Published",
        "Records acknowledged by Kafka, by topic.",
        Unit.PER_SECOND,
        Query(rate("messages_published_total", EXCHANGE, "topic"), "{{topic}}"),
        width=8,
    ),
    lines(
        "Read",
        "Records folded and stored. A group that has lag and reads nothing is stuck.",
        Unit.PER_SECOND,
        Query(rate("messages_consumed_total", EXCHANGE, "consumer_group, topic"), "{{consumer_group}} {{topic}}"),
        alerts=("ConsumerStuck",),
        width=16,
    ),
    lines(
        "Keys written to Redis",
        "By keyspace.",
        Unit.PER_SECOND,
        Query(rate("redis_writes_total", EXCHANGE, "consumer_group, keyspace"), "{{consumer_group}} {{keyspace}}"),
    ),
    lines(
        "Batches",
        "One batch: fold, publish, store. 95 of 100 are faster.",
        Unit.SECONDS,
        Query(quantile(0.95, "batch_duration_seconds", HERE, "consumer_group"), "{{consumer_group}}"),
    ),
    lines(
        "Records in a batch",
        "The mean. It grows with the lag, which is what makes catching up fast.",
        Unit.COUNT,
        Query(mean("batch_records", HERE, "consumer_group"), "{{consumer_group}}"),
    ),
)

REFUSED = row(
    "Refused, given up, repeated",
    lines(
        "Dead letters",
        "Records refused, by what is wrong with them.",
        Unit.PER_MINUTE,
        Query(
            events(
                "dlq_messages_total",
                EXCHANGE,
                "consumer_group, topic, error_type",
                GROUPS,
                "consumer_group",
            ),
            "{{consumer_group}} {{topic}} {{error_type}}",
        ),
        alerts=("DlqNonZero",),
        width=16,
    ),
    lines(
        "Holes given up",
        "Holes in a product's trade ids that are forgotten because it has too many: its bars stay incomplete.",
        Unit.PER_MINUTE,
        Query(
            events("id_intervals_lost_total", EXCHANGE, "consumer_group", GROUPS, "consumer_group"),
            "{{consumer_group}}",
        ),
        alerts=("IdIntervalsLost",),
        width=8,
    ),
    lines(
        "Late and old trades",
        "Late: not above the highest folded, such as repairs. Old: beyond the retention setting, left out.",
        Unit.PER_MINUTE,
        Query(
            events("late_trades_total", EXCHANGE, "consumer_group", GROUPS, "consumer_group"),
            "late, {{consumer_group}}",
        ),
        Query(
            events(
                "trades_beyond_retention_total",
                EXCHANGE,
                "exchange",
                f"feed_connected{EXCHANGE}",
                "exchange",
            ),
            "old, {{exchange}}",
        ),
        width=12,
    ),
    lines(
        "Repeats",
        "Trades that are in the log twice and were dropped by their id, and those that only the primary key stopped.",
        Unit.PER_SECOND,
        Query(
            or_zero(rate("messages_repeated_total", EXCHANGE, "consumer_group"), GROUPS, "consumer_group"),
            "{{consumer_group}}",
        ),
        Query(
            or_zero(rate("primary_key_repeats_total", EXCHANGE, "exchange"), f"feed_connected{EXCHANGE}", "exchange"),
            "by the key, {{exchange}}",
        ),
        width=12,
    ),
)

CANDLES = row(
    "Candles",
    lines(
        "Behind the feeds",
        "From the newest trade whose bar is stored to the newest that a feed has, by the exchange's clock.",
        Unit.SECONDS,
        Query(
            f"max by (exchange) (feed_last_trade_time_seconds{EXCHANGE})"
            f" - max by (exchange) (candles_newest_trade_time_seconds{EXCHANGE})",
            "{{exchange}}",
        ),
        from_zero=False,
        steps=over(red=60),
        alerts=("CandlesLate",),
    ),
    lines(
        "Complete bars",
        "The share of minute bars that were complete when they closed: every trade of theirs is known.",
        Unit.SHARE,
        Query(
            f"({or_zero(COMPLETE, f'candles_closed_total{EXCHANGE}', 'exchange')})"
            f" / {rate('candles_closed_total', EXCHANGE, 'exchange')}",
            "{{exchange}}",
        ),
        from_zero=False,
        steps=under(red=0.95, orange=0.99),
        alerts=("CompletenessBudgetBurn",),
    ),
    lines(
        "Corrections",
        "Closed bars stored again, because of a late or repaired trade, by resolution.",
        Unit.PER_MINUTE,
        Query(
            events(
                "candle_corrections_total",
                EXCHANGE,
                "resolution",
                f"candles_newest_trade_time_seconds{EXCHANGE}",
            ),
            "corrected {{resolution}}",
        ),
    ),
)

BOARD = Board(
    "pipeline",
    "Pipeline",
    "From the log to the stores: who reads how far behind, what is refused, and whether bars are whole.",
    (Variable.NAMESPACE, Variable.EXCHANGE),
    (LAG, THROUGHPUT, REFUSED, CANDLES),
)
