"""What the alert rules look at: figures from the run history, the checks, and the published copy.

Belongs here: one function for each measure. Does not belong here: limits (`rules`). A measure says
what is over the limit, and what it cannot tell; all else is fine. It never writes, and a finding
has no values of rows.
"""

import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunRecord,
)

from analytics_assets.automation.alerts.rules import AlertRule
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.partitions import Window, run_window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session

RUNS_READ = 500  # the newest
WEEKS = 8  # before a day, that its rows are compared with
STEPS_NAMED = 3
AD_HOC = "__ASSET_JOB"  # Dagster's job of assets that are chosen by hand
GOING_ON = (DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)


@dataclass(frozen=True)
class Finding:
    """Something over the limit, or something that cannot be told now.

    Attributes:
        subject: what it is about: a job, a table, the disk.
        what: what is wrong, in words.
        since: when it began, in seconds since 1970; None: when it is first seen.
        rows: the rows that it is about, in words.
        run_id: the run whose page shows it.
        remedy: what to do, where it is more than the rule knows.
        unknown: whether it cannot be told: an open incident stays open, and none opens.
    """

    subject: str
    what: str = ""
    since: float | None = None
    rows: str | None = None
    run_id: str | None = None
    remedy: str | None = None
    unknown: bool = False


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
            jobs[_job(record)].append(record)
        return jobs

    @property
    def run_going_on(self) -> bool:
        """Whether a run is at work."""
        return any(r.dagster_run.status in GOING_ON for runs in self.runs.values() for r in runs)

    @property
    def newest_success(self) -> str | None:
        """The run that succeeded last."""
        ended = [record for runs in self.runs.values() for record in _finished(runs)]
        good = [r for r in ended if r.dagster_run.status == DagsterRunStatus.SUCCESS]
        return max(good, key=_ended).dagster_run.run_id if good else None

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


