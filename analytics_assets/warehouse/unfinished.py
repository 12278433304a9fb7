"""What was begun and has not been finished: days whose tables do not fit each other yet.

Belongs here: the record of it, in the warehouse itself, and the refusal to go on from there. Does
not belong here: who begins and finishes (`sources.load`, `assets.dbt`), or who asks for the days
again (`automation`).

A load writes its raw table into the record in the transaction that replaces its rows, and a step of
dbt the tables that it is about to replace, one after the other. The step takes them out again when
all of it is done. So whatever is killed in between, the days that it was about are known.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

RECORD = TABLES["unfinished_tables"]
RAW = "raw_"  # the tables that loads write
DAYS_NAMED = 5

# Unfinished days by table; None for what has no days.
Unfinished = Mapping[str, Collection[date | None]]


class UnfinishedError(WarehouseError):
    """Some tables have the rows of a load, and others do not; the message names its days."""


def begin(session: Session, tables: Collection[str], window: Window | None, at: datetime) -> None:
    """Record that tables are about to be replaced. The caller holds the transaction.

    Args:
        session: a session that writes.
        tables: the tables.
        window: the days; None for tables that are replaced without days.
        at: when their run was created.
    """
    session.execute(RECORD.ddl)
    days: list[date | None] = [*window] if window else [None]
    _delete(session, tables, window)
    session.execute(
        f"INSERT INTO {RECORD.relation} BY NAME SELECT table_name, window_date, "
        "?::TIMESTAMP AS begun_at FROM (SELECT unnest(?::VARCHAR[]) AS table_name), "
        "(SELECT unnest(?::DATE[]) AS window_date)",
        [at, list(tables), days],
    )


def finish(session: Session, tables: Collection[str], window: Window | None) -> None:
    """Record that tables have been replaced; whoever builds days builds what has none, too."""
    _delete(session, tables, window)
    if window:
        _delete(session, tables, None)


def forget(session: Session, table: str, days: Collection[date | None]) -> None:
    """Take days of a table out of the record, though it has not been replaced."""
    session.execute(
        f"DELETE FROM {RECORD.relation} WHERE table_name = ? AND (window_date IN "
        "(SELECT unnest(?::DATE[])) OR (window_date IS NULL AND ?))",
        [table, [day for day in days if day], None in days],
    )


def _delete(session: Session, tables: Collection[str], window: Window | None) -> None:
    inside = window_predicate("window_date", window) if window else "window_date IS NULL"
    session.execute(
        f"DELETE FROM {RECORD.relation} WHERE {inside} AND table_name IN (SELECT unnest(?))",
        [list(tables)],
    )


def unfinished(session: Session) -> dict[str, set[date | None]]:
    """What has been begun and not been finished; by a run that goes on, too."""
    found: dict[str, set[date | None]] = {}
    if session.exists(RECORD):
        for name, day in session.rows(f"SELECT table_name, window_date FROM {RECORD.relation}"):
            found.setdefault(name, set()).add(day)
    return found


def require_finished(left: Unfinished) -> None:
    """Go no further from tables that do not fit each other.

    Raises:
        UnfinishedError: something is unfinished; the message names the days and the remedy.
    """
    if not left:
        return
    days = sorted({day for some in left.values() for day in some if day})
    named = ", ".join(map(str, days[:DAYS_NAMED]))
    if len(days) > DAYS_NAMED:
        named += f" and {len(days) - DAYS_NAMED:,} more days up to {days[-1]}"
    what = f"The load of {named}" if days else f"The load of {', '.join(sorted(left))}"
    raise UnfinishedError(
        f"{what} was begun and has not finished: some tables have its rows, others do not "
        f"({', '.join(sorted(left))}). Nothing is scored or published until it has finished. Run "
        "analytics-assets run, or materialize the job of these days again."
    )
