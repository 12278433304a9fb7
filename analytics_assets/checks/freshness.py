"""The newest day that should be there is there.

Beside Dagster's freshness policies, which look at the newest materialization of any partition: a
backfill of an old day turns those green.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import duckdb
from dagster import PartitionsDefinition

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig


def checks(sources: SourcesConfig, daily: PartitionsDefinition) -> Iterator[Check]:
    """One check for each source that has days."""
    for source, config in sources.sources.items():
        if config.contract.time_column:
            yield Check(
                "freshness",
                config.contract.table.name,
                "newest_day_loaded",
                "The newest day of the calendar that has closed was loaded.",
                "timeliness",
                "Look whether the source has the day, and whether the schedule daily_refresh and "
                "its daemon run; then load the missing days with analytics-assets backfill.",
                (source, daily),
            )


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> Iterator[Finding]:
    """The newest day loaded, in whatever run, against the newest closed day of the calendar."""
    for check in checks:
        began = time.perf_counter()
        source, daily = check.rule
        expected = daily.get_last_partition_key()
        row = connection.execute(
            "SELECT max(window_date)::VARCHAR FROM raw.source_loads WHERE source = ?", [source]
        ).fetchone()
        found = row[0] if row else None
        missing = None
        days = [expected] if expected else []
        if found and expected:
            newest, last = date.fromisoformat(found), date.fromisoformat(expected)
            missing = max(0, (last - newest).days)
            days = [str(newest + timedelta(day)) for day in range(1, missing + 1)]
        yield Finding(
            check,
            passed=found == expected,
            description=f"Newest day loaded is {found}, newest expected {expected}.",
            figure=missing,
            threshold=0,
            keys=[{"day": day} for day in days[:KEYS_SHOWN]],
            query=(
                "SELECT window_date FROM raw.source_loads\n"
                f"WHERE source = '{source}' ORDER BY 1 DESC LIMIT 10"
            ),
            details={"newest loaded": str(found), "newest expected": str(expected)},
            seconds=time.perf_counter() - began,
        )
