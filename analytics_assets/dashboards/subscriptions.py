"""Subscriptions: who left, by contract and by time, and who may leave.

Belongs here: the page. Does not belong here: its SQL (`questions.churn`).
"""

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, ranked_bars, tips
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared
from analytics_assets.dashboards.links import CUSTOMER
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
from analytics_assets.dashboards.reasons import with_reasons
from analytics_assets.questions import churn
from analytics_assets.settings import Settings

LONGEST_QUEUE = 200
RATE = declared("churn_by_contract", "churn_rate")[0]


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Subscriptions", anchor=False)
    st.caption("All subscribers of the source, as they were when it was loaded.")
    if not missing(reader, "churn_by_contract"):
        _contracts(reader)
    if not missing(reader, "subscription_analytics"):
        _tenure(reader)
    if not missing(reader, "subscription_predictions", "subscription_analytics"):
        _queue(reader)


def _contracts(reader: Reader) -> None:
    found = reader.ask(churn.by_contract)
    if not found:
        nothing("The source has no subscribers.")
        return
    subscribers = sum(row["subscribers"] for row in found)
    left = sum(row["churned"] for row in found)
    figures(
        [
            Figure("Subscribers", subscribers, "count", meaning="Those who left included"),
            Figure("Left", left, "count"),
            Figure("Churn rate", left / subscribers, "share", meaning="Left / subscribers"),
            Figure("Charges a month", sum(row["monthly_charges"] for row in found), "money",
                   meaning="Money charged a month to those who stayed"),
            Figure("Charges lost", sum(row["monthly_charges_lost"] for row in found),
                   "money", meaning="Money charged a month to those who left"),
        ]
    )  # fmt: skip
    section("Churn by contract", "Share of the subscribers who left.", "contracts")
    columns = declared(
        "churn_by_contract", "contract", "churn_rate", "subscribers", "churned", "monthly_charges",
        "monthly_charges_lost", churned="Left",
    )  # fmt: skip
    drawn = ranked_bars(frame(found, columns), columns[0], columns[1], columns)
    chart(drawn, found, columns, "churn-by-contract", "Churn rate by kind of contract")


def _tenure(reader: Reader) -> None:
    found = reader.ask(churn.by_tenure)
    section("Churn by time", "Share who left, by full years of the subscription.", "tenure")
    if not found:
        nothing("The source says for no subscriber since when they subscribe.")
        return
    columns = [
        Column("years", "Full years", "count", "Full years of the subscription"),
        RATE,
        Column("subscribers", "Subscribers", "count"),
        Column("churned", "Left", "count"),
    ]
    drawn = (
        alt.Chart(frame(found, columns), height=260)
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            alt.X("years:O", title="Full years", axis=alt.Axis(labelAngle=0)),
            alt.Y("churn_rate:Q", title="Churn rate", axis=axis(RATE)),
            tooltip=tips(columns),
        )
    )
    chart(drawn, found, columns, "churn-by-tenure", "Churn rate by years of the subscription")


def _queue(reader: Reader) -> None:
    section(
        "Whom to call first",
        f"Subscribers who have not left, by the money of a year at stake. The first "
        f"{LONGEST_QUEUE}.",
        "queue",
    )
    found = with_reasons(reader.ask(churn.subscriber_queue, LONGEST_QUEUE))
    if not found:
        nothing("No subscriber is scored yet.")
        return
    columns = [
        CUSTOMER,
        *declared(
            "subscription_predictions", "expected_loss", "churn_probability", "risk_band",
            expected_loss="Money of a year at stake",
        ),
        Column("reasons", "Reasons", "text", "What pushes the score most, in log-odds"),
        *declared("subscription_analytics", "contract", "monthly_charges", "tenure_months"),
    ]  # fmt: skip
    table(found, columns, "subscriber-queue", height=360)
