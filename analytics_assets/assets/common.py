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
    Backoff,
    Jitter,
    PartitionsDefinition,
    RetryPolicy,
)

from analytics_assets.processes import Process
from analytics_assets.schemas import Table
from analytics_assets.schemas.dagster_types import column_schema

OWNERS = ["team:analytics"]
RETRY = RetryPolicy(max_retries=2, delay=5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
# How often an unpartitioned asset is materialized: the tag, and its values.
CADENCE = "analytics/cadence"
MONTHLY = "monthly"
ON_DEMAND = "on_demand"
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


@cache
def code_version(*parts: str) -> str:
    """Hash of the source code of parts of the package: files or folders, by name."""
    digest = hashlib.sha256()
    for part in sorted(parts):
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def table_version(table: Table) -> str:
    """Hash of a table's columns and types: descriptions and rules change no row."""
    return hashlib.sha256(repr(table.sql_types).encode()).hexdigest()[:12]


def run_started(context: AssetExecutionContext) -> datetime:
    """When the run was created, naive UTC: the load time of all that its steps write.

    It comes from the instance, so results do not depend on the clock. The run also learns which
    process executes it, so that others can see whether it lives.
    """
    process = Process.current().tags(context.run.run_id)
    if process.items() - context.run.tags.items():
        context.instance.add_run_tags(context.run.run_id, process)
    record = context.instance.get_run_record_by_id(context.run.run_id)
    if record is None:
        raise LookupError(f"the instance has no record of the run {context.run.run_id}")
    return record.create_timestamp.astimezone(UTC).replace(tzinfo=None)
