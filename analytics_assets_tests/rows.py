"""Rows of declared tables for tests: only the values that matter are written out."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.schemas import TABLES, Table

DAY = date(2024, 1, 10)
UNUSUAL = ("is_refund", "is_test", "amount_is_total")  # false in rows that do not say so


def default(column: Any) -> Any:
    """A value that keeps the rules of a column."""
    type_ = column.dtype.type
    for check in column.checks:
        if check.name == "isin":
            return sorted(check.statistics["allowed_values"])[0]
    if isinstance(type_, dt.String):
        return "x"
    if isinstance(type_, dt.Boolean):
        return True
    if isinstance(type_, dt.Integer | dt.Floating):
        return 1
    if isinstance(type_, dt.Decimal):
        return Decimal("1")
    if isinstance(type_, dt.Timestamp):
        return datetime(DAY.year, DAY.month, DAY.day, 12)
    return DAY


def insert(connection: duckdb.DuckDBPyConnection, name: str, *rows: dict[str, Any]) -> None:
    """Make the table where it is missing, and insert rows; what they leave out has a default."""
    table = TABLES[name]
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.group}")
    connection.execute(table.ddl)
    names = ", ".join(f'"{column}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    defaults = {column: default(declared) for column, declared in table.schema.columns.items()}
    defaults |= {column: False for column in UNUSUAL if column in defaults}
    for row in rows:
        assert row.keys() <= defaults.keys()
        connection.execute(
            f"INSERT INTO {table.relation} ({names}) VALUES ({marks})",
            list({**defaults, **row}.values()),
        )


def contents(connection: duckdb.DuckDBPyConnection, table: Table) -> list[tuple[Any, ...]]:
    """All rows, in an order of their own."""
    columns = ", ".join(name for name in table.columns if name not in table.volatile)
    return connection.execute(f"SELECT {columns} FROM {table.relation} ORDER BY ALL").fetchall()
