"""Live numbers of the stream on a page: with their age, or with the reason why there are none.

Belongs here: the section. Does not belong here: reading Redis (`streaming.live_now`).
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import altair as alt
import streamlit as st

from analytics_assets.dashboards.charts import axis, tips
from analytics_assets.dashboards.labels import Column, written
from analytics_assets.dashboards.parts import Figure, chart, figures, frame, nothing, section
from analytics_assets.settings import Settings
from analytics_assets.streaming.live_now import Live, LiveAwayError, LiveReader

EVERY_SECONDS = 15
START = Column("window_start", "Five minutes from", "time", "UTC")
EVENTS = Column("events", "Events", "count")
COLUMNS = (
    START,
    Column("event_type", "Event", "text"),
    EVENTS,
    Column("visitors", "Visitors", "count", "An estimate, to 2%"),
    Column("sessions", "Sessions", "count", "An estimate, to 2%"),
)


@st.cache_resource(show_spinner=False)
def _reader(url: str) -> LiveReader:
    return LiveReader(url)


def live_section(settings: Settings) -> None:
    """Draw it; where a stream is set up, it is drawn again by itself."""
    if settings.redis_url is None:
        st.caption("There are no live numbers: no stream is set up.")
        return
    st.fragment(_draw, run_every=EVERY_SECONDS)(_reader(settings.redis_url))


def _draw(reader: LiveReader) -> None:
    section("Live", "What the stream has counted; the numbers above are of the build.", "live")
    try:
        found = reader.read()
    except LiveAwayError as error:
        st.warning(str(error), icon=":material/cloud_off:")
        return
    if found.status == "waiting":
        nothing(found.detail)
        return
    if found.status == "late":
        st.warning(found.detail, icon=":material/schedule:")
    _figures(found)
    if found.activity:
        _activity(found)


def _figures(found: Live) -> None:
    hour = found.purchases or {}
    total = hour.get("total")
    events, minutes = None, 60
    if found.activity_from and found.activity_to:
        events = sum(row["events"] for row in found.activity)
        minutes = (found.activity_to - found.activity_from) // timedelta(minutes=5) * 5
    figures(
        [
            Figure("Purchases, hour", hour.get("purchases"), "count"),
            Figure("Sales, hour", None if total is None else Decimal(total), "money"),
            Figure("Buyers, hour", hour.get("customers"), "count"),
            Figure(f"Events, {minutes} min", events, "count", meaning="Of all types"),
        ]
    )
    ended = datetime.fromisoformat(hour["window_end"]) if hour else None
    said = [
        f"{what} up to {written(at, 'time')}, {_ago(at)}"
        for what, at in (("Purchases", ended or found.purchases_to), ("events", found.activity_to))
        if at
    ]
    st.caption(f"{'; '.join(said)}. Windows that still change are left out.")
    if not hour:
        st.caption("No whole hour of purchases is kept any more, or yet.")


def _ago(at: datetime) -> str:
    minutes = max(round((datetime.now(UTC) - at).total_seconds() / 60), 0)
    if minutes < 120:
        return f"{minutes} minutes ago"
    return f"{minutes // 60} hours ago" if minutes < 2880 else f"{minutes // 1440:,} days ago"


def _activity(found: Live) -> None:
    rows = [
        {**row, "window_start": datetime.fromisoformat(row["window_start"]).replace(tzinfo=None)}
        for row in found.activity
    ]
    drawn = (
        alt.Chart(frame(rows, COLUMNS), height=260)
        .mark_bar()
        .encode(
            alt.X("window_start:O", timeUnit="hoursminutes", title="Five minutes from, UTC"),
            alt.Y("events:Q", title="Events", axis=axis(EVENTS)),
            alt.Color("event_type:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=tips(COLUMNS),
        )
    )
    chart(drawn, rows, COLUMNS, "live-activity", "Events in five minutes, by type")
