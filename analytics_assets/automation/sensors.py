"""Sensors on the sources: what has changed is loaded. What follows a load is in `after_load`.

Belongs here: which days are asked for, and when. Does not belong here: what runs at a time
(`schedules`), or telling people (`alerts`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    PartitionsDefinition,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from analytics_assets.automation.after_load import after_load_sensors, default_status
from analytics_assets.automation.alerts.watch import alert_sensor
from analytics_assets.automation.dead_runs import end_dead_runs
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.ranges import (
    UNFINISHED,
    in_chunks,
    most_days_of,
    range_tags,
    windows_to_load,
)
from analytics_assets.automation.retention import retention_sensor
from analytics_assets.partitions import run_window
from analytics_assets.settings import Settings
from analytics_assets.sources.arrivals import waiting_files
from analytics_assets.sources.changes import changed_whole, changes
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import last_load
from analytics_assets.sources.readers import SourceError
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

FETCH_SECONDS = 30.0  # Dagster cuts a tick off after 60 seconds
RUNS_READ = 200  # the newest loads
ATTEMPTS = 2  # at the steps after the load; then a person must look at it


def build_sensors(
    settings: Settings,
    sources: SourcesConfig,
    warehouse: Warehouse,
    daily: PartitionsDefinition,
    jobs: dict[str, Any],
) -> list[SensorDefinition]:
    """The sensors of the jobs; those that launch runs do so by default where automation is on."""
    if LOAD_DAYS in jobs:
        of_days = [
            _changed_sources(settings, sources, warehouse, daily, jobs),
            *after_load_sensors(settings, sources, warehouse, jobs),
        ]
    else:
        of_days = []
    return [
        *of_days,
        *(_changed_source(settings, one, sources, warehouse, jobs) for one in sources.separate),
        alert_sensor(settings, warehouse),
        _end_dead_runs(),
        retention_sensor(settings, warehouse),
    ]


def _changed_sources(
    settings: Settings,
    sources: SourcesConfig,
    warehouse: Warehouse,
    daily: PartitionsDefinition,
    jobs: dict[str, Any],
) -> SensorDefinition:
    @sensor(
        name="changed_sources",
        job=jobs[LOAD_DAYS],
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=default_status(settings),
        description=(
            "Requests the days whose source files are new or changed since their load, once two "
            "looks have seen the same content or their marker is there, and once more the days "
            "whose load failed after its rows were written."
        ),
    )
    def changed_sources(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        if context.instance.get_run_ids(
            RunsFilter(job_name=LOAD_DAYS, statuses=UNFINISHED), limit=1
        ):
            return SkipReason("A load waits or goes on. What has changed is asked for after it.")
        keys = daily.get_partition_keys()
        try:
            found = changes(sources, warehouse, keys, FETCH_SECONDS)
        except (SourceError, WarehouseError) as error:
            return SkipReason(str(error))
        seen = {str(day): _digest(files_of(versions, sources)) for day, versions in found.items()}
        before = json.loads(context.cursor or "{}")
        wanted = {
            day: "".join(versions.values())
            for day, versions in found.items()
            if not files_of(versions, sources) or before.get(str(day)) == seen[str(day)]
        }
        coming = len(found) - len(wanted)
        failed = failed_loads(context.instance)
        for day, runs in failed.items():
            if len(runs) < ATTEMPTS and day not in found:
                wanted[day] = runs[0]
        return SensorResult(
            run_requests=[
                # The key identifies the content: a repeated tick starts no second run. The load is
                # part of it: content that returns to an earlier state is loaded again.
                RunRequest(
                    run_key=f"{window}-"
                    + _digest(
                        [
                            *(wanted.get(day, "") for day in window),
                            str(last_load(warehouse, window)),
                        ]
                    ),
                    tags=range_tags(window),
                )
                for window in in_chunks(
                    windows_to_load(wanted, sources), most_days_of(settings, sources)
                )
            ],
            skip_reason=None if wanted else SkipReason(_why_nothing(coming, failed, sources)),
            cursor=json.dumps(seen),
        )

    return changed_sources


def files_of(versions: Mapping[str, str], sources: SourcesConfig) -> list[str]:
    """The versions of the sources in files that may be written at the moment."""
    return [
        version for source, version in versions.items() if may_be_partial(sources.sources[source])
    ]


def may_be_partial(config: SourceConfig) -> bool:
    """Whether a source may be seen while it is written.

    A database and what was fetched show what was committed, and a marker comes after the files.
    """
    return config.marker is None and not config.is_committed


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def _why_nothing(coming: int, failed: Mapping[date, list[str]], sources: SourcesConfig) -> str:
    """Why a tick asks for no load, in words."""
    if coming:
        return f"{coming:,} days are new or changed; the next look shows whether they are whole."
    if failed:
        first = min(failed)
        return (
            f"{len(failed):,} days failed {ATTEMPTS} times; the first is {first}, last in run "
            f"{failed[first][0][:8]}. Fix the cause, then load them."
        )
    waiting = "".join(f" {one}." for one in waiting_files(sources))
    return f"The sources have not changed since each day was loaded.{waiting}"


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
    settings: Settings,
    config: SourceConfig,
    sources: SourcesConfig,
    warehouse: Warehouse,
    jobs: dict[str, Any],
) -> SensorDefinition:
    rows = config.declared.rows

    @sensor(
        name=f"changed_{config.source}",
        job=jobs[config.source],
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=default_status(settings),
        description=(
            f"Requests the {rows} if their source has changed since its load, once two looks have "
            "seen the same content."
        ),
    )
    def changed_source(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        try:
            version = changed_whole(sources, config.source, warehouse)
        except (SourceError, WarehouseError) as error:
            return SkipReason(str(error))
        if version is None:
            return SkipReason(f"The source of the {rows} has not changed since its load.")
        seen = _digest(files_of({config.source: version}, sources))
        if may_be_partial(config) and context.cursor != seen:
            context.update_cursor(seen)
            return SkipReason("It has changed; the next look shows whether it is whole.")
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
