"""Rows of the tables of a lake, read without Spark.

Belongs here: reading some rows of a Delta table. Does not belong here: rows of a source (`delta`,
`lake`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from analytics_assets.quoting import literal
from analytics_assets.sources.readers.delta import local_path

if TYPE_CHECKING:
    from deltalake import DeltaTable


def table_rows(
    place: str,
    select: str,
    where: str = "true",
    between: tuple[str, datetime, datetime] | None = None,
) -> pa.Table | None:
    """Rows of a table, with times in UTC; None where the table does not exist.

    Args:
        place: folder of the table.
        select: SQL of the columns.
        where: SQL condition.
        between: a column of times, and two times in UTC: files that have none between them, both
            included, are left out, as far as the log says it.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(place)
    except TableNotFoundError:
        return None
    files = _files(table, between)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = f"read_parquet([{', '.join(map(literal, files))}])"
        if not files:
            # Of a table without rows only the log knows the columns.
            relation = "nothing"
            connection.register(relation, pa.schema(table.schema().to_arrow()).empty_table())
        return connection.sql(f"SELECT {select} FROM {relation} WHERE {where}").to_arrow_table()


def _files(table: "DeltaTable", between: tuple[str, datetime, datetime] | None) -> Sequence[str]:
    root = Path(local_path(table.table_uri))
    actions = table.get_add_actions(flatten=True)
    paths = [str(root / local_path(path)) for path in actions.column("path").to_pylist()]
    if between is None:
        return paths
    column, low, high = between
    names = actions.schema.names
    if f"min.{column}" not in names:
        return paths
    span = zip(
        paths,
        actions.column(f"min.{column}").to_pylist(),
        actions.column(f"max.{column}").to_pylist(),
        strict=True,
    )
    first, last = low.replace(tzinfo=UTC), high.replace(tzinfo=UTC)
    return [
        path
        for path, least, most in span
        if least is None or most is None or (least <= last and most >= first)
    ]
