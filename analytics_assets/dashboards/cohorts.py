"""Cohorts: who came in a month, how many bought again, and what they brought.

Belongs here: the page. Does not belong here: its SQL (`questions.cohorts`).
"""

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, tips
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, label_of
from analytics_assets.dashboards.parts import (
    Figure,
    Records,
    chart,
    figures,
    frame,
    missing,
    nothing,
    section,
)
from analytics_assets.dashboards.reader import Reader
from analytics_assets.questions import cohorts
from analytics_assets.settings import Settings

COHORT, NUMBER, ACTIVE, SIZE, RETENTION, REVENUE, COMPLETE = declared(
    "customer_cohort_analysis", "cohort_month", "month_number", "customers_active",
    "customers_in_cohort", "retention_rate", "cohort_revenue", "is_complete",
    cohort_month="Cohort", month_number="Month", customers_active="Customers active",
    retention_rate="Retention", cohort_revenue="Net sales of the month",
    is_complete="Month is over",
)  # fmt: skip
VALUE = Column(
    "revenue_per_customer",
    "Net sales a customer so far",
    "money",
    "Net sales of the cohort since its first month / customers of the cohort",
)


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Cohorts", anchor=False)
    st.caption(
        f"Customers by the month of their first sale. Cohorts of {filters.days}, {filters.where}."
    )
    if missing(reader, "customer_cohort_analysis"):
        return
    if filters.country and missing(reader, "customer_days", "dim_customers"):
        return
    arguments = (filters.since, filters.until, filters.country)
    rows = reader.ask(cohorts.cohorts, *arguments)
    if not rows:
        nothing("No cohort began in these days. Choose more days.")
        return
    curve = reader.ask(cohorts.curve, *arguments)
    _figures(rows, curve)
    _heat_map(rows)
    _curves(rows, curve)
    if not missing(reader, "cohorts_by_dimension"):
        _dimensions(reader, filters)


def _figures(rows: Records, curve: Records) -> None:
    sizes = {row["cohort_month"]: row["customers_in_cohort"] for row in rows}
    months = {row["month_number"]: row for row in curve}
    figures(
        [
            Figure("Cohorts", len(sizes), "count", meaning="Months with a first sale"),
            Figure("Customers in them", sum(sizes.values()), "count"),
            *(
                Figure(
                    *(f"Kept in month {n}", months[n]["retention_rate"], "share"),
                    meaning="Share of the cohorts' customers with a sale in that month after the "
                    "first; cohorts for which the month is over",
                )
                for n in (1, 3, 6)
                if n in months
            ),
            *(
                Figure(
                    *(f"Value, month {n}", months[n]["revenue_per_customer"], "money"),
                    meaning=VALUE.meaning,
                )
                for n in (max(months, default=0),)
                if n
            ),
        ]
    )


def _heat_map(rows: Records) -> None:
    section(
        "Retention",
        "Share of a cohort with a sale in each calendar month after the first. A month that is not "
        "over is shown paler; the first month is 100% and left out.",
        "retention",
    )
    columns = [COHORT, NUMBER, RETENTION, ACTIVE, SIZE, REVENUE, VALUE, COMPLETE]
    later = [row for row in rows if row["month_number"]]
    if not later:
        nothing("No month after the first has been observed for these cohorts yet.")
        return
    height = max(120, 24 * len({row["cohort_month"] for row in later}) + 60)
    drawn = (
        alt.Chart(frame(later, columns), height=height)
        .mark_rect(cornerRadius=1)
        .encode(
            alt.X(
                "month_number:O",
                title="Months since the first sale",
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            alt.Y("yearmonth(cohort_month):O", title=None, axis=alt.Axis(format="%b %Y")),
            alt.Color(
                "retention_rate:Q",
                title=None,
                legend=alt.Legend(format=".0%", orient="top", gradientLength=220),
            ),
            opacity=alt.condition("datum.is_complete", alt.value(1), alt.value(0.45)),
            tooltip=tips(columns),
        )
    )
    chart(
        drawn, rows, columns, "cohorts", "Retention of each cohort by months since its first sale"
    )


def _curves(rows: Records, curve: Records) -> None:
    columns = [
        NUMBER,
        RETENTION,
        VALUE,
        ACTIVE,
        SIZE,
        Column("cohorts", "Cohorts", "count", "Cohorts for which the month is over"),
    ]
    whole = [row for row in rows if row["is_complete"]]
    for value, name, title, text in (
        (
            *(RETENTION, "retention-curve", "Retention curve"),
            "Share with a sale, by calendar months since the first sale. The bold line is all "
            "cohorts together; only months that are over.",
        ),
        (
            *(VALUE, "value-curve", "Value of a customer so far"),
            "Net sales since the first sale / customers of the cohort, in money of the shop: what "
            "a customer brought within so many months. The bold line is all cohorts together.",
        ),
    ):
        section(title, text, name)
        least = 1 if value is RETENTION else 0
        some = [row for row in whole if row["month_number"] >= least]
        all_of_them = [row for row in curve if row["month_number"] >= least]
        if not all_of_them:
            nothing("No month after the first is over for these cohorts yet.")
            continue
        x = alt.X(
            "month_number:Q", title="Months since the first sale", axis=alt.Axis(tickMinStep=1)
        )
        y = alt.Y(f"{value.name}:Q", title=value.label, axis=axis(value))
        drawn = alt.layer(
            alt.Chart(frame(some, [COHORT, *columns]))
            .mark_line(strokeWidth=1.2, opacity=0.5, color="#8C9491")
            .encode(
                x,
                y,
                alt.Detail("cohort_month:O"),
                tooltip=tips([COHORT, NUMBER, value, SIZE]),
            ),
            alt.Chart(frame(all_of_them, columns))
            .mark_line(strokeWidth=3.5, point=True)
            .encode(x, y, tooltip=tips([NUMBER, value, SIZE])),
        ).properties(height=300)
        chart(drawn, curve, columns, name, title)


def _dimensions(reader: Reader, filters: Filters) -> None:
    section(
        "Retention by what brought them",
        f"The six largest values by the first order. Cohorts of {filters.days} together, all "
        "countries; only months that are over.",
        "dimensions",
    )
    dimension = st.selectbox(
        "Compare by",
        reader.ask(cohorts.dimensions),
        format_func=label_of,
        key="dimension",
        bind="query-params",
    )
    if dimension is None:
        nothing("The build has no cohorts yet.")
        return
    found = reader.ask(cohorts.retention_by, filters.since, filters.until, dimension)
    later = [row for row in found if row["month_number"]]
    if not later:
        nothing("No month after the first is over for these cohorts yet.")
        return
    (value,) = declared("cohorts_by_dimension", "value", value=label_of(dimension))
    columns = [value, NUMBER, RETENTION, ACTIVE, SIZE]
    drawn = (
        alt.Chart(frame(later, columns), height=300)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22))
        .encode(
            alt.X("month_number:Q", title="Months since the first sale",
                  axis=alt.Axis(tickMinStep=1)),
            alt.Y("retention_rate:Q", title="Retention", axis=axis(RETENTION)),
            alt.Color("value:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=tips(columns),
        )
    )  # fmt: skip
    chart(drawn, found, columns, "retention-by-dimension", f"Retention by {value.label}")
