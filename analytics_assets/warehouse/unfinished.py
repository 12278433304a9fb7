"""What was begun and has not been finished: days whose tables do not fit each other yet.

Belongs here: the record of it, in the warehouse itself, the refusal to go on from there, and
forgetting days that cannot be loaded any more. Does not belong here: who begins and finishes
(`sources.load`, `assets.dbt`, `checks.registry`), or who asks for the days again (`automation`).

A load writes its raw table into the record in the transaction that replaces its rows, and a step of
dbt the tables that it is about to replace, one after the other. The step takes them out again when
all of it is done. With a table that has blocking checks, an entry for its checks is written, which
the step that evaluates them takes out. So whatever is killed in between, the days are known.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.base import SNAPSHOT_COLUMN
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

RECORD = TABLES["unfinished_tables"]
RAW = "raw_"  # the tables that loads write
CHECKS_OF = "checks of "  # the entry of a table whose blocking checks are to be evaluated
DAYS_NAMED = 5

# Unfinished days by table; None for what has no days.
Unfinished = Mapping[str, Collection[date | None]]


class UnfinishedError(WarehouseError):
    """Some tables have the rows of a load, and others do not; the message names its days."""


def checks_of(tables: Iterable[str], checked: Collection[str]) -> list[str]:
    """The entries for the checks of those tables that have blocking ones."""
    return [f"{CHECKS_OF}{name}" for name in tables if name in checked]


def table_of(entry: str) -> str:
    """The table that an entry is about."""
    return entry.removeprefix(CHECKS_OF)


def is_snapshot(entry: str) -> bool:
    """Whether an entry is about a table that is computed as of a day."""
    table = TABLES.get(table_of(entry))
    return table is not None and SNAPSHOT_COLUMN in table.columns


def is_monthly(entry: str) -> bool:
    """Whether an entry is about a table that is computed for a month."""
    table = TABLES.get(table_of(entry))
    return table is not None and table.partitioning == "monthly"


def is_load(entry: str) -> bool:
    """Whether an entry is about a table that a load replaces, and not about its checks."""
    return not (entry.startswith(CHECKS_OF) or is_snapshot(entry) or is_monthly(entry))


def begin(session: Session, tables: Collection[str], window: Window | None, at: datetime) -> None:
    """Record that tables are about to be replaced. The caller holds the transaction.

    Args:
        session: a session that writes.
        tables: the tables, and entries of `checks_of`.
        window: the days; None for tables that are replaced without days. A table of months has
            an entry for the first day of each month.
        at: when their run was created.
    """
    session.execute(RECORD.ddl)
    _delete(session, tables, window)
    days: list[date | None] = [*window] if window else [None]
    entries = [
        (name, day)
        for name in tables
        for day in days
        if day is None or day.day == 1 or not is_monthly(name)
    ]
    session.execute(
        f"INSERT INTO {RECORD.relation} BY NAME SELECT unnest(?::VARCHAR[]) AS table_name, "
        "unnest(?::DATE[]) AS window_date, ?::TIMESTAMP AS begun_at",
        [[name for name, _ in entries], [day for _, day in entries], at],
    )


def finish(session: Session, tables: Collection[str], window: Window | None) -> None:
    """Record that tables have been replaced; whoever builds days builds what has none, too."""
    _delete(session, tables, window)
    if window:
        _delete(session, tables, None)


def finish_checks(session: Session, tables: Collection[str], window: Window | None) -> None:
    """Record that the blocking checks of tables have been evaluated, whatever they said.

    Args:
        session: a session that writes.
        tables: the tables.
        window: the days that were checked; None for whole tables, whatever days they have.
    """
    entries = [f"{CHECKS_OF}{name}" for name in tables]
    if window:
        finish(session, entries, window)
    else:
        session.execute(
            f"DELETE FROM {RECORD.relation} WHERE table_name IN (SELECT unnest(?))", [entries]
        )


def drop_tables(session: Session, tables: Collection[str]) -> None:
    """Take tables out of the record that nothing builds any more."""
    session.execute(
        f"DELETE FROM {RECORD.relation} WHERE table_name IN (SELECT unnest(?))", [list(tables)]
    )


def _delete(session: Session, tables: Collection[str], window: Window | None) -> None:
    inside = window_predicate("window_date", window) if window else "window_date IS NULL"
    session.execute(
        f"DELETE FROM {RECORD.relation} WHERE {inside} AND table_name IN (SELECT unnest(?))",
        [list(tables)],
    )


def unfinished(
    session: Session, of: Callable[[str], bool] = lambda entry: True
) -> dict[str, set[date | None]]:
    """What has been begun and not been finished; by a run that goes on, too.

    Args:
        session: a session of the warehouse.
        of: which entries; all of them by default.
    """
    found: dict[str, set[date | None]] = {}
    if session.exists(RECORD):
        for name, day in session.rows(f"SELECT table_name, window_date FROM {RECORD.relation}"):
            if of(name):
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
    loads = [name for name in left if not (is_snapshot(name) or is_monthly(name))]
    what = f"The {'load' if loads else 'scoring'} of {named or ', '.join(sorted(left))}"
    raise UnfinishedError(
        f"{what} was begun and has not finished: some tables have its rows and were checked, "
        f"others not ({', '.join(sorted(left))}). Nothing is published until it has finished. Run "
        "analytics-assets run, or materialize the job of these days again."
    )


def forget(
    warehouse: Warehouse, days: Collection[date], months: Collection[date], again: Collection[str]
) -> None:
    """Remove unfinished days and months that cannot be built any more: the calendar has shrunk.

    Their rows go from all tables, the ledger of loads and the record, in one transaction.

    Args:
        warehouse: the warehouse.
        days: the days.
        months: the first days of the months.
        again: raw tables to record as begun without a day: tables without days may have amounts of
            these days, and the next load of any day builds them again.
    """
    with warehouse.transaction() as session:
        at = session.value(f"SELECT max(begun_at) FROM {RECORD.relation}")
        if days:
            begin(session, again, None, at)
        for table in TABLES.values():
            column = table.window_column or (
                "window_date" if "window_date" in table.columns else ""
            )
            gone = months if table.partitioning == "monthly" else days
            if column and gone and session.exists(table):
                session.execute(
                    f"DELETE FROM {table.relation} WHERE {column} IN (SELECT unnest(?::DATE[]))",
                    [list(gone)],
                )
        monthly = [name for name in unfinished(session) if is_monthly(name)]
        session.execute(
            f"DELETE FROM {RECORD.relation} WHERE table_name IN (SELECT unnest(?::VARCHAR[])) "
            "AND window_date IN (SELECT unnest(?::DATE[]))",
            [monthly, list(months)],
        )
