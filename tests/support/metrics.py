"""What this process' own metrics say now."""

from prometheus_client import REGISTRY

from services.contracts.metrics import Metric


def value(metric: Metric, *labels: str) -> float | None:
    """The sample with these labels, in the order of the metric's; None where there is none."""
    spec = metric.value
    return REGISTRY.get_sample_value(spec.name, dict(zip(spec.labels, labels, strict=True)))
