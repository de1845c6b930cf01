"""Names found in PromQL, by lists."""

import pytest

from tests.support.promql import base_name, metric_names


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up", {"up"}),
        ("up == 1 and on (namespace, job) job:targets:seen1d", {"up", "job:targets:seen1d"}),
        ('sum by (a, b) (rate(x_total{a="}", b=~"y|z"}[5m])) / on (slo) group_left () y > 1e3', {"x_total", "y"}),
        ("count(up) by (job) unless z offset 10m", {"up", "z"}),
        ("histogram_quantile(0.95, sum(rate(h_bucket[$__rate_interval])) by (le)) or vector(0)", {"h_bucket"}),
        ('a{namespace=~"$namespace"} * $factor > 26 * 3600', {"a"}),
        ("max_over_time(sum(x)[1h:5m] @ end()) # not y\n+ z", {"x", "z"}),
        ("label_replace(30 / (t > 0), 'by', \"trades\", '', '') < bool NaN", {"t"}),
        ("time() - x", {"x"}),
    ],
)
def test_the_names_of_series_are_found(expression: str, names: set[str]) -> None:
    assert metric_names(expression) == names


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("batch_duration_seconds_bucket", "batch_duration_seconds"),
        ("batch_duration_seconds_count", "batch_duration_seconds"),
        ("batch_duration_seconds", "batch_duration_seconds"),
        ("others_seconds_sum", "others_seconds_sum"),
        ("feed_trades_total", "feed_trades_total"),
    ],
)
def test_a_histograms_series_are_the_histogram(name: str, base: str) -> None:
    assert base_name(name) == base
