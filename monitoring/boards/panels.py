"""Panels of each kind that the boards use, as Grafana 11 exports them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RUNBOOKS = "https://github.com/tickplane/tickplane/blob/main/monitoring/runbooks"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Object = dict[str, Any]


def uid(board: str) -> str:
    """A board's address, which links and bookmarks rely on."""
    return f"tickplane-{board}"


class Unit(StrEnum):
    """Grafana's names of the units that the boards use."""

    COUNT = "short"
    PER_SECOND = "cps"
    PER_MINUTE = "cpm"
    REQUESTS_PER_SECOND = "reqps"
    SECONDS = "s"
    SHARE = "percentunit"
    BYTES = "bytes"
    CORES = "suffix:cores"
    DAYS = "suffix:days"
    STATE = "none"


@dataclass(frozen=True)
class Query:
    expression: str
    legend: str = ""
    """How a series is called, by its labels; a table's column."""


Steps = tuple[tuple[float | None, str], ...]
"""Colours, each from a value on; the first from anywhere."""
States = Mapping[int, tuple[str, str]]
"""What a number means: its word and its colour."""

UP_OR_DOWN: States = {0: ("down", "red"), 1: ("up", "green")}


def over(*, red: float, orange: float | None = None) -> Steps:
    """Bad when high."""
    return ((None, "green"), *(((orange, "orange"),) if orange is not None else ()), (red, "red"))


def under(*, red: float, orange: float) -> Steps:
    """Bad when low."""
    return ((None, "red"), (red, "orange"), (orange, "green"))


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    width: int
    height: int
    steps: Steps = ()
    states: States = field(default_factory=dict)
    alerts: tuple[str, ...] = ()
    """Alerts that watch the same: each is a link to its runbook."""
    board: str = ""
    """The board that says more."""
    range: str = ""
    """The time that it shows, where that is not the board's."""
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[Object, ...] = ()
    transformations: tuple[Object, ...] = ()
    instant: bool = False
    format: str = "time_series"

    def links(self) -> list[Object]:
        more = [(f"More: {self.board}", f"/d/{uid(self.board)}?${{__url_time_range}}&${{__all_variables}}", False)]
        runbooks = [(f"Runbook: {alert}", f"{RUNBOOKS}/{alert}.md", True) for alert in self.alerts]
        return [
            {"title": title, "url": url, "targetBlank": blank}
            for title, url, blank in (more if self.board else []) + runbooks
        ]

    def as_json(self, number: int, x: int, y: int) -> Object:
        panel: Object = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "links": self.links(),
            "targets": [self._target(index, query) for index, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": list(self.overrides)},
            "options": dict(self.options),
        }
        if self.transformations:
            panel["transformations"] = list(self.transformations)
        if self.range:
            panel["timeFrom"] = self.range
        return panel

    def _target(self, index: int, query: Query) -> Object:
        return {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expression,
            "format": self.format,
            "instant": self.instant,
            "range": not self.instant,
            "legendFormat": query.legend or "__auto",
        }

    def _defaults(self) -> Object:
        steps = self.steps or ((None, "text" if self.kind in ("stat", "table") else "green"),)
        return {
            "unit": self.unit,
            "color": {"mode": "thresholds" if self.kind in ("stat", "state-timeline", "table") else "palette-classic"},
            "thresholds": {
                "mode": "absolute",
                "steps": [{"color": color, "value": value} for value, color in steps],
            },
            "mappings": _mappings(self.states),
            "custom": dict(self.custom),
            **self.defaults,
        }


def _mappings(states: States) -> list[Object]:
    if not states:
        return []
    texts = {
        str(value): {"index": index, "text": text, "color": color}
        for index, (value, (text, color)) in enumerate(sorted(states.items()))
    }
    return [{"type": "value", "options": texts}]


def lines(
    title: str,
    description: str,
    unit: Unit,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    steps: Steps = (),
    alerts: Sequence[str] = (),
    board: str = "",
    from_zero: bool = True,
) -> Panel:
    """Values over time. Thresholds are dashed lines; a wide panel has its legend as a table beside it."""
    wide = width > 12
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        queries,
        width,
        height=8,
        steps=steps,
        alerts=tuple(alerts),
        board=board,
        options={
            "legend": {
                "showLegend": True,
                "displayMode": "table" if wide else "list",
                "placement": "right" if wide else "bottom",
                "calcs": ["lastNotNull", "max"] if wide else [],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        custom={
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if steps else "off"},
            # A line of zeros is at the bottom of an axis to 1, not to 100.
            **({"axisSoftMax": 1} if unit in (Unit.COUNT, Unit.PER_MINUTE) else {}),
        },
        defaults={"min": 0} if from_zero else {},
    )


