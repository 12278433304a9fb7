"""The schema check of every table: types and values as its Pandera model declares them.

Belongs here: pushing a model's rules down to the warehouse, limited to the window. Does not belong
here: what the rules are (`schemas`).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
from dagster import MetadataValue

from analytics_assets.checks.base import Check, Finding, fetch_keys
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.connection import relation_kind
from analytics_assets.warehouse.windows import window_predicate

CHECK_NAME = "schema"
# Good when they have nothing to hold: no rejected row, no churn model without a history.
MAY_BE_EMPTY = ("rejected_rows", "churn_features", "churn_model", "churn_predictions")
REMEDY = (
    "Rows of a raw table: the contract let something in that the model refuses; load the days "
    "again. Rows of a model: correct its SQL or the declared rule. Columns or types: after a "
    "change to a table, delete the warehouse and run again. An empty table: look whether the "
    "source has rows and whether the load ran."
)


def checks(tables: Sequence[Table]) -> Iterator[Check]:
    """One check for each table."""
    for table in tables:
        yield Check(
            "schema",
            table.name,
            CHECK_NAME,
            f"Columns, types, nulls and values of {table.relation} are as its model declares, in "
            "the run's window, and the table is not empty.",
            "validity",
            REMEDY,
            table,
        )


def evaluate(
    connection: duckdb.DuckDBPyConnection, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """Validate tables, or a window of those that have days, without pulling rows into Python.

    The finding names rules and counts rows; values stay in the warehouse.
    """
    for check in checks:
        began = time.perf_counter()
        table = TABLES[check.asset]
        seen = window if table.day_column else None
        problems, rows = _problems(connection, table, seen)
        empty = not rows and not problems and table.name not in MAY_BE_EMPTY
        if empty and seen:
            # A day without rows is one; a table without any is not.
            empty = connection.execute(f"SELECT 1 FROM {table.relation} LIMIT 1").fetchone() is None
        keys, query = _failing_rows(connection, table, seen, problems)
        named = "; ".join(f"{problem['column']}: {problem['rule']}" for problem in problems)[:500]
        yield Finding(
            check,
            passed=not problems and not empty,
            description=named
            or ("the table is empty" if empty else f"{rows:,} rows keep every rule"),
            severe=not empty,
            window=seen,
            rows=rows,
            failing=sum(problem["failing rows"] for problem in problems),
            keys=keys,
            query=query,
            details={"problems": MetadataValue.json(problems)} if problems else {},
            seconds=time.perf_counter() - began,
        )


def _failing_rows(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    window: Window | None,
    problems: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], str | None]:
    """Keys of a few rows that break a value rule, and SQL that lists all of them."""
    broken = [
        broken_condition(table.schema.columns[problem["column"]])
        for problem in problems
        if problem["failing rows"]
    ]
    if not broken:
        return [], None
    listing = (
        f"FROM {table.relation}\nWHERE {window_predicate(str(table.day_column), window)}\n"
        f"    AND ({' OR '.join(dict.fromkeys(broken))})"
    )
    # A column that holds what it should not may hold anything.
    wrong = {problem["column"] for problem in problems}
    names = [name for name in table.key if name not in wrong]
    try:
        keys = fetch_keys(connection, names, listing) if names else []
    except duckdb.BinderException:
        keys = []  # a key column is missing or of another type, which is a problem of its own
    return keys, f"SELECT *\n{listing}"


def broken_condition(column: Any) -> str:
    """SQL that is true where a column breaks its declared rules of nulls and values."""
    name = f'"{column.name}"'
    broken = [] if column.nullable else [f"{name} IS NULL"]
    for check in column.checks:
        figures = check.statistics
        if check.name == "isin":
            allowed = ", ".join(
                str(value) if isinstance(value, int) else f"'{value}'"
                for value in sorted(figures["allowed_values"])
            )
            broken.append(f"{name} NOT IN ({allowed})")
        elif check.name == "greater_than_or_equal_to":
            broken.append(f"{name} < {figures['min_value']}")
        elif check.name == "in_range":
            low, high = figures["min_value"], figures["max_value"]
            broken.append(f"{name} NOT BETWEEN {low} AND {high}")
        else:
            raise NotImplementedError(f"no SQL for the check {check.name}")
    return " OR ".join(broken)


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
