"""The raw group: source rows typed by contract, otherwise unchanged.

Belongs here: the assets that load a source, and rejected_rows. Does not belong here: reading and
typing rows (`sources`).
"""

from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    Failure,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    ResourceParam,
    TableColumnDep,
    TableColumnLineage,
    multi_asset,
)

from analytics_assets.assets.common import (
    RETRY,
    code_version,
    run_started,
    table_spec,
    table_version,
)
from analytics_assets.assets.sources import source_key
from analytics_assets.compat.dagster import add_partition_metadata
from analytics_assets.partitions import window_of
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import DayLoad
from analytics_assets.sources.load import load as load_source
from analytics_assets.sources.readers import SourceError
from analytics_assets.warehouse.connection import POOL, Warehouse

ANY_VOLUME_TAG = "analytics/any_volume"


def raw_assets(sources: SourcesConfig, daily: PartitionsDefinition) -> list[AssetsDefinition]:
    """One asset for each configured source, and the rejected rows of all.

    Args:
        sources: the configured sources.
        daily: partitions of the sources that have days.
    """
    loads = [_raw_asset(config, sources, daily) for config in sources.sources.values()]
    return [*loads, _rejected_rows(list(sources.sources))]


def _raw_asset(
    config: SourceConfig, sources: SourcesConfig, daily: PartitionsDefinition
) -> AssetsDefinition:
    table = config.contract.table
    has_days = config.contract.time_column is not None
    source = source_key(config.source)
    lineage = TableColumnLineage(
        {
            name: [TableColumnDep(source, column) for column in config.columns_behind(name)]
            for name in config.contract.columns
        }
    )

    @multi_asset(
        name=table.name,
        specs=[
            table_spec(
                table,
                deps=[source],
                partitions_def=daily if has_days else None,
                code_version=f"{code_version('sources')}-{table_version(table)}-{config.fingerprint}",
            )
        ],
        backfill_policy=BackfillPolicy.single_run(),
        pool=POOL,
        retry_policy=RETRY,
    )
    def load(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> MaterializeResult:
        window = window_of(context) if has_days else None
        warehouse.prepare(sources.stand_ins)
        try:
            result = load_source(
                warehouse,
                config,
                sources.calendar,
                window,
                run_started(context),
                any_volume=context.run.tags.get(ANY_VOLUME_TAG) == "true",
            )
        except SourceError as error:
            # A retry would read the same input.
            raise Failure(str(error), allow_retries=False) from error
        metadata: dict[str, Any] = {"dagster/column_lineage": lineage}
        for warning in result.warnings:
            context.log.warning(f"{config.source}: {warning}")
        if result.warnings:
            metadata["warnings"] = MetadataValue.md("".join(f"- {w}\n" for w in result.warnings))
        if result.reasons:
            metadata["rejected by reason"] = MetadataValue.json(result.reasons)
        if window is None:
            metadata |= _counts(result.total, "row_count")
            return MaterializeResult(asset_key=table.name, metadata=metadata)
        by_day = {day: _counts(result.days.get(day, DayLoad(0, 0, 0))) for day in window}
        add_partition_metadata(
            context.get_step_execution_context(), context.asset_key, by_day, metadata
        )
        return MaterializeResult(asset_key=table.name)

    return load


def _rejected_rows(sources: list[str]) -> AssetsDefinition:
    table = TABLES["rejected_rows"]
    raw_tables = [f"raw_{source}" for source in sources]

    @multi_asset(
        name=table.name,
        specs=[
            table_spec(
                table,
                deps=raw_tables,
                code_version=f"{code_version('sources')}-{table_version(table)}",
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def rejected_rows(warehouse: ResourceParam[Warehouse]) -> MaterializeResult:
        # The loads have written the rows, each in its own transaction: only the metadata is left.
        with warehouse.read() as session:
            counts = session.rows(
                "SELECT source, reasons, count(*) AS rows FROM raw.rejected_rows "
                "GROUP BY ALL ORDER BY rows DESC, source, reasons"
            )
        return MaterializeResult(
            asset_key=table.name,
            metadata={
                "dagster/row_count": sum(rows for _, _, rows in counts),
                "by reason": markdown_table(("source", "reasons", "rows"), counts[:30]),
            },
        )

    return rejected_rows


def _counts(load: DayLoad, name: str = "partition_row_count") -> dict[str, Any]:
    return {
        f"dagster/{name}": load.accepted,
        "rows read": load.read,
        "rows rejected": load.rejected,
        **({"refunds": load.split} if load.split else {}),
        **({"rows not due yet": load.not_due} if load.not_due else {}),
    }
