"""Churn: who is likely to leave and why, whether the probabilities hold, and drift.

Belongs here: the page. Does not belong here: its SQL (`questions.churn`).
"""

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, ranked_bars, tips
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, label_of, written
from analytics_assets.dashboards.links import CUSTOMER, table_of_customers
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
from analytics_assets.schemas.churn import DRIFT_VERDICTS, PROBABILITY_BANDS
from analytics_assets.settings import Settings

LONGEST_QUEUE = 200
PROBABILITY, BAND, LIFETIME = declared(
    "churn_predictions", "churn_probability", "risk_band", "lifetime_value",
    lifetime_value="Lifetime value, 12 months",
)  # fmt: skip
STAKE = Column(
    "value_at_stake", "Value at stake", "money", "Churn probability x lifetime value of 12 months"
)
REASONS = Column("reasons", "Reasons", "text", "What pushes the score most; a push is in log-odds")


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Churn", anchor=False)
    if not missing(reader, "churn_predictions", "user_analytics", "dim_customers"):
        _scores(reader, filters)
    if not missing(reader, "churn_performance", "churn_model"):
        _calibration(reader)
        _candidates(reader)
        _trainings(reader)
    if not missing(reader, "churn_drift"):
        _drift(reader)


def _scores(reader: Reader, filters: Filters) -> None:
    of_segment = f", segment {filters.segment}" if filters.segment else ""
    newest = reader.ask(churn.bands)
    arguments = (filters.country, filters.segment)
    bands = reader.ask(churn.bands_of, *arguments)
    if not newest or not bands:
        nothing("Nobody here is scored. Choose another country or segment.")
        return
    st.caption(
        f"Scores as of the end of {written(newest[0]['day'], 'date')}, {filters.where}{of_segment}."
    )
    scored = sum(row["customers"] for row in bands)
    high = next((row for row in bands if row["risk_band"] == "High"), None)
    mean = sum(row["churn_probability"] * row["customers"] for row in bands) / scored
    figures(
        [
            Figure("Customers scored", scored, "count", meaning="Customers who have bought"),
            Figure("Mean probability", mean, "share", meaning=PROBABILITY.meaning),
            Figure("In the band High", high["customers"] if high else 0, "count",
                   meaning=BAND.meaning),
            Figure("Value at stake", _sum(bands, "value_at_stake"), "money", meaning=STAKE.meaning),
            Figure("Lifetime value", _sum(bands, "lifetime_value"), "money",
                   meaning=LIFETIME.meaning),
        ]
    )  # fmt: skip
    section(
        "Customers by probability of churn",
        f"Customers of {filters.where}{of_segment}. Bands: "
        + ", ".join(f"{name} from {begin:.0%}" for name, begin in PROBABILITY_BANDS.items())
        + ".",
        "probabilities",
    )
    found = reader.ask(churn.distribution, *arguments)
    columns = [
        Column("probability_from", "From", "share"),
        Column("probability_to", "To, not included", "share"),
        Column("customers", "Customers", "count"),
    ]
    rows = frame(found, columns)
    middle = (rows["probability_from"] + rows["probability_to"]) / 2
    rows["band"] = [
        next(name for name, begin in reversed(PROBABILITY_BANDS.items()) if value >= begin)
        for value in middle
    ]
    drawn = (
        alt.Chart(rows, height=260)
        .mark_bar(stroke=None)
        .encode(
            alt.X(
                "probability_from:Q",
                bin="binned",
                title="Probability of churn",
                axis=alt.Axis(format=".0%", tickCount=10),
            ),
            alt.X2("probability_to:Q"),
            alt.Y("customers:Q", title="Customers", axis=axis(columns[2])),
            alt.Color(
                "band:N",
                title=None,
                # The third colour is left out: the fourth is the red one.
                scale=alt.Scale(domain=["Low", "Medium", "", "High"]),
                legend=alt.Legend(orient="top", values=list(PROBABILITY_BANDS)),
            ),
            tooltip=tips([*columns, Column("band", "Band", "text")]),
        )
    )
    chart(drawn, found, columns, "churn-probabilities", "Customers by probability of churn")
    section(
        "Whom to call first",
        f"By value at stake: churn probability x lifetime value. The first {LONGEST_QUEUE}, "
        f"{filters.where}{of_segment}.",
        "queue",
    )
    queue = with_reasons(reader.ask(churn.queue, *arguments, LONGEST_QUEUE))
    shown = [
        CUSTOMER,
        STAKE,
        PROBABILITY,
        LIFETIME,
        REASONS,
        Column("country", "Country", "text"),
        Column("segment", "Segment", "text"),
        *declared("user_analytics", "days_since_last_order", "sale_orders", sale_orders="Orders"),
    ]
    table_of_customers(queue, shown, "churn-queue", height=360)


def _sum(rows: list[dict[str, float | None]], name: str) -> float | None:
    values = [row[name] for row in rows]
    return None if None in values else sum(value for value in values if value is not None)


