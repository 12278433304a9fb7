"""Rows of a day compared with the same weekday of the weeks before.

Belongs here: how many rows a day should have. Does not belong here: how old the newest day is
(`freshness`), or limits that stop a load (`sources.limits`).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding, tidy
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

WEEKS = 8
FEWEST_WEEKS = 6  # a new shop grows in its first weeks
# A day is off if its rows are under half or over twice the median, and further from it than so many
# deviations: the median deviation, but at least that of random counts. On the scale of 2 sqrt(rows)
# the latter is 1 whatever their mean (Anscombe, Biometrika 35, 1948).
RATIO = 2.0
DEVIATIONS = 5.0
SEVERE_RATIO = 10.0


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """One check for each source that has days."""
    for source, config in sources.sources.items():
        if config.contract.time_column:
            yield Check(
                "volume",
                f"raw_{source}",
                "rows_of_a_usual_day",
                f"Each day has as many rows of {source} as the same weekday of the {WEEKS} weeks "
                "before usually had.",
                "completeness",
                "Few rows: the source was cut off or is not complete; load the day again before "
                "its figures are used. Many: look for an export that repeats days. A holiday or a "
                "sale: nothing to do.",
                source,
            )


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """The days that are off.

    A day is compared with weeks outside the window where there are enough of them.
    """
    for check in checks:
        began = time.perf_counter()
        query = tidy(_query(check.rule, window))
        days = session.records(query)
        tested = [day for day in days if day["weeks"] >= FEWEST_WEEKS]
        off = [day for day in tested if day["off"]]
        yield Finding(
            check,
            passed=not off,
            description=_in_words(len(days), len(tested), off),
            severe=any(_severe(day) for day in off),
            window=window,
            rows=len(tested),
            failing=len(off),
            figure=max((_ratio(day) for day in tested), default=None),
            threshold=RATIO,
            days={day["day"]: (1, int(day["off"])) for day in tested},
            keys=[
                {"day": day["day"], "rows": day["rows"], "usual rows": day["usual"]}
                for day in off[:KEYS_SHOWN]
            ],
            query=f"SELECT * FROM (\n{query}\n) WHERE off",
            details={"days not testable": len(days) - len(tested)},
            seconds=time.perf_counter() - began,
        )


def _query(source: str, window: Window | None) -> str:
    """SQL of each day of the window: rows, number of compared weeks, usual rows, whether off."""
    return f"""
    WITH loads AS (
        SELECT window_date AS day, rows_accepted AS rows
        FROM raw.source_loads WHERE source = '{source}'
    ),
    weeks AS (
        SELECT tested.day, tested.rows, before.rows AS before,
            NOT ({window_predicate("before.day", window)}) AS outside,
            count(*) FILTER (outside) OVER (PARTITION BY tested.day) >= {FEWEST_WEEKS} AS enough
        FROM loads AS tested
        LEFT JOIN loads AS before
            ON before.day BETWEEN tested.day - {7 * WEEKS} AND tested.day - 7
            AND (tested.day - before.day) % 7 = 0
        WHERE {window_predicate("tested.day", window)}
    ),
    usual AS (
        SELECT day, rows, count(before) AS weeks, median(before) AS usual,
            mad(2 * sqrt(before)) AS deviation
        FROM weeks WHERE outside OR NOT enough OR before IS NULL GROUP BY day, rows
    )
    SELECT day, rows, weeks, usual, weeks >= {FEWEST_WEEKS}
        AND NOT (rows BETWEEN usual / {RATIO} AND usual * {RATIO})
        AND abs(2 * sqrt(rows) - 2 * sqrt(usual))
            > {DEVIATIONS} * greatest(1.4826 * deviation, 1) AS off
    FROM usual ORDER BY day
    """


def _ratio(day: dict[str, Any]) -> float:
    """How many times more or fewer rows than usual."""
    rows, usual = max(day["rows"], 1), max(day["usual"], 1)
    return float(max(rows / usual, usual / rows))


def _severe(day: dict[str, Any]) -> bool:
    return _ratio(day) > SEVERE_RATIO


def _in_words(days: int, tested: int, off: list[dict[str, Any]]) -> str:
    if not tested:
        return f"no day testable: fewer than {FEWEST_WEEKS} weeks before"
    if not off:
        return f"{tested:,} of {days:,} days tested, all as usual"
    worst = max(off, key=_ratio)
    return (
        f"{len(off):,} of {tested:,} days off: {worst['day']} has {worst['rows']:,} rows, usual "
        f"are {worst['usual']:,.0f}"
    )
