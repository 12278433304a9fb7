"""Replacing a window of a table in one transaction.

Belongs here: the delete-and-insert that every Python-made table goes through, and the row counts
of its partitions. Does not belong here: dbt models (the project's `window` strategy does the same).
"""

from datetime import date

import duckdb

from analytics_assets.partitions import Window
from analytics_assets.schemas import Table


class WindowError(ValueError):
    """Rows do not fit the table or the window that they are written to."""


def window_predicate(column: str, window: Window | None) -> str:
    """SQL that is true for the rows of the window; all rows without one."""
    if window is None:
        return "TRUE"
    return f"{column} >= DATE '{window.start}' AND {column} < DATE '{window.end}'"


def replace_window(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    relation: str,
    window: Window | None,
    where: str = "TRUE",
    *,
    fits: bool = False,
) -> int:
    """Replace the rows of a window by those of a relation, by column name.

    The caller holds the transaction. Without a window the whole table is replaced.

    Args:
        connection: a connection within a transaction.
        table: the table that is written; made when it does not exist.
        relation: SQL relation with the table's columns, in any order.
        window: the window; its column is the table's window column.
        where: further condition on the rows that are replaced, for tables that several loads
            share.
        fits: whether the relation is known to have the table's columns, and rows of the window
            only. Looking costs planning and reading it once more.

    Returns:
        The number of rows inserted.

    Raises:
        WindowError: columns are missing or unknown, or rows lie outside the window.
    """
    expected = found = set(table.columns)
    if not fits:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        found = {row[0] for row in described}
    if found != expected:
        raise WindowError(
            f"{table.relation}: columns missing {sorted(expected - found)}, not in the table "
            f"{sorted(found - expected)}. Make the output match the model in "
            f"analytics_assets/schemas."
        )
    if window is not None:
        column = str(table.window_column)
        # Cast: the column of an empty frame has any type.
        inside = window_predicate(f'"{column}"::DATE', window)
        outside = 0 if fits else _count(connection, relation, f"({inside}) IS NOT TRUE")
        if outside:
            raise WindowError(
                f"{table.relation}: {outside} rows lie outside the window {window} by "
                f"{column}. Nothing was written."
            )
        where = f"{where} AND {window_predicate(column, window)}"
    connection.execute(table.ddl)
    connection.execute(f"DELETE FROM {table.relation} WHERE {where}")
    # Casting by name: an all-null column of a frame would otherwise come as INTEGER.
    columns = ", ".join(f'"{name}"::{type_} AS "{name}"' for name, type_ in table.sql_types.items())
    rows = connection.execute(
        f"INSERT INTO {table.relation} BY NAME SELECT {columns} FROM {relation}"
    ).fetchone()
    return int(rows[0]) if rows else 0


def partition_row_counts(
    connection: duckdb.DuckDBPyConnection, table: Table, window: Window
) -> dict[date, int]:
    """Rows of each partition of the window, 0 for the empty ones; monthly tables by month."""
    counts = dict(
        connection.execute(
            f"SELECT {table.window_column}, count(*) FROM {table.relation} "
            f"WHERE {window_predicate(str(table.window_column), window)} GROUP BY 1"
        ).fetchall()
    )
    partitions = (day for day in window if table.partitioning == "daily" or day.day == 1)
    return {day: counts.get(day, 0) for day in partitions}


def _count(connection: duckdb.DuckDBPyConnection, relation: str, where: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation} WHERE {where}").fetchone()
    return int(row[0]) if row else 0
