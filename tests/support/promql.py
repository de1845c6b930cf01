"""What a PromQL expression asks for, without a parser of the whole language."""

import re

from services.contracts.metrics import Metric

_LITERALS = re.compile(r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])*'|`[^`]*`")
_NAME_MATCHER = re.compile(r'__name__\s*=\s*"([^"]+)"')
_MATCHERS = re.compile(r"\{[^}]*\}")
_RANGES = re.compile(r"\[[^\]]*\]")
_LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NUMBERS = re.compile(r"\b\d[\w.]*(?:[eE][+-]?\d+)?")
# A word before a bracket is a function or an aggregation.
_WORDS = re.compile(r"[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
_KEYWORDS = frozenset(
    {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan", "start", "end"}
)
_HISTOGRAMS = frozenset(metric.value.name for metric in Metric if metric.value.kind == "histogram")


def metric_names(expression: str) -> set[str]:
    """Every metric that an expression reads, as it is written there."""
    named = set(_NAME_MATCHER.findall(expression))
    bare = _LITERALS.sub('""', expression)
    for noise in (_MATCHERS, _RANGES, _LABEL_LISTS, _NUMBERS):
        bare = noise.sub(" ", bare)
    return named | {word for word in _WORDS.findall(bare) if word.lower() not in _KEYWORDS}


def base_name(name: str) -> str:
    """The metric of which a series is a part: a histogram's buckets, sum and count are one."""
    for part in ("_bucket", "_sum", "_count"):
        if name.removesuffix(part) in _HISTOGRAMS:
            return name.removesuffix(part)
    return name
