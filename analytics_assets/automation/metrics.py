"""Metrics for Prometheus: runs, durations, rows, checks, freshness, sizes.

Belongs here: figures with their names and labels, read anew at each scrape. Does not belong here:
the figures that alerts share (`alerts.facts`), or the rules of Prometheus (deploy/prometheus).

The published copy and the event log can be read at any time. The warehouse cannot while a run
writes; what is read from it then keeps its last value.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dagster import AssetCheckKey, AssetCheckSeverity, DagsterInstance

from analytics_assets.automation.alerts.facts import (
    Facts,
    day_rows,
    failed_in_a_row,
    finished,
    goes_on,
    run_times,
    scores,
)
from analytics_assets.automation.alerts.incidents import Store
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.publish import current_build, published_tables
from analytics_assets.warehouse.session import Row

# Each metric, without its prefix, with its labels and its meaning. Prometheus gives every metric a
# label `job`, its own, so a job of Dagster is `dagster_job`.
METRICS: dict[str, tuple[tuple[str, ...], str]] = {
    "runs": (("dagster_job", "status"), "Runs among the newest 500, by status."),
    "runs_going_on": (("dagster_job",), "Runs that are at work."),
    "last_run_success": (("dagster_job",), "Whether the run that ended last succeeded."),
    "failures_in_a_row": (("dagster_job",), "Failed runs since the last success."),
    "last_run_end_timestamp_seconds": (("dagster_job",), "End of the last run."),
    "last_success_timestamp_seconds": (("dagster_job",), "End of the last run that succeeded."),
    "run_duration_seconds": (("dagster_job",), "Duration of the newest run, which may go on."),
    "run_duration_mean_seconds": (("dagster_job",), "Mean of earlier runs over as many days."),
    "run_duration_runs": (("dagster_job",), "Number of those runs."),
    "materialization_timestamp_seconds": (("asset",), "Last materialization."),
    "checks": (("asset", "verdict"), "Checks by their newest verdict."),
    "quality_score": (("asset",), "Quality score of the newest day, 0 to 1."),
    "quality_score_mean": (("asset",), "Mean of the scores of the days before."),
    "quality_score_deviation": (("asset",), "Their standard deviation."),
    "quality_score_days": (("asset",), "Number of those days."),
    "day_rows": (("table",), "Rows of the newest day."),
    "day_rows_mean": (("table",), "Mean of the same weekday in the weeks before."),
    "day_rows_deviation": (("table",), "Their standard deviation."),
    "day_rows_weeks": (("table",), "Number of those weeks."),
    "table_rows": (("layer", "table"), "Rows of the published copy."),
    "newest_day_timestamp_seconds": (("table",), "Start of the newest day in the published copy."),
    "published_timestamp_seconds": ((), "When the current build was published."),
    "published_build": ((), "Number of the current build."),
    "source_rows": (("source", "outcome"), "Rows of the days that are loaded, by what became."),
    "warehouse_up": ((), "Whether the warehouse opens, or a run is at work on it."),
    "bytes": (("what",), "Size of a file or folder of the home."),
    "disk_used_ratio": ((), "Used share of the disk of the home."),
    "disk_free_bytes": ((), "Free bytes on it."),
    "open_incidents": (("rule",), "Incidents that people were told of and that are not over."),
    "part_up": (("part",), "Whether a part of these metrics could be read."),
}
PREFIX = "analytics_"
OUTCOMES = ("read", "accepted", "rejected", "not_due")
Sample = tuple[Any, ...]  # name, labels, and the value last


class Metrics:
    """A collector for prometheus_client's registry: reads everything at each scrape."""

    def __init__(
        self,
        settings: Settings,
        instance: DagsterInstance,
        warehouse: Warehouse,
        checks: Iterable[AssetCheckKey],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._instance, self._warehouse = settings, instance, warehouse
        self._checks, self._clock = sorted(checks), clock
        self._source_rows: list[Row] = []

    def describe(self) -> list[Any]:
        """No names before the first scrape: registering reads nothing."""
        return []

    def collect(self) -> Iterator[Any]:
        """All metrics, as prometheus_client wants them."""
        from prometheus_client.core import GaugeMetricFamily

        families = {
            name: GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
            for name, (labels, meaning) in METRICS.items()
        }
        for name, *labels, value in self.samples():
            families[name].add_metric([str(label) for label in labels], float(value))
        yield from families.values()

    def samples(self) -> Iterator[Sample]:
        """All figures; a part that cannot be read leaves the others."""
        facts = Facts(self._settings, self._instance, self._warehouse, self._checks, self._clock())
        for part in (_runs, _checks, _published, self._loads, _sizes, _incidents):
            name = part.__name__.strip("_")
            try:
                figures = list(part(facts))
            except WarehouseError:
                figures = []  # nothing is published yet
            except Exception:
                logging.getLogger(__name__).exception("metrics of %s", name)
                yield "part_up", name, 0
                continue
            yield from figures
            yield "part_up", name, 1

    def _loads(self, facts: Facts) -> Iterator[Sample]:
        """Rows by source, and whether the warehouse opens."""
        if self._warehouse.path.exists() or self._settings.published_dir.exists():
            up = True
            try:
                with self._warehouse.read() as session:
                    if session.exists(TABLES["source_loads"]):
                        sums = ", ".join(f"sum(rows_{outcome})" for outcome in OUTCOMES)
                        self._source_rows = session.rows(
                            f"SELECT source, {sums} FROM raw.source_loads GROUP BY source"
                        )
            except Exception as error:
                up = facts.run_going_on and isinstance(error, WarehouseError)
            yield "warehouse_up", up
        for source, *counts in self._source_rows:
            for outcome, count in zip(OUTCOMES, counts, strict=True):
                yield "source_rows", source, outcome, count


def _runs(facts: Facts) -> Iterator[Sample]:
    for job, runs in facts.runs.items():
        statuses = Counter(record.dagster_run.status.value for record in runs)
        for status, count in statuses.items():
            yield "runs", job, status.lower(), count
        yield "runs_going_on", job, sum(map(goes_on, runs))
        over = finished(runs)
        failures = failed_in_a_row(runs)
        yield "failures_in_a_row", job, len(failures)
        if over:
            yield "last_run_success", job, not failures
            yield "last_run_end_timestamp_seconds", job, over[0].end_time or 0
        if len(over) > len(failures):
            yield "last_success_timestamp_seconds", job, over[len(failures)].end_time or 0
        times = run_times(runs, facts.now)
        if times:
            yield "run_duration_seconds", job, times.figure
            yield "run_duration_runs", job, len(times.past)
            if times.mean is not None:
                yield "run_duration_mean_seconds", job, times.mean


def _checks(facts: Facts) -> Iterator[Sample]:
    for asset in facts.instance.get_asset_records():
        newest = asset.asset_entry.last_materialization
        if newest:
            name = asset.asset_entry.asset_key.path[-1]
            yield "materialization_timestamp_seconds", name, newest.timestamp
    verdicts: Counter[tuple[str, str]] = Counter()
    for key in facts.checks:
        evaluation: Any = getattr(facts.checked.get(key), "evaluation", None)
        if not hasattr(evaluation, "passed"):
            verdict = "unknown"
        elif evaluation.passed:
            verdict = "passed"
        else:
            verdict = "warned" if evaluation.severity == AssetCheckSeverity.WARN else "failed"
        verdicts[key.asset_key.path[-1], verdict] += 1
    for asset_name in {name for name, _ in verdicts}:
        for verdict in ("passed", "warned", "failed", "unknown"):
            yield "checks", asset_name, verdict, verdicts[asset_name, verdict]


def _published(facts: Facts) -> Iterator[Sample]:
    build = current_build(facts.settings.published_dir)
    yield "published_build", int(build.parent.name)
    yield "published_timestamp_seconds", build.stat().st_mtime
    yield "bytes", "published_build", build.stat().st_size
    with facts.published() as session:
        for table in published_tables(session):
            yield "table_rows", table.group, table.name, session.count(table.relation)
            if table.partitioning == "daily":
                newest = session.value(
                    f"SELECT epoch(max({table.window_column})) FROM {table.relation}"
                )
                if newest is not None:
                    yield "newest_day_timestamp_seconds", table.name, newest
        for prefix, number, compared in (
            ("quality_score", "days", scores(session)),
            ("day_rows", "weeks", day_rows(session)),
        ):
            for name, figures in compared.items():
                yield prefix, name, figures.figure
                yield f"{prefix}_{number}", name, len(figures.past)
                if figures.mean is not None:
                    yield f"{prefix}_mean", name, figures.mean
                if figures.deviation is not None:
                    yield f"{prefix}_deviation", name, figures.deviation


def _sizes(facts: Facts) -> Iterator[Sample]:
    settings = facts.settings
    for what, path in (
        ("warehouse", settings.warehouse_path),
        ("published", settings.published_dir),
        ("dagster", settings.dagster_home),
        ("mlflow", settings.mlflow_dir),
    ):
        yield "bytes", what, _size(path)
    share, free = facts.disk
    yield "disk_used_ratio", share
    yield "disk_free_bytes", free


def _incidents(facts: Facts) -> Iterator[Sample]:
    state = Store(facts.instance, facts.settings.home / "alerts.lock").read()
    rules = Counter(incident.rule for incident in state.incidents.values() if incident.told)
    for rule, count in rules.items():
        yield "open_incidents", rule, count


def _size(path: Path) -> int:
    """Bytes of a file, or of all files under a folder; files may go meanwhile."""
    total = 0
    for file in (path, *path.rglob("*")):
        try:
            if file.is_file():
                total += file.stat().st_size
        except OSError:
            continue
    return total
