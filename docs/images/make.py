"""Draw the asset graph and the cohorts of the sample, and list the assets in architecture.md.

The graph and the list come from the definitions of the sample: `make docs`, and
`analytics_assets_tests/test_docs.py` says when the committed ones are out of date. The cohorts come
from the published build, and look as on the page of `customer_cohort_analysis` in the UI: `make
run`, then `make pictures`.
"""

import re
import sys
from collections.abc import Collection, Iterable
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
from dagster import AssetKey, MonthlyPartitionsDefinition

from analytics_assets.definitions import build_definitions
from analytics_assets.reports.plots import cohort_heatmap, png
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.publish import current_build

HERE = Path(__file__).parent
ARCHITECTURE = HERE.parent / "architecture.md"
WIDTH, MARGIN, GAP = 980, 12, 14
BOX, ROW, TITLE = 28, 46, 26  # heights of an asset, of a row of assets, and of a group's title
CHARACTER = 6.2
# Groups from top to bottom; those in one line are drawn next to each other, with their widths.
LINES = (
    {"sources": 1.0},
    {"raw": 1.0},
    {"staging": 1.0},
    {"core": 1.0},
    {"marts": 0.62, "churn": 0.38},
    {"quality": 0.78, "serving": 0.22},
)
COLOURS = {
    "sources": "#6e7781",
    "raw": "#9a6700",
    "staging": "#1a7f37",
    "core": "#0969da",
    "marts": "#8250df",
    "churn": "#cf222e",
    "quality": "#bf3989",
    "serving": "#1b7c83",
}
# GitHub shows the picture on a light or a dark page.
STYLE = """
text { font: 12px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
text { fill: #1f2328 }
.page { fill: #ffffff }
.asset { fill: #ffffff; stroke-width: 1.2 }
.group { fill-opacity: .07; stroke-opacity: .35 }
.title { font-weight: 600; font-size: 13px }
.edge { fill: none; stroke: #818b98; stroke-width: 1.1; stroke-opacity: .75 }
.tip { fill: #818b98 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .page, .asset { fill: #0d1117 }
  .group { fill-opacity: .16; stroke-opacity: .6 }
  .edge { stroke: #9198a1 }
  .tip { fill: #9198a1 }
}
"""


class Node(NamedTuple):
    """An asset: its group, what it is made from, and D or M where it has partitions."""

    group: str
    parents: set[str]
    partitions: str


Graph = dict[str, Node]  # parents first
Place = tuple[float, float, float]  # left, top, width


def sample_graph() -> Graph:
    """The assets of the sample."""
    with TemporaryDirectory() as home:
        definitions = build_definitions(load_settings({"ANALYTICS_HOME": home}))
    graph = definitions.resolve_asset_graph()

    def node(key: AssetKey) -> Node:
        found = graph.get(key)
        monthly = isinstance(found.partitions_def, MonthlyPartitionsDefinition)
        partitions = ("M" if monthly else "D") if found.partitions_def else ""
        parents = {parent.path[-1] for parent in found.parent_keys}
        return Node(found.group_name, parents, partitions)

    return {key.path[-1]: node(key) for key in graph.toposorted_asset_keys}


def with_assets(page: str, graph: Graph) -> str:
    """The page with the assets of each group in the table of groups."""

    def row(match: re.Match[str]) -> str:
        assets = [
            f"`{name}`{f' ({node.partitions})' if node.partitions else ''}"
            for name, node in graph.items()
            if node.group == match[1]
        ]
        return f"| {match[1]} | {', '.join(assets)} |"

    groups = "|".join(COLOURS)
    return re.sub(rf"^\| ({groups}) \|[^|]*\|", row, page, flags=re.MULTILINE)


def direct_edges(graph: Graph) -> list[tuple[str, str]]:
    """The edges without those that a longer way implies."""
    above: dict[str, set[str]] = {}
    for name, (_, parents, _) in graph.items():
        above[name] = parents.union(*(above[parent] for parent in parents))
    return [
        (parent, name)
        for name, (_, parents, _) in graph.items()
        for parent in sorted(parents)
        if not any(parent in above[other] for other in parents)
    ]


def layout(graph: Graph) -> tuple[dict[str, Place], dict[str, tuple[Place, float]], float]:
    """Places of the assets, places and heights of the groups, and the height of the picture."""
    assets: dict[str, Place] = {}
    groups: dict[str, tuple[Place, float]] = {}
    top = float(MARGIN)
    for line in LINES:
        left = float(MARGIN)
        free = WIDTH - 2 * MARGIN - GAP * (len(line) - 1)
        rows = {group: _rows(graph, line, group, free * share) for group, share in line.items()}
        height = TITLE + ROW * max(len(of_group) for of_group in rows.values())
        for group, share in line.items():
            width = free * share
            groups[group] = ((left, top, width), height)
            for number, names in enumerate(rows[group]):
                _place(graph, assets, names, (left, top + TITLE + ROW * number, width))
            left += width + GAP
        top += height + GAP
    return assets, groups, top - GAP + MARGIN