def failures_not_repaired(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Jobs with a failed run since which they have not succeeded; of loads, on the same days."""
    for job, runs in facts.runs.items():
        failed = _not_repaired(job, runs)
        if len(failed) >= rule.limit:
            newest = failed[0]
            window = run_window(newest.dagster_run.tags)
            yield Finding(
                job,
                f"{job} failed{_at_steps(facts, newest)}{_of_days(window)}",
                _ended(failed[-1]),
                _failing_rows(facts, newest),
                newest.dagster_run.run_id,
                _remedy(facts, newest),
            )


def failures_in_a_row(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Jobs whose newest runs have all failed."""
    for job, runs in facts.runs.items():
        failed = []
        for record in _finished(runs):
            if record.dagster_run.status == DagsterRunStatus.SUCCESS:
                break
            failed.append(record)
        if len(failed) >= rule.limit:
            yield Finding(
                job,
                f"{job} failed {len(failed)} times in a row",
                _ended(failed[-1]),
                run_id=failed[0].dagster_run.run_id,
            )


def failed_checks(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Tables with checks whose newest verdict is an error, though the run succeeded."""
    storage = facts.instance.event_log_storage
    records = storage.get_latest_asset_check_execution_by_key(list(facts.checks))
    failed: dict[str, list[Any]] = defaultdict(list)
    unknown = set()
    for key, record in records.items():
        evaluation: Any = record.evaluation
        if not hasattr(evaluation, "passed"):  # planned: its run goes on, or ended before it
            unknown.add(key.asset_key.path[-1])
        elif not evaluation.passed and evaluation.severity == AssetCheckSeverity.ERROR:
            run = facts.instance.get_run_by_id(record.run_id)
            if run is None or run.status == DagsterRunStatus.SUCCESS:
                failed[key.asset_key.path[-1]].append(record)
    for table, of_table in failed.items():
        if len(of_table) >= rule.limit:
            of_table.sort(key=lambda record: record.create_timestamp)
            names = ", ".join(record.key.name for record in of_table)
            rows = [_metadata(record.evaluation).get("failing rows") for record in of_table]
            counted = [count for count in rows if count is not None]
            yield Finding(
                table,
                f"{table} failed {names}",
                of_table[0].create_timestamp,
                f"{max(counted):,} rows fail" if counted else None,
                of_table[-1].run_id,
                _metadata(of_table[-1].evaluation).get("remedy"),
            )
    yield from (Finding(table, unknown=True) for table in unknown - failed.keys())


def score_below_mean(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Tables whose quality score on the newest day is far below that of the days before."""
    with facts.published() as session:
        rows = session.rows(
            "SELECT asset, day, score FROM quality.data_quality_scores "
            "QUALIFY row_number() OVER (PARTITION BY asset ORDER BY day DESC) <= 91 ORDER BY day"
        )
    tables: dict[str, list[tuple[Any, float]]] = defaultdict(list)
    for table, day, score in rows:
        tables[table].append((day, score))
    for table, days in tables.items():
        *before, (day, score) = days
        past = [figure for _, figure in before]
        if len(past) < max(rule.least, 2):
            continue
        mean = statistics.fmean(past)
        below = mean - score
        if below > rule.floor and below > rule.limit * statistics.stdev(past):
            yield Finding(
                table,
                f"the quality score of {table} is {score:.3f} on {day}, more than "
                f"{rule.limit:g} standard deviations below its mean of {mean:.3f}",
            )


def run_time_over_mean(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Jobs whose newest run takes or took longer than earlier ones over as many days."""
    for job, runs in facts.runs.items():
        current = next((r for r in runs if r.start_time and _counts_as_run(r)), None)
        if current is None or not current.start_time:
            continue
        past = [
            record.end_time - record.start_time
            for record in runs
            if record is not current
            and record.dagster_run.status == DagsterRunStatus.SUCCESS
            and record.start_time
            and record.end_time
            and record.start_time < current.start_time
            and _days(record) == _days(current)
        ]
        if len(past) < max(rule.least, 1):
            continue
        mean = statistics.fmean(past)
        seconds = (current.end_time or facts.now) - current.start_time
        if seconds > rule.limit * mean and seconds - mean > rule.floor:
            verb = "took" if current.end_time else "has taken"
            yield Finding(
                job,
                f"{job} {verb} {_duration(seconds)}, {seconds / mean:.1f} times its mean of "
                f"{_duration(mean)} over {len(past)} runs",
                current.start_time,
                run_id=current.dagster_run.run_id,
            )


def rows_off_mean(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Facts whose newest day has far more or fewer rows than the same weekday before."""
    with facts.published() as session:
        for table in TABLES.values():
            if not (table.name.startswith("fact_") and session.exists(table)):
                continue
            days = session.rows(
                f"SELECT {table.window_column} AS day, count(*) FROM {table.relation} "
                f"GROUP BY 1 HAVING date_diff('day', day, (SELECT max({table.window_column}) "
                f"FROM {table.relation})) IN (SELECT unnest(range(0, {7 * WEEKS + 1}, 7))) "
                "ORDER BY day"
            )
            if len(days) - 1 < max(rule.least, 2):
                continue
            *before, (day, count) = days
            past = [rows for _, rows in before]
            mean = statistics.fmean(past)
            # Counts vary by their square root at the least.
            deviation = max(statistics.stdev(past), mean**0.5)
            off = abs(count - mean)
            if off > rule.limit * mean and off > rule.floor * deviation:
                yield Finding(
                    table.name,
                    f"{table.name} has {count:,} rows on {day}, {count / mean - 1:+.0%} of the "
                    f"mean of the same weekday in the {len(past)} weeks before",
                    rows=f"{count:,} instead of about {mean:,.0f}",
                )


def disk_used(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """The disk of the home, where too much of it is used."""
    if facts.settings.home.exists():
        _, used, free = shutil.disk_usage(facts.settings.home)
        # Of what this user can have: some of a disk is kept for the system.
        share = used / (used + free)
        if share > rule.limit:
            yield Finding(
                "disk", f"the disk of ANALYTICS_HOME is {share:.0%} full, {free / 1e9:.1f} GB free"
            )


def warehouse_unreachable(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """The warehouse, where it cannot be opened and no run is at work on it."""
    if not facts.warehouse.path.exists() and not facts.settings.published_dir.exists():
        return  # nothing has run yet
    try:
        with facts.warehouse.read() as session:
            session.value("SELECT 1")
    except Exception as error:
        if facts.run_going_on and isinstance(error, WarehouseError):
            yield Finding("warehouse", unknown=True)
        else:
            yield Finding("warehouse", f"the warehouse cannot be opened: {error}"[:500])


Measure = Callable[[AlertRule, Facts], Iterator[Finding]]
MEASURES: Mapping[str, Measure] = {
    measure.__name__: measure
    for measure in (
        *(failures_not_repaired, failures_in_a_row, failed_checks, score_below_mean),
        *(run_time_over_mean, rows_off_mean, disk_used, warehouse_unreachable),
    )
}


def _job(record: RunRecord) -> str:
    """The name of a run's job; of assets that were chosen by hand, their names."""
    run = record.dagster_run
    if run.job_name != AD_HOC:
        return run.job_name
    names = sorted(key.path[-1] for key in run.asset_selection or ())
    return f"{', '.join(names[:STEPS_NAMED])}{' …' if len(names) > STEPS_NAMED else ''}"


def _finished(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs that succeeded or failed, the last to end first; cancelled ones say nothing."""
    ended = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
    return sorted((r for r in runs if r.dagster_run.status in ended), key=_ended, reverse=True)


def _not_repaired(job: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    repaired: set[Any] = set()
    failed = []
    for record in _finished(runs):
        window = run_window(record.dagster_run.tags) if job == LOAD_DAYS else None
        days = {*window} if window else {None}
        if record.dagster_run.status == DagsterRunStatus.SUCCESS:
            repaired |= days
        elif not days <= repaired:
            failed.append(record)
    return failed


def _counts_as_run(record: RunRecord) -> bool:
    return record.dagster_run.status in (*GOING_ON, DagsterRunStatus.SUCCESS)


def _days(record: RunRecord) -> int:
    window = run_window(record.dagster_run.tags)
    return (window.end - window.start).days if window else 0


def _ended(record: RunRecord) -> float:
    return record.end_time or record.create_timestamp.timestamp()


def _at_steps(facts: Facts, record: RunRecord) -> str:
    steps = facts.failed_steps(record.dagster_run.run_id)
    return f" at {', '.join(steps[:STEPS_NAMED])}" if steps else ""


def _of_days(window: Window | None) -> str:
    if window is None:
        return ""
    last = window.end - timedelta(days=1)
    return f", days {window.start} to {last}" if window.start < last else f", day {last}"


def _evaluations(facts: Facts, record: RunRecord) -> Iterator[Any]:
    """The verdicts of a run that are errors."""
    for entry in facts.instance.all_logs(
        record.dagster_run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        evaluation: Any = entry.dagster_event and entry.dagster_event.event_specific_data
        if not evaluation.passed and evaluation.severity == AssetCheckSeverity.ERROR:
            yield evaluation


def _failing_rows(facts: Facts, record: RunRecord) -> str | None:
    shown = []
    for evaluation in _evaluations(facts, record):
        rows = _metadata(evaluation).get("failing rows")
        name = f"{evaluation.asset_key.path[-1]}.{evaluation.check_name}"
        shown.append(name if rows is None else f"{rows:,} of {name}")
    return ", ".join(shown[:STEPS_NAMED]) or None


def _remedy(facts: Facts, record: RunRecord) -> str | None:
    remedies = (_metadata(evaluation).get("remedy") for evaluation in _evaluations(facts, record))
    return next((remedy for remedy in remedies if remedy), None)


def _metadata(evaluation: Any) -> dict[str, Any]:
    return {name: getattr(entry, "value", None) for name, entry in evaluation.metadata.items()}


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def time_text(timestamp: float) -> str:
    """A time for people."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M} UTC"
