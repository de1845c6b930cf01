"""Whether there are traces, and what carries one in a Kafka record. Off, nothing that makes spans is even imported:
all of it is in ``spans``.

The sample is taken where a trace begins, and what is not sampled carries no ``traceparent``, so that no one after it
has anything to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from services.runtime.settings import TracingSettings

if TYPE_CHECKING:
    from services.runtime.spans import Tracing

HEADER = "traceparent"
"""The name of W3C trace context's header, and of ours on a record: https://www.w3.org/TR/trace-context/"""


type RecordHeaders = Sequence[tuple[str, bytes]]
type Place = tuple[str, int, int]
"""Topic, partition and offset: which record it is."""


def make_tracing(service: str, settings: TracingSettings) -> Tracing | None:
    """A component to be started before what uses it; None, which ``serve`` leaves out, where traces are off."""
    if settings.traces_sample_ratio == 0:
        return None
    from services.runtime import spans

    return spans.Tracing(service, settings.traces_sample_ratio, spans.otlp_exporter(settings.otlp_endpoint))


def traceparent_of(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """That of a Kafka record; None where it has none."""
    for name, value in headers:
        if name == HEADER:
            return value.decode("ascii", "replace")
    return None
