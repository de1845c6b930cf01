"""JSON lines on stdout: one event a line.

Each has ``event`` (a short snake_case name), ``level``, ``time`` and ``service``; ``request_id`` while a request is
answered and ``trace_id`` while it is traced; ``exchange`` and ``product`` where it is about one. What a library says is
the event ``library``, with its ``logger`` and its ``message``.
"""

import json
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.runtime.redaction import redacted

OWN_FIELDS = frozenset({"event", "level", "time", "service"})
"""What we say ourselves: no secret is in it, even where a password is a word such as ``postgres``."""


def configure(service: str, level: str = "INFO") -> None:
    """Have this process log so. Libraries log at WARNING and above; what nobody catches is logged as well."""
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _named(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[*common, structlog.processors.format_exc_info, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name, _of_library],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    logging.captureWarnings(True)
    # gRPC's core writes text to stderr, unless it is told not to before it is imported: statuses tell what failed.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.excepthook = _uncaught
    sys.unraisablehook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    threading.excepthook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def logger() -> structlog.typing.FilteringBoundLogger:
    return structlog.get_logger()  # type: ignore[no-any-return]


def error_of(line: str) -> str:
    """What a line of a log says went wrong: its ``error`` where it is one of ours, else all of it."""
    try:
        return str(json.loads(line)["error"])
    except (ValueError, KeyError, TypeError):
        return line


def _named(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _of_library(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["message"] = event["event"]
    event["event"] = "library"
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """As JSON, without secrets. Hardly a line has one: only then is it looked where."""
    line = json.dumps(event, default=str)
    if redacted(line) == line:
        return line
    return json.dumps({name: value if name in OWN_FIELDS else _cleaned(value) for name, value in event.items()})


def _cleaned(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {redacted(str(name)): _cleaned(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return redacted(str(value))


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logger().critical("uncaught", error=str(error), error_type=kind.__name__, exc_info=(kind, error, trace))