NUMBERS: Mapping[Unit, Object] = {
    # Prometheus reckons with parts of events; shares of nothing are no number.
    Unit.COUNT: {"decimals": 0},
    Unit.SHARE: {
        "decimals": 1,
        "mappings": [{"type": "special", "options": {"match": "nan", "result": {"index": 0, "text": "no traffic"}}}],
    },
}


def figure(
    title: str,
    description: str,
    unit: Unit,
    *queries: Query,
    width: int = 3,
    steps: Steps = (),
    states: States | None = None,
    alerts: Sequence[str] = (),
    board: str = "",
    range: str = "",
) -> Panel:
    """One number, now. With a range of its own it is a number over that range, without a spark line."""
    return Panel(
        "stat",
        title,
        description,
        unit,
        queries,
        width,
        height=4,
        steps=steps,
        states=states or {},
        alerts=tuple(alerts),
        board=board,
        range=range,
        instant=bool(range),
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "colorMode": "value",
            "graphMode": "none" if range or states else "area",
            "justifyMode": "auto",
        },
        defaults=NUMBERS.get(unit, {}),
    )


def timeline(
    title: str,
    description: str,
    *queries: Query,
    states: States = UP_OR_DOWN,
    width: int = 12,
    alerts: Sequence[str] = (),
    board: str = "",
) -> Panel:
    """Which of a few states each series was in."""
    return Panel(
        "state-timeline",
        title,
        description,
        Unit.STATE,
        queries,
        width,
        height=8,
        states=states,
        alerts=tuple(alerts),
        board=board,
        options={
            "mergeValues": True,
            "showValue": "never",
            "alignValue": "left",
            "rowHeight": 0.9,
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "asc"},
        },
        custom={"lineWidth": 0, "fillOpacity": 70},
    )


def heat(
    title: str, description: str, unit: Unit, query: Query, *, width: int = 12, alerts: Sequence[str] = ()
) -> Panel:
    """How a histogram's observations are spread, over time."""
    return Panel(
        "heatmap",
        title,
        description,
        unit,
        (query,),
        width,
        height=8,
        alerts=tuple(alerts),
        format="heatmap",
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": Unit.PER_SECOND},
            "color": {
                "mode": "scheme",
                "scheme": "Spectral",
                "fill": "dark-orange",
                "exponent": 0.5,
                "steps": 64,
                "reverse": True,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
    )


@dataclass(frozen=True)
class Column:
    title: str
    unit: Unit
    expression: str
    steps: Steps = ()
    states: States = field(default_factory=dict)


def table(
    title: str,
    description: str,
    keys: Mapping[str, str],
    *columns: Column,
    width: int = 24,
    height: int = 8,
    alerts: Sequence[str] = (),
    board: str = "",
    key_links: Mapping[str, str] | None = None,
    nothing: str = "",
) -> Panel:
    """What is now, one row for each value of the ``keys``: labels, and how each is called above its column.
    ``nothing`` is said where there is no row."""
    values = [f"Value #{chr(ord('A') + index)}" for index in range(len(columns))]
    names = {**keys, **dict(_value_names(values, columns))}
    return Panel(
        "table",
        title,
        description,
        Unit.STATE,
        tuple(Query(column.expression, column.title) for column in columns),
        width,
        height,
        alerts=tuple(alerts),
        board=board,
        instant=True,
        format="table",
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "countRows": False},
        },
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": False},
        defaults={"noValue": nothing} if nothing else {},
        overrides=tuple(_overrides(columns, key_links or {})),
        transformations=(
            *([{"id": "merge", "options": {}}] if len(columns) > 1 else []),
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": {name: index for index, name in enumerate(names)},
                    "renameByName": names,
                },
            },
        ),
    )


def _value_names(values: Sequence[str], columns: Sequence[Column]) -> Iterator[tuple[str, str]]:
    # Grafana numbers the columns of values only where there are several.
    names = values if len(values) > 1 else ["Value"]
    yield from zip(names, (column.title for column in columns), strict=True)


def _overrides(columns: Sequence[Column], key_links: Mapping[str, str]) -> Iterator[Object]:
    for column in columns:
        properties: list[Object] = [{"id": "unit", "value": column.unit}]
        if column.steps:
            steps = [{"color": color, "value": value} for value, color in column.steps]
            properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": steps}})
        if column.states:
            properties.append({"id": "mappings", "value": _mappings(column.states)})
        if column.steps or column.states:
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        yield {"matcher": {"id": "byName", "options": column.title}, "properties": properties}
    for title, url in key_links.items():
        link = {"title": "Runbook", "url": url, "targetBlank": True}
        yield {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "links", "value": [link]}]}
