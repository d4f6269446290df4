"""Build Grafana panels and dashboards as classic JSON (schema 39), which Grafana 10 and newer read.

The project does not depend on the Grafana Foundation SDK: nine kinds of panels do not justify another dependency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: The schema version of dashboards, and the width of a dashboard in grid units.
SCHEMA = 39
WIDTH = 24

#: The data source of every panel: the one selected by the dashboard's variable. Provisioned files support no other way.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression with the legend of its series. Instant queries return only the latest value."""

    expr: str
    legend: str = ""
    is_instant: bool = False
    is_table: bool = False
    has_exemplars: bool = False
    is_heatmap: bool = False

    def as_json(self, ref: str) -> Json:
        """Return the query as a panel's target."""
        kind = "heatmap" if self.is_heatmap else "table" if self.is_table else "time_series"
        return {
            "refId": ref,
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "format": kind,
            "instant": self.is_instant,
            "range": not self.is_instant,
            "exemplar": self.has_exemplars,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of any kind. `steps` are thresholds: a colour and its lowest value (None: no lower bound)."""

    kind: str
    title: str
    queries: Sequence[Query]
    width: int
    height: int
    unit: str = "none"
    text: str = ""
    steps: Sequence[tuple[str, float | None]] = (("green", None),)
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    mappings: Sequence[Json] = ()
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()
    links: Sequence[Json] = ()
    color: str = "thresholds"

    def as_json(self, number: int, x: int, y: int) -> Json:
        """Return the panel at this position of the grid."""
        defaults: Json = {
            "unit": self.unit,
            "color": {"mode": self.color},
            "thresholds": {"mode": "absolute", "steps": [{"color": c, "value": v} for c, v in self.steps]},
            "custom": dict(self.custom),
            "mappings": list(self.mappings),
            "links": list(self.links),
        }
        for name, value in (("min", self.minimum), ("max", self.maximum), ("decimals", self.decimals)):
            if value is not None:
                defaults[name] = value
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.text,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.as_json(chr(ord("A") + place)) for place, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": dict(self.options),
            "transformations": list(self.transformations),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A dashboard variable whose values come from a query."""

    name: str
    label: str
    query: str
    text: str = ""
    regex: str = ""

    def as_json(self) -> Json:
        """Return the variable for a dashboard's `templating` list."""
        return {
            "name": self.name,
            "label": self.label,
            "description": self.text,
            "type": "query",
            "datasource": SOURCE,
            "definition": self.query,
            "query": {
                "qryType": 3 if self.query.startswith("query_result") else 1,
                "query": self.query,
                "refId": self.name,
            },
            "regex": self.regex,
            "refresh": 2,
            "sort": 3,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "hide": 0,
        }


_DATASOURCE: Json = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
    "options": [],
    "multi": False,
    "includeAll": False,
    "refresh": 1,
    "regex": "",
    "hide": 0,
}

