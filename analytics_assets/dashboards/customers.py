"""Customers: their segments, moves between them, and a search for one.

Belongs here: the page. Does not belong here: one customer (`customer`).
"""

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, month_axis, ranked_bars, tips
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, written
from analytics_assets.dashboards.links import CUSTOMER, customer_links, table_of_customers
from analytics_assets.dashboards.parts import (
    Figure,
    chart,
    figures,
    frame,
    missing,
    nothing,
    section,
)
from analytics_assets.dashboards.reader import Reader
from analytics_assets.questions import customers
from analytics_assets.schemas.marts import GONE, NEW, SEGMENTS
from analytics_assets.settings import Settings

MOST_FOUND = 100
SEGMENT = declared("user_analytics", "segment")[0]
CUSTOMERS = Column("customers", "Customers", "count")


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Customers", anchor=False)
    if missing(reader, "user_analytics", "dim_customers"):
        return
    day = reader.ask(customers.snapshot_day)
    of_segment = f", segment {filters.segment}" if filters.segment else ""
    st.caption(f"As of the end of {written(day, 'date')}, {filters.where}{of_segment}.")
    _segments(reader, filters)
    _search(reader, filters)
    if not missing(reader, "customer_segment_moves"):
        _moves(reader)
        _sizes(reader, filters)


def _segments(reader: Reader, filters: Filters) -> None:
    found = reader.ask(customers.segments_of, filters.country)
    if not found:
        nothing("There are no customers here. Choose another country.")
        return
    known = sum(row["customers"] for row in found)
    bought = sum(row["customers"] for row in found if row["segment"] != "Prospect")
    best = next((row for row in found if row["segment"] == SEGMENTS[0]), None)
    total = sum(row["net_amount"] for row in found)
    figures(
        [
            Figure("Customers known", known, "count", meaning="Registered, or with an order"),
            Figure("Buyers", bought, "count", meaning="With a sale at any time"),
            Figure("Net sales, ever", total, "money"),
            Figure(
                f"{SEGMENTS[0]}s' share",
                best["net_amount"] / total if best and total else None,
                "share",
                meaning=f"Net sales of the segment {SEGMENTS[0]} / net sales of all",
            ),
        ]
    )
    section(
        "Segments",
        f"Customers by segment on the newest day, {filters.where}. Segments come from recency, "
        "number of orders and money, against the other customers of the day.",
        "segments",
    )
    columns = [
        SEGMENT,
        CUSTOMERS,
        *declared(
            "user_analytics", "net_amount", "net_amount_90d", "days_since_last_order",
            net_amount="Net sales of all time", net_amount_90d="Net sales of 90 days",
            days_since_last_order="Days since the last order, median",
        ),
        Column("sale_orders", "Orders a customer", "number", "Mean number of orders with a sale"),
    ]  # fmt: skip
    drawn = ranked_bars(frame(found, columns), SEGMENT, CUSTOMERS, columns)
    chart(drawn, found, columns, "segments", "Customers by segment")


def _search(reader: Reader, filters: Filters) -> None:
    section(
        "Find customers",
        f"Those with the largest net sales first, {MOST_FOUND} at most. Country and segment at the "
        "side narrow them down.",
        "find",
    )
    text = st.text_input(
        "Customer ID begins with",
        key="find",
        bind="query-params",
        max_chars=100,
        placeholder="such as C1000001",
    ).strip()
    found = reader.ask(customers.search, text, filters.country, filters.segment, MOST_FOUND)
    if not found:
        nothing("No customer's ID begins like that. Type less of it, or choose other filters.")
        return
    if text:
        customer_links([row["customer_id"] for row in found[:5]])
    columns = [
        CUSTOMER,
        Column("country", "Country", "text", "Country of residence"),
        *declared(
            "user_analytics", "segment", "rfm", "sale_orders", "net_amount", "last_order_date",
            "days_since_last_order", sale_orders="Orders", net_amount="Net sales",
        ),
    ]  # fmt: skip
    table_of_customers(found, columns, "customers", height=320)


def _moves(reader: Reader) -> None:
    found = reader.ask(customers.moves)
    if not found:
        nothing("No customer has moved between segments yet: that takes two months.")
        return
    month = found[0]["month"]
    section(
        "Moves between segments",
        f"Customers by their segment at the end of the month before (rows) and at the end of "
        f"{written(month, 'month')} (columns), all countries. Colour: share of the row.",
        "moves",
    )
    columns = declared("customer_segment_moves", "from_segment", "to_segment", "customers")
    share = Column("share", "Share of the segment before", "share")
    rows = frame(found, columns)
    rows["share"] = rows["customers"] / rows.groupby("from_segment")["customers"].transform("sum")
    base = alt.Chart(rows, height=300).encode(
        alt.X("to_segment:N", title="After", sort=[*SEGMENTS, GONE],
              axis=alt.Axis(labelAngle=0, orient="top", labelLimit=70)),
        alt.Y("from_segment:N", title="Before", sort=[*SEGMENTS, NEW]),
        tooltip=tips([*columns, share]),
    )  # fmt: skip
    drawn = base.mark_rect(cornerRadius=1).encode(
        alt.Color("share:Q", title=None, legend=None, scale=alt.Scale(domain=[0, 1]))
    )
    chart(drawn, found, columns, "segment-moves", "Customers who moved from segment to segment")


def _sizes(reader: Reader, filters: Filters) -> None:
    found = reader.ask(customers.sizes_by_month, filters.since, filters.until)
    if not found:
        return
    section(
        "Segments over time",
        f"Customers of each segment at the end of each month, {filters.days}, all countries.",
        "sizes",
    )
    columns = [Column("month", "Month", "month"), SEGMENT, CUSTOMERS]
    drawn = (
        alt.Chart(frame(found, columns), height=300)
        .mark_line(strokeWidth=2.2, point=alt.OverlayMarkDef(size=24))
        .encode(
            month_axis(),
            alt.Y("customers:Q", title="Customers", axis=axis(CUSTOMERS)),
            alt.Color(
                "segment:N",
                title=None,
                scale=alt.Scale(domain=list(SEGMENTS)),
                legend=alt.Legend(orient="top", columns=6),
            ),
            tooltip=tips(columns),
        )
    )
    chart(drawn, found, columns, "segments-by-month", "Customers of each segment by month")
