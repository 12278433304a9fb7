"""The raw group: source rows typed by contract, otherwise unchanged.

Belongs here: the assets that load a source, and rejected_rows. Does not belong here: reading and
typing rows (`sources`).
"""

from collections.abc import Collection
from datetime import date
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetObservation,
    AssetsDefinition,
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
    backfill_policy,
    code_version,
    run_started,
    table_spec,
    table_version,
)
from analytics_assets.assets.sources import not_observed, source_key
from analytics_assets.compat.dagster import DATA_VERSION_TAG, add_partition_metadata
from analytics_assets.partitions import Window, window_of
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import DayLoad, loaded_versions
from analytics_assets.sources.load import load as load_source
from analytics_assets.sources.readers import SourceError
from analytics_assets.sources.readers.base import UnreachableError
from analytics_assets.sources.readers.lake import LakeReader
from analytics_assets.warehouse.connection import POOL, Warehouse

ANY_VOLUME_TAG = "analytics/any_volume"


def raw_assets(
    sources: SourcesConfig,
    daily: PartitionsDefinition,
    most_days: int,
    checked: Collection[str] = (),
) -> list[AssetsDefinition]:
    """One asset for each configured source, and the rejected rows of all.

    Args:
        sources: the configured sources.
        daily: partitions of the sources that have days.
        most_days: days that a run of a backfill has at most.
        checked: tables with blocking checks.
    """
    loads = [
        _raw_asset(config, sources, daily, most_days, checked)
        for config in sources.sources.values()
    ]
    return [*loads, _rejected_rows(list(sources.sources))]


def _raw_asset(
    config: SourceConfig,
    sources: SourcesConfig,
    daily: PartitionsDefinition,
    most_days: int,
    checked: Collection[str],
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
                # An account that does not close keeps the events out.
                deps=[source, *(["stream_batches"] if config.format == LakeReader.format else [])],
                partitions_def=daily if has_days else None,
                code_version=f"{code_version('sources')}-{table_version(table)}-{config.fingerprint}",
            )
        ],
        backfill_policy=backfill_policy(most_days, sources),
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
                checked=checked,
            )
        except SourceError as error:
            # A wrong source is the same at another try; one that is away may be back.
            away = isinstance(error, UnreachableError)
            raise Failure(str(error), allow_retries=away) from error
        _observe(context, warehouse, config, window)
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


def _observe(
    context: AssetExecutionContext,
    warehouse: Warehouse,
    config: SourceConfig,
    window: Window | None,
) -> None:
    """Record which versions of the source were loaded, so that the UI shows what came after."""
    key = source_key(config.source)
    with warehouse.read() as session:
        loaded = loaded_versions(session, config.source)
    if window is None:
        context.log_event(AssetObservation(key, tags={DATA_VERSION_TAG: loaded[None]}))
        return
    of_window: dict[date | None, str] = {day: loaded[day] for day in window if day in loaded}
    for day, version in not_observed(context.instance, config.source, of_window).items():
        context.log_event(AssetObservation(key, partition=day, tags={DATA_VERSION_TAG: version}))


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
