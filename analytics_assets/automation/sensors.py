"""Sensors: react to changed sources and finished runs.

Belongs here: reactions to an event. Does not belong here: what runs at a time (`schedules`),
or telling people (`alerts`).
"""

import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    PartitionsDefinition,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_status_sensor,
    sensor,
)

from analytics_assets.automation.alerts.watch import alert_sensor
from analytics_assets.automation.dead_runs import end_dead_runs
from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
)
from analytics_assets.automation.outdated import read_history
from analytics_assets.automation.ranges import contiguous, months_of, range_tags, windows_to_load
from analytics_assets.automation.retention import retention_sensor
from analytics_assets.checks.predictions import reasons_to_retrain
from analytics_assets.partitions import KEEP_MODELS_TAG, Window, run_window
from analytics_assets.settings import Settings
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import last_load, loaded_to
from analytics_assets.sources.readers import SourceError
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

RUNS_READ = 200  # the newest loads
ATTEMPTS = 2  # at the steps after the load; then a person must look at it


def build_sensors(
    settings: Settings,
    sources: SourcesConfig,
    warehouse: Warehouse,
    daily: PartitionsDefinition,
    jobs: dict[str, Any],
) -> list[SensorDefinition]:
    """The sensors of the jobs. Those that launch runs are stopped, to be started in the UI."""
    has_days = LOAD_DAYS in jobs
    return [
        *(_day_sensors(settings, sources, warehouse, daily, jobs) if has_days else ()),
        *(_changed_source(config, sources, warehouse, jobs) for config in sources.separate),
        alert_sensor(settings, warehouse),
        _end_dead_runs(),
        retention_sensor(settings, warehouse),
    ]


