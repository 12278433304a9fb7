"""Pruning the event log and the run history, which Dagster itself never does.

Belongs here: what is old, what survives, and the sensor that prunes. Does not belong here: the
tables of Dagster's storage (`compat.event_log`), or old ticks (`retention` in dagster.yaml).

Old are runs that ended before `ANALYTICS_RETENTION_DAYS`, or are not among the newest
`ANALYTICS_RETENTION_RUNS`. Of them survives the newest materialization and observation of each
partition, with its data version and time, as partition status, staleness and changes are told from
them; the newest verdict of each check; and the runs that have any of these, without their logs.
The other runs are deleted. A run that our ledgers have not recorded yet is not touched: so the
history of checks and runs stays in `data_quality_metrics` and `pipeline_executions`.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from analytics_assets.assets.quality.ledgers import PRUNED_TAG, recorded_runs
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
RUNS_AT_ONCE = 200  # a tick of a sensor has a minute
SENSOR_SECONDS = 3600


@dataclass(frozen=True)
class Pruned:
    """What was removed.

    Attributes:
        runs: runs that were deleted.
        emptied: runs of which only newest materializations are left.
        events: rows of the event log of assets and checks.
        more: whether there is more to prune.
    """

    runs: int = 0
    emptied: int = 0
    events: int = 0
    more: bool = False

    def __str__(self) -> str:
        return (
            f"{self.runs:,} runs deleted, {self.emptied:,} emptied, {self.events:,} events of "
            f"assets and checks removed{'; more at the next tick' if self.more else ''}."
        )


def prune(
    settings: Settings,
    instance: DagsterInstance,
    warehouse: Warehouse,
    clock: Callable[[], float] = time.time,
    runs_at_once: int = RUNS_AT_ONCE,
) -> Pruned:
    """Remove what is old of the event log and of the run history; the oldest runs first.

    Args:
        settings: with the limits.
        instance: the instance.
        warehouse: its ledger says which runs are recorded.
        clock: the time.
        runs_at_once: runs to prune at most.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    if not warehouse.path.exists():
        return Pruned()
    # Imported here: it imports SQLAlchemy, which loading the definitions does not need.
    from analytics_assets.compat.event_log import prune_events, runs_with_events

    old = _old_runs(settings, instance, clock())
    with warehouse.read() as session:
        recorded = recorded_runs(session)
    done = {run_id for run_id, tags in old.items() if PRUNED_TAG in tags}
    waiting = [run_id for run_id in old if run_id in recorded and run_id not in done]
    chunk = waiting[:runs_at_once]
    # Of runs that were emptied before, materializations may have been superseded since.
    events = prune_events(instance.event_log_storage, [*done, *chunk])
    holders = runs_with_events(instance.event_log_storage, [*done, *chunk])
    gone = [run_id for run_id in [*done, *chunk] if run_id not in holders]
    for run_id in gone:
        instance.delete_run(run_id)
        _delete_logs(instance, run_id)
    emptied = [run_id for run_id in chunk if run_id in holders]
    for run_id in emptied:
        _delete_logs(instance, run_id)
        instance.add_run_tags(run_id, {PRUNED_TAG: "true"})
    return Pruned(len(gone), len(emptied), events, more=len(waiting) > len(chunk))


def _old_runs(
    settings: Settings, instance: DagsterInstance, now: float
) -> dict[str, dict[str, str]]:
    """The tags of ended runs that are over the limits, oldest first."""
    before = datetime.fromtimestamp(now, UTC) - timedelta(days=settings.retention_days)
    of_count = instance.get_run_ids(limit=settings.retention_runs)
    if len(of_count) == settings.retention_runs:
        oldest = instance.get_run_record_by_id(of_count[-1])
        if oldest:
            before = max(before, oldest.create_timestamp.replace(tzinfo=UTC))
    records = instance.get_run_records(
        RunsFilter(statuses=ENDED, created_before=before), order_by="id", ascending=True
    )
    return {record.dagster_run.run_id: dict(record.dagster_run.tags) for record in records}


def _delete_logs(instance: DagsterInstance, run_id: str) -> None:
    """What the steps printed, and the run's own file of events where it has one."""
    with suppress(NotImplementedError):
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    from analytics_assets.compat.event_log import delete_file

    delete_file(instance.event_log_storage, run_id)


def retention_sensor(settings: Settings, warehouse: Warehouse) -> SensorDefinition:
    """The sensor that prunes; the command line does so at the end of its runs."""

    @sensor(
        name="prune_history",
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description=(
            f"Removes runs and events older than {settings.retention_days} days, or beyond the "
            f"{settings.retention_runs:,} newest runs; the newest materialization of each "
            "partition stays."
        ),
    )
    def prune_history(context: SensorEvaluationContext) -> SkipReason:
        try:
            return SkipReason(str(prune(settings, context.instance, warehouse)))
        except WarehouseError as error:
            return SkipReason(str(error))

    return prune_history
