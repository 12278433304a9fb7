"""What must be loaded or built again for everything to be up to date.

Belongs here: comparing the sources, the code and the instance's records. Does not belong here:
running anything (`backfill`).
"""

from collections.abc import Iterable
from datetime import date

from dagster import AssetKey, DagsterInstance, Definitions

from analytics_assets.automation.backfill import History
from analytics_assets.automation.jobs import LOAD_DAYS, MONTHLY_FEATURES, RETRAIN, SCORE_DAY
from analytics_assets.automation.ranges import windows_to_load
from analytics_assets.checks.staleness import FEATURES, Stale, find_stale, snapshot_days
from analytics_assets.partitions import Calendar, Window, month_start
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import LEADING
from analytics_assets.sources.ledger import loaded_versions
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.unfinished import (
    RAW,
    forget,
    is_monthly,
    is_snapshot,
    table_of,
    unfinished,
)

LAST = AssetKey("published_warehouse")  # is built after everything else
MODEL = "churn_model"


def outdated(
    composed: Definitions,
    instance: DagsterInstance,
    sources: SourcesConfig,
    warehouse: Warehouse,
) -> list[Window]:
    """The windows to load again; none if everything that depends on the days is up to date.

    All days, if an asset was never built, was built by other code, or the last sequence of runs
    was interrupted after its load; else the days whose sources changed, and those whose load was
    begun and has not finished.
    """
    if not sources.has_days:
        return []
    keys = _day_keys(composed)
    if not keys:
        return []
    monthly = composed.resolve_job_def(MONTHLY_FEATURES).partitions_def
    has_months = bool(monthly and monthly.get_partition_keys())
    assets = {
        key
        for job in (LOAD_DAYS, SCORE_DAY, *((MONTHLY_FEATURES, RETRAIN) if has_months else ()))
        for key in _assets(composed, job)
    }
    begun = unfinished_days(composed, sources, warehouse)
    if not _is_current(composed, instance, assets, may_be_behind=bool(_record(warehouse))):
        return [Window.of_days(keys[0], keys[-1])]
    return windows_to_load({*changed_days(sources, warehouse, keys), *begun}, sources)


def unfinished_days(
    composed: Definitions, sources: SourcesConfig, warehouse: Warehouse
) -> set[date]:
    """The days whose load was begun and has not finished, and must be loaded again.

    What has no days is loaded with any of them: it asks for the newest. A day outside the calendar
    cannot be loaded; `forget_unloadable` removes it.
    """
    keys = _day_keys(composed) if sources.has_days else []
    if not keys:
        return set()
    covered = [date.fromisoformat(key) for key in keys]
    record = _unfinished(composed, LOAD_DAYS, warehouse)
    return {day or covered[-1] for days in record.values() for day in days} & set(covered)


def _unfinished(
    composed: Definitions, job: str, warehouse: Warehouse
) -> dict[str, set[date | None]]:
    """What is unfinished of the tables of a job, and of their checks."""
    tables = {key.path[-1] for key in _assets(composed, job)}
    return {name: days for name, days in _record(warehouse).items() if table_of(name) in tables}


def _record(warehouse: Warehouse) -> dict[str, set[date | None]]:
    if not warehouse.path.exists():
        return {}
    with warehouse.read() as session:
        return unfinished(session)


def forget_unloadable(
    composed: Definitions, sources: SourcesConfig, warehouse: Warehouse
) -> list[date]:
    """Remove what is unfinished and outside the calendar, and return its days and months.

    The calendar has shrunk since: nobody can finish them, and nothing would be published again.
    """
    if not sources.has_days:
        return []
    covered = {date.fromisoformat(key) for key in _day_keys(composed)}
    first = month_start(sources.calendar.start)
    days, months = set(), set()
    for name, unfinished_of in _record(warehouse).items():
        for day in filter(None, unfinished_of):
            if is_monthly(name):
                end = sources.calendar.end
                if day < first or (end and day >= end):
                    months.add(day)
            elif day not in covered:
                days.add(day)
    if days or months:
        forget(warehouse, days, months, [f"{RAW}{LEADING}"])
    return sorted(days | months)


def _day_keys(composed: Definitions) -> list[str]:
    daily = composed.resolve_job_def(LOAD_DAYS).partitions_def
    return list(daily.get_partition_keys()) if daily else []


def read_history(
    instance: DagsterInstance, warehouse: Warehouse, calendar: Calendar, horizon_days: int
) -> History:
    """What was loaded and built before within the calendar, and what of it is stale."""

    def within(days: Iterable[date], start: date) -> tuple[date, ...]:
        return tuple(d for d in days if start <= d and (calendar.end is None or d < calendar.end))

    if not warehouse.path.exists():
        return History()
    with warehouse.read() as session:
        loaded = [day for day in loaded_versions(session, LEADING) if day]
        stale = find_stale(session, instance, horizon_days)
        snapshots = {day for days in unfinished(session, is_snapshot).values() for day in days}
        months = {month for some in unfinished(session, is_monthly).values() for month in some}
        return History(
            loaded,
            within(snapshot_days(session), calendar.start),
            Stale(
                within(_with(stale.snapshots, snapshots), calendar.start),
                within(_with(stale.months, months), month_start(calendar.start)),
            ),
            _model_is_behind(instance),
        )


def _with(days: Iterable[date], more: Iterable[date | None]) -> list[date]:
    return sorted({*days, *filter(None, more)})


def _model_is_behind(instance: DagsterInstance) -> bool:
    """Whether features were built after the last training."""
    built, trained = (
        instance.get_latest_materialization_event(AssetKey(name)) for name in (FEATURES, MODEL)
    )
    return built is not None and (trained is None or trained.timestamp < built.timestamp)


def outdated_jobs(
    composed: Definitions,
    instance: DagsterInstance,
    sources: SourcesConfig,
    warehouse: Warehouse,
) -> list[str]:
    """The sources whose own jobs must run again.

    The source or the code has changed, or what was built from it is not finished or not published.
    """
    return [
        config.source
        for config in sources.separate
        if not _is_current(composed, instance, {*_assets(composed, config.source), LAST})
        or changed_whole(sources, config.source, warehouse) is not None
        or _unfinished(composed, config.source, warehouse)
    ]


def _assets(composed: Definitions, job: str) -> set[AssetKey]:
    return set(composed.resolve_job_def(job).asset_layer.executable_asset_keys)


def _is_current(
    composed: Definitions,
    instance: DagsterInstance,
    assets: set[AssetKey],
    *,
    may_be_behind: bool = False,
) -> bool:
    """Whether all assets were built by the present code, and published afterwards.

    A load that was cut off is behind in any case; its days are known, and no other need be loaded.
    """
    graph = composed.resolve_asset_graph()
    entries = {key: instance.get_latest_materialization_event(key) for key in assets}
    times = {key: entry.timestamp for key, entry in entries.items() if entry}
    if len(times) < len(entries):
        return False
    if times[LAST] < max(times.values()) and not may_be_behind:
        return False
    versions = instance.get_latest_materialization_code_versions(list(assets))
    return all(versions[key] == graph.get(key).code_version for key in assets)
