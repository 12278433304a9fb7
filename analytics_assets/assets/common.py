"""What all assets have in common: owners, kinds, tags, metadata from the table's model.

Belongs here: helpers that build the spec of an asset from a declared table. Does not belong here:
any one asset.
"""

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetSpec,
    BackfillPolicy,
    Backoff,
    DagsterInstance,
    Jitter,
    PartitionsDefinition,
    RetryPolicy,
)

from analytics_assets.processes import Process
from analytics_assets.schemas import Table
from analytics_assets.schemas.dagster_types import column_schema
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.readers import read_whole
from analytics_assets.warehouse.connection import POOL

OWNERS = ["team:analytics"]
RETRY = RetryPolicy(max_retries=2, delay=5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
# How often an unpartitioned asset is materialized: the tag, and its values.
CADENCE = "analytics/cadence"
MONTHLY = "monthly"
ON_DEMAND = "on_demand"
NO_LIMIT = (
    f"This Dagster instance has no limit for the pool '{POOL}', or one above 1: of two runs at "
    "once, one waits for the file of the warehouse and may give up. In the dagster.yaml of "
    "DAGSTER_HOME, set `concurrency: {pools: {granularity: run, default_limit: 1}}`, or use "
    "analytics-assets dev, which has it set."
)
PACKAGE = Path(__file__).resolve().parents[1]


def table_spec(
    table: Table,
    *,
    deps: list[Any],
    code_version: str,
    kinds: Collection[str] = ("python", "duckdb"),
    partitions_def: PartitionsDefinition | None = None,
    cadence: str | None = None,
) -> AssetSpec:
    """The asset of a table: named after it, described by its model."""
    return AssetSpec(
        table.name,
        group_name=table.group,
        description=table.description,
        owners=OWNERS,
        kinds={*kinds},
        tags={"layer": table.group, **({CADENCE: cadence} if cadence else {})},
        deps=deps,
        partitions_def=partitions_def,
        code_version=code_version,
        metadata=table_metadata(table),
    )


def table_metadata(table: Table) -> dict[str, Any]:
    """Column schema, table name, key, and the metadata that the IO manager needs."""
    metadata: dict[str, Any] = {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": f"warehouse.{table.relation}",
        "key": ", ".join(table.key),
        "schema": table.group,
    }
    if table.window_column:
        metadata["partition_expr"] = table.window_column
    return metadata


def _one_at_a_time(instance: DagsterInstance) -> bool:
    """Whether the instance lets one step at a time write to the warehouse."""
    storage = instance.event_log_storage
    if instance.is_ephemeral or not storage.supports_global_concurrency_limits:
        return True  # nothing else is recorded there that could run
    limit = instance.global_op_concurrency_default_limit
    if POOL in storage.get_concurrency_keys():
        limit = storage.get_concurrency_info(POOL).slot_count
    return limit == 1


@cache
def code_version(*parts: str) -> str:
    """Hash of the source code of parts of the package: files or folders, by name."""
    digest = hashlib.sha256()
    for part in sorted(parts):
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def backfill_policy(most_days: int, sources: SourcesConfig) -> BackfillPolicy:
    """How many partitions a run of a backfill has: all, or a limited number.

    A run that fails is run again as a whole, and a range costs hardly more than a day. So a range
    is one run up to a limit. A source that is read as a whole for any window is read once.
    """
    if read_whole(sources):
        return BackfillPolicy.single_run()
    return BackfillPolicy.multi_run(most_days)


def table_version(table: Table) -> str:
    """Hash of a table's columns and types: descriptions and rules change no row."""
    return hashlib.sha256(repr(table.sql_types).encode()).hexdigest()[:12]


def run_started(context: AssetExecutionContext) -> datetime:
    """When the run was created, naive UTC: the load time of all that its steps write.

    It comes from the instance, so results do not depend on the clock. The run also learns which
    process executes it, so that others can see whether it lives, and says it once if nothing keeps
    another run from writing at the same time.
    """
    process = Process.current().tags(context.run.run_id)
    if process.items() - context.run.tags.items():
        context.instance.add_run_tags(context.run.run_id, process)
        if not _one_at_a_time(context.instance):
            context.log.warning(NO_LIMIT)
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None:
        raise LookupError(f"the instance has no record of the run {context.run.run_id}")
    return record.create_timestamp.astimezone(UTC).replace(tzinfo=None)
