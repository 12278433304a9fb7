"""What must be loaded or built again for everything to be up to date.

Belongs here: comparing the sources, the code and the instance's records. Does not belong here:
running anything (`backfill`).
"""

from collections.abc import Iterable
from datetime import date, timedelta

from dagster import AssetKey, DagsterInstance, Definitions

from analytics_assets.assets.activation import ACTIVATION
from analytics_assets.assets.features import FEATURE_LOOKUP
from analytics_assets.automation.backfill import History
from analytics_assets.automation.dead_runs import Say
from analytics_assets.automation.jobs import LOAD_DAYS, MONTHLY_FEATURES, RETRAIN, SCORE_DAY
from analytics_assets.automation.ranges import windows_to_load
from analytics_assets.checks.staleness import (
    FEATURES,
    SNAPSHOTS,
    Stale,
    find_stale,
    snapshot_days,
)
from analytics_assets.partitions import Calendar, Window, month_start, next_month
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import LEADING
from analytics_assets.sources.ledger import loaded_versions
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.unfinished import (
    RAW,
    drop_tables,
    forget,
    is_monthly,
    is_snapshot,
    table_of,
    unfinished,
)

LAST = AssetKey("published_warehouse")  # is built after everything else
FROM_LAST = {
    AssetKey(FEATURE_LOOKUP),
    AssetKey(ACTIVATION),
}  # but for these, which are made from it
MODEL = "churn_model"
NAMED = 3  # assets that a line names


def outdated(
    composed: Definitions,
    instance: DagsterInstance,
    sources: SourcesConfig,
    warehouse: Warehouse,
    say: Say = lambda line: None,
) -> list[Window]:
    """The windows to load again; none if everything that depends on the days is up to date.

    All days, if an asset of the load was never built or was built by other code, or the last
    sequence of runs was interrupted after its load; else the days whose sources changed, and those
    whose load was begun and has not finished. Other code of what follows the load is no reason to
    load days: see `read_history`.

    Args:
        composed: the definitions.
        instance: where runs are recorded.
        sources: the configured sources.
        warehouse: the warehouse.
        say: takes a line that says why all days are loaded.
    """
    if not sources.has_days:
        return []
    keys = _day_keys(composed)
    if not keys:
        return []
    begun = unfinished_days(composed, sources, warehouse)
    loaded = _assets(composed, LOAD_DAYS)
    assets = loaded.union(*(_assets(composed, job) for job in _jobs_after(composed)))
    reason = (
        _never_built(instance, assets)
        or _of_other_code(composed, instance, loaded)
        # What was cut off is behind in any case; its days are known.
        or ("" if _record(warehouse) else _interrupted(instance, assets))
    )
    if reason:
        say(f"All days are loaded: {reason}.")
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


def forget_what_is_gone(
    composed: Definitions, sources: SourcesConfig, warehouse: Warehouse
) -> list[str]:
    """Take out of the record what nothing can finish, as it is configured no more.

    Returns:
        What was removed, in lines.
    """
    lines = []
    if days := forget_unloadable(composed, sources, warehouse):
        lines.append(
            "Removed, as their load has not finished and the calendar no longer has them: "
            f"{', '.join(map(str, days))}."
        )
    built = {key.path[-1] for key in composed.resolve_asset_graph().executable_asset_keys}
    gone = sorted(name for name in _record(warehouse) if table_of(name) not in built)
    if gone:
        with warehouse.transaction() as session:
            drop_tables(session, gone)
        lines.append(
            f"No longer waited for, as their source is configured no more: {', '.join(gone)}."
        )
    return lines


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
    instance: DagsterInstance,
    warehouse: Warehouse,
    calendar: Calendar,
    horizon_days: int,
    composed: Definitions | None = None,
) -> History:
    """What was loaded and built before within the calendar, and what of it is stale.

    Args:
        instance: where runs are recorded.
        warehouse: the warehouse.
        calendar: the days that the sources cover.
        horizon_days: length of the label window.
        composed: the definitions, if what was built by other code counts as stale, too.
    """

    def within(days: Iterable[date], start: date) -> tuple[date, ...]:
        return tuple(
            d
            for d in sorted(set(days))
            if start <= d and (calendar.end is None or d < calendar.end)
        )

    if not warehouse.path.exists():
        return History()
    with warehouse.read() as session:
        loaded = [day for day in loaded_versions(session, LEADING) if day]
        snapshots = snapshot_days(session)
        stale = find_stale(session, instance, horizon_days)
        begun = {day for some in unfinished(session, is_snapshot).values() for day in some}
        months = {month for some in unfinished(session, is_monthly).values() for month in some}
    code = _stale_by_code(composed, instance, snapshots, loaded) if composed and loaded else Stale()
    return History(
        loaded,
        within(snapshots, calendar.start),
        Stale(
            within(_with((*stale.snapshots, *code.snapshots), begun), calendar.start),
            within(_with((*stale.months, *code.months), months), month_start(calendar.start)),
        ),
        _model_is_behind(instance),
    )


