"""The condition of a window in SQL, and the row counts of its partitions.

Belongs here: what all sessions share about windows. Does not belong here: replacing a window (the
sessions), or how dbt models do the same (the dbt project's `window` strategy).
"""

from datetime import date

from analytics_assets.partitions import Window
from analytics_assets.schemas import Table
from analytics_assets.warehouse.session import Session


class WindowError(ValueError):
    """The rows do not fit the table or the window that they are written to."""


def window_predicate(column: str, window: Window | None) -> str:
    """A condition that is true for the rows of the window, or for all rows where it is None."""
    if window is None:
        return "TRUE"
    return f"{column} >= DATE '{window.start}' AND {column} < DATE '{window.end}'"


def partition_row_counts(session: Session, table: Table, window: Window) -> dict[date, int]:
    """Number of rows of each partition of the window, 0 for empty ones, by its first day."""
    counts: dict[date, int] = dict(
        session.rows(
            f"SELECT {table.window_column}, count(*) FROM {table.relation} "
            f"WHERE {window_predicate(str(table.window_column), window)} GROUP BY 1"
        )
    )
    partitions = (day for day in window if table.partitioning == "daily" or day.day == 1)
    return {day: counts.get(day, 0) for day in partitions}
