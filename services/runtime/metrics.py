"""Prometheus collectors made from ``contracts.metrics``: no metric exists that is not listed there."""

from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from services.contracts.metrics import Metric


@cache
def counter(metric: Metric) -> Counter:
    spec = metric.value
    return Counter(spec.name.removesuffix("_total"), spec.help, spec.labels)


@cache
def gauge(metric: Metric) -> Gauge:
    spec = metric.value
    return Gauge(spec.name, spec.help, spec.labels)


@cache
def histogram(metric: Metric) -> Histogram:
    spec = metric.value
    return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets)


def exposition() -> bytes:
    """The text format, version 0.0.4."""
    return generate_latest(REGISTRY)
