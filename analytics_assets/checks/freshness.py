"""The newest day that should be there is there.

Beside Dagster's freshness policies, which look at the newest materialization of any partition: a
backfill of an old day turns those green.
"""

from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    PartitionsDefinition,
    ResourceParam,
    asset_check,
)

from analytics_assets.assets.common import POOL
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.connection import Warehouse


def freshness_checks(
    sources: SourcesConfig, daily: PartitionsDefinition
) -> list[AssetChecksDefinition]:
    """One warning check for each source that has days."""
    return [
        _newest_day_loaded(config, daily)
        for config in sources.sources.values()
        if config.contract.time_column
    ]


def _newest_day_loaded(config: SourceConfig, daily: PartitionsDefinition) -> AssetChecksDefinition:
    @asset_check(
        asset=config.contract.table.name,
        name="newest_day_loaded",
        description="The newest day of the calendar that has closed was loaded.",
        pool=POOL,
    )
    def newest_day_loaded(warehouse: ResourceParam[Warehouse]) -> AssetCheckResult:
        expected = daily.get_last_partition_key()
        with warehouse.read() as connection:
            row = connection.execute(
                "SELECT max(window_date)::VARCHAR FROM raw.source_loads WHERE source = ?",
                [config.source],
            ).fetchone()
        found = row[0] if row else None
        return AssetCheckResult(
            passed=found == expected,
            severity=AssetCheckSeverity.WARN,
            description=f"Newest day loaded is {found}, newest expected {expected}.",
            metadata={"newest loaded": str(found), "newest expected": str(expected)},
        )

    return newest_day_loaded