def _day_sensors(
    settings: Settings,
    sources: SourcesConfig,
    warehouse: Warehouse,
    daily: PartitionsDefinition,
    jobs: dict[str, Any],
) -> list[SensorDefinition]:
    @sensor(
        name="changed_sources",
        job=jobs[LOAD_DAYS],
        minimum_interval_seconds=300,
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Requests the days whose source files are new or changed since their load, and once "
            "more the days whose load failed after its rows were written."
        ),
    )
    def changed_sources(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        keys = daily.get_partition_keys()
        try:
            changed = changed_days(sources, warehouse, keys)
        except (SourceError, WarehouseError) as error:
            yield SkipReason(str(error))
            return
        failed = failed_loads(context.instance)
        for day, runs in failed.items():
            if len(runs) < ATTEMPTS:
                changed.setdefault(day, runs[0])
        if failed and not changed:
            first = min(failed)
            yield SkipReason(
                f"{len(failed):,} days failed {ATTEMPTS} times; the first is {first}, last in run "
                f"{failed[first][0][:8]}. Fix the cause, then load them."
            )
        elif not changed:
            yield SkipReason("The sources have not changed since each day was loaded.")
        for window in windows_to_load(changed, sources):
            # The load is part of the key: content that returns to an earlier state is loaded again.
            versions = [changed.get(day, "") for day in window]
            content = "".join([*versions, str(last_load(warehouse, window))])
            digest = hashlib.sha256(content.encode()).hexdigest()[:16]
            # The key identifies the content: a repeated tick starts no second run.
            yield RunRequest(run_key=f"{window}-{digest}", tags=range_tags(window))

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="score_after_load",
        monitored_jobs=[jobs[LOAD_DAYS]],
        request_job=jobs[SCORE_DAY],
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Scores the newest day after a successful load, and publishes; before it, builds the "
            "snapshots of earlier days again that depend on days that changed."
        ),
    )
    def score_after_load(context: RunStatusSensorContext) -> list[RunRequest] | SkipReason:
        loaded = _loaded(context, warehouse)
        if isinstance(loaded, SkipReason):
            return loaded
        newest = loaded[1] - timedelta(days=1)
        try:
            built = read_history(
                context.instance, warehouse, sources.calendar, settings.churn_horizon_days
            )
        except WarehouseError as error:
            return SkipReason(str(error))
        run_id = context.dagster_run.run_id
        return [
            *(
                RunRequest(f"{run_id}-{days}", tags={**range_tags(days), KEEP_MODELS_TAG: "true"})
                for days in contiguous(day for day in built.stale.snapshots if day < newest)
            ),
            RunRequest(run_key=run_id, partition_key=newest.isoformat()),
        ]

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="features_after_old_days",
        monitored_jobs=[jobs[LOAD_DAYS]],
        request_job=jobs[MONTHLY_FEATURES],
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Rebuilds the features of past months after a load of days older than those that the "
            "daily refresh loads; retraining follows."
        ),
    )
    def features_after_old_days(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        loaded = _loaded(context, warehouse)
        if isinstance(loaded, SkipReason):
            return loaded
        window, end = loaded
        months = months_of(sources.calendar, window.start, end, settings.churn_horizon_days)
        if window.start >= end - timedelta(days=settings.refresh_days) or months is None:
            return SkipReason("The monthly schedule builds the features that these days change.")
        return RunRequest(run_key=context.dagster_run.run_id, tags=range_tags(months, monthly=True))

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="retrain_after_features",
        monitored_jobs=[jobs[MONTHLY_FEATURES]],
        request_job=jobs[RETRAIN],
        default_status=DefaultSensorStatus.STOPPED,
        description="Trains the churn model again after the monthly features were built.",
    )
    def retrain_after_features(context: RunStatusSensorContext) -> RunRequest:
        return RunRequest(run_key=context.dagster_run.run_id)

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="retrain_when_scores_fail",
        monitored_jobs=[jobs[SCORE_DAY]],
        request_job=jobs[RETRAIN],
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Requests another training if past scores were worse than the backtest, or inputs have "
            "drifted; at most once a month for each model."
        ),
    )
    def retrain_when_scores_fail(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        try:
            with warehouse.read() as session:
                version, reasons = reasons_to_retrain(session)
        except WarehouseError as error:
            return SkipReason(str(error))
        if not reasons:
            return SkipReason("Neither the scores nor their inputs give a reason.")
        window = run_window(context.dagster_run.tags)
        month = f"{window.end:%Y-%m}" if window else ""
        return RunRequest(
            run_key=f"{version}-{month}", tags={"analytics/because": "; ".join(reasons)[:200]}
        )

    return [
        *(changed_sources, score_after_load, features_after_old_days),
        *(retrain_after_features, retrain_when_scores_fail),
    ]


def _loaded(
    context: RunStatusSensorContext, warehouse: Warehouse
) -> tuple[Window, date] | SkipReason:
    """The window of a load and the exclusive end of all days loaded; or why to skip it."""
    window = run_window(context.dagster_run.tags)
    if window is None:
        return SkipReason("The load had no window.")
    try:
        return window, max(window.end, loaded_to(warehouse) or window.end)
    except WarehouseError as error:
        return SkipReason(str(error))


def failed_loads(instance: DagsterInstance) -> dict[date, list[str]]:
    """Days whose last load failed or was cancelled, with those runs since the last success.

    The newest run comes first. A load that goes on, or is being cancelled, counts as successful.
    """
    failed: dict[date, list[str]] = {}
    settled: set[date] = set()
    for run in instance.get_runs(RunsFilter(job_name=LOAD_DAYS), limit=RUNS_READ):
        days = set(run_window(run.tags) or ()) - settled
        if run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
            for day in days:
                failed.setdefault(day, []).append(run.run_id)
        else:
            settled |= days
    return failed


def _changed_source(
    config: SourceConfig, sources: SourcesConfig, warehouse: Warehouse, jobs: dict[str, Any]
) -> SensorDefinition:
    rows = config.declared.rows

    @sensor(
        name=f"changed_{config.source}",
        job=jobs[config.source],
        minimum_interval_seconds=300,
        default_status=DefaultSensorStatus.STOPPED,
        description=f"Requests the {rows} if their source has changed since its load.",
    )
    def changed_source(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        try:
            version = changed_whole(sources, config.source, warehouse)
        except (SourceError, WarehouseError) as error:
            return SkipReason(str(error))
        if version is None:
            return SkipReason(f"The source of the {rows} has not changed since its load.")
        return RunRequest(run_key=version)

    return changed_source


def _end_dead_runs() -> SensorDefinition:
    @sensor(
        name="end_dead_runs",
        minimum_interval_seconds=30,
        default_status=DefaultSensorStatus.RUNNING,
        description="Marks runs as failed whose process is gone, so that no other waits for them.",
    )
    def dead_runs(context: SensorEvaluationContext) -> SkipReason:
        ended = end_dead_runs(context.instance)
        return SkipReason(f"Ended: {', '.join(run_id[:8] for run_id in ended) or 'none'}.")

    return dead_runs
