"""A declared table in Dagster's terms: the type of its frames, and its columns as metadata.

Does not belong here: checks of values, which the warehouse evaluates (`checks.schema`).
"""

from typing import Any

import ibis.expr.datatypes as dt
import pandas as pd
from dagster import (
    DagsterType,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    TypeCheck,
)
from pandas.api import types as pandas_types

from analytics_assets.schemas.base import Table


def column_schema(table: Table) -> TableSchema:
    """Columns with types, descriptions and constraints, as the UI shows them."""
    return TableSchema(
        columns=[
            TableColumn(
                name=name,
                type=table.sql_types[name],
                description=column.description,
                constraints=TableColumnConstraints(
                    nullable=column.nullable,
                    unique=table.key == (name,),
                    other=[str(check.error or check.name) for check in column.checks],
                ),
                tags={of: ""} if (of := table.person_classes.get(name)) else {},
            )
            for name, column in table.schema.columns.items()
        ]
    )


def dagster_type(table: Table) -> DagsterType:
    """Dagster type of a frame of the table: structure only, values are checked in the warehouse."""

    def check(_: Any, value: object) -> TypeCheck:
        problems = structure_problems(table, value)
        return TypeCheck(success=not problems, description="; ".join(problems) or None)

    return DagsterType(
        type_check_fn=check,
        name=table.model.__name__,
        description=table.summary,
        typing_type=pd.DataFrame,
    )


def structure_problems(table: Table, value: object) -> list[str]:
    """Why a value is not a frame of the table; empty if it is one."""
    if not isinstance(value, pd.DataFrame):
        return [f"{table.name}: expected a pandas DataFrame, got {type(value).__name__}"]
    problems = []
    if missing := [name for name in table.columns if name not in value.columns]:
        problems.append(f"{table.name}: columns missing: {', '.join(missing)}")
    if unknown := [str(name) for name in value.columns if name not in table.columns]:
        problems.append(f"{table.name}: columns not in the table: {', '.join(unknown)}")
    if twice := value.columns[value.columns.duplicated()].astype(str).unique().tolist():
        return [*problems, f"{table.name}: columns that appear twice: {', '.join(twice)}"]
    for name, column in table.schema.columns.items():
        if name not in value.columns or value[name].isna().all():
            continue
        if not _fits(value[name], column.dtype.type):
            problems.append(
                f"{table.name}.{name}: dtype {value[name].dtype} is no {table.sql_types[name]}"
            )
    return problems


def _fits(values: "pd.Series[Any]", type_: dt.DataType) -> bool:
    kind = pandas_types.infer_dtype(values, skipna=True)
    if isinstance(type_, dt.String):
        return kind == "string"
    if isinstance(type_, dt.Boolean):
        return kind == "boolean"
    if isinstance(type_, dt.Integer):
        return kind == "integer"
    if isinstance(type_, dt.Floating | dt.Decimal):
        return kind in ("integer", "floating", "decimal", "mixed-integer-float")
    return kind in ("date", "datetime", "datetime64")
