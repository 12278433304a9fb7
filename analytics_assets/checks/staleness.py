"""Snapshots and monthly features that are older than the days that they depend on.

Belongs here: finding them, and the check that says so. Does not belong here: building them again
(`automation`).

A snapshot depends on all days up to its own, a month's features on all days up to its end and,
once the label is known, up to the end of the label's window. The ledger of loads says when the
content of each day last changed, and the instance when each partition was built.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetDep,
    AssetKey,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    ResourceParam,
    multi_asset_check,
)

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.partitions import next_month
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import LEADING
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

SNAPSHOTS = ("customer_analytics_daily", "churn_predictions")  # built together
FEATURES = "churn_features"
EVENTS_AT_ONCE = 500

CHECK = Check(
    "freshness",
    SNAPSHOTS[-1],
    "built_after_its_days",
    "Each snapshot, its scores and each month of churn_features were built after the days that "
    "they depend on had last changed.",
    "timeliness",
    "Run analytics-assets run: it builds them again.",
    severe_share=None,
)


@dataclass(frozen=True)
class Stale:
    """What has to be built again; first days of months."""

    snapshots: tuple[date, ...] = ()
    months: tuple[date, ...] = ()


def find_stale(
    session: Session, instance: DagsterInstance, horizon_days: int, *, due: bool = True
) -> Stale:
    """The snapshots and months that are older than days that they depend on.

    Args:
        session: a session of the warehouse.
        instance: where it is recorded when each partition was built.
        horizon_days: length of the label window.
        due: also those that were never built, and months whose label has become known since.
    """
    if not session.exists(TABLES["source_loads"]):
        return Stale()
    days = session.rows(
        "SELECT window_date, max(changed_at), bool_or(source = ?) FROM raw.source_loads "
        "WHERE window_date IS NOT NULL GROUP BY 1 ORDER BY 1",
        [LEADING],
    )
    loaded = [day for day, _, leading in days if leading]
    if not loaded:
        return Stale()
    ordered = [day for day, _, _ in days]
    latest = list(accumulate((at for _, at, _ in days), max))

    def changed_before(end: date) -> datetime:
        return latest[max(bisect_left(ordered, end), 1) - 1]

    def is_stale_snapshot(day: date, built: datetime) -> bool:
        return built < changed_before(day + timedelta(days=1))

    def is_stale_month(month: date, built: datetime) -> bool:
        label_end = next_month(month) + timedelta(days=horizon_days)
        # The label is known with the first load of a day that ends its window, or of a later one.
        closing = [at for day, at, leading in days if leading and day >= label_end - _DAY]
        if not closing or (built < min(closing) and not due):
            return built < changed_before(next_month(month))
        return built < max(changed_before(label_end), min(closing))

    months, month = [], loaded[0].replace(day=1)
    while next_month(month) <= loaded[-1] + _DAY:
        months.append(month)
        month = next_month(month)
    return Stale(
        _stale(instance, SNAPSHOTS, snapshot_days(session), is_stale_snapshot, due),
        _stale(instance, (FEATURES,), months, is_stale_month, due),
    )


_DAY = timedelta(days=1)


def snapshot_days(session: Session) -> list[date]:
    """The days that have a snapshot."""
    table = TABLES[SNAPSHOTS[0]]
    if not session.exists(table):
        return []
    query = f"SELECT DISTINCT snapshot_date FROM {table.relation} ORDER BY 1"
    return [day for (day,) in session.rows(query)]


def _stale(
    instance: DagsterInstance,
    names: tuple[str, ...],
    days: list[date],
    is_stale: Callable[[date, datetime], bool],
    due: bool,
) -> tuple[date, ...]:
    """The partitions, by first day, of which one of the tables is stale."""
    if not days:
        return ()
    built = [_built(instance, name) for name in names]
    return tuple(
        day
        for day in days
        if any(is_stale(day, at[str(day)]) if str(day) in at else due for at in built)
    )


def _built(instance: DagsterInstance, name: str) -> dict[str, datetime]:
    """When each partition of an asset was last built, naive UTC, by its key."""
    key = AssetKey(name)
    newest = list(
        instance.get_latest_storage_id_by_partition(
            key, DagsterEventType.ASSET_MATERIALIZATION
        ).values()
    )
    built = {}
    for first in range(0, len(newest), EVENTS_AT_ONCE):
        some = newest[first : first + EVENTS_AT_ONCE]
        records = instance.fetch_materializations(
            AssetRecordsFilter(key, storage_ids=some), limit=len(some)
        ).records
        for record in records:
            at = datetime.fromtimestamp(record.timestamp, UTC).replace(tzinfo=None)
            built[str(record.partition_key)] = at
    return built


def staleness_checks(settings: Settings, sources: SourcesConfig) -> list[AssetChecksDefinition]:
    """The check as Dagster's, unless its family is off. It alone needs the instance.

    It is evaluated after the scores, and after a load of days, which builds none of these.
    """
    policy = settings.checks[CHECK.family]
    if policy == "off" or not sources.has_days:
        return []
    spec = CHECK.spec(policy)._replace(additional_deps=[AssetDep("customer_days")])

    @multi_asset_check(name="staleness_check", specs=[spec], pool=POOL)
    def step(
        context: AssetCheckExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[AssetCheckResult]:
        began = time.perf_counter()
        with warehouse.read() as session:
            horizon = settings.churn_horizon_days
            stale = find_stale(session, context.instance, horizon, due=False)
            rows = len(snapshot_days(session))
        keys = [{"snapshot_date": day} for day in stale.snapshots]
        keys += [{"month": day} for day in stale.months]
        counts = f"{len(stale.snapshots):,} snapshots and {len(stale.months):,} months"
        yield Finding(
            CHECK,
            passed=not keys,
            description=f"{counts} are older than days that they depend on."
            if keys
            else "All are newer than the days that they depend on.",
            rows=rows,
            failing=len(keys),
            keys=keys[:KEYS_SHOWN],
            query="SELECT window_date, source, changed_at FROM raw.source_loads\n"
            "ORDER BY changed_at DESC LIMIT 20",
            seconds=time.perf_counter() - began,
        ).result(policy)

    return [step]
