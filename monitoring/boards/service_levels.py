"""What is promised, and how much of what may go wrong is left. The alerts of ``rules/slo.yaml`` watch the same."""

from dataclasses import dataclass

from monitoring.boards.promql import EXCHANGE, HERE, QUERIES, REQUESTS, also, or_zero

API = also(HERE, 'service="api"', REQUESTS)
API_QUERIES = also(HERE, 'service="api"', QUERIES)


@dataclass(frozen=True)
class ServiceLevel:
    name: str
    description: str
    objective: float
    good: str
    """Counts what went well, of ``all``."""
    all: str
    alerts: tuple[str, ...]

    def budget_left(self) -> str:
        """1 while nothing went wrong in the panel's range, 0 when as much did as may, less when more."""
        return f"1 - ({self.burn_rate('$__range')})"

    def burn_rate(self, window: str = "$__rate_interval") -> str:
        """1 where as much goes wrong as may."""
        good = or_zero(f"sum(increase({self.good}[{window}]))", self.all)
        return f"(1 - ({good}) / sum(increase({self.all}[{window}]))) / {1 - self.objective:.4g}"


SERVICE_LEVELS = (
    ServiceLevel(
        "Availability",
        "Requests to the API that are not answered with 5xx.",
        0.999,
        f"http_requests_total{also(API, 'status!~"5.."')}",
        f"http_requests_total{API}",
        ("ApiAvailabilityBudgetBurn",),
    ),
    ServiceLevel(
        "Latency",
        "Requests to the API that are answered within 250 ms.",
        0.99,
        f"http_request_duration_seconds_bucket{also(API_QUERIES, 'le="0.25"')}",
        f"http_request_duration_seconds_count{API_QUERIES}",
        ("ApiLatencyBudgetBurn",),
    ),
    ServiceLevel(
        "Freshness",
        "Trades that are at the client's socket within 250 ms of their arrival at the feed.",
        0.99,
        f"gateway_frame_to_client_seconds_bucket{also(EXCHANGE, 'le="0.25"')}",
        f"gateway_frame_to_client_seconds_count{EXCHANGE}",
        ("FreshnessBudgetBurn",),
    ),
    ServiceLevel(
        "Completeness",
        "Bars that were complete when they closed: every trade of theirs is known.",
        0.99,
        f"candles_closed_total{also(EXCHANGE, 'complete="true"')}",
        f"candles_closed_total{EXCHANGE}",
        ("CompletenessBudgetBurn",),
    ),
)
