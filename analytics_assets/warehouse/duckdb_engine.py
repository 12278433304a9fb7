"""DuckDB behind the session's interface.

Belongs here: how DuckDB reads, describes and replaces tables. Does not belong here: opening the
file (`connection`) or publishing it (`publish`).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from analytics_assets.partitions import Window
from analytics_assets.quoting import literal
from analytics_assets.schemas import Table
from analytics_assets.warehouse.session import Row, Session
from analytics_assets.warehouse.windows import WindowError, window_predicate

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@cache
def _in_its_words(type_: str) -> str:
    return str(duckdb.sqltype(type_))


class DuckDBSession(Session):
    """A session over an open DuckDB connection.

    Attributes:
        connection: the connection; only `warehouse` and `sources` may use it.
    """

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def interrupt(self) -> None:
        """End the statement that runs in this session, from another thread."""
        self.connection.interrupt()

    def kind(self, table: Table) -> str | None:
        """'table', 'view', or None where the relation does not exist."""
        return self.kinds((table.group, table.name)).get((table.group, table.name))

    def kinds(self, only: tuple[str, str] | None = None) -> dict[tuple[str, str], str]:
        """The kind of every relation, or of only one, by schema and name."""
        rows = self.rows(
            "SELECT table_schema, table_name, lower(replace(table_type, 'BASE ', '')) "
            "FROM information_schema.tables WHERE table_catalog = current_database() "
            "AND (?::VARCHAR IS NULL OR (table_schema = ? AND table_name = ?))",
            [only and only[0], *(only or (None, None))],
        )
        return {(schema, name): kind for schema, name, kind in rows}

    def columns(self, table: Table, catalog: str | None = None) -> dict[str, str]:
        """DuckDB's types of a relation's columns, in order; of an attached catalog or the main."""
        return dict(
            self.rows(
                "SELECT column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = coalesce(?, current_database()) "
                "AND schema_name = ? AND table_name = ? ORDER BY column_index",
                [catalog, table.group, table.name],
            )
        )

    def declared_types(self, table: Table) -> dict[str, str]:
        """Types of a table's columns as declared, in DuckDB's words."""
        return {name: _in_its_words(type_) for name, type_ in table.sql_types.items()}

    def ibis(self, table: Table) -> Any:
        """The relation as an Ibis table."""
        import ibis

        return ibis.duckdb.from_connection(self.connection).table(table.name, database=table.group)

    def register(self, name: str, frame: "pd.DataFrame | pa.Table") -> None:
        """Let SQL read a frame under a name, until the session ends."""
        self.connection.register(name, frame)

    def keep(self, name: str, sql: str) -> None:
        """Store the result of a query under a name, until it is dropped or the session ends."""
        self.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def drop(self, name: str) -> None:
        """Drop the result that was kept under a name."""
        self.execute(f"DROP TABLE temp.main.{name}")

    def attach(self, path: Path, name: str) -> str:
        """Make another build readable under a name, and return the statement that does it."""
        statement = f"ATTACH IF NOT EXISTS {literal(path)} AS {name} (READ_ONLY);\n"
        self.execute(statement)
        return statement

    def replace_window(
        self,
        table: Table,
        relation: str,
        window: Window | None,
        where: str = "TRUE",
        *,
        fits: bool = False,
    ) -> int:
        """Replace the rows of a window by those of a relation, by column name."""
        expected = actual = set(table.columns)
        if not fits:
            actual = {row[0] for row in self.rows(f"DESCRIBE SELECT * FROM {relation}")}
        if actual != expected:
            raise WindowError(
                f"{table.relation}: columns missing {sorted(expected - actual)}, not in the table "
                f"{sorted(actual - expected)}. Make the output match the model in "
                f"analytics_assets/schemas."
            )
        if window is not None:
            column = str(table.window_column)
            # The cast is for empty frames, whose columns may have any type.
            inside = window_predicate(f'"{column}"::DATE', window)
            outside = 0 if fits else self.count(relation, f"({inside}) IS NOT TRUE")
            if outside:
                raise WindowError(
                    f"{table.relation}: {outside} rows lie outside the window {window} by "
                    f"{column}. Nothing was written."
                )
            where = f"{where} AND {window_predicate(column, window)}"
        self.execute(table.ddl)
        self.execute(f"DELETE FROM {table.relation} WHERE {where}")
        # Without the cast, an all-null column of a frame would be INTEGER.
        columns = ", ".join(
            f'"{name}"::{type_} AS "{name}"' for name, type_ in table.sql_types.items()
        )
        return int(
            self.value(f"INSERT INTO {table.relation} BY NAME SELECT {columns} FROM {relation}")
        )

    def _run(self, sql: str, parameters: Sequence[Any]) -> None:
        self.connection.execute(sql, parameters)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> tuple[list[str], list[Row]]:
        result = self.connection.execute(sql, parameters)
        return [column[0] for column in result.description or []], result.fetchall()

    def _chunks(self, sql: str, parameters: Sequence[Any], size: int) -> Iterator[list[Row]]:
        result = self.connection.execute(sql, parameters)
        while rows := result.fetchmany(size):
            yield rows

    def _frame(self, sql: str, parameters: Sequence[Any]) -> "pd.DataFrame":
        return self.connection.execute(sql, parameters).df()

    def _batches(
        self, sql: str, size: int, parameters: Sequence[Any]
    ) -> "Iterator[pa.RecordBatch]":
        return iter(self.connection.sql(sql, params=[*parameters]).to_arrow_reader(size))
