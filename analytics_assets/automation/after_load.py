"""Sensors on runs: what follows a load of days, and what follows that.

Belongs here: which runs are requested after others. Does not belong here: which days are loaded
(`sensors`).

Several loads that follow each other are followed up once: a load that waits or goes on is waited
for. What is asked for depends on the runs that are recorded and not on the ticks before, so a tick
that is repeated or left out, or a cursor that is lost, changes nothing.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dagster import (
    AssetKey,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRecord,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_status_sensor,
    sensor,
)

from analytics_assets.automation.jobs import LOAD_DAYS, MONTHLY_FEATURES, RETRAIN, SCORE_DAY
from analytics_assets.automation.outdated import read_history
from analytics_assets.automation.ranges import UNFINISHED, contiguous, months_of, range_tags
from analytics_assets.checks.predictions import reasons_to_retrain
from analytics_assets.checks.staleness import SNAPSHOTS
from analytics_assets.partitions import COMMAND_LINE_TAG, KEEP_MODELS_TAG, run_window
from analytics_assets.processes import Process
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.ledger import loaded_to
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

RUNS_READ = 100  # the newest of a job


def default_status(settings: Settings) -> DefaultSensorStatus:
    """Whether a sensor runs as long as nobody has started or stopped it in the UI."""
    return DefaultSensorStatus.RUNNING if settings.automatic else DefaultSensorStatus.STOPPED


def after_load_sensors(
    settings: Settings, sources: SourcesConfig, warehouse: Warehouse, jobs: dict[str, Any]
) -> list[SensorDefinition]:
    """The sensors of the jobs that follow a load of days."""
    options: dict[str, Any] = {
        "minimum_interval_seconds": settings.sensor_seconds,
        "default_status": default_status(settings),
    }

    @sensor(
        name="score_after_load",
        job=jobs[SCORE_DAY],
        description=(
            "Scores the newest day and publishes, once no load waits or goes on; before it, builds "
            "the snapshots of earlier days again that depend on days that changed."
        ),
        **options,
    )
    def score_after_load(context: SensorEvaluationContext) -> list[RunRequest] | SkipReason:
        loads = loads_since(context, SCORE_DAY)
        if isinstance(loads, SkipReason):
            return loads
        try:
            end = loaded_to(warehouse)
            stale = read_history(
                context.instance, warehouse, sources.calendar, settings.churn_horizon_days
            ).stale.snapshots
        except WarehouseError as error:
            return SkipReason(str(error))
        if end is None:
            return SkipReason("No day has been loaded.")
        newest = end - timedelta(days=1)
        load = loads[0].dagster_run.run_id
        return [
            *(
                RunRequest(
                    run_key=f"{load}-{days}",
                    tags={**range_tags(days), KEEP_MODELS_TAG: "true"},
                    # Publishing follows, once.
                    asset_selection=[AssetKey(name) for name in SNAPSHOTS],
                )
                for days in contiguous(day for day in stale if day < newest)
            ),
            RunRequest(run_key=load, partition_key=newest.isoformat()),
        ]

    @sensor(
        name="features_after_old_days",
        job=jobs[MONTHLY_FEATURES],
        description=(
            "Rebuilds the features of past months after loads of days older than those that the "
            "daily refresh loads; retraining follows."
        ),
        **options,
    )
    def features_after_old_days(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        loads = loads_since(context, MONTHLY_FEATURES)
        if isinstance(loads, SkipReason):
            return loads
        try:
            end = loaded_to(warehouse)
        except WarehouseError as error:
            return SkipReason(str(error))
        windows = [window for load in loads if (window := run_window(load.dagster_run.tags))]
        if not windows or end is None:
            return SkipReason("No days were loaded.")
        start = min(window.start for window in windows)
        months = months_of(sources.calendar, start, end, settings.churn_horizon_days)
        if start >= end - timedelta(days=settings.refresh_days) or months is None:
            return SkipReason("The monthly schedule builds the features that these days change.")
        return RunRequest(
            run_key=loads[0].dagster_run.run_id, tags=range_tags(months, monthly=True)
        )

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="retrain_after_features",
        monitored_jobs=[jobs[MONTHLY_FEATURES]],
        request_job=jobs[RETRAIN],
        description="Trains the churn model again after the monthly features were built.",
        **options,
    )
    def retrain_after_features(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        if is_followed_up(context.dagster_run.run_id, context.dagster_run.tags):
            return SkipReason(FOLLOWED_UP)
        return RunRequest(run_key=context.dagster_run.run_id)

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="retrain_when_scores_fail",
        monitored_jobs=[jobs[SCORE_DAY]],
        request_job=jobs[RETRAIN],
        description=(
            "Requests another training if past scores were worse than the backtest, or inputs have "
            "drifted; at most once a month for each model."
        ),
        **options,
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
        score_after_load,
        features_after_old_days,
        retrain_after_features,
        retrain_when_scores_fail,
    ]


FOLLOWED_UP = "The command line that loaded the days goes on with what depends on them."


def loads_since(context: SensorEvaluationContext, job: str) -> list[RunRecord] | SkipReason:
    """The loads that succeeded and that no run of a job has followed, newest first.

    A run of the job counts if it was created after the load's end, and has not failed.
    """
    instance = context.instance
    if instance.get_run_ids(RunsFilter(job_name=LOAD_DAYS, statuses=UNFINISHED), limit=1):
        return SkipReason("A load waits or goes on; the last one is followed up.")
    followers = instance.get_run_records(
        RunsFilter(job_name=job, statuses=[*UNFINISHED, DagsterRunStatus.SUCCESS]), limit=RUNS_READ
    )
    since = max((one.create_timestamp.timestamp() for one in followers if is_whole(one)), default=0)
    loads = [
        record
        for record in instance.get_run_records(
            RunsFilter(job_name=LOAD_DAYS, statuses=[DagsterRunStatus.SUCCESS]), limit=RUNS_READ
        )
        if (record.end_time or 0) > since
    ]
    if not loads:
        return SkipReason("No days have been loaded since.")
    newest = loads[0].dagster_run
    if is_followed_up(newest.run_id, newest.tags):
        return SkipReason(FOLLOWED_UP)
    return sorted(loads, key=lambda record: record.end_time or 0, reverse=True)


def is_whole(record: RunRecord) -> bool:
    """Whether a run is of all assets of its job; one of snapshots only publishes nothing."""
    return not record.dagster_run.asset_selection


def is_followed_up(run_id: str, tags: Mapping[str, str]) -> bool:
    """Whether the command line that executed a run still goes on, with what comes after it."""
    process = Process.of_run(run_id, tags)
    return COMMAND_LINE_TAG in tags and process is not None and process.is_here and process.lives
