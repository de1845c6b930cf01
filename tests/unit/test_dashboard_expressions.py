"""What the boards' expressions come to, by promtool's own Prometheus."""

from pathlib import Path

import pytest
import yaml

from monitoring.boards.promql import EXCHANGE, HERE, events, mean, quantile, rate, within
from monitoring.boards.service_levels import SERVICE_LEVELS
from tests.chart.tools import run
from tests.support.dashboards import CHOICES, filled_in

LAG = 'consumer_lag{namespace="n", consumer_group="%s"}'
DEAD = 'dlq_messages_total{namespace="n", exchange="kraken", consumer_group="%s"}'
REQUESTS = 'http_requests_total{namespace="n", service="api", route="/markets", status="%s"}'
DURATION = 'http_request_duration_seconds_%s{namespace="n", service="api", route="/markets"%s}'
AVAILABILITY, LATENCY = SERVICE_LEVELS[:2]
ONE_EACH_SECOND = "0+15x40"


def check(tmp_path: Path, expression: str, series: dict[str, str], expected: dict[str, float]) -> None:
    """After ten minutes of ``series``, one value each 15 s, the expression has these values."""
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": filled_in(expression, CHOICES),
                "eval_time": "10m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"tests": [test]}))
    result = run("promtool", "test", "rules", str(path))
    assert result.returncode == 0, result.stdout + result.stderr


def test_events_are_counted_in_minutes_and_nothing_is_zero_only_where_somebody_counts(tmp_path: Path) -> None:
    expression = events("dlq_messages_total", EXCHANGE, "consumer_group", f"consumer_lag{HERE}", "consumer_group")
    series = {LAG % "matching": "7x40", LAG % "validator": "7x40", DEAD % "matching": ONE_EACH_SECOND}
    check(tmp_path, expression, series, {'{consumer_group="matching"}': 60, '{consumer_group="validator"}': 0})
    check(tmp_path, expression, {DEAD % "matching": ONE_EACH_SECOND}, {'{consumer_group="matching"}': 60})
    check(tmp_path, expression, {}, {})


def test_histograms(tmp_path: Path) -> None:
    metric = "http_request_duration_seconds"
    series = {
        DURATION % ("bucket", ', le="0.1"'): "0+15x40",
        DURATION % ("bucket", ', le="0.25"'): "0+27x40",
        DURATION % ("bucket", ', le="+Inf"'): "0+30x40",
        DURATION % ("sum", ""): "0+3x40",
        DURATION % ("count", ""): "0+30x40",
    }
    check(tmp_path, rate(f"{metric}_count", HERE, "service"), series, {'{service="api"}': 2})
    check(tmp_path, quantile(0.5, metric, HERE, "service"), series, {'{service="api"}': 0.1})
    check(tmp_path, within("0.25", metric, HERE), series, {"{}": 0.9})
    check(tmp_path, mean(metric), series, {"{}": 0.1})


@pytest.mark.parametrize(
    ("ok", "failed", "burns", "left"),
    [
        (ONE_EACH_SECOND, None, 0, 1),
        (None, ONE_EACH_SECOND, 1_000, -999),
        ("0+9990x40", "0+10x40", 1, 0),
        ("0+9995x40", "0+5x40", 0.5, 0.5),
    ],
)
def test_availability(tmp_path: Path, ok: str | None, failed: str | None, burns: float, left: float) -> None:
    series = {REQUESTS % status: values for status, values in (("200", ok), ("503", failed)) if values is not None}
    check(tmp_path, f"round({AVAILABILITY.burn_rate()}, 1e-6)", series, {"{}": burns})
    check(tmp_path, f"round({AVAILABILITY.budget_left()}, 1e-6)", series, {"{}": left})


def test_probes_are_no_requests(tmp_path: Path) -> None:
    probe = (REQUESTS % "503").replace("/markets", "/ready")
    series = {REQUESTS % "200": ONE_EACH_SECOND, probe: ONE_EACH_SECOND}
    check(tmp_path, AVAILABILITY.burn_rate(), series, {"{}": 0})


def test_latency(tmp_path: Path) -> None:
    series = {DURATION % ("bucket", ', le="0.25"'): "0+99x40", DURATION % ("count", ""): "0+100x40"}
    check(tmp_path, f"round({LATENCY.burn_rate()}, 1e-6)", series, {"{}": 1})
