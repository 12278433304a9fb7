"""The newest day that should be loaded is loaded, and no day before it was left out.

Dagster's freshness policies go by the newest materialization of any partition: a backfill of an old
day makes them pass.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from dagster import PartitionsDefinition

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding, tidy
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.session import Session

FEWEST_WEEKS = 4  # after so many without a load, the shop is taken to be closed on that weekday


def checks(sources: SourcesConfig, daily: PartitionsDefinition) -> Iterator[Check]:
    """Two checks for each source that has days."""
    for source, config in sources.sources.items():
        if config.contract.time_column:
            yield Check(
                "freshness",
                config.contract.table.name,
                "no_day_left_out",
                "Each day between the first and the newest loaded day was loaded: figures over "
                "past days count a day without a load as a day without orders.",
                "completeness",
                "Load the days with analytics-assets backfill. Where the source has no file of a "
                "day on which nothing happened, deliver one with a header and no rows. A weekday "
                "on which nothing was ever loaded is no gap once it has come a few times.",
                (source, daily),
            )
            yield Check(
                "freshness",
                config.contract.table.name,
                "newest_day_loaded",
                "The newest day of the calendar that has closed was loaded.",
                "timeliness",
                "Check whether the source has the day, and whether the schedule daily_refresh and "
                "its daemon run; then load the missing days with analytics-assets backfill.",
                (source, daily),
            )


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """Compare the loaded days with the closed days of the calendar."""
    for check in checks:
        began = time.perf_counter()
        source, daily = check.rule
        if check.name == "no_day_left_out":
            yield _left_out(session, check, source, began)
            continue
        expected = daily.get_last_partition_key()
        newest = session.value(
            "SELECT max(window_date)::VARCHAR FROM raw.source_loads WHERE source = ?", [source]
        )
        missing = None
        days = [expected] if expected else []
        if newest and expected:
            first, last = date.fromisoformat(newest), date.fromisoformat(expected)
            missing = max(0, (last - first).days)
            days = [str(first + timedelta(day)) for day in range(1, missing + 1)]
        yield Finding(
            check,
            passed=newest == expected,
            description=f"Newest day loaded is {newest}, newest expected {expected}.",
            figure=missing,
            threshold=0,
            keys=[{"day": day} for day in days[:KEYS_SHOWN]],
            query=(
                "SELECT window_date FROM raw.source_loads\n"
                f"WHERE source = '{source}' ORDER BY 1 DESC LIMIT 10"
            ),
            details={"newest loaded": str(newest), "newest expected": str(expected)},
            seconds=time.perf_counter() - began,
        )


def _left_out(session: Session, check: Check, source: str, began: float) -> Finding:
    """The days without a load between the first and the newest that have one."""
    query = tidy(f"""
    WITH loaded AS (
        SELECT window_date AS day FROM raw.source_loads WHERE source = '{source}'
    ),
    span AS (
        SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day FROM loaded
    )
    SELECT span.day FROM span LEFT JOIN loaded USING (day)
    WINDOW of_weekday AS (PARTITION BY dayofweek(span.day))
    QUALIFY loaded.day IS NULL AND (
        count(loaded.day) OVER of_weekday > 0 OR count(*) OVER of_weekday < {FEWEST_WEEKS}
    )
    ORDER BY 1
    """)
    days = [row["day"] for row in session.records(query)]
    named = ", ".join(map(str, days[:KEYS_SHOWN])) + (", ..." if len(days) > KEYS_SHOWN else "")
    return Finding(
        check,
        passed=not days,
        description=f"Never loaded ({len(days):,}): {named}." if days else "No gap.",
        failing=len(days),
        keys=[{"day": day} for day in days[:KEYS_SHOWN]],
        query=query,
        seconds=time.perf_counter() - began,
    )
