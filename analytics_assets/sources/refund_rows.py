"""Writing the refunds of a load next to its lines.

Belongs here: whether a load has refunds, and inserting them. Does not belong here: which lines have
one (`refunds`), or the transaction of a load (`load`).
"""

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.stage import Stage
from analytics_assets.warehouse.windows import window_predicate


def has_refund_rows(stage: Stage, window: Window | None) -> bool:
    """Whether the window may have refunds.

    A refund that a status alone tells of is of the day of its line, and so of an inserted line.
    """
    if stage.refunded:
        return True
    table = stage.config.contract.table
    inside = window_predicate(str(table.window_column), window)
    [(returned,)] = stage.connection.execute(
        f"SELECT count(*) FROM {table.relation} "
        f"WHERE {inside} AND status = 'returned' AND quantity > 0",
    ).fetchall()
    return bool(returned)


def insert_refunds(
    stage: Stage, window: Window | None, line_key: str, stamp: str
) -> tuple[int, int]:
    """Insert the refunds of the window; return how many, and how many have no day."""
    connection, config = stage.connection, stage.config
    table = config.contract.table
    columns = [identifier(name) for name in config.contract.columns]
    # Where equal lines are kept, each has its own refund.
    key = "source_file || ':' || source_row" if config.duplicates == "keep" else line_key
    [(inserted,)] = connection.execute(
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
    return inserted, beyond
