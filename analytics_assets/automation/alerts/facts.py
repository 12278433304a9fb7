"""Facts: figures from the run history, the checks, the published copy and the machine.

Belongs here: what alert rules and metrics have in common. Does not belong here: limits (`rules`) or
what is over them (`measures`). Nothing is written.
"""

import itertools
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, NamedTuple

from dagster import (
    AssetCheckKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
)

from analytics_assets.partitions import run_window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session

RUNS_READ = 500  # the newest
DAYS_COMPARED = 90  # scores before a day that it is compared with
WEEKS_COMPARED = 8
NAMES_SHOWN = 3
AD_HOC = "__ASSET_JOB"  # Dagster's job of assets that are chosen by hand
GOING_ON = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)


class Compared(NamedTuple):
    """The newest figure of something, and those that it is compared with."""

    figure: float
    past: list[float]
    day: date | None = None
    run: RunRecord | None = None

    @property
    def mean(self) -> float | None:
        """Mean of the past."""
        return statistics.fmean(self.past) if self.past else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the past."""
        return statistics.stdev(self.past) if len(self.past) > 1 else None


class Facts:
    """What measures look at; each thing is read once, when a measure asks for it."""

    def __init__(
        self,
        settings: Settings,
        instance: DagsterInstance,
        warehouse: Warehouse,
        checks: Sequence[AssetCheckKey],
        now: float,
    ) -> None:
        self.settings, self.instance, self.warehouse = settings, instance, warehouse
        self.checks, self.now = checks, now

    @cached_property
    def runs(self) -> Mapping[str, list[RunRecord]]:
        """The newest runs of each job, newest first."""
        jobs: dict[str, list[RunRecord]] = defaultdict(list)
        for record in self.instance.get_run_records(limit=RUNS_READ):
            jobs[job_of(record)].append(record)
        return jobs

    @property
    def run_going_on(self) -> bool:
        """Whether a run is at work."""
        return any(goes_on(record) for runs in self.runs.values() for record in runs)

    @property
    def newest_success(self) -> str | None:
        """The run that succeeded last."""
        runs = [record for of_job in self.runs.values() for record in finished(of_job)]
        good = [r for r in runs if r.dagster_run.status == DagsterRunStatus.SUCCESS]
        return max(good, key=ended).dagster_run.run_id if good else None

    def link(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self.settings.ui_url}/runs/{run_id}"

    def failed_steps(self, run_id: str) -> list[str]:
        """Steps of a run that failed."""
        failures = self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_FAILURE)
        return sorted({entry.step_key for entry in failures if entry.step_key})

    @contextmanager
    def published(self) -> Iterator[Session]:
        """The published copy.

        Raises:
            WarehouseError: nothing is published.
        """
        with open_build(current_build(self.settings.published_dir)) as session:
            yield session

    @cached_property
    def checked(self) -> Mapping[AssetCheckKey, Any]:
        """The newest record of each check."""
        storage = self.instance.event_log_storage
        return storage.get_latest_asset_check_execution_by_key(list(self.checks))

    @cached_property
    def disk(self) -> tuple[float, int]:
        """The used share of what this user can have of the home's disk, and the free bytes."""
        # Some of a disk is kept for the system.
        _, used, free = shutil.disk_usage(self.settings.home)
        return used / (used + free), free


def run_times(runs: Sequence[RunRecord], now: float) -> Compared | None:
    """Seconds of a job's newest run, which may go on; and of earlier ones over as many days."""
    timed = [r for r in runs if r.start_time and (goes_on(r) or _succeeded(r))]
    if not timed or not timed[0].start_time:
        return None
    current, *earlier = timed
    past = [
        record.end_time - record.start_time
        for record in earlier
        if _succeeded(record)
        and record.start_time
        and record.end_time
        and _days(record) == _days(current)
    ]
    return Compared((current.end_time or now) - timed[0].start_time, past, run=current)


def scores(session: Session) -> Mapping[str, Compared]:
    """The quality score of each table on its newest day, and on the days before."""
    return _newest(
        session.rows(
            "SELECT asset, day, score FROM quality.data_quality_scores QUALIFY row_number() "
            f"OVER (PARTITION BY asset ORDER BY day DESC) <= {DAYS_COMPARED + 1} ORDER BY day"
        )
    )


def day_rows(session: Session) -> Mapping[str, Compared]:
    """Rows of each fact on its newest day, and on the same weekday before."""
    rows = []
    for table in TABLES.values():
        if table.name.startswith("fact_") and session.exists(table):
            rows += session.rows(
                f"SELECT '{table.name}', {table.window_column} AS day, count(*) "
                f"FROM {table.relation} GROUP BY day "
                "HAVING date_diff('day', day, "
                f"(SELECT max({table.window_column}) FROM {table.relation})) IN "
                f"(SELECT unnest(range(0, {7 * WEEKS_COMPARED + 1}, 7))) ORDER BY day"
            )
    return _newest(rows)


def _newest(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, Compared]:
    tables: dict[str, list[tuple[date, float]]] = defaultdict(list)
    for table, day, figure in rows:
        tables[table].append((day, figure))
    return {
        table: Compared(days[-1][1], [figure for _, figure in days[:-1]], days[-1][0])
        for table, days in tables.items()
    }


def job_of(record: RunRecord) -> str:
    """The name of a run's job; of assets that were chosen by hand, their names."""
    run = record.dagster_run
    if run.job_name != AD_HOC:
        return run.job_name
    names = sorted(key.path[-1] for key in run.asset_selection or ())
    return f"{', '.join(names[:NAMES_SHOWN])}{' …' if len(names) > NAMES_SHOWN else ''}"


def finished(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs that succeeded or failed, the last to end first; cancelled ones say nothing."""
    over = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    return sorted((r for r in runs if r.dagster_run.status in over), key=ended, reverse=True)


def _days(record: RunRecord) -> int:
    window = run_window(record.dagster_run.tags)
    return (window.end - window.start).days if window else 0


def ended(record: RunRecord) -> float:
    """When a run ended; of one that never began, when it was created."""
    return record.end_time or record.create_timestamp.timestamp()


def failed_in_a_row(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The failed runs of a job since its last success, newest first."""
    return list(itertools.takewhile(lambda record: not _succeeded(record), finished(runs)))


def goes_on(record: RunRecord) -> bool:
    """Whether a run is at work."""
    return record.dagster_run.status in GOING_ON


def _succeeded(record: RunRecord) -> bool:
    return record.dagster_run.status == DagsterRunStatus.SUCCESS


def time_text(timestamp: float) -> str:
    """A time for people."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M} UTC"
