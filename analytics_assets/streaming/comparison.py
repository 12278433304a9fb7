"""What the stream said of closed days, and what the batch computes: the SQL that compares them.

Belongs here: the comparison of sessions, purchases and activity. Does not belong here: the sessions
of the batch (the model event_sessions), or reading the lake (`sources.readers.delta_rows`).

Windows of the batch are computed here, from fact_events, without late events: the stream leaves
those out. A session of the batch without late events is a session of the stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from analytics_assets.partitions import Window
from analytics_assets.quoting import literal
from analytics_assets.streaming.contract import PURCHASE
from analytics_assets.streaming.layout import (
    ACTIVITY,
    GAP,
    LENGTHS,
    PURCHASES,
    SESSIONS,
    STEPS,
    in_seconds,
)
from analytics_assets.warehouse.windows import window_predicate

# Estimates of the stream may be so far off: five standard errors.
ESTIMATE = "abs({0} - {1}) <= greatest(1, 0.1 * {1})"
# Decimals are divided in two ways: the last one may differ.
DIVIDED = "abs({0} - {1}) <= 0.0001"
NEVER = datetime(1970, 1, 1)  # noqa: DTZ001 (naive UTC, like all times of the warehouse)


@dataclass(frozen=True)
class Windows:
    """Windows that the stream computes.

    Attributes:
        key: columns of the stream's table that identify a row.
        of: SQL expression of the first column of the key, in fact_events.
        where: SQL condition of the events.
        measures: SQL aggregates of the batch by column of the stream.
        same: SQL condition that a column of both is equal, where `=` is not; {0} is the stream's.
    """

    key: tuple[str, ...]
    of: str
    where: str
    measures: Mapping[str, str]
    same: Mapping[str, str]


SECONDS = "date_diff('second', min(event_time), max(event_time))"
TOTAL = "sum(order_total)::DECIMAL(28,4)"
WINDOWS = {
    PURCHASES: Windows(
        ("customer_id", "window_start"),
        "visitor",
        f"event_type = '{PURCHASE}' AND customer_id <> '(unknown)'",
        {
            "purchases": "count(*)",
            "total": TOTAL,
            "mean": f"{TOTAL} / count(*)",
            "categories": "coalesce(array_to_string(list_sort(list(DISTINCT product_category) "
            "FILTER (product_category IS NOT NULL)), ','), '')",
            "velocity": f"CASE WHEN count(*) > 1 THEN {TOTAL} * 3600 / greatest({SECONDS}, 900) "
            "END",
            "last_event_at": "max(event_time)",
        },
        {"mean": DIVIDED, "velocity": DIVIDED},
    ),
    ACTIVITY: Windows(
        ("event_type", "window_start"),
        "event_type",
        "true",
        {
            "events": "count(*)",
            "visitors": "count(DISTINCT visitor)",
            "sessions": "count(DISTINCT session_id)",
            "last_event_at": "max(event_time)",
        },
        {"visitors": ESTIMATE, "sessions": ESTIMATE},
    ),
}
# Columns of a session that are equal in both.
OF_SESSION = (
    *("started_at", "last_event_at", "events", "pages", "duration_seconds"),
    *("purchases", "event_types", "engagement", "ended_by"),
)


def said_columns(what: str) -> str:
    """SQL of the columns of the stream's table that are compared."""
    if what == SESSIONS:
        return ", ".join(["session_key", "visitor", "day", *map(_plain, OF_SESSION)])
    windows = WINDOWS[what]
    listed = [*windows.key, "window_end", *windows.measures]
    return ", ".join([*map(_plain, listed), "batch_id"])


def _plain(name: str) -> str:
    if name in ("categories", "event_types"):
        return f"array_to_string({name}, ',') AS {name}"
    return f"{name}::TIMESTAMP AS {name}" if name in TIMES else name


TIMES = ("started_at", "last_event_at", "window_start", "window_end")


def compared(what: str, said: str, window: Window, zone: str, settled: datetime | None) -> str:
    """SQL of the rows of stream_comparison.

    Args:
        what: sessions, purchases or activity.
        said: relation with the stream's rows, as `said_columns` selects them.
        window: the days.
        zone: the shop's time zone.
        settled: what ended by this time has been said.
    """
    until = f"TIMESTAMP '{settled or NEVER}'"
    judged = (
        _sessions(said, window, until)
        if what == SESSIONS
        else _windows(what, said, window, zone, until)
    )
    return f"""
    WITH judged AS ({judged}),
    days AS (
        SELECT unnest(generate_series(DATE '{window.start}', DATE '{window.end}' - 1,
            INTERVAL 1 DAY))::DATE AS day
    ),
    late AS (
        SELECT event_date AS day, count(*) AS events FROM core.fact_events
        WHERE is_late AND {window_predicate("event_date", window)} GROUP BY 1
    )
    SELECT days.day, '{what}' AS what,
        count(*) FILTER (in_stream) AS stream_rows,
        count(*) FILTER (in_batch) AS batch_rows,
        count(*) FILTER (verdict = 'equal') AS equal_rows,
        count(*) FILTER (is_late) AS late_rows,
        count(*) FILTER (verdict = 'unsaid') AS unsaid_rows,
        count(*) FILTER (verdict = 'differs') AS differing_rows,
        coalesce(any_value(late.events), 0) AS late_events
    FROM days LEFT JOIN judged ON judged.day = days.day LEFT JOIN late ON late.day = days.day
    WHERE EXISTS (
        FROM raw.source_loads WHERE source = 'events' AND window_date = days.day
    )
    GROUP BY 1
    """


