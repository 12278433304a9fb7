"""What every page is made of: figures, charts with their table, and what is said instead of them.

Belongs here: parts that more than one page uses. Does not belong here: any one page.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from analytics_assets.dashboards.labels import Column, Kind, written
from analytics_assets.dashboards.reader import Reader
from analytics_assets.quoting import without_formula

Records = Sequence[dict[str, Any]]
FIGURE_WIDTH = 166  # two of them fit on a phone


@dataclass(frozen=True)
class Figure:
    """A number with its name.

    Attributes:
        label: what it is, with its unit.
        value: the number.
        kind: how it is written.
        before: the number of the period before, if there is one.
        trend: numbers over time, the newest last.
        less_is_better: a fall is good.
        meaning: what it means.
    """

    label: str
    value: Any
    kind: Kind
    before: Any = None
    trend: Sequence[float] | None = None
    less_is_better: bool = False
    meaning: str | None = None

    @property
    def change(self) -> str | None:
        """The change against the period before."""
        if not self.before or self.value is None:
            return None
        return f"{float(self.value) / float(self.before) - 1:+.1%}"


def figures(found: Sequence[Figure]) -> None:
    """Some figures next to each other; on a phone, in pairs. Names that are longer than 18
    letters would be cut off.
    """
    with st.container(horizontal=True, gap="small"):
        for figure in found:
            st.metric(
                figure.label,
                written(figure.value, figure.kind),
                figure.change,
                delta_color="inverse" if figure.less_is_better else "normal",
                help=figure.meaning,
                chart_data=figure.trend,
                border=True,
                width=FIGURE_WIDTH,
            )


def section(title: str, caption: str, name: str) -> None:
    """The head of a part of a page; links can point to its name."""
    st.subheader(title, anchor=name)
    st.caption(caption)


def chart(
    drawn: alt.Chart | alt.LayerChart | alt.FacetChart,
    records: Records,
    columns: Sequence[Column],
    name: str,
    title: str,
) -> None:
    """A chart, and below it the rows that it shows.

    Args:
        drawn: the chart.
        records: its rows.
        columns: the columns of the table below.
        name: name of the file that can be downloaded.
        title: what it shows, for those who do not see it.
    """
    st.altair_chart(drawn, width="stretch", key=f"chart-{name}", alt=title)
    with st.expander(f"Table: {len(records):,} rows"):
        table(records, columns, name)


def table(
    records: Records,
    columns: Sequence[Column],
    name: str,
    height: int | None = None,
    *,
    choose: bool = False,
) -> int | None:
    """Rows as a table that can be downloaded.

    Args:
        records: the rows.
        columns: the columns.
        name: name of the file that can be downloaded.
        height: height in pixels; as high as Streamlit makes it without.
        choose: whether a row can be chosen.

    Returns:
        The row that was chosen.
    """
    event: Any = st.dataframe(
        frame(records, columns),
        column_config={column.name: _config(column) for column in columns},
        hide_index=True,
        width="stretch",
        height=height or "auto",
        key=f"table-{name}",
        on_select="rerun" if choose else "ignore",
        selection_mode="single-row",
    )
    st.download_button(
        "Download CSV",
        lambda: csv_of(records, columns),
        f"{name}.csv",
        "text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        icon=":material/download:",
    )
    chosen = event["selection"]["rows"] if choose else []
    return chosen[0] if chosen else None


def frame(records: Records, columns: Sequence[Column]) -> pd.DataFrame:
    """Rows for a chart or a table; amounts are rounded to what a float can hold."""
    found = pd.DataFrame(
        {column.name: [_plain(record.get(column.name)) for record in records] for column in columns}
    )
    for column in columns:
        if column.kind in ("date", "month", "time"):
            found[column.name] = pd.to_datetime(found[column.name])
    return found


def csv_of(records: Records, columns: Sequence[Column]) -> bytes:
    """Rows as CSV with all their digits; a text that a spreadsheet would compute is none."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    for record in records:
        writer.writerow([_cell(record.get(column.name)) for column in columns])
    return text.getvalue().encode()


def missing(reader: Reader, *tables: str) -> bool:
    """Say so where the build has not all of some tables.

    Returns:
        Whether it lacks one.
    """
    lacking = reader.lacks(*tables)
    if lacking:
        names = " and no ".join(f"`{name}`" for name in lacking)
        st.info(
            f"Build {reader.build.name} has no {names}: no source supplies it, or it has not been "
            "built yet. The asset's page in the Dagster UI says which.",
            icon=":material/info:",
        )
    return bool(lacking)


def nothing(why: str) -> None:
    """Say why there is no chart."""
    st.info(why, icon=":material/info:")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return without_formula(value) if isinstance(value, str) else value


def _config(column: Column) -> Any:
    of = st.column_config
    label, meaning = column.label, column.meaning or None
    match column.kind:
        case "date":
            return of.DateColumn(label, help=meaning, format="D MMM YYYY")
        case "month":
            return of.DateColumn(label, help=meaning, format="MMM YYYY")
        case "time":
            return of.DatetimeColumn(label, help=meaning, format="D MMM YYYY, HH:mm")
        case "text":
            return of.TextColumn(label, help=meaning)
        case "flag":
            return of.CheckboxColumn(label, help=meaning)
    return of.NumberColumn(label, help=meaning, format=column.in_tables)
