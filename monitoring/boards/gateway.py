"""What clients get: WebSockets, REST, and ticks by way of the validator."""

from monitoring.boards.board import Board, Variable, row
from monitoring.boards.panels import Query, Unit, heat, lines, over, timeline, under
from monitoring.boards.promql import (
    EXCHANGE,
    HERE,
    QUERIES,
    REPLICA,
    also,
    events,
    or_zero,
    quantile,
    rate,
    running,
    within,
)

GATEWAY = running("gateway")
VALIDATOR = running("validator")
ROUTES = quantile(0.95, "http_request_duration_seconds", also(HERE, QUERIES), "service, method, route")
FRESH = "gateway_frame_to_client_seconds"

CLIENTS = row(
    "Clients",
    lines(
        "Connections",
        "Open WebSocket connections, by channel.",
        Unit.COUNT,
        Query(or_zero(f"sum by (channel) (gateway_connections{HERE})", GATEWAY), "open {{channel}}"),
        stacked=True,
    ),
    lines(
        "Subscriptions",
        "Series followed over all clients of /v1/stream, by channel.",
        Unit.COUNT,
        Query(or_zero(f"sum by (channel) (gateway_subscriptions{HERE})", GATEWAY), "followed {{channel}}"),
        stacked=True,
    ),
    lines(
        "Frames",
        "Frames written to clients, by channel; heartbeats are those of quiet connections.",
        Unit.PER_SECOND,
        Query(or_zero(rate("gateway_frames_sent_total", HERE, "channel"), GATEWAY), "sent {{channel}}"),
        Query(or_zero(rate("gateway_heartbeats_total"), GATEWAY), "heartbeats"),
        stacked=True,
    ),
    lines(
        "Refused connections",
        "By the reason.",
        Unit.PER_MINUTE,
        Query(events("gateway_refusals_total", HERE, "reason", GATEWAY), "refused {{reason}}"),
        width=12,
    ),
    lines(
        "Requests of /v1/stream",
        "Frames of clients, by what came of them.",
        Unit.PER_SECOND,
        Query(or_zero(rate("gateway_requests_total", HERE, "op, result"), GATEWAY), "asked {{op}} {{result}}"),
        width=12,
    ),
)

LATENCY = row(
    "Latency",
    heat(
        "Exchange to client: spread",
        "From a frame's arrival at the feed to the client's socket.",
        Unit.SECONDS,
        Query(rate(f"{FRESH}_bucket", EXCHANGE, "le")),
        alerts=("FreshnessBudgetBurn",),
    ),
    lines(
        "Exchange to client",
        "From a frame's arrival at the feed to the client's socket.",
        Unit.SECONDS,
        Query(quantile(0.5, FRESH, EXCHANGE, "exchange"), "p50 {{exchange}}"),
        Query(quantile(0.99, FRESH, EXCHANGE, "exchange"), "p99 {{exchange}}"),
        width=12,
        steps=over(red=0.25),
        alerts=("FreshnessBudgetBurn",),
    ),
    lines(
        "Fresh trades",
        "The share of trades that were at the client's socket within 250 ms.",
        Unit.SHARE,
        Query(within("0.25", FRESH, EXCHANGE, "exchange"), "{{exchange}}"),
        width=12,
        from_zero=False,
        steps=under(red=0.95, orange=0.99),
        alerts=("FreshnessBudgetBurn",),
    ),
    lines(
        "Flush",
        "One flush, from the first client's socket to the last's.",
        Unit.SECONDS,
        Query(quantile(0.5, "gateway_flush_duration_seconds"), "p50"),
        Query(quantile(0.99, "gateway_flush_duration_seconds"), "p99"),
        width=12,
    ),
)

SLOW = row(
    "Slow clients and holes",
    lines(
        "Slow clients",
        "Clients that do not read at the moment.",
        Unit.COUNT,
        Query(or_zero(f"sum(gateway_slow_clients{HERE})", GATEWAY), "slow"),
        width=6,
        alerts=("GatewaySlowClientCloses",),
    ),
    lines(
        "Closed, and updates skipped",
        "Clients closed because they did not read, by channel; updates of a state left out for them before that.",
        Unit.PER_MINUTE,
        Query(events("gateway_slow_client_closes_total", HERE, "channel", GATEWAY), "closed {{channel}}"),
        Query(events("gateway_updates_skipped_total", HERE, "", GATEWAY), "updates skipped"),
        width=6,
        alerts=("GatewaySlowClientCloses",),
    ),
    lines(
        "Resumes",
        "Resumes of clients that came back, by what answered them: memory, kafka, or why not.",
        Unit.PER_MINUTE,
        Query(events("gateway_resumes_total", HERE, "source", GATEWAY), "resumed {{source}}"),
        width=6,
    ),
    lines(
        "Books lost",
        "Records of the topic book that do not fit the gateway's copy: a hole before them, or another checksum.",
        Unit.PER_MINUTE,
        Query(events("gateway_book_losses_total", HERE, "reason", GATEWAY), "lost {{reason}}"),
        width=6,
        alerts=("GatewayBookLosses",),
    ),
)

