"""Writing the refunds of a load next to its lines.

Belongs here: whether a load has refunds, and inserting them. Does not belong here: which lines have
one (`refunds`), or the transaction of a load (`load`).
"""

import duckdb

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.stage import Stage
from analytics_assets.warehouse.windows import window_predicate


def has_any(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    window: Window | None,
    stage: Stage,
) -> bool:
    """Whether the rows have to be looked at for refunds; those of a status alone are of the day of
    their line, and so of a line that was inserted.
    """
    if stage.refunded:
        return True
    table = config.contract.table
    inside = window_predicate(str(table.window_column), window)
    [(found,)] = connection.execute(
        f"SELECT count(*) FROM {table.relation} "
        f"WHERE {inside} AND status = 'returned' AND quantity > 0",
    ).fetchall()
    return bool(found)


def insert_refunds(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    window: Window | None,
    stage: Stage,
    line_key: str,
    stamp: str,
) -> tuple[int, int]:
    """Put the refunds of the window next to the lines; how many, and how many have no day."""
    table = config.contract.table
    columns = [identifier(name) for name in config.contract.columns]
    # Equal lines that are numbered have refunds of their own.
    key = "source_file || ':' || source_row" if config.duplicates == "keep" else line_key
    [(given,)] = connection.execute(
        f"INSERT INTO {table.relation} BY NAME SELECT {', '.join(columns)}, "
        f"_day AS {table.window_column}, true AS amount_is_total, true AS is_refund, "
        f"CASE WHEN _line IS NULL THEN {key} ELSE 'line ' || _line END AS line_key, source_file, "
        f"source_row, {stamp} FROM (SELECT unnest(_refund), "
        f"source_file, source_row FROM {stage.rows} WHERE _refund IS NOT NULL) "
        f"WHERE {window_predicate('_day', window)}",
    ).fetchall()
    [(beyond,)] = connection.execute(
        "SELECT count(*) FROM load WHERE _refund IS NOT NULL AND _refund._day IS NULL",
    ).fetchall()
    return given, beyond
