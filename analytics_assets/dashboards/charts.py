"""Charts that more than one page draws, and their axes.

Belongs here: how rows become a chart. Does not belong here: which rows; colours (`theme`).
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from analytics_assets.dashboards.labels import Column

CORNER = 2
_SHORT = {"money": "~s", "count": "~s", "share": ".0%", "number": "~g"}


def axis(column: Column) -> alt.Axis:
    """An axis of numbers."""
    return alt.Axis(format=_SHORT.get(column.kind, ""), titleFontWeight="normal")


def tips(columns: Sequence[Column]) -> list[alt.Tooltip]:
    """What is said of a mark."""
    found = []
    for column in columns:
        if column.kind in ("date", "month"):
            shown = "%B %Y" if column.kind == "month" else "%-d %B %Y"
            found.append(alt.Tooltip(f"{column.name}:T", title=column.label, format=shown))
        elif column.d3:
            found.append(alt.Tooltip(f"{column.name}:Q", title=column.label, format=column.d3))
        else:
            found.append(alt.Tooltip(f"{column.name}:N", title=column.label))
    return found


def month_axis(name: str = "month") -> alt.X:
    """Months from left to right."""
    return alt.X(
        f"yearmonth({name}):O",
        title=None,
        axis=alt.Axis(labelAngle=0, format="%b %y", labelOverlap="greedy"),
    )


def bars_by_month(rows: pd.DataFrame, value: Column, said: Sequence[Column]) -> alt.Chart:
    """A bar for each month."""
    return (
        alt.Chart(rows, height=280)
        .mark_bar(cornerRadiusTopLeft=CORNER, cornerRadiusTopRight=CORNER)
        .encode(
            month_axis(),
            alt.Y(f"{value.name}:Q", title=value.label, axis=axis(value)),
            tooltip=tips(said),
        )
    )


def ranked_bars(
    rows: pd.DataFrame, name: Column, value: Column, said: Sequence[Column]
) -> alt.Chart:
    """A horizontal bar for each row, in their order."""
    return (
        alt.Chart(rows, height=max(120, 30 * len(rows) + 50))
        .mark_bar(cornerRadiusEnd=CORNER)
        .encode(
            alt.X(f"{value.name}:Q", title=value.label, axis=axis(value)),
            alt.Y(f"{name.name}:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
            tooltip=tips(said),
        )
    )