def _sessions(said: str, window: Window, until: str) -> str:
    """Sessions of the batch and of the stream, each with a verdict."""
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM b.{name}" for name in OF_SESSION)
    gap = f"INTERVAL {in_seconds(GAP)}"
    inside = window_predicate("session_date", window)
    return f"""
        WITH batch AS (SELECT * FROM core.event_sessions WHERE {inside}),
        stream AS (SELECT * FROM {said} WHERE {window_predicate("day", window)}),
        changed AS (
            SELECT b.session_id, b.session_date AS day, b.visitor, b.started_at, b.last_event_at,
                b.events - b.late_events AS in_time, coalesce(sum(s.events), 0) AS said_events
            FROM batch AS b LEFT JOIN stream AS s
                ON s.visitor = b.visitor AND s.day = b.session_date
                AND s.started_at BETWEEN b.started_at AND b.last_event_at
            WHERE b.late_events > 0
            GROUP BY ALL
        )
        SELECT coalesce(b.session_date, s.day) AS day, s.session_key IS NOT NULL AS in_stream,
            b.session_id IS NOT NULL AS in_batch, false AS is_late,
            CASE
                WHEN s.session_key IS NULL AND b.last_event_at + {gap} > {until} THEN 'unsaid'
                WHEN s.session_key IS NULL OR b.session_id IS NULL THEN 'differs'
                WHEN {same} THEN 'equal' ELSE 'differs'
            END AS verdict
        FROM (FROM batch WHERE late_events = 0) AS b
        FULL JOIN (
            FROM stream AS t WHERE NOT EXISTS (
                FROM changed WHERE changed.visitor = t.visitor AND changed.day = t.day
                    AND t.started_at BETWEEN changed.started_at AND changed.last_event_at
            )
        ) AS s ON s.session_key = b.session_id AND s.day = b.session_date
        UNION ALL
        SELECT day, false, true, true,
            CASE
                WHEN last_event_at + {gap} > {until} THEN 'unsaid'
                WHEN said_events <> in_time THEN 'differs' ELSE 'late'
            END
        FROM changed
        UNION ALL
        SELECT t.day, true, false, false, 'late'
        FROM stream AS t JOIN changed ON changed.visitor = t.visitor AND changed.day = t.day
            AND t.started_at BETWEEN changed.started_at AND changed.last_event_at
    """


def _windows(what: str, said: str, window: Window, zone: str, until: str) -> str:
    """Windows of the batch and of the stream, each with a verdict, on the day in which it ends."""
    of = WINDOWS[what]
    first = of.key[0]
    span, step = (f"INTERVAL {in_seconds(times[what])}" for times in (LENGTHS, STEPS))
    day = shops_day("window_end - INTERVAL 1 MICROSECOND", zone)
    begins = shops_day("window_start", zone)
    measures = ", ".join(f"{sql} AS {name}" for name, sql in of.measures.items())
    keys = f"s.{first} = b.{first} AND s.window_start = b.window_start"
    same = " AND ".join(
        f"(s.{name} IS NOT DISTINCT FROM b.{name} OR coalesce({how}, false))"
        for name in of.measures
        for how in (of.same.get(name, "false").format(f"s.{name}", f"b.{name}"),)
    )
    # A window may begin on the day before. It is computed where that day is loaded, too.
    loaded = (
        f"({begins} = {day} OR EXISTS (FROM raw.source_loads WHERE source = 'events' "
        f"AND window_date = {begins}))"
    )
    before = Window(window.start - timedelta(days=1), window.end)
    return f"""
        WITH placed AS (
            SELECT *, {of.of} AS key_value,
                unnest(generate_series(
                    time_bucket({step}, event_time, TIMESTAMP '1970-01-01')
                        - {span} + {step},
                    time_bucket({step}, event_time, TIMESTAMP '1970-01-01'),
                    {step}
                )) AS window_start
            FROM core.fact_events
            WHERE {window_predicate("event_date", before)} AND {of.where}
        ),
        spans AS (SELECT *, window_start + {span} AS window_end FROM placed),
        inside AS (
            SELECT *, {day} AS day FROM spans
            WHERE {window_predicate(day, window)} AND {loaded}
        ),
        batch AS (
            SELECT key_value AS {first}, window_start, window_end, day, {measures}
            FROM inside WHERE NOT is_late GROUP BY ALL
        ),
        lates AS (
            SELECT DISTINCT key_value AS {first}, window_start, window_end, day
            FROM inside WHERE is_late
        ),
        stream AS (
            SELECT *, {day} AS day FROM {said}
            WHERE {window_predicate(day, window)} AND {loaded}
            QUALIFY row_number() OVER (
                PARTITION BY {", ".join(of.key)} ORDER BY batch_id DESC
            ) = 1
        )
        SELECT coalesce(b.day, s.day) AS day, s.{first} IS NOT NULL AS in_stream,
            b.{first} IS NOT NULL AS in_batch, false AS is_late,
            CASE
                WHEN coalesce(b.window_end, s.window_end) > {until} THEN 'unsaid'
                WHEN b.{first} IS NULL OR s.{first} IS NULL THEN 'differs'
                WHEN {same} THEN 'equal' ELSE 'differs'
            END AS verdict
        FROM batch AS b FULL JOIN stream AS s ON {keys}
        UNION ALL
        SELECT day, false, false, true, 'late' FROM lates
    """


def shops_day(utc: str, zone: str) -> str:
    """SQL of the shop's day of a time in UTC."""
    if zone == "UTC":
        return f"CAST({utc} AS DATE)"
    return f"CAST((({utc}) AT TIME ZONE 'UTC') AT TIME ZONE {literal(zone)} AS DATE)"
