"""A window of a table in SQL, and the rows of its partitions.

Belongs here: what every session shares about windows. Does not belong here: replacing one (the
sessions), or how dbt models do the same (the project's `window` strategy).
"""

from datetime import date

from analytics_assets.partitions import Window
from analytics_assets.schemas import Table
from analytics_assets.warehouse.session import Session


class WindowError(ValueError):
    """Rows do not fit the table or the window that they are written to."""


def window_predicate(column: str, window: Window | None) -> str:
    """SQL that is true for the rows of the window; for all rows without one."""
    if window is None:
        return "TRUE"
    return f"{column} >= DATE '{window.start}' AND {column} < DATE '{window.end}'"


def partition_row_counts(session: Session, table: Table, window: Window) -> dict[date, int]:
    """Rows of each partition of the window, 0 for the empty ones; monthly tables by month."""
    counts: dict[date, int] = dict(
        session.rows(
            f"SELECT {table.window_column}, count(*) FROM {table.relation} "
            f"WHERE {window_predicate(str(table.window_column), window)} GROUP BY 1"
        )
    )
    partitions = (day for day in window if table.partitioning == "daily" or day.day == 1)
    return {day: counts.get(day, 0) for day in partitions}
