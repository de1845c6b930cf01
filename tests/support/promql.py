"""What a PromQL expression asks for. Not a parser: promtool is one; this finds names where no promtool is."""

import re
from collections.abc import Iterator

from services.contracts.metrics import Metric

_QUOTED = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1|`[^`]*`""", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_WINDOW = re.compile(r"\[[^\[\]]*\]")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME = re.compile(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
_KEYWORDS = frozenset(
    {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "by", "without", "inf", "nan"}
)
_SERIES_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
_HISTOGRAMS = frozenset(metric.value.name for metric in Metric if metric.value.kind == "histogram")


def metric_names(expression: str) -> set[str]:
    """The names of the series that it selects, variables of Grafana (``$name``) left out."""
    return {name for name, _ in selections(expression)}


def selections(expression: str) -> Iterator[tuple[str, str]]:
    """Each name that it selects, with what stands before it: ``rate(`` for a counter."""
    text = _QUOTED.sub('""', expression)
    text = _COMMENT.sub("", text)
    # Without what may hold names of labels, and units of time, of the same length: places stay what they are.
    for other in (_MATCHERS, _WINDOW, _LABELS):
        text = other.sub(lambda found: " " * len(found[0]), text)
    for found in _NAME.finditer(text):
        if found[0].lower() not in _KEYWORDS:
            yield found[0], text[: found.start()].rstrip()


def base_name(name: str) -> str:
    """The metric that a series is of: of a histogram's three it is the histogram."""
    for suffix in _SERIES_OF_A_HISTOGRAM:
        if name.removesuffix(suffix) in _HISTOGRAMS:
            return name.removesuffix(suffix)
    return name