REST = row(
    "REST",
    lines(
        "Requests",
        "Requests answered, by service and status.",
        Unit.REQUESTS_PER_SECOND,
        Query(rate("http_requests_total", HERE, "service, status"), "{{service}} {{status}}"),
        stacked=True,
        alerts=("ApiErrorRatioHigh",),
    ),
    lines(
        "Slowest routes",
        "The ten slowest routes but for streamed ranges: 95 of 100 requests are faster.",
        Unit.SECONDS,
        Query(
            f"topk(10, {ROUTES})",
            "{{service}} {{method}} {{route}}",
        ),
        steps=over(orange=0.25, red=0.5),
        alerts=("ApiLatencyHigh",),
    ),
    lines(
        "Rate limits",
        "Requests refused with 429, and requests that a replica limited alone because Redis was away.",
        Unit.REQUESTS_PER_SECOND,
        Query(
            or_zero(rate("rate_limited_total", HERE, "service"), f"http_requests_total{HERE}", "service"),
            "refused, {{service}}",
        ),
        Query(
            or_zero(rate("rate_limit_local_total", HERE, "service"), f"http_requests_total{HERE}", "service"),
            "without Redis, {{service}}",
        ),
        alerts=("RateLimitSpike", "RateLimiterWithoutRedis"),
    ),
)

TICKS = row(
    "Ticks",
    lines(
        "Ticks of clients",
        "Frames of /ws/marketdata: answered, unanswered (the validator went away) or refused (they are no tick).",
        Unit.PER_SECOND,
        Query(or_zero(rate("gateway_ticks_total", HERE, "result"), GATEWAY), "ticks {{result}}"),
    ),
    lines(
        "Tick to answer",
        "From a tick's arrival to its answer at the client's socket.",
        Unit.SECONDS,
        Query(quantile(0.5, "gateway_tick_duration_seconds"), "p50"),
        Query(quantile(0.99, "gateway_tick_duration_seconds"), "p99"),
    ),
    lines(
        "Sockets not read",
        "Times that a /ws/marketdata socket was not read for a while, by the limit that was reached.",
        Unit.PER_MINUTE,
        Query(events("gateway_read_pauses_total", HERE, "reason", GATEWAY), "paused {{reason}}"),
    ),
    timeline(
        "Breaker before the validator",
        "Open: the gateway does not ask the validator for a while, because it did not answer.",
        Query(f"max by ({REPLICA}) (gateway_validator_breaker_state{HERE})", "{{pod}} {{instance}}"),
        states={0: ("closed", "green"), 1: ("half-open", "orange"), 2: ("open", "red")},
        alerts=("ValidatorBreakerOpen",),
    ),
    lines(
        "Streams that failed",
        "Streams to the validator that broke or were never opened, by gRPC status.",
        Unit.PER_MINUTE,
        Query(events("gateway_validator_stream_failures_total", HERE, "code", GATEWAY), "failed {{code}}"),
        width=12,
        alerts=("ValidatorBreakerOpen",),
    ),
)

VERDICTS = row(
    "Validator",
    lines(
        "Verdicts",
        "Ticks answered, by where they came from and what was said.",
        Unit.PER_SECOND,
        Query(
            or_zero(rate("validator_ticks_total", HERE, "origin, status"), VALIDATOR), "verdicts {{origin}} {{status}}"
        ),
    ),
    lines(
        "Calls",
        "gRPC calls ended, by method and status.",
        Unit.PER_SECOND,
        Query(or_zero(rate("validator_calls_total", HERE, "method, code"), VALIDATOR), "ended {{method}} {{code}}"),
    ),
    lines(
        "Open calls",
        "gRPC calls that are open, by method.",
        Unit.COUNT,
        Query(or_zero(f"sum by (method) (validator_streams{HERE})", VALIDATOR), "open {{method}}"),
    ),
    lines(
        "Publishing",
        "Verdicts that Kafka has not acknowledged yet.",
        Unit.COUNT,
        Query(or_zero(f"sum(validator_verdicts_in_flight{HERE})", VALIDATOR), "in flight"),
        width=6,
    ),
    lines(
        "Sent again, refused",
        "Verdicts sent again, because Kafka did not acknowledge them; ticks of one instrument more than are kept.",
        Unit.PER_MINUTE,
        Query(events("validator_publish_retries_total", HERE, "", VALIDATOR), "sent again"),
        Query(events("validator_instruments_refused_total", HERE, "", VALIDATOR), "refused"),
        width=6,
    ),
    lines(
        "Windows",
        "What is kept for the VWAP, of all instruments.",
        Unit.COUNT,
        Query(f"sum(validator_window_ticks{HERE})", "ticks"),
        Query(f"sum(validator_window_instruments{HERE})", "instruments"),
        width=6,
    ),
    lines(
        "Ticks shared and merged",
        "Shared: valid ticks of other replicas counted in. Merged: kept per second, their instrument has too many.",
        Unit.PER_SECOND,
        Query(or_zero(rate("validator_shared_ticks_total"), VALIDATOR), "shared"),
        Query(or_zero(rate("validator_merged_ticks_total"), VALIDATOR), "merged"),
        width=6,
    ),
)

BOARD = Board(
    "gateway",
    "Gateway",
    "What clients get: WebSockets, REST, and ticks by way of the validator.",
    (Variable.NAMESPACE, Variable.EXCHANGE),
    (CLIENTS, LATENCY, SLOW, REST, TICKS, VERDICTS),
)