NODE = Variable("node", "Machine", "label_values(diffusion_pipe_build_info, instance)", "Selected by scrape address.")
GPU = Variable(
    "gpu",
    "GPU",
    'query_result(nvidia_smi_gpu_info{instance=~"$node"})',
    "Selected by its number on its machine.",
    '/index="(?<text>[^"]*)".*uuid="(?<value>[^"]*)"/',
)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: rows from top to bottom, panels in each from left to right."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = (NODE,)
    span: str = "now-1h"

    def as_json(self) -> Json:
        """Return the content of the dashboard's file."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.text,
            "tags": ["diffusion-pipe"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "10s",
            "time": {"from": self.span, "to": "now"},
            "timezone": "browser",
            "weekStart": "",
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "annotations": {"list": []},
            "links": [_OTHER_DASHBOARDS],
            "templating": {"list": [_DATASOURCE, *(variable.as_json() for variable in self.variables)]},
            "panels": self._place(),
        }

    def _place(self) -> list[Json]:
        placed: list[Json] = []
        y = 0
        for row in self.rows:
            heading = {"x": 0, "y": y, "w": WIDTH, "h": 1}
            placed.append(
                {
                    "id": len(placed) + 1,
                    "type": "row",
                    "title": row.title,
                    "collapsed": False,
                    "gridPos": heading,
                    "panels": [],
                }
            )
            y, x, tallest = y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > WIDTH:
                    y, x, tallest = y + tallest, 0, 0
                placed.append(panel.as_json(len(placed) + 1, x, y))
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest
        return placed


_OTHER_DASHBOARDS: Json = {
    "title": "Diffusion-Pipe",
    "type": "dashboards",
    "tags": ["diffusion-pipe"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}

GOOD_BAD: Sequence[tuple[str, float | None]] = (("green", None), ("red", 1))
BAD_GOOD: Sequence[tuple[str, float | None]] = (("red", None), ("green", 1))
LOAD: Sequence[tuple[str, float | None]] = (("green", None), ("orange", 0.8), ("red", 0.95))
HEAT: Sequence[tuple[str, float | None]] = (("blue", None), ("green", 30), ("orange", 75), ("red", 85))


def line(title: str, unit: str, *queries: Query, width: int = 12, height: int = 8, **more: Any) -> Panel:
    """Return a panel with a graph over time."""
    fill, stack = more.pop("fill", 10), more.pop("stack", False)
    custom = {
        "drawStyle": "line",
        "lineWidth": 2,
        "fillOpacity": 60 if stack else fill,
        "gradientMode": "opacity",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(
        "timeseries", title, queries, width, height, unit, custom=custom, options=options,
        color=more.pop("color", "palette-classic"), **more,
    )  # fmt: skip


def stat(title: str, unit: str, expr: str, legend: str = "", *, width: int = 3, height: int = 4, **more: Any) -> Panel:
    """Return a panel with one number and a sparkline behind it."""
    options = {
        "colorMode": more.pop("color_mode", "value"),
        "graphMode": more.pop("graph", "area"),
        "justifyMode": "center",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("stat", title, [Query(expr, legend)], width, height, unit, options=options, **more)


def gauge(title: str, unit: str, expr: str, legend: str = "", *, width: int = 4, height: int = 6, **more: Any) -> Panel:
    """Return a panel with one gauge for each series."""
    options = {
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("gauge", title, [Query(expr, legend)], width, height, unit, options=options, **more)


def bars(title: str, unit: str, expr: str, legend: str, *, width: int = 12, height: int = 8, **more: Any) -> Panel:
    """Return a panel with one bar for each series."""
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    return Panel(
        "bargauge", title, [Query(expr, legend, is_instant=True)], width, height, unit, options=options, **more
    )


def timeline(title: str, *queries: Query, width: int = 24, height: int = 7, **more: Any) -> Panel:
    """Return a panel with states over time."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.85,
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0}
    return Panel("state-timeline", title, queries, width, height, options=options, custom=custom, **more)


def heatmap(title: str, unit: str, expr: str, *, width: int = 12, height: int = 8, **more: Any) -> Panel:
    """Return a panel with the distribution of durations over time."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
        "cellGap": 1,
        "yAxis": {"axisPlacement": "left", "unit": unit},
        "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True},
        "legend": {"show": True},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    }
    queries = [Query(expr, "{{le}}", is_heatmap=True, has_exemplars=True)]
    return Panel("heatmap", title, queries, width, height, unit, options=options, **more)


def table(
    title: str,
    queries: Sequence[tuple[str, str, str]],
    columns: Mapping[str, str],
    *,
    width: int = 24,
    height: int = 8,
    links: Mapping[str, tuple[str, str]] | None = None,
    **more: Any,
) -> Panel:
    """Return a panel with one row for each set of labels.

    `columns` maps labels to headings; `queries` are the expression, heading and unit of each column of values. `links`
    maps a heading to the title and the URL of its link.
    """
    names = {f"Value #{chr(ord('A') + place)}": heading for place, (_, heading, _) in enumerate(queries)}
    if len(queries) == 1:
        names["Value"] = queries[0][1]
    order = {name: place for place, name in enumerate((*columns, *names))}
    units = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for _, heading, unit in queries
    ]
    link_overrides = [
        {
            "matcher": {"id": "byName", "options": heading},
            "properties": [{"id": "links", "value": [{"title": link_title, "url": url}]}],
        }
        for heading, (link_title, url) in (links or {}).items()
    ]
    transformations: list[Json] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [*columns, *names]}}},
        {
            "id": "organize",
            "options": {"renameByName": {**columns, **names}, "indexByName": order, "excludeByName": {}},
        },
    ]
    targets = [Query(expr, is_instant=True, is_table=True) for expr, _, _ in queries]
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    return Panel(
        "table", title, targets, width, height, options=options,
        custom={"align": "auto", "filterable": True}, overrides=[*units, *link_overrides],
        transformations=transformations,
        color="thresholds", **more,
    )  # fmt: skip


def value_mappings(*named: tuple[float, str, str]) -> Sequence[Json]:
    """Return mappings of values to texts and colours."""
    return [
        {"type": "value", "options": {f"{value:g}": {"text": text, "color": color, "index": place}}}
        for place, (value, text, color) in enumerate(named)
    ]
