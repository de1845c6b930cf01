"""A board as rows of panels, and the JSON that Grafana 11 has of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from monitoring.boards.panels import DATASOURCE, RUNBOOKS, Object, Panel, uid

SCHEMA_VERSION = 41
"""That of Grafana 11.6; newer ones migrate what they load."""
COLUMNS = 24
TAG = "tickplane"


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def row(title: str, *panels: Panel) -> Row:
    return Row(title, panels)


class Variable(StrEnum):
    NAMESPACE = "namespace"
    EXCHANGE = "exchange"
    PRODUCT = "product"


VALUES = {
    Variable.NAMESPACE: "label_values(event_loop_lag_seconds, namespace)",
    Variable.EXCHANGE: 'label_values(feed_connected{namespace=~"$namespace"}, exchange)',
    Variable.PRODUCT: "label_values("
    'feed_last_trade_time_seconds{namespace=~"$namespace", exchange=~"$exchange"}, product_id)',
}
"""Where Grafana finds what each variable may be."""


@dataclass(frozen=True)
class Board:
    name: str
    """The file's name, and the end of its address."""
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    def as_json(self) -> Object:
        return {
            "uid": uid(self.name),
            "title": f"Tickplane / {self.title}",
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "utc",
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "links": [BETWEEN_BOARDS, TO_RUNBOOKS],
            "annotations": {"list": [FIRING]},
            "templating": {"list": [CHOICE_OF_DATASOURCE, *map(_choice, self.variables)]},
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[Object]:
        number, y = 1, 0
        for each in self.rows:
            yield {
                "id": number,
                "type": "row",
                "title": each.title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
                "panels": [],
            }
            number, y, x, height = number + 1, y + 1, 0, 0
            for panel in each.panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                yield panel.as_json(number, x, y)
                number, x, height = number + 1, x + panel.width, max(height, panel.height)
            y += height


def _choice(variable: Variable) -> Object:
    query = VALUES[variable]
    return {
        "name": str(variable),
        "label": variable.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


CHOICE_OF_DATASOURCE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
}
BETWEEN_BOARDS = {
    "title": "Boards",
    "type": "dashboards",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}
TO_RUNBOOKS = {
    "title": "Runbooks",
    "type": "link",
    "tags": [],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": False,
    "targetBlank": True,
    "icon": "doc",
    "tooltip": "What to do about each alert",
    "url": RUNBOOKS.replace("/blob/", "/tree/"),
}
FIRING = {
    "name": "Alerts",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "red",
    "expr": 'ALERTS{alertstate="firing", namespace=~"$namespace|"}',
    "step": "60s",
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}} in {{namespace}}",
}
"""When alerts fired, above every graph."""
