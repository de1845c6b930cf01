"""Prometheus collectors made from ``contracts.metrics``: no metric exists that is not listed there."""

from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from services.contracts.metrics import Metric

_gauges: dict[Metric, Gauge] = {}


@cache
def counter(metric: Metric) -> Counter:
    spec = metric.value
    return Counter(spec.name.removesuffix("_total"), spec.help, spec.labels)


def gauge(metric: Metric) -> Gauge:
    found = _gauges.get(metric)
    if found is None:
        spec = metric.value
        found = _gauges[metric] = Gauge(spec.name, spec.help, spec.labels)
    return found


def withdraw(metric: Metric) -> None:
    """Have a gauge absent, with all its labels, until it is set again."""
    found = _gauges.pop(metric, None)
    if found is not None:
        REGISTRY.unregister(found)


@cache
def histogram(metric: Metric) -> Histogram:
    spec = metric.value
    return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets)


def exposition() -> bytes:
    """The text format, version 0.0.4."""
    return generate_latest(REGISTRY)
