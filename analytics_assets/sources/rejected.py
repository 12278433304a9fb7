"""Rejected rows: how many and why, an export for people, and the days to load again.

Belongs here: reading raw.rejected_rows. Does not belong here: rejecting (`typed`), loading
(`load`).
"""

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.connection import Warehouse

COLUMNS = (
    "source", "window_date", "source_file", "source_row", "source_line", "reasons", "row",
)  # fmt: skip
# First characters that make a spreadsheet read a cell as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def reasons(
    warehouse: Warehouse, source: str | None = None
) -> list[tuple[str, str, int, Any, Any]]:
    """Source, reason, rows, first and last day of the rejected rows, most rows first."""
    return _query(
        warehouse,
        "SELECT source, reason, count(*), min(window_date), max(window_date) "
        "FROM (SELECT source, window_date, unnest(string_split(reasons, '; ')) AS reason "
        "FROM raw.rejected_rows WHERE source = ? OR ? IS NULL) "
        "GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
        [source, source],
    )


def counts(warehouse: Warehouse, source: str | None = None) -> list[tuple[str, int]]:
    """Source and number of its rejected rows: fewer than reasons, where rows have several."""
    return _query(
        warehouse,
        "SELECT source, count(*) FROM raw.rejected_rows WHERE source = ? OR ? IS NULL "
        "GROUP BY 1 ORDER BY 1",
        [source, source],
    )


def export(warehouse: Warehouse, path: Path, source: str | None) -> int:
    """Write the rejected rows to a CSV file that is safe to open in a spreadsheet.

    A cell that a spreadsheet would read as a formula gets an apostrophe in front (OWASP, CSV
    injection).

    Returns:
        The number of rows written.
    """
    rows = _query(
        warehouse,
        f"SELECT {', '.join(COLUMNS)} FROM raw.rejected_rows WHERE source = ? OR ? IS NULL "
        "ORDER BY source, window_date, source_file, source_row",
        [source, source],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([_defused(value) for value in row] for row in rows)
    return len(rows)


def days_to_replay(warehouse: Warehouse, source: str | None, last: date) -> list[date]:
    """Days whose load rejected rows; for sources without days, the last day.

    Sources with jobs of their own are left out.

    Args:
        warehouse: the warehouse.
        source: only of this source.
        last: the newest day that was loaded.
    """
    rows = _query(
        warehouse,
        "SELECT DISTINCT coalesce(window_date, ?) FROM raw.rejected_rows "
        "WHERE (source = ? OR ? IS NULL) AND NOT list_contains(?, source) ORDER BY 1",
        [last, source, source, [name for name, one in SOURCES.items() if one.job]],
    )
    return [day for (day,) in rows]


def windows_of(days: Sequence[date]) -> list[Window]:
    """The days as windows; consecutive days are one window."""
    windows: list[Window] = []
    for day in days:
        following = Window.of_days(day.isoformat(), day.isoformat())
        if windows and windows[-1].end == day:
            following = Window(windows.pop().start, following.end)
        windows.append(following)
    return windows


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _query(warehouse: Warehouse, query: str, values: list[Any]) -> list[Any]:
    if not warehouse.path.exists():
        return []
    with warehouse.read() as session:
        if session.kind(TABLES["rejected_rows"]) is None:
            return []
        return session.rows(query, values)
