"""What must be loaded again for everything to be up to date.

Belongs here: comparing the sources, the code and the instance's records. Does not belong here:
running anything (`backfill`).
"""

from dagster import AssetKey, DagsterInstance, Definitions

from analytics_assets.automation.jobs import (
    MONTHLY_ASSETS,
    PROFILE_ASSETS,
    SUBSCRIPTION_ASSETS,
    TRAINED_ASSETS,
)
from analytics_assets.automation.ranges import contiguous
from analytics_assets.partitions import Window
from analytics_assets.sources.changes import changed_days, changed_whole
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.connection import Warehouse

LAST = AssetKey("published_warehouse")  # is made after everything else


def outdated(
    composed: Definitions,
    instance: DagsterInstance,
    sources: SourcesConfig,
    warehouse: Warehouse,
) -> list[Window]:
    """The windows to load again; none when all that hangs on orders is up to date.

    All days, where an asset was never made or was made by other code, or where the last sequence
    of runs broke off; else the days whose sources changed.
    """
    graph = composed.resolve_asset_graph()
    if not sources.has_orders:
        return []
    daily = graph.get(AssetKey("raw_orders")).partitions_def
    keys = list(daily.get_partition_keys()) if daily else []
    if not keys:
        return []
    whole = [Window.of_days(keys[0], keys[-1])]
    of_months = {AssetKey(name) for name in (*MONTHLY_ASSETS, *TRAINED_ASSETS)}
    monthly = graph.get(AssetKey(MONTHLY_ASSETS[0])).partitions_def
    months = monthly.get_partition_keys() if monthly else []
    materialized = {
        key: instance.get_latest_materialization_event(key)
        for key in graph.executable_asset_keys
        if graph.get(key).is_materializable
        and key.path[-1] not in (*PROFILE_ASSETS, *SUBSCRIPTION_ASSETS)
        and not (key in of_months and not months)
    }
    times = {key: entry.timestamp for key, entry in materialized.items() if entry}
    if len(times) < len(materialized) or times[LAST] < max(times.values()):
        return whole
    versions = instance.get_latest_materialization_code_versions(list(materialized))
    if any(versions[key] != graph.get(key).code_version for key in materialized):
        return whole
    return list(contiguous(changed_days(sources, warehouse, keys)))


def subscriptions_outdated(
    composed: Definitions,
    instance: DagsterInstance,
    sources: SourcesConfig,
    warehouse: Warehouse,
) -> bool:
    """Whether subscribers are to be loaded again: their source or the code has changed, or what
    was made of them is not published.
    """
    if "subscriptions" not in sources.sources:
        return False
    graph = composed.resolve_asset_graph()
    keys = [AssetKey(name) for name in SUBSCRIPTION_ASSETS]
    times = {key: instance.get_latest_materialization_event(key) for key in (*keys, LAST)}
    made = [entry.timestamp for entry in times.values() if entry]
    if len(made) < len(times) or made[-1] < max(made):
        return True
    versions = instance.get_latest_materialization_code_versions(keys)
    if any(versions[key] != graph.get(key).code_version for key in keys):
        return True
    return changed_whole(sources, "subscriptions", warehouse) is not None
