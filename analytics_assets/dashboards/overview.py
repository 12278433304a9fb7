"""Overview: sales, customers who buy, and how their number grows.

Belongs here: the page. Does not belong here: its SQL (`questions.sales`).
"""

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import (
    axis,
    bars_by_month,
    month_axis,
    ranked_bars,
    tips,
)
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, written
from analytics_assets.dashboards.live import live_section
from analytics_assets.dashboards.parts import Figure, chart, figures, frame, missing, section
from analytics_assets.dashboards.reader import Reader
from analytics_assets.questions import sales
from analytics_assets.settings import Settings

GROWTH = declared(
    "growth_accounting", "new_customers", "retained_customers", "resurrected_customers",
    "churned_customers",
    new_customers="New", retained_customers="Retained", resurrected_customers="Resurrected",
    churned_customers="Churned",
)  # fmt: skip
MOST_BARS = 20  # the table below has all
MONTH = Column("month", "Month", "month", "Calendar month")


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Overview", anchor=False)
    st.caption(f"{filters.days}, {filters.where}")
    needed = ("customer_days", "dim_customers", "customer_sales", "sales_daily")
    if missing(reader, *needed, "growth_accounting"):
        return
    _figures(reader, filters)
    live_section(settings)
    _sales(reader, filters)
    _growth(reader, filters)
    _categories(reader, filters)


def _figures(reader: Reader, filters: Filters) -> None:
    of_country = filters.country
    now = reader.ask(sales.trade_between, filters.since, filters.until, of_country)
    before = reader.ask(sales.trade_between, *filters.before, of_country) if filters.before else {}
    months = reader.ask(sales.sales_by_month, filters.since, filters.until, of_country)
    growth = reader.ask(sales.growth_by_month, filters.since, filters.until, of_country)
    trend = [float(month["net_amount"]) for month in months]
    orders = [float(month["sale_orders"]) for month in months]
    figures(
        [
            Figure(
                *("Net sales", now["net_amount"], "money", before.get("net_amount")),
                trend=trend,
                meaning="Sales less returns, in the currency of the shop",
            ),
            Figure(
                *("Returns", now["returned_amount"], "money", before.get("returned_amount")),
                trend=[float(month["returned_amount"]) for month in months],
                less_is_better=True,
                meaning="Amount of the return lines, usually negative: a rise is more of them",
            ),
            Figure(
                *("Orders", now["sale_orders"], "count", before.get("sale_orders")),
                trend=orders,
                meaning="Orders with a sale",
            ),
            Figure(
                *("Buyers", now["customers"], "count", before.get("customers")),
                trend=[float(month["closing_customers"]) for month in growth],
                meaning="Known customers with a sale",
            ),
            Figure(
                *("Net sales an order", _mean(now), "money", _mean(before)),
                trend=[mean for mean in map(_mean, months) if mean is not None],
                meaning="Net sales / orders, in the currency of the shop",
            ),
        ]
    )
    if filters.before:
        st.caption("Changes are against the same time before.")


def _mean(amounts: dict[str, object]) -> float | None:
    orders = amounts.get("sale_orders")
    return float(amounts["net_amount"]) / orders if orders else None  # type: ignore


def _sales(reader: Reader, filters: Filters) -> None:
    months = reader.ask(sales.sales_by_month, filters.since, filters.until, filters.country)
    section("Net sales by month", f"Money of the shop. {filters.days}, {filters.where}.", "sales")
    amounts = declared(
        "customer_days", "net_amount", "gross_amount", "returned_amount", "sale_orders",
        net_amount="Net sales", gross_amount="Gross sales", returned_amount="Returns",
        sale_orders="Orders",
    )  # fmt: skip
    columns = [MONTH, *amounts, Column("days", "Days with orders", "count")]
    drawn = bars_by_month(frame(months, columns), amounts[0], columns)
    chart(drawn, months, columns, "sales-by-month", "Net sales by month")


def _growth(reader: Reader, filters: Filters) -> None:
    months = reader.ask(sales.growth_by_month, filters.since, filters.until, filters.country)
    section(
        "Customers who buy: gained and lost",
        f"Customers in each calendar month, {filters.where}. Below the line: who bought in the "
        f"month before and not in this one, up to {written(filters.until, 'date')}.",
        "growth",
    )
    columns = [MONTH, Column("closing_customers", "Customers who bought", "count"), *GROWTH]
    rows = frame(months, columns)
    rows["churned_customers"] = -rows["churned_customers"]
    labels = {column.name: column.label for column in GROWTH}
    long = rows.melt("month", list(labels), "what", "number").replace({"what": labels})
    number = Column("number", "Customers", "count")
    drawn = (
        alt.Chart(long, height=300)
        .mark_bar()
        .encode(
            month_axis(),
            alt.Y("number:Q", title="Customers", axis=axis(number)),
            alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=list(labels.values())),
                legend=alt.Legend(orient="top"),
            ),
            tooltip=tips([MONTH, Column("what", "Customers", "text"), number]),
        )
    )
    chart(drawn, months, columns, "growth-by-month", "Customers gained and lost by month")


def _categories(reader: Reader, filters: Filters) -> None:
    found = reader.ask(sales.sales_by_category, filters.since, filters.until)
    section(
        "Net sales by category",
        f"Money of the shop, the {MOST_BARS} largest. {filters.days}, all countries: sales by "
        "category are not kept by country.",
        "categories",
    )
    columns = declared(
        "sales_daily", "category", "net_amount", "gross_amount", "returned_amount", "units",
        net_amount="Net sales", gross_amount="Gross sales", returned_amount="Returns",
    )  # fmt: skip
    drawn = ranked_bars(frame(found[:MOST_BARS], columns), columns[0], columns[1], columns)
    chart(drawn, found, columns, "sales-by-category", "Net sales by category")
