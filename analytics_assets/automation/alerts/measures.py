"""Measures: what of the facts is over the limit of a rule, and since when.

Belongs here: one function for each measure. Does not belong here: limits (`rules`), or the figures
themselves (`facts`). A measure says
what is over the limit, and what it cannot tell; all else is fine. A finding has no values of rows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dagster import AssetCheckSeverity, DagsterEventType, DagsterRunStatus, RunRecord

from analytics_assets.automation.alerts.facts import (
    NAMES_SHOWN,
    Facts,
    day_rows,
    ended,
    failed_in_a_row,
    finished,
    run_times,
    scores,
)
from analytics_assets.automation.alerts.rules import AlertRule
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.partitions import Window, run_window
from analytics_assets.warehouse.connection import WarehouseError


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
                ended(failed[-1]),
                _failing_rows(facts, newest),
                newest.dagster_run.run_id,
                _remedy(facts, newest),
            )


def failures_in_a_row(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Jobs whose newest runs have all failed."""
    for job, runs in facts.runs.items():
        failed = failed_in_a_row(runs)
        if len(failed) >= rule.limit:
            yield Finding(
                job,
                f"{job} failed {len(failed)} times in a row",
                ended(failed[-1]),
                run_id=failed[0].dagster_run.run_id,
            )


def failed_checks(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Tables with checks whose newest verdict is an error, though the run succeeded."""
    failed: dict[str, list[Any]] = defaultdict(list)
    unknown = set()
    for key, record in facts.checked.items():
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
        of_tables = scores(session)
    for table, score in of_tables.items():
        if len(score.past) < rule.least or score.mean is None or score.deviation is None:
            continue
        below = score.mean - score.figure
        if below > rule.floor and below > rule.limit * score.deviation:
            yield Finding(
                table,
                f"the quality score of {table} is {score.figure:.3f} on {score.day}, more than "
                f"{rule.limit:g} standard deviations below its mean of {score.mean:.3f}",
            )


def run_time_over_mean(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Jobs whose newest run takes or took longer than earlier ones over as many days."""
    for job, runs in facts.runs.items():
        time = run_times(runs, facts.now)
        if time is None or time.run is None or len(time.past) < rule.least or not time.mean:
            continue
        if time.figure > rule.limit * time.mean and time.figure - time.mean > rule.floor:
            verb = "took" if time.run.end_time else "has taken"
            yield Finding(
                job,
                f"{job} {verb} {_duration(time.figure)}, {time.figure / time.mean:.1f} times its "
                f"mean of {_duration(time.mean)} over {len(time.past)} runs",
                time.run.start_time,
                run_id=time.run.dagster_run.run_id,
            )


def rows_off_mean(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """Facts whose newest day has far more or fewer rows than the same weekday before."""
    with facts.published() as session:
        of_tables = day_rows(session)
    for table, rows in of_tables.items():
        if len(rows.past) < rule.least or rows.mean is None or rows.deviation is None:
            continue
        # Counts vary by their square root at the least.
        deviation = max(rows.deviation, rows.mean**0.5)
        off = abs(rows.figure - rows.mean)
        if off > rule.limit * rows.mean and off > rule.floor * deviation:
            change = rows.figure / rows.mean - 1
            yield Finding(
                table,
                f"{table} has {rows.figure:,} rows on {rows.day}, {change:+.0%} of the "
                f"mean of the same weekday in the {len(rows.past)} weeks before",
                rows=f"{rows.figure:,} instead of about {rows.mean:,.0f}",
            )


def disk_used(rule: AlertRule, facts: Facts) -> Iterator[Finding]:
    """The disk of the home, where too much of it is used."""
    if facts.settings.home.exists():
        share, free = facts.disk
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


def _not_repaired(job: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    repaired: set[Any] = set()
    failed = []
    for record in finished(runs):
        window = run_window(record.dagster_run.tags) if job == LOAD_DAYS else None
        days = {*window} if window else {None}
        if record.dagster_run.status == DagsterRunStatus.SUCCESS:
            repaired |= days
        elif not days <= repaired:
            failed.append(record)
    return failed


def _at_steps(facts: Facts, record: RunRecord) -> str:
    steps = facts.failed_steps(record.dagster_run.run_id)
    return f" at {', '.join(steps[:NAMES_SHOWN])}" if steps else ""


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
    return ", ".join(shown[:NAMES_SHOWN]) or None


def _remedy(facts: Facts, record: RunRecord) -> str | None:
    remedies = (_metadata(evaluation).get("remedy") for evaluation in _evaluations(facts, record))
    return next((remedy for remedy in remedies if remedy), None)


def _metadata(evaluation: Any) -> dict[str, Any]:
    return {name: getattr(entry, "value", None) for name, entry in evaluation.metadata.items()}


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