def _stale_by_code(
    composed: Definitions, instance: DagsterInstance, snapshots: list[date], loaded: list[date]
) -> Stale:
    """The partitions after the load whose tables were built by other code.

    A training follows from any month, so other code of the model alone asks for the newest.
    """
    months: list[date] = []
    month = month_start(min(loaded))
    while next_month(month) <= max(loaded) + timedelta(days=1):
        months.append(month)
        month = next_month(month)
    jobs = _jobs_after(composed)
    other = {job: _of_other_code(composed, instance, _assets(composed, job)) for job in jobs}
    if not other.get(MONTHLY_FEATURES):
        months = months[-1:] if other.get(RETRAIN) else []
    days = [max(loaded)] if other[SCORE_DAY] else []
    if _of_other_code(composed, instance, {AssetKey(name) for name in SNAPSHOTS}):
        days += snapshots
    return Stale(tuple(days), tuple(months))


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
        if _behind(composed, instance, {*_assets(composed, config.source), LAST})
        or changed_whole(sources, config.source, warehouse) is not None
        or _unfinished(composed, config.source, warehouse)
    ]


def _assets(composed: Definitions, job: str) -> set[AssetKey]:
    return set(composed.resolve_job_def(job).asset_layer.executable_asset_keys)


def _jobs_after(composed: Definitions) -> list[str]:
    """The jobs that follow a load of days; without a whole month, none that are monthly."""
    monthly = composed.resolve_job_def(MONTHLY_FEATURES).partitions_def
    has_months = bool(monthly and monthly.get_partition_keys())
    return [*((MONTHLY_FEATURES, RETRAIN) if has_months else ()), SCORE_DAY]


def _never_built(instance: DagsterInstance, assets: Iterable[AssetKey]) -> str:
    missing = [key for key in assets if instance.get_latest_materialization_event(key) is None]
    return f"{_named(missing)} never built" if missing else ""


def _interrupted(instance: DagsterInstance, assets: Iterable[AssetKey]) -> str:
    entries = {key: instance.get_latest_materialization_event(key) for key in assets}
    times = {key: entry.timestamp for key, entry in entries.items() if entry}
    published = times.get(LAST, 0.0)
    after = {key for key, time in times.items() if time > published}
    before = {key for key, time in times.items() if time < published}
    if after - FROM_LAST or before & FROM_LAST:
        return "the last sequence of runs stopped before its end"
    return ""


def _behind(composed: Definitions, instance: DagsterInstance, assets: set[AssetKey]) -> str:
    """Why assets are not up to date with the code and each other; empty if they are."""
    return (
        _never_built(instance, assets)
        or _of_other_code(composed, instance, assets)
        or _interrupted(instance, assets)
    )


def _of_other_code(composed: Definitions, instance: DagsterInstance, assets: set[AssetKey]) -> str:
    graph = composed.resolve_asset_graph()
    versions = instance.get_latest_materialization_code_versions(list(assets))
    other = [key for key in assets if versions[key] != graph.get(key).code_version]
    return f"{_named(other)} built by other code or settings" if other else ""


def _named(keys: Iterable[AssetKey]) -> str:
    names = sorted(key.path[-1] for key in keys)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more} {'was' if len(names) == 1 else 'were'}"