def _rows(graph: Graph, line: Collection[str], group: str, width: float) -> list[list[str]]:
    """The assets of a group by the longest way to them within the line, in rows that fit."""
    depth: dict[str, int] = {}
    for name, (of, parents, _) in graph.items():
        if of in line:
            depth[name] = max((depth[p] + 1 for p in parents if p in depth), default=0)
    read = {parent for name in depth for parent in graph[name].parents}
    rows: list[list[str]] = []
    for number in range(max(depth.values()) + 1):
        names = [name for name in depth if depth[name] == number and graph[name].group == group]
        row: list[str] = []
        for name in sorted(names, key=lambda name: name in read):
            if row and sum(_width(other) + GAP for other in [*row, name]) > width:
                rows.append(row)
                row = []
            row.append(name)
        rows += [row] if row else []
    return rows


def _width(name: str) -> float:
    return len(name) * CHARACTER + 18


def _place(graph: Graph, assets: dict[str, Place], names: list[str], row: Place) -> None:
    """Spread a row's assets, each as near below its parents as the others allow."""
    left, top, width = row

    def wanted(name: str) -> float:
        parents = [assets[parent] for parent in graph[name].parents if parent in assets]
        centres = [x + w / 2 for x, _, w in parents]
        return sum(centres) / len(centres) if centres else WIDTH / 2

    space = (width - sum(_width(name) for name in names)) / (len(names) + 1)
    x = left
    for name in sorted(names, key=lambda name: (wanted(name), name)):
        x += space
        assets[name] = (x, top, _width(name))
        x += _width(name)


def graph_svg(graph: Graph) -> str:
    """The graph as SVG; assets of quality and serving follow everything, by one arrow."""
    assets, groups, height = layout(graph)
    last = {"quality", "serving"}
    shapes = [f'<rect class="page" width="{WIDTH}" height="{height:.0f}" rx="8"/>']
    for group, ((left, top, width), tall) in groups.items():
        colour = COLOURS[group]
        shapes.append(
            f'<rect class="group" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{tall:.1f}" rx="6" fill="{colour}" stroke="{colour}"/>'
            f'<text class="title" x="{left + 10:.1f}" y="{top + 18:.1f}">{group}</text>'
        )
    for parent, child in direct_edges(graph):
        if graph[child].group not in last:
            shapes.append(_edge(_bottom(assets[parent]), _top(assets[child])))
    for above, below in (("marts", "quality"), ("churn", "quality"), ("churn", "serving")):
        (left, top, width), tall = groups[above]
        (lower_left, lower, lower_width), _ = groups[below]
        x = (max(left, lower_left) + min(left + width, lower_left + lower_width)) / 2
        shapes.append(_edge((x, top + tall), (x, lower)))
    (left, top, width), tall = groups["quality"]
    shapes.append(
        _edge((left + width, top + tall / 2), (left + width + GAP, top + tall / 2), sideways=True)
    )
    for name, (left, top, width) in assets.items():
        shapes.append(
            f'<rect class="asset" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{BOX}" rx="5" stroke="{COLOURS[graph[name].group]}"/>'
            f'<text x="{left + width / 2:.1f}" y="{top + 18:.1f}" text-anchor="middle">'
            f"{escape(name)}</text>"
        )
    return _svg(height, shapes)


def _bottom(place: Place) -> tuple[float, float]:
    return place[0] + place[2] / 2, place[1] + BOX


def _top(place: Place) -> tuple[float, float]:
    return place[0] + place[2] / 2, place[1]


def _edge(start: tuple[float, float], end: tuple[float, float], sideways: bool = False) -> str:
    """A curve from above to below with a tip at its end."""
    (x, y), (to_x, to_y) = start, end
    if sideways:
        path = f"M{x:.1f} {y:.1f}L{to_x - 5:.1f} {to_y:.1f}"
        tip = f"M{to_x:.1f} {to_y:.1f}l-6 -3.5v7z"
    else:
        bend = max((to_y - y) / 2, 12)
        path = (
            f"M{x:.1f} {y:.1f}C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} "
            f"{to_x:.1f} {to_y - 5:.1f}"
        )
        tip = f"M{to_x:.1f} {to_y:.1f}l-3.5 -6h7z"
    return f'<path class="edge" d="{path}"/><path class="tip" d="{tip}"/>'


def _svg(height: float, shapes: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" role="img">',
            "<title>The asset graph of the sample</title>",
            f"<style>{STYLE}</style>",
            *shapes,
            "</svg>",
            "",
        ]
    )


def write_graph() -> None:
    """Write what comes from the definitions."""
    graph = sample_graph()
    (HERE / "graph.svg").write_text(graph_svg(graph), encoding="utf-8")
    page = ARCHITECTURE.read_text(encoding="utf-8")
    ARCHITECTURE.write_text(with_assets(page, graph), encoding="utf-8")


def write_cohorts() -> None:
    """Write what comes from the published build."""
    build = current_build(load_settings().published_dir)
    with duckdb.connect(str(build), read_only=True) as connection:
        cohorts = connection.sql(
            "SELECT cohort_month, month_number, retention_rate, is_complete "
            "FROM marts.customer_cohort_analysis"
        ).fetchdf()
    heatmap = png(cohort_heatmap(cohorts, "Cohort retention, % of each cohort that bought again"))
    (HERE / "cohorts.png").write_bytes(heatmap)


if __name__ == "__main__":
    {"graph": write_graph, "cohorts": write_cohorts}[sys.argv[1]]()
