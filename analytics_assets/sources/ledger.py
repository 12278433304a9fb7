"""The ledger of loads: for each source and day, what was loaded, when, and in which version.

Belongs here: reading and writing raw.source_loads. Does not belong here: loading (`load`), or
comparing with what a source has now (`changes`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import duckdb

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.declared import LEADING
from analytics_assets.sources.stage import PartDay
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import RAW, begin, checks_of
from analytics_assets.warehouse.windows import window_predicate


@dataclass(frozen=True)
class DayLoad:
    """What became of the rows of one day (of the whole source, where it has no days).

    Attributes:
        read: rows of the source.
        accepted: those that were loaded, and the refunds that were split off.
        rejected: those that were not.
        split: the refunds.
        not_due: rows of days that have not come yet, of the whole source.
    """

    read: int
    accepted: int
    rejected: int
    split: int = 0
    not_due: int = 0


def loaded_versions(session: Session, source: str) -> dict[date | None, str]:
    """Data version of what was last loaded of a source, for each day; none before any load."""
    if not session.exists(TABLES["source_loads"]):
        return {}
    return dict(
        session.rows(
            "SELECT window_date, source_version FROM raw.source_loads WHERE source = ?", [source]
        )
    )


def last_load(warehouse: Warehouse, window: Window) -> datetime | None:
    """When a day of the window was loaded last; None where none was."""
    if not warehouse.path.exists():
        return None
    with warehouse.read() as session:
        if not session.exists(TABLES["source_loads"]):
            return None
        inside = window_predicate("window_date", window)
        query = f"SELECT max(loaded_at) FROM raw.source_loads WHERE {inside}"
        newest: datetime | None = session.value(query)
    return newest


def loaded_to(warehouse: Warehouse) -> date | None:
    """Exclusive end of the days that have been loaded; None before the first load."""
    if not warehouse.path.exists():
        return None
    with warehouse.read() as session:
        if not session.exists(TABLES["source_loads"]):
            return None
        end: date | None = session.value(
            "SELECT max(window_date) + 1 FROM raw.source_loads WHERE source = ?", [LEADING]
        )
    return end


def of_source(source: str, window: Window | None) -> str:
    """SQL condition of the rows of a source and window, in tables of all sources."""
    condition = f"source = '{source}'"
    return (
        condition
        if window is None
        else f"{condition} AND {window_predicate('window_date', window)}"
    )


def with_not_due(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    days: dict[date | None, DayLoad],
    contents: Sequence[PartDay],
    window: Window | None,
    today: date,
    coming: int | None = None,
) -> dict[date | None, DayLoad]:
    """The loads of the days; the newest that was loaded has the rows of days to come, too.

    Args:
        connection: the warehouse.
        source: the source.
        days: the loads.
        contents: the rows of the parts.
        window: the days.
        today: later days have not come.
        coming: the rows that are not due, where the source itself says that.
    """
    if window is None or not days:
        return days
    [(newest,)] = connection.execute(
        "SELECT max(window_date) FROM raw.source_loads WHERE source = ?", [source]
    ).fetchall()
    if newest is not None and newest >= window.end:
        return days
    if coming is None:
        coming = sum(
            item.rows - item.split
            for item in contents
            if item.day and item.day > today and item.day >= window.end
        )
    last = max(day for day in days if day)
    load = days[last]
    return {**days, last: replace(load, read=load.read + coming, not_due=coming)}


def write_ledger(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    days: dict[date | None, DayLoad],
    versions: dict[date | None, str],
    window: Window | None,
    loaded_at: datetime,
    checked: Collection[str] = (),
) -> None:
    """Replace what the ledger says of the days, and what it says of rows that are not due yet.

    The days are begun, in the same transaction: what is built from them does not fit them yet, and
    the checks of the raw table, if it is among those that have blocking ones, are due.
    """
    raw = f"{RAW}{source}"
    begin(DuckDBSession(connection), [raw, *checks_of([raw], checked)], window, loaded_at)
    of_window = of_source(source, window)
    before = {
        day: (version, changed_at)
        for day, version, changed_at in connection.execute(
            "SELECT window_date, source_version, changed_at FROM raw.source_loads "
            f"WHERE {of_window}"
        ).fetchall()
    }
    if window is not None:
        # The newest day has them, and it is within the window now, or after it.
        connection.execute(
            "UPDATE raw.source_loads SET rows_read = rows_read - rows_not_due, rows_not_due = 0 "
            "WHERE source = ? AND rows_not_due > 0 AND window_date < ?",
            [source, window.start],
        )
    connection.execute(f"DELETE FROM raw.source_loads WHERE {of_window}")
    connection.execute(
        "INSERT INTO raw.source_loads BY NAME "
        "SELECT ? AS source, unnest(?::DATE[]) AS window_date, "
        "unnest(?::VARCHAR[]) AS source_version, unnest(?::BIGINT[]) AS rows_read, "
        "unnest(?::BIGINT[]) AS rows_accepted, unnest(?::BIGINT[]) AS rows_rejected, "
        "unnest(?::BIGINT[]) AS rows_split, "
        "unnest(?::BIGINT[]) AS rows_not_due, "
        "?::TIMESTAMP AS loaded_at, unnest(?::TIMESTAMP[]) AS changed_at",
        [
            source,
            list(days),
            [versions[day] for day in days],
            [load.read for load in days.values()],
            [load.accepted for load in days.values()],
            [load.rejected for load in days.values()],
            [load.split for load in days.values()],
            [load.not_due for load in days.values()],
            loaded_at,
            [
                before[day][1] if day in before and before[day][0] == versions[day] else loaded_at
                for day in days
            ],
        ],
    )
    gone = [day for day in before if day and day not in days]
    if gone:
        # The ledger does not have these days any more: it is the next one that says so.
        connection.execute(
            "UPDATE raw.source_loads SET changed_at = ? WHERE source = ? AND window_date = ("
            "SELECT min(window_date) FROM raw.source_loads WHERE source = ? AND window_date > ?)",
            [loaded_at, source, source, min(gone)],
        )
