"""The IO manager of assets that return a DataFrame.

Built on dagster-duckdb-pandas, without its faults: it opens read-only to load, always closes the
connection, deletes and inserts in one transaction and by column name, refuses rows outside the
partition, and stores an empty frame as an empty partition of a table with the right types. Does
not belong here: assets that write to the warehouse in SQL.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from dagster import InputContext, OutputContext
from dagster_duckdb.io_manager import DuckDbClient
from dagster_duckdb_pandas.duckdb_pandas_type_handler import DuckDBPandasTypeHandler

from analytics_assets.compat.dagster import DbIOManager, TableSlice, add_partition_metadata
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import RECORD, finish
from analytics_assets.warehouse.windows import WindowError, partition_row_counts


class WarehouseClient(DuckDbClient):
    """Opens the warehouse for the IO manager: a transaction to store, read-only to load."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @contextmanager
    def connect(  # type: ignore[override]
        self, context: OutputContext | InputContext, _: TableSlice
    ) -> Iterator[Any]:
        """A session to store, or the connection from which dagster-duckdb-pandas loads."""
        if isinstance(context, InputContext):
            with self._warehouse.read() as session:
                yield session.connection
        else:
            with self._warehouse.transaction() as session:
                yield session

    @staticmethod
    def delete_table_slice(
        context: OutputContext, table_slice: TableSlice, connection: Any
    ) -> None:
        """Do nothing: the handler deletes and inserts in one step."""


class DataFrameHandler(DuckDBPandasTypeHandler):
    """Stores and loads frames of declared tables."""

    def handle_output(
        self,
        context: OutputContext,
        table_slice: TableSlice,
        obj: pd.DataFrame,
        connection: Session,
    ) -> None:
        """Replace the slice of the table by the frame.

        Raises:
            WindowError: the table is not declared, or the frame does not fit it.
        """
        table = TABLES.get(table_slice.table)
        if table is None or table.group != table_slice.schema:
            raise WindowError(
                f"{table_slice.schema}.{table_slice.table} is not declared in "
                "analytics_assets/schemas; declare it there before an asset returns it."
            )
        window = _window(table_slice)
        connection.register("incoming_frame", obj)
        rows = connection.replace_window(table, "incoming_frame", window)
        if connection.exists(RECORD):
            finish(connection, [table.name], window)
        if window is None:
            context.add_output_metadata({"dagster/row_count": rows})
            return
        counts = partition_row_counts(connection, table, window)
        add_partition_metadata(
            context.step_context,
            context.asset_key,
            {day: {"dagster/partition_row_count": count} for day, count in counts.items()},
            {},
        )


class WarehouseIOManager(DbIOManager):
    """IO manager over the warehouse; the schema of a table is its asset's `schema` metadata."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(
            type_handlers=[DataFrameHandler()],
            db_client=WarehouseClient(warehouse),
            database=warehouse.path.stem,
            io_manager_name="WarehouseIOManager",
            default_load_type=pd.DataFrame,
        )


def _window(table_slice: TableSlice) -> Window | None:
    if not table_slice.partition_dimensions:
        return None
    bounds = table_slice.partition_dimensions[0].partitions
    return Window(bounds.start.date(), bounds.end.date())  # type: ignore[union-attr]
