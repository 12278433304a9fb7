"""Quality: scores of tables by day, what failed, rejected rows, and how new everything is.

Belongs here: the page. Does not belong here: its SQL (`questions.quality`).
"""

from datetime import date

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, tips
from analytics_assets.dashboards.filters import Filters
from analytics_assets.dashboards.labels import Column, declared, written
from analytics_assets.dashboards.parts import (
    Figure,
    Records,
    chart,
    figures,
    frame,
    missing,
    nothing,
    section,
    table,
)
from analytics_assets.dashboards.reader import Reader
from analytics_assets.questions import quality
from analytics_assets.settings import Settings

TABLE = Column("asset", "Table", "text", "Table that was checked")
LONGEST_BY_DAY = 45  # days that are shown one by one; more are shown by week, or by month
LONGEST_BY_WEEK = 400
MOST_RUNS = 50
MOST_TABLES = 25


def draw(reader: Reader, filters: Filters, settings: Settings) -> None:
    """The page."""
    st.title("Quality", anchor=False)
    if missing(reader, "data_quality_scores", "data_quality_metrics"):
        return
    scores = reader.ask(quality.newest_scores)
    if not scores:
        nothing("No check has been evaluated yet.")
        return
    st.caption(f"Newest verdicts, and scores of {filters.days}.")
    length = (filters.until - filters.since).days + 1
    by = "day" if length <= LONGEST_BY_DAY else "week" if length <= LONGEST_BY_WEEK else "month"
    arguments = (filters.since, filters.until, by)
    rejected = reader.ask(quality.rejected, *arguments)
    _figures(reader, scores, rejected)
    _scores(reader, arguments)
    _failures(reader)
    _rejected(rejected, by, filters)
    _freshness(reader)
    if not missing(reader, "pipeline_executions"):
        _runs(reader)


def _figures(reader: Reader, scores: Records, rejected: Records) -> None:
    verdicts = reader.ask(quality.verdicts)
    figures(
        [
            Figure("Mean score", f"{sum(s['score'] for s in scores) / len(scores):.3%}", "text",
                   meaning="Mean of the newest scores of all tables; 100% is no failing row"),
            Figure("Tables below 100%", sum(s["score"] < 1 for s in scores), "count",
                   meaning=f"Of {len(scores)} tables, by their newest score"),
            Figure("Checks passed", verdicts["passed"], "count",
                   meaning="Checks by their newest verdict"),
            Figure("Warnings", verdicts["warned"], "count",
                   meaning="Checks that fail and only warn"),
            Figure("Errors", verdicts["failed"], "count",
                   meaning="Checks that fail and block"),
            Figure("Rejected rows", sum(row["rejected_rows"] or 0 for row in rejected), "count",
                   meaning="Source rows of these days that were rejected"),
        ]
    )  # fmt: skip


def _scores(reader: Reader, arguments: tuple[date, date, str]) -> None:
    found = reader.ask(quality.scores_between, *arguments)
    by = arguments[2]
    least: dict[str, float] = {}
    for row in found:
        least[row["asset"]] = min(row["score"], least.get(row["asset"], 1.0))
    below = {asset for asset in sorted(least, key=least.__getitem__)[:MOST_TABLES]
             if least[asset] < 1}  # fmt: skip
    section(
        f"Score by table and {by}",
        f"The lowest score of each {by}, for the {MOST_TABLES} lowest tables that were below 100% "
        "at any time in these days; the table below has all.",
        "scores",
    )
    columns = [
        TABLE,
        Column("day", by.capitalize(), "date", f"First day of the {by}"),
        *declared(
            "data_quality_scores", "score", "completeness", "validity", "consistency",
            "uniqueness", "timeliness",
        ),
        Column("days", "Days", "count", "Days with a score"),
    ]  # fmt: skip
    if not below:
        nothing("No table was below 100% in these days.")
        with st.expander(f"Table: {len(found):,} rows"):
            table(found, columns, "quality-scores")
        return
    rows = frame([row for row in found if row["asset"] in below], columns)
    drawn = (
        alt.Chart(rows, height=26 * len(below) + 70)
        .mark_rect(cornerRadius=1)
        .encode(
            alt.X(
                "yearmonthdate(day):O",
                title=None,
                axis=alt.Axis(format="%-d %b %y", labelAngle=0, labelOverlap="greedy"),
            ),
            alt.Y("asset:N", title=None, axis=alt.Axis(labelLimit=200)),
            alt.Color(
                "score:Q",
                title=None,
                legend=alt.Legend(format=".0%", orient="top", gradientLength=220),
                scale=alt.Scale(domain=[min(0.9, float(rows["score"].min())), 1]),
            ),
            tooltip=tips(columns),
        )
    )
    chart(drawn, found, columns, "quality-scores", "Score of each table over time")


def _failures(reader: Reader) -> None:
    found = reader.ask(quality.failures)
    section("What failed", "Checks whose newest verdict is not a pass, errors first.", "failures")
    if not found:
        nothing("Every check has passed.")
        return
    columns = [
        TABLE,
        *declared(
            "data_quality_metrics", "check_name", "severity", "failing_rows", "rows_checked",
            "share", "description", "family", "window_start", "window_end", "evaluated_at",
            check_name="Check", description="Result",
        ),
    ]  # fmt: skip
    table(found, columns, "quality-failures", height=360)


def _rejected(found: Records, by: str, filters: Filters) -> None:
    section(
        "Rejected rows",
        f"Source rows that could not be typed or break a rule, by {by} of the rows. "
        f"{filters.days}. `analytics-assets rejected` shows the rows with their reasons.",
        "rejected",
    )
    if not any(row["rejected_rows"] for row in found):
        nothing("No row of these days was rejected.")
        return
    columns = [
        Column("source", "Source", "text"),
        Column("day", by.capitalize(), "date", f"First day of the {by}"),
        Column("rejected_rows", "Rejected rows", "count"),
        Column("rows_read", "Rows read", "count"),
    ]
    drawn = (
        alt.Chart(frame(found, columns), height=240)
        .mark_bar()
        .encode(
            alt.X(
                "yearmonthdate(day):O",
                title=None,
                axis=alt.Axis(format="%-d %b %y", labelAngle=0, labelOverlap="greedy"),
            ),
            alt.Y("rejected_rows:Q", title="Rejected rows", axis=axis(columns[2])),
            alt.Color("source:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=tips(columns),
        )
    )
    chart(drawn, found, columns, "rejected-rows", "Rejected rows by source")


def _freshness(reader: Reader) -> None:
    found = reader.ask(quality.freshness)
    section(
        "Freshness",
        f"The newest day of each table that checks have seen, the oldest first. The build was "
        f"published {written(reader.published_at, 'time')}.",
        "freshness",
    )
    columns = [
        TABLE,
        Column("newest_day", "Newest day", "date", "Newest day with a score"),
        Column("evaluated_at", "Checked", "time", "When a check was evaluated last, UTC"),
    ]
    table(found, columns, "freshness", height=280)


def _runs(reader: Reader) -> None:
    found = reader.ask(quality.runs, MOST_RUNS)
    section(
        "Runs",
        f"The newest {MOST_RUNS} runs, as the build knows them. The run that publishes a build is "
        "still going on in it.",
        "runs",
    )
    columns = declared(
        "pipeline_executions", "started_at", "job", "status", "seconds", "window_start",
        "window_end", "assets", "checks_passed", "checks_failed",
    )  # fmt: skip
    table(found, columns, "runs", height=280)
