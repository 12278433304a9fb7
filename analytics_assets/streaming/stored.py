"""The tables of the lake without Spark, for commands that look at them.

Belongs here: asking a table with SQL. Does not belong here: the questions.

deltalake's own engine reads the files. Its `to_pyarrow_table` lets threads of Arrow call Python for
each file; one that does so while Python ends takes the process down with it ("terminate called
without an active exception").
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analytics_assets.streaming.layout import Lake


def rows_of(lake: "Lake", name: str, select: str) -> list[dict[str, Any]] | None:
    """The rows of a query; None where the lake has no such table.

    Args:
        lake: the lake.
        name: the table, which the query calls by this name, too.
        select: the query, in the SQL of DataFusion.
    """
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(lake.table(name))
    except TableNotFoundError:
        return None
    answer = QueryBuilder().register(name, table).execute(select).read_all()
    rows: list[dict[str, Any]] = pa.table(answer).to_pylist()
    return rows
