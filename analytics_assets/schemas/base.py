"""How a table is declared: a Pandera model of its columns, and its key, layer and partitions.

Belongs here: the column types, the `table` declaration and the registry. Does not belong here:
columns of any one table (a module for each layer), Dagster, SQL that moves rows.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import ibis.expr.datatypes as dt
import pandera.ibis as pa
from ibis.backends.sql.datatypes import DuckDBType

Text = dt.String()
Integer = dt.Int32()
BigInt = dt.Int64()
Double = dt.Float64()
Boolean = dt.Boolean()
Date = dt.Date()
Timestamp = dt.Timestamp(scale=6)
Money = dt.Decimal(18, 4)
Quantity = dt.Decimal(18, 4)  # of pieces, or kilograms

Partitioning = Literal["daily", "monthly"]
# What a column says of a person. Personal: who it is, or how to reach them. A customer key names
# one person in all tables. What is quasi-identifying names few people together with other columns.
PersonClass = Literal["personal", "customer_key", "quasi_identifying"]
PERSONAL: PersonClass = "personal"
CUSTOMER_KEY: PersonClass = "customer_key"
QUASI_IDENTIFYING: PersonClass = "quasi_identifying"
# The source whose days are the days of the warehouse.
LEADING = "orders"
# A table with this column is computed as of that day, and not for every day that is loaded.
SNAPSHOT_COLUMN = "snapshot_date"
# The description of a margin, in each table that has one.
MARGIN = "net_amount - cost_amount; null where a sale line has no cost"


class TableModel(pa.DataFrameModel):
    """Base of every table's model: exactly the declared columns, nothing coerced."""

    class Config:
        """Pandera settings shared by all tables."""

        strict = True
        coerce = False


@dataclass(frozen=True)
class Table:
    """A table of the warehouse.

    Attributes:
        name: table and asset name.
        group: layer, which is the asset group and the DuckDB schema.
        model: Pandera model of its columns.
        key: columns that identify a row; unique over the whole table.
        partitioning: 'daily', 'monthly' or None.
        window_column: DATE column by which a window is replaced (the first day of the month for
            monthly tables); None for unpartitioned tables.
        volatile: columns that may differ between two loads of the same input (load times,
            serialised artefacts); comparisons of tables leave them out.
        is_view: whether it is a view: it has no rows of its own to copy, count or profile.
        view_day: DATE column by which a window of a view can be read.
        may_be_empty: whether the table may have no rows.
        is_history: whether it has rows that no rebuild brings back, such as those of a ledger.
        loaded_with: the source whose load builds it, if a load does.
        or_loaded_with: the source whose load builds it where that one is not configured.
        is_optional: whether only some configurations have it; the asset that writes it creates it.
    """

    name: str
    group: str
    model: type[TableModel]
    key: tuple[str, ...]
    partitioning: Partitioning | None
    window_column: str | None
    volatile: tuple[str, ...]
    is_view: bool = False
    view_day: str | None = None
    may_be_empty: bool = False
    is_history: bool = False
    loaded_with: str = LEADING
    or_loaded_with: str | None = None
    is_optional: bool = False

    @cached_property
    def schema(self) -> Any:
        """The Pandera `DataFrameSchema` of the model."""
        return self.model.to_schema()

    @property
    def day_column(self) -> str | None:
        """Column by which a window can be read."""
        return self.window_column or self.view_day

    @property
    def source(self) -> str | None:
        """The source whose load builds it; None for what is built after the loads."""
        if self.name.startswith("raw_"):
            return self.name.removeprefix("raw_")
        later = self.partitioning == "monthly" or SNAPSHOT_COLUMN in self.columns
        return None if later or self.group in ("churn", "quality") else self.loaded_with

    @property
    def relation(self) -> str:
        """`group.name`, as SQL names it."""
        return f"{self.group}.{self.name}"

    @property
    def description(self) -> str:
        """The model's docstring, without the indentation that Markdown would take for code."""
        return inspect.cleandoc(self.model.__doc__ or "")

    @property
    def summary(self) -> str:
        """First paragraph of the description, on one line."""
        return " ".join(self.description.split("\n\n")[0].split())

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return list(self.schema.columns)

    @cached_property
    def sql_types(self) -> dict[str, str]:
        """DuckDB type of each column, in order."""
        return {
            name: DuckDBType.to_string(column.dtype.type)
            for name, column in self.schema.columns.items()
        }

    @property
    def ddl(self) -> str:
        """`CREATE TABLE IF NOT EXISTS`, without constraints: keys are checked afterwards."""
        columns = ",\n  ".join(f'"{name}" {type_}' for name, type_ in self.sql_types.items())
        return f"CREATE TABLE IF NOT EXISTS {self.relation} (\n  {columns}\n)"

    @property
    def values_before(self) -> dict[str, str]:
        """SQL values, in rows stored before a column existed, of the columns that declare one."""
        return {
            name: column.metadata["before"]
            for name, column in self.schema.columns.items()
            if (column.metadata or {}).get("before")
        }

    @cached_property
    def person_classes(self) -> dict[str, PersonClass]:
        """The class of each column that says something of a person, in order."""
        return {
            name: column.metadata["person"]
            for name, column in self.schema.columns.items()
            if (column.metadata or {}).get("person")
        }

    @property
    def personal_columns(self) -> list[str]:
        """Columns that are personal; only raw and staging may have them."""
        return [name for name, of in self.person_classes.items() if of == PERSONAL]


TABLES: dict[str, Table] = {}


def table(
    *,
    group: str,
    key: tuple[str, ...],
    partitioning: Partitioning | None = None,
    window_column: str | None = None,
    volatile: tuple[str, ...] = (),
    is_view: bool = False,
    view_day: str | None = None,
    may_be_empty: bool = False,
    is_history: bool = False,
    loaded_with: str = LEADING,
    or_loaded_with: str | None = None,
    is_optional: bool = False,
) -> Callable[[type[TableModel]], type[TableModel]]:
    """Register a model as a table; its name is the class name in snake case."""
    if (partitioning is None) != (window_column is None):
        raise ValueError("a partitioned table needs a window column, and only a partitioned one")

    def register(model: type[TableModel]) -> type[TableModel]:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", model.__name__).lower()
        if name in TABLES:
            raise ValueError(f"table {name} is declared twice")
        TABLES[name] = Table(
            *(name, group, model, key, partitioning, window_column, volatile),
            *(is_view, view_day, may_be_empty, is_history),
            *(loaded_with, or_loaded_with, is_optional),
        )
        return model

    return register


def column(
    description: str,
    *,
    nullable: bool = False,
    person: PersonClass | None = None,
    before: str | None = None,
    **checks: Any,
):
    """A column of a table.

    Args:
        description: what it means.
        nullable: whether it may be null.
        person: what it says of a person; None for nothing.
        before: SQL of its value in rows that were stored before the column existed. Without it the
            value has to be computed: the rows are loaded again (`warehouse.migration`).
        checks: Pandera's value checks by name.
    """
    metadata = {"person": person, "before": before}
    return pa.Field(
        description=description,
        nullable=nullable,
        metadata={name: value for name, value in metadata.items() if value} or None,
        # Failure cases are row values, which may not appear in messages: one is enough.
        n_failure_cases=1 if checks else None,
        **checks,
    )
