"""The schema check of every table: types and values as its Pandera model declares them.

Belongs here: pushing a model's rules down to the warehouse, limited to the window. Does not belong
here: what the rules are (`schemas`). Blocking: no later step of the run starts, and nothing is
published, while a table breaks its schema. The dbt models are one step, whose tests block within.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    ResourceParam,
    multi_asset_check,
)

from analytics_assets.assets.common import POOL, run_window
from analytics_assets.partitions import Window
from analytics_assets.schemas import Table
from analytics_assets.warehouse.connection import Warehouse, relation_kind
from analytics_assets.warehouse.windows import window_predicate

CHECK_NAME = "schema"


def schema_checks(tables: Sequence[Table]) -> list[AssetChecksDefinition]:
    """One step a layer, one blocking check a table."""
    groups: dict[tuple[str, bool], list[Table]] = {}
    for table in tables:
        groups.setdefault((table.group, table.partitioning == "monthly"), []).append(table)
    return [_layer_checks(members) for members in groups.values()]


def _layer_checks(tables: list[Table]) -> AssetChecksDefinition:
    by_key = {AssetCheckKey(AssetKey(table.name), CHECK_NAME): table for table in tables}
    monthly = tables[0].partitioning == "monthly"

    @multi_asset_check(
        name=f"{tables[0].group}_{'monthly_' if monthly else ''}schema",
        specs=[
            AssetCheckSpec(
                CHECK_NAME,
                asset=table.name,
                blocking=True,
                description=(
                    f"Columns, types, nulls and values of {table.relation} are as its model "
                    "declares, in the run's window."
                ),
            )
            for table in tables
        ],
        can_subset=True,
        pool=POOL,
    )
    def check(
        context: AssetCheckExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[AssetCheckResult]:
        window = run_window(context.run.tags, monthly=monthly)
        with warehouse.read() as connection:
            for key in context.selected_asset_check_keys:
                table = by_key[key]
                yield evaluate(connection, table, window if table.day_column else None)

    return check


def evaluate(
    connection: duckdb.DuckDBPyConnection, table: Table, window: Window | None
) -> AssetCheckResult:
    """Validate a table, or a window of it, without pulling rows into Python.

    The result names rules and counts rows; values stay in the warehouse.
    """
    problems, rows = _problems(connection, table, window)
    failing = sum(problem["failing rows"] for problem in problems)
    return AssetCheckResult(
        asset_key=table.name,
        check_name=CHECK_NAME,
        passed=not problems,
        severity=AssetCheckSeverity.ERROR,
        description=(
            "; ".join(f"{problem['column']}: {problem['rule']}" for problem in problems)[:500]
            or f"{rows:,} rows keep every rule"
        ),
        metadata={
            "rows checked": rows,
            "failing rows": failing,
            **({"window": str(window)} if window else {}),
            **({"problems": MetadataValue.json(problems)} if problems else {}),
        },
    )


def _problems(
    connection: duckdb.DuckDBPyConnection, table: Table, window: Window | None
) -> tuple[list[dict[str, Any]], int]:
    # Imported here: only a run needs them, and every load of the definitions would pay for them.
    import ibis
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    kind = relation_kind(connection, table)
    if kind is None:
        return [{"column": "", "rule": "the table does not exist", "failing rows": 0}], 0
    where = window_predicate(str(table.day_column), window)
    backend = ibis.duckdb.from_connection(connection)
    if kind == "VIEW":
        # Every rule is a scan, and every scan of a view would run it again.
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE seen AS FROM {table.relation} WHERE {where}"
        )
        relation = backend.table("seen", database="temp.main")
    else:
        relation = backend.table(table.name, database=table.group)
        if window is not None:
            day = relation[str(table.day_column)]
            relation = relation.filter((day >= window.start) & (day < window.end))
    rows = int(relation.count().execute())
    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            table.schema.validate(relation, lazy=True)
    except SchemaErrors as errors:
        # Over no rows Pandera's Ibis backend reports every rule of nulls and values as broken.
        found = [error for error in errors.schema_errors if rows or _of_shape(error)]
        return [_problem(relation, error) for error in found], rows
    return [], rows


def _of_shape(error: Any) -> bool:
    """Whether an error is of columns and types, not of what they hold."""
    return isinstance(error.check, str) and error.check != "not_nullable"


def _problem(relation: Any, error: Any) -> dict[str, Any]:
    """A broken rule and the rows that break it; never a value of theirs."""
    rule = error.check if isinstance(error.check, str) else error.check.name
    output = error.check_output
    column = str(error.schema.name or "")
    failing = 0
    if rule in ("column_in_dataframe", "column_in_schema"):
        column = str(error.failure_cases)  # the name of the column
    elif rule == "not_nullable":
        values = relation[column]
        missing = values.isnull()
        if values.type().is_floating():
            missing = missing | values.isnan()
        failing = int(missing.sum().execute() or 0)
    elif output is not None and hasattr(output, "check_output"):
        failing = int((~output.check_output).sum().execute() or 0)
    return {"column": column, "rule": str(rule), "failing rows": failing}
