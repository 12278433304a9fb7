"""The sources group: external assets at the start of the graph, observed for change.

Belongs here: one observable asset for each source. Does not belong here: reading rows (`raw`).
"""

from dagster import (
    AssetKey,
    AssetsDefinition,
    DataVersion,
    DataVersionsByPartition,
    PartitionsDefinition,
    ResourceParam,
    observable_source_asset,
)

from analytics_assets.assets.common import OWNERS
from analytics_assets.compat.dagster import external_asset
from analytics_assets.partitions import Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers import reader_of
from analytics_assets.warehouse.connection import Warehouse


def source_key(source: str) -> AssetKey:
    """Asset key of a source."""
    return AssetKey(f"{source}_source")


def source_assets(sources: SourcesConfig, daily: PartitionsDefinition) -> list[AssetsDefinition]:
    """One observable external asset for each configured source."""
    return [_source_asset(config, sources, daily) for config in sources.sources.values()]


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
    )
    def source(warehouse: ResourceParam[Warehouse]) -> DataVersion | DataVersionsByPartition:
        if not partitioned:
            whole = source_versions(config, sources.calendar, None, warehouse)
            return DataVersion(whole[None])
        keys = daily.get_partition_keys()
        window = Window.of_days(keys[0], keys[-1])
        versions = source_versions(config, sources.calendar, window, warehouse)
        return DataVersionsByPartition(
            {day.isoformat(): version for day, version in versions.items() if day}
        )

    return external_asset(source).map_asset_specs(
        lambda spec: spec.replace_attributes(owners=OWNERS, kinds={reader.kind})
    )
