"""Sensors: days whose source files changed, what follows a finished run, reports of failures.

Belongs here: reactions. Does not belong here: things due at a time (`schedules`).
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
    RunFailureSensorContext,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)

from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
    SUBSCRIPTIONS,
)
from analytics_assets.automation.notifications import post
from analytics_assets.automation.ranges import contiguous, months_of, range_tags
from analytics_assets.checks.predictions import reasons_to_retrain
from analytics_assets.partitions import run_window
from analytics_assets.settings import Settings
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.load import last_load, loaded_to
from analytics_assets.sources.readers import SourceError
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

RANGES_A_TICK = 10  # each is a run; the rest comes with the next tick
RUNS_LOOKED_AT = 200  # loads, the newest first
ATTEMPTS = 2  # at what is made of rows that were loaded; then it is for a person to look


def build_sensors(
    settings: Settings,
    sources: SourcesConfig,
    warehouse: Warehouse,
    daily: PartitionsDefinition,
    jobs: dict[str, Any],
) -> list[SensorDefinition]:
    """The sensors of the jobs. Those that launch runs are stopped; a team starts them in the UI."""
    found: list[SensorDefinition] = []
    if LOAD_DAYS in jobs:
        found += _of_days(settings, sources, warehouse, daily, jobs)
    if SUBSCRIPTIONS in jobs:
        found.append(_changed_subscriptions(sources, warehouse, jobs))
    return [*found, _report_failures(settings)]


def _of_days(
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
            "Asks for the days whose source files are new or changed since their load, and once "
            "more for those whose rows were loaded by a run that failed afterwards."
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
                f"{failed[first][0][:8]}. Mend the cause, then load them."
            )
        elif not changed:
            yield SkipReason("Every day was loaded as the sources hold it now.")
        for window in list(contiguous(changed))[:RANGES_A_TICK]:
            # What was loaded meanwhile may be asked for again: content can return to what it was.
            held = "".join(changed[day] for day in window) + str(last_load(warehouse, window))
            digest = hashlib.sha256(held.encode()).hexdigest()[:16]
            # The key holds what is asked for: a tick that is repeated asks for nothing new.
            yield RunRequest(run_key=f"{window}-{digest}", tags=range_tags(window))

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="score_after_load",
        monitored_jobs=[jobs[LOAD_DAYS]],
        request_job=jobs[SCORE_DAY],
        default_status=DefaultSensorStatus.STOPPED,
        description="Scores the newest day after a load that succeeded, and publishes.",
    )
    def score_after_load(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        window = run_window(context.dagster_run.tags)
        if window is None:
            return SkipReason("The load had no window.")
        try:
            # A load of old days changes the newest snapshot; the scores of its own days stay what
            # they were: a model trained since has seen what it would predict.
            newest = max(window.end, loaded_to(warehouse) or window.end) - timedelta(days=1)
        except WarehouseError as error:
            return SkipReason(str(error))
        return RunRequest(run_key=context.dagster_run.run_id, partition_key=newest.isoformat())

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="features_after_old_days",
        monitored_jobs=[jobs[LOAD_DAYS]],
        request_job=jobs[MONTHLY_FEATURES],
        default_status=DefaultSensorStatus.STOPPED,
        description=(
            "Makes the features of past months anew after a load of days older than those that "
            "the daily refresh loads; retraining follows."
        ),
    )
    def features_after_old_days(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        window = run_window(context.dagster_run.tags)
        if window is None:
            return SkipReason("The load had no window.")
        try:
            end = max(window.end, loaded_to(warehouse) or window.end)
        except WarehouseError as error:
            return SkipReason(str(error))
        months = months_of(sources.calendar, window.start, end, settings.churn_horizon_days)
        if window.start >= end - timedelta(days=settings.refresh_days) or months is None:
            return SkipReason("The monthly schedule makes the features that these days change.")
        return RunRequest(run_key=context.dagster_run.run_id, tags=range_tags(months, monthly=True))

    @run_status_sensor(
        run_status=DagsterRunStatus.SUCCESS,
        name="retrain_after_features",
        monitored_jobs=[jobs[MONTHLY_FEATURES]],
        request_job=jobs[RETRAIN],
        default_status=DefaultSensorStatus.STOPPED,
        description="Trains the churn model anew once the monthly features have been made.",
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
            "Asks for another training when past scores were worse than promised or inputs have "
            "drifted; once a month for each model at most."
        ),
    )
    def retrain_when_scores_fail(context: RunStatusSensorContext) -> RunRequest | SkipReason:
        try:
            with warehouse.read() as session:
                version, reasons = reasons_to_retrain(session)
        except WarehouseError as error:
            return SkipReason(str(error))
        if not reasons:
            return SkipReason("The scores and their inputs hold.")
        window = run_window(context.dagster_run.tags)
        month = f"{window.end:%Y-%m}" if window else ""
        return RunRequest(
            run_key=f"{version}-{month}", tags={"analytics/because": "; ".join(reasons)[:200]}
        )

    return [
        *(changed_sources, score_after_load, features_after_old_days),
        *(retrain_after_features, retrain_when_scores_fail),
    ]


def failed_loads(instance: DagsterInstance) -> dict[date, list[str]]:
    """Days whose last load failed, with the runs that failed since one succeeded, newest first.

    A load that is under way counts as one that succeeds.
    """
    failed: dict[date, list[str]] = {}
    settled: set[date] = set()
    for run in instance.get_runs(RunsFilter(job_name=LOAD_DAYS), limit=RUNS_LOOKED_AT):
        days = set(run_window(run.tags) or ()) - settled
        if run.status == DagsterRunStatus.FAILURE:
            for day in days:
                failed.setdefault(day, []).append(run.run_id)
        elif run.status not in (DagsterRunStatus.CANCELED, DagsterRunStatus.CANCELING):
            settled |= days
    return failed


def _changed_subscriptions(
    sources: SourcesConfig, warehouse: Warehouse, jobs: dict[str, Any]
) -> SensorDefinition:
    @sensor(
        name="changed_subscriptions",
        job=jobs[SUBSCRIPTIONS],
        minimum_interval_seconds=300,
        default_status=DefaultSensorStatus.STOPPED,
        description="Asks for the subscribers when their source has changed since its load.",
    )
    def changed_subscriptions(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        try:
            version = changed_whole(sources, "subscriptions", warehouse)
        except (SourceError, WarehouseError) as error:
            return SkipReason(str(error))
        if version is None:
            return SkipReason("The subscribers were loaded as the source holds them now.")
        return RunRequest(run_key=version)

    return changed_subscriptions


def _report_failures(settings: Settings) -> SensorDefinition:
    @run_failure_sensor(
        name="report_failures",
        default_status=DefaultSensorStatus.RUNNING,
        description="Posts every failed run to ANALYTICS_WEBHOOK_URL; does nothing without one.",
    )
    def report_failures(context: RunFailureSensorContext) -> SkipReason | None:
        if settings.webhook_url is None:
            return SkipReason("ANALYTICS_WEBHOOK_URL is not set.")
        run = context.dagster_run
        problem = post(
            settings.webhook_url,
            f"{run.job_name} failed in {settings.deployment} (run {run.run_id[:8]}, "
            f"window {run_window(run.tags)}). The run's page in the UI says why.",
        )
        if problem:
            context.log.warning(f"The failure of run {run.run_id} was not reported: {problem}")
        return None

    return report_failures
