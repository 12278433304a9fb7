"""Sessions and windows of the stream equal what a batch computes from the same messages."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.sample import sample_events, write_files

from .messages import DELAY, START, event, expected, write

pytestmark = pytest.mark.slow
GAP = timedelta(minutes=30)
Run = Callable[[StreamOptions], None]
Rows = Callable[[StreamOptions, str], list[Any]]


def aware(at: datetime) -> datetime:
    # Spark hands times over in the machine's own zone, without naming it.
    return at.astimezone(UTC)


def newest_of(rows: list[Any], *keys: str) -> dict[tuple[Any, ...], Any]:
    """The last state of each window."""
    found: dict[tuple[Any, ...], Any] = {}
    for row in sorted(rows, key=lambda row: row.batch_id):
        found[tuple(aware(row[k]) if isinstance(row[k], datetime) else row[k] for k in keys)] = row
    return found


@pytest.fixture
def streamed(options: StreamOptions, run: Run) -> tuple[StreamOptions, list[dict[str, Any]]]:
    """A stream of the sample over a midnight, and its events that came in time."""
    folder = Path(options.messages.folder)  # type: ignore[attr-defined]
    start = START.replace(hour=21)
    write_files(folder, sample_events(4_000, start, 6 * 3600, 150, seed=8), 900)
    wanted = expected(sorted(folder.iterdir()))
    run(options)
    return options, [row for name, row in wanted.events.items() if name not in wanted.late]


def islands(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Sessions: no pause of 30 minutes, and no midnight within."""
    by_visitor = defaultdict(list)
    for row in events:
        by_visitor[row.get("customer_id") or row["session_id"], row["at"].date()].append(row)
    found = []
    for of_day in by_visitor.values():
        of_day.sort(key=lambda row: (row["at"], row["event_id"]))
        session = [of_day[0]]
        for row in of_day[1:]:
            if row["at"] - session[-1]["at"] > GAP:
                found.append(session)
                session = []
            session.append(row)
        found.append(session)
    return found


def test_sessions(streamed: tuple[StreamOptions, list[dict[str, Any]]], table: Rows) -> None:
    options, events = streamed
    end = max(row["at"] for row in events) - DELAY
    wanted = {}
    for session in islands(events):
        first, last = session[0], session[-1]
        if last["at"] + GAP > end:
            continue  # it may go on
        pages = {row["page_url"] for row in session}
        purchases = sum(row["event_type"] == "purchase" for row in session)
        seconds = int(last["at"].timestamp()) - int(first["at"].timestamp())
        engagement = min(len(pages), 10) * 4 + min(seconds, 1800) // 60 + min(len(session), 20)
        wanted[first.get("customer_id") or first["session_id"], first["at"]] = (
            len(session),
            len(pages),
            seconds,
            purchases,
            [row["event_type"] for row in session],
            engagement + (10 if purchases else 0),
            "day" if (last["at"] + GAP).date() > first["at"].date() else "gap",
        )
    found = {
        (row.visitor, aware(row.started_at)): (
            *(row.events, row.pages, row.duration_seconds, row.purchases),
            *(row.event_types, row.engagement, row.ended_by),
        )
        for row in table(options, "sessions")
    }
    assert found == wanted
    assert {value[-1] for value in wanted.values()} == {"day", "gap"}


def test_purchases(streamed: tuple[StreamOptions, list[dict[str, Any]]], table: Rows) -> None:
    options, events = streamed
    windows = defaultdict(list)
    quarter = timedelta(minutes=15)
    for row in events:
        if row["event_type"] == "purchase" and row.get("customer_id"):
            last = row["at"] - (row["at"] - START) % quarter
            for start in (last - step * quarter for step in range(4)):
                windows[row["customer_id"], start].append(row)
    wanted = {}
    for key, rows in windows.items():
        total = sum(Decimal(str(row["order_total"])) for row in rows)
        times = [int(row["at"].timestamp()) for row in rows]
        cent = Decimal("0.0001")
        velocity = (
            (total * 3600 / max(max(times) - min(times), 900)).quantize(cent, ROUND_HALF_UP)
            if len(rows) > 1
            else None
        )
        wanted[key] = (
            *(len(rows), total, (total / len(rows)).quantize(cent, ROUND_HALF_UP)),
            *(sorted({row["product_category"] for row in rows}), velocity),
        )
    found = newest_of(table(options, "purchases"), "customer_id", "window_start")
    assert {
        key: (row.purchases, row.total, row.mean, row.categories, row.velocity)
        for key, row in found.items()
    } == wanted
    assert any(value[-1] for value in wanted.values())


def test_activity(streamed: tuple[StreamOptions, list[dict[str, Any]]], table: Rows) -> None:
    options, events = streamed
    counts: dict[Any, int] = defaultdict(int)
    visitors = defaultdict(set)
    for row in events:
        key = row["event_type"], row["at"] - (row["at"] - START) % timedelta(minutes=5)
        counts[key] += 1
        visitors[key].add(row.get("customer_id") or row["session_id"])
    found = newest_of(table(options, "activity"), "event_type", "window_start")
    assert {key: row.events for key, row in found.items()} == counts
    for key, row in found.items():
        assert abs(row.visitors - len(visitors[key])) <= max(1, 0.1 * len(visitors[key]))


def test_late_at_night_goes_past_midnight(options: StreamOptions, run: Run, table: Rows) -> None:
    folder = Path(options.messages.folder)  # type: ignore[attr-defined]
    bought = {"event_type": "purchase", "order_total": 1500, "customer_id": "C7"}
    minutes = {"e1": 13 * 60 + 59, "e2": 14 * 60, "e3": 21 * 60 + 59, "e4": 22 * 60}
    write(folder, 0, [event(int(name[1:]), after, **bought) for name, after in minutes.items()])
    run(replace(options, queries=("lake", "alerts")))
    reasons = {row.event_id: row.reasons for row in table(options, "alerts")}
    night = "a large order; late at night"
    weekend = "; on a weekend"
    # 2024-03-01 is a Friday: 21:59 and 22:00 of it, 05:59 and 06:00 of Saturday.
    assert reasons == {
        "e1": "a large order",
        "e2": night,
        "e3": night + weekend,
        "e4": "a large order" + weekend,
    }
