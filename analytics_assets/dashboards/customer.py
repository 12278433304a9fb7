"""One customer: what is known, the score with its reasons, segments, and sales by month.

Belongs here: the page. Does not belong here: the search (`customers`).
"""

from typing import Any

import streamlit as st

from analytics_assets.dashboards.charts import bars_by_month
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, written
from analytics_assets.dashboards.parts import (
    Figure,
    chart,
    figures,
    frame,
    missing,
    nothing,
    section,
    table,
)
from analytics_assets.dashboards.reader import Reader
from analytics_assets.dashboards.reasons import reasons_of
from analytics_assets.questions import churn, customers
from analytics_assets.settings import Settings


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("One customer", anchor=False)
    if missing(reader, "user_analytics", "dim_customers"):
        return
    customer_id = st.text_input(
        "Customer ID", key="customer", bind="query-params", max_chars=1000
    ).strip()
    if not customer_id:
        nothing("Type the ID of a customer, or find one on the page Customers.")
        return
    known = reader.ask(customers.one, customer_id)
    if known is None:
        nothing("The build has no such customer. The page Customers finds IDs that begin alike.")
        return
    origin = f"from {known['country']}" if known["country"] else "country unknown"
    since = (
        f"registered {written(known['registered_at'].date(), 'date')}"
        if known["registered_at"]
        else "not registered"
    )
    st.caption(
        f"{customer_id}, {origin}, {since}. As of {written(known['snapshot_date'], 'date')}."
    )
    _figures(known)
    if not missing(reader, "churn_predictions"):
        _score(reader.ask(churn.prediction_of, customer_id))
    if not missing(reader, "customer_sales"):
        _months(reader, customer_id)
    if not missing(reader, "customer_analytics_daily"):
        _segments(reader, customer_id)


def _figures(known: dict[str, Any]) -> None:
    meanings = {column.name: column for column in declared("user_analytics", *known.keys() - EXTRA)}
    shown = {
        "segment": "Segment",
        "rfm": "RFM",
        "net_amount": "Net sales, ever",
        "sale_orders": "Orders",
        "average_order_value": "Sales an order",
        "days_since_last_order": "Days since order",
        "return_share": "Share of returns",
    }
    figures(
        [
            Figure(label, known[name], meanings[name].kind, meaning=meanings[name].meaning)
            for name, label in shown.items()
        ]
    )


EXTRA = {"country", "city", "registered_at"}  # of the dimension


def _score(scored: dict[str, Any] | None) -> None:
    section(
        "Churn and value",
        "The newest score, and what pushes it most, against what is typical for each input.",
        "score",
    )
    if scored is None:
        nothing("There is no score: only customers who have bought are scored.")
        return
    columns = declared(
        "churn_predictions", "churn_probability", "risk_band", "expected_value", "lifetime_value",
        expected_value="Value of the next 90 days", lifetime_value="Value of 12 months",
    )  # fmt: skip
    horizon = columns[2]
    figures(
        [
            Figure("Churn probability", scored["churn_probability"], "share",
                   meaning=columns[0].meaning),
            Figure("Risk band", scored["risk_band"], "text", meaning=columns[1].meaning),
            Figure("Expected value", scored["expected_value"], "money",
                   meaning=horizon.meaning),
            Figure("Lifetime value", scored["lifetime_value"], "money",
                   meaning=columns[3].meaning),
        ]
    )  # fmt: skip
    low, high = scored["lifetime_value_low"], scored["lifetime_value_high"]
    if low is not None and high is not None:
        st.caption(
            f"Lifetime value: with 90% between {written(low, 'money')} and "
            f"{written(high, 'money')}."
        )
    for reason in reasons_of(scored):
        st.markdown(f"- {reason}")
    st.caption(
        f"Scored as of {written(scored['snapshot_date'], 'date')} by {scored['model_version']}."
    )


def _months(reader: Reader, customer_id: str) -> None:
    months = reader.ask(customers.months_of, customer_id)
    section("Net sales by month", "Money of the shop, all time.", "months")
    if not months:
        nothing("The customer has no orders.")
        return
    columns = declared(
        "customer_sales", "month", "net_amount", "gross_amount", "returned_amount", "sale_orders",
        "units", net_amount="Net sales", gross_amount="Gross sales", returned_amount="Returns",
        sale_orders="Orders",
    )  # fmt: skip
    drawn = bars_by_month(frame(months, columns), columns[1], columns)
    chart(drawn, months, columns, "customer-months", "Net sales of the customer by month")


def _segments(reader: Reader, customer_id: str) -> None:
    section(
        "Segments",
        "The segment at the end of each month and on the newest day, where it changed. Only days "
        "that were the newest when they were loaded have one.",
        "segments",
    )
    changes = reader.ask(
        customers.segment_changes, customer_id, tuple(reader.ask(customers.month_ends))
    )
    table(
        changes,
        [Column("day", "Since", "date"), Column("segment", "Segment", "text")],
        "customer-segments",
    )
