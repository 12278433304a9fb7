"""The sources group: external assets at the start of the graph, observed for change.

Belongs here: one observable asset for each source. Does not belong here: reading rows (`raw`).
"""

from collections.abc import Mapping
from datetime import date

from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    DataVersion,
    DataVersionsByPartition,
    OpExecutionContext,
    PartitionsDefinition,
    ResourceParam,
    observable_source_asset,
)

from analytics_assets.assets.common import OWNERS
from analytics_assets.compat.dagster import (
    GLOBAL_CONCURRENCY_TAG,
    external_asset,
    observed_versions,
)
from analytics_assets.partitions import Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers import reader_of
from analytics_assets.warehouse.connection import POOL, Warehouse


def source_key(source: str) -> AssetKey:
    """Asset key of a source."""
    return AssetKey(f"{source}_source")


def source_assets(sources: SourcesConfig, daily: PartitionsDefinition) -> list[AssetsDefinition]:
    """One observable external asset for each configured source."""
    return [_source_asset(config, sources, daily) for config in sources.sources.values()]


def not_observed(
    instance: DagsterInstance, source: str, versions: Mapping[date | None, str]
) -> dict[str, str]:
    """The days whose version is not the one that was last observed, with their versions.

    A version that is recorded again and again makes the event log large, and says nothing new.
    """
    observed = observed_versions(instance, source_key(source))
    return {
        str(day): version
        for day, version in versions.items()
        if day and observed.get(str(day)) != version
    }


def _source_asset(
    config: SourceConfig, sources: SourcesConfig, daily: PartitionsDefinition
) -> AssetsDefinition:
    partitioned = config.contract.time_column is not None
    reader = reader_of(config)

    @observable_source_asset(
        name=source_key(config.source).path[0],
        group_name="sources",
        description=(
            f"The team's {config.source}, never written. Observing it records a fingerprint of "
            f"its content{' for each day' if partitioned else ''}, so that changed data shows."
        ),
        partitions_def=daily if partitioned else None,
        metadata={
            "format": config.format,
            "place": reader.place,
            "required columns": ", ".join(
                f"{name} ({', '.join(config.columns_behind(name))})" for name in config.needed
            ),
        },
        tags={"layer": "sources"},
        # The instance knows the pool of an observation only by its tag.
        op_tags={GLOBAL_CONCURRENCY_TAG: POOL},
    )
    def source(
        context: OpExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> DataVersion | DataVersionsByPartition:
        if not partitioned:
            whole = source_versions(config, sources.calendar, None, warehouse)
            return DataVersion(whole[None])
        keys = daily.get_partition_keys()
        if not keys:
            return DataVersionsByPartition({})
        window = Window.of_days(keys[0], keys[-1])
        versions = source_versions(config, sources.calendar, window, warehouse)
        return DataVersionsByPartition(not_observed(context.instance, config.source, versions))

    return external_asset(source).map_asset_specs(
        lambda spec: spec.replace_attributes(owners=OWNERS, kinds={reader.kind})
    )