def _calibration(reader: Reader) -> None:
    past = reader.ask(churn.performance)
    section(
        "Did the probabilities hold?",
        "Past scores whose churn window is over, in tenths by probability, and the share of each "
        "that churned. On the line, what was predicted is what happened.",
        "calibration",
    )
    tenths = reader.ask(churn.calibration) if past else []
    if not tenths:
        nothing(
            "No scored day's churn window is over yet, so nothing can be compared. The measures of "
            "the tests before, on older days, are below."
        )
        return
    columns = [
        Column("tenth", "Tenth", "count", "1: the lowest probabilities"),
        Column("mean_predicted", "Predicted", "share", "Mean probability of the tenth"),
        Column("churned", "Churned", "share", "Share that had no sale within the window"),
        Column("customers", "Customers", "count"),
    ]
    line = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    drawn = alt.layer(
        line.mark_line(strokeDash=[4, 4], opacity=0.6).encode(alt.X("x:Q"), alt.Y("y:Q")),
        alt.Chart(frame(tenths, columns))
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=70, filled=True))
        .encode(
            alt.X("mean_predicted:Q", title="Predicted", axis=axis(columns[1])),
            alt.Y("churned:Q", title="Churned", axis=axis(columns[2])),
            tooltip=tips(columns),
        ),
    ).properties(height=320)
    chart(drawn, tenths, columns, "calibration", "Predicted and observed churn by tenths")
    shown = declared(
        "churn_performance", "as_of", "model_version", "customers", "mean_predicted", "prevalence",
        "roc_auc", "roc_auc_low", "roc_auc_high", "brier", "calibration_slope",
        "calibration_intercept", "shortfall", as_of="Scored as of",
    )  # fmt: skip
    with st.expander("Each scored day"):
        table(past, shown, "churn-performance")


def _candidates(reader: Reader) -> None:
    found = reader.ask(churn.candidates)
    if not found:
        return
    section(
        "Candidates of the newest training",
        f"Area under the ROC curve on days after the training, with its 95% interval; the newest "
        f"test is as of {written(found[0]['test_as_of'], 'date')}. The simplest within the noise "
        "of the best is chosen.",
        "candidates",
    )
    columns = declared(
        "churn_model", "candidate", "is_chosen", "roc_auc", "roc_auc_low", "roc_auc_high", "brier",
        "calibration_slope", "calibration_intercept", "top_decile_lift", "prevalence", "test_rows",
        is_chosen="Chosen",
    )  # fmt: skip
    rows = frame(found, columns)
    rows["candidate"] = rows["candidate"].map(label_of)
    rows["choice"] = rows["is_chosen"].map({True: "chosen", False: "not chosen"})
    base = alt.Chart(rows, height=34 * len(rows) + 60).encode(
        alt.Y("candidate:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
        alt.Color(
            "choice:N",
            title=None,
            scale=alt.Scale(domain=["not chosen", "chosen"]),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=tips(columns),
    )
    drawn = alt.layer(
        base.mark_rule(strokeWidth=3).encode(
            alt.X("roc_auc_low:Q", title="Area under the ROC curve", scale=alt.Scale(zero=False)),
            alt.X2("roc_auc_high:Q"),
        ),
        base.mark_point(filled=True, size=90, opacity=1).encode(alt.X("roc_auc:Q")),
    )
    chart(drawn, found, columns, "churn-candidates", "Candidates by area under the ROC curve")


def _trainings(reader: Reader) -> None:
    found = reader.ask(churn.trainings)
    section(
        "Trainings",
        "The choice of each training and whether it became the champion, the newest first.",
        "trainings",
    )
    columns = declared(
        "churn_model", "model_version", "candidate", "labels_to", "train_rows", "roc_auc",
        "decision", "decision_reason",
    )  # fmt: skip
    table(found, columns, "trainings")


def _drift(reader: Reader) -> None:
    found = reader.ask(churn.drift)
    if not found:
        nothing("No day has been compared with the training yet.")
        return
    verdicts = {v: sum(row["verdict"] == v for row in found) for v in DRIFT_VERDICTS}
    section(
        "Drift",
        f"Population stability index of the inputs and scores of "
        f"{written(found[0]['snapshot_date'], 'date')} against the training: "
        + ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items() if number)
        + ".",
        "drift",
    )
    columns = declared(
        "churn_drift", "feature", "verdict", "psi", "expected_psi", "p_value", "missing",
        "reference_missing", feature="Input", missing="Without a value",
        reference_missing="Without a value at training",
    )  # fmt: skip
    rows = frame(found[:15], columns)
    rows["feature"] = rows["feature"].map(label_of)
    drawn = ranked_bars(rows, columns[0], columns[2], columns).encode(
        alt.Color(
            "verdict:N",
            title=None,
            scale=alt.Scale(domain=list(DRIFT_VERDICTS)),
            legend=alt.Legend(orient="top"),
        ),
        alt.X("psi:Q", title="Population stability index", scale=alt.Scale(domainMax=_most(rows))),
    )
    chart(drawn, found, columns, "churn-drift", "Drift of the inputs, the 15 largest")


def _most(rows: object) -> float:
    """The end of the axis: an index below 0.1 is no drift, and should not look like some."""
    return max(0.25, float(rows["psi"].max()))  # type: ignore[index]
