"""Every query of the dashboards as Prometheus would be asked, for tests that ask a real one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.promql import metric_names

Object = dict[str, Any]

CHOICES = {"namespace": ".*", "exchange": ".*", "product": ".*", "__rate_interval": "1m", "__range": "1h"}
"""What the variables are where nothing was chosen, in Grafana as here."""
OCCASIONAL = frozenset(
    {
        "ALERTS",
        "memory_limit_bytes",
        "postgres_database_size_limit_bytes",
        "redis_memory_max_bytes",
        "tls_certificate_expiry_time_seconds",
    }
)
"""Metrics that are rightly absent: while nothing fires, where there is no such limit, or no certificate."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class PanelQuery:
    board: str
    """The name of the dashboard's file, without its ending."""
    panel: str
    expression: str

    @property
    def may_be_empty(self) -> bool:
        """Where everything runs, any other query has an answer."""
        return bool(metric_names(self.expression) & OCCASIONAL)

    def __str__(self) -> str:
        return f"{self.board} / {self.panel}: {self.expression}"


def panel_queries(folder: Path, **variables: str) -> Iterator[PanelQuery]:
    """Each query of each panel of each dashboard in a folder. ``variables`` are chosen values, by the variable's name:
    ``namespace="tickplane", __rate_interval="30s"``."""
    values = {**CHOICES, **variables}
    for path in sorted(folder.glob("*.json")):
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                yield PanelQuery(path.stem, panel["title"], filled_in(target["expr"], values))


def panels(dashboard: Object) -> Iterator[Object]:
    """The panels that ask for something, those of collapsed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def filled_in(expression: str, values: dict[str, str]) -> str:
    """Raises ``KeyError`` for a variable that has no value."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expression)
