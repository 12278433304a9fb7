"""The published copy: what readers (people, BI, an API) open.

Belongs here: building a read-only copy next to the older ones, verifying it, moving the pointer to
it, keeping the newest few, and resolving the pointer. Does not belong here: what the tables mean.

A build is `published/<number>/warehouse.duckdb`, with rows by key in `lookup.sqlite`. Each has a
new folder, because a process that reopens a replaced file silently reads the old data; all have the
same file name, because DuckDB names the catalog after it. `published/CURRENT` contains the path of
the newest, relative to `published/`.

A build starts as a copy of the previous build, in which the days that differ are replaced: a day's
refresh does not write the whole history again. Hashes of the rows show which days differ.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas import TABLES, Table
from analytics_assets.schemas.units import unit_of
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.lookup import FILE, write_lookup
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import require_finished, unfinished

POINTER = "CURRENT"
PUBLISHED_GROUPS = ("core", "marts", "churn", "quality")


@dataclass(frozen=True)
class Build:
    """A published build: its file, and the number of rows of each of its tables."""

    path: Path
    rows: dict[str, int]


def current_build(published_dir: Path) -> Path:
    """The file of the current build.

    Raises:
        WarehouseError: nothing has been published, or the pointer names a missing file.
    """
    pointer = published_dir / POINTER
    if not pointer.is_file():
        raise WarehouseError(
            f"Nothing is published in {published_dir}: materialize published_warehouse first."
        )
    path = published_dir / pointer.read_text(encoding="utf-8").strip()
    if not path.is_file():
        raise WarehouseError(
            f"{pointer} names {path}, which is gone: materialize published_warehouse again."
        )
    return path


def publish(warehouse: Warehouse, published_dir: Path, keep: int) -> Build:
    """Build a read-only copy of core, marts, churn and quality, and make it the current one.

    Raw and staging are not copied: they have personal columns. Readers that have an older build
    open keep it: a removed file exists until they close it.

    Args:
        warehouse: the warehouse to copy.
        published_dir: the folder of the builds and the pointer.
        keep: number of builds to keep, the new one included.

    Returns:
        The new build.

    Raises:
        WarehouseError: a load has not finished, or the copy differs from the warehouse; the pointer
            stays as it was.
    """
    published_dir.mkdir(parents=True, exist_ok=True)
    earlier = builds(published_dir)
    number = int(earlier[-1].name) + 1 if earlier else 1
    building = published_dir / f".building-{number:06d}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        before = earlier[-1] / "warehouse.duckdb" if earlier else None
        rows = _copy(warehouse, building / "warehouse.duckdb", before)
        _verify(building / "warehouse.duckdb", rows)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    for name in ("warehouse.duckdb", FILE):
        _sync(building / name)
    directory = published_dir / f"{number:06d}"
    building.rename(directory)
    _sync(published_dir)

    pointer = published_dir / f".{POINTER}"
    pointer.write_text(f"{directory.name}/warehouse.duckdb\n", encoding="utf-8")
    _sync(pointer)
    pointer.replace(published_dir / POINTER)
    _sync(published_dir)
    for old in builds(published_dir)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return Build(directory / "warehouse.duckdb", rows)


@contextmanager
def open_build(path: Path) -> Iterator[Session]:
    """A read-only session over the file of a build."""
    with duckdb.connect(str(path), read_only=True) as session:
        yield DuckDBSession(session)


def published_tables(session: Session) -> list[Table]:
    """The declared tables of the published groups that exist."""
    return [
        table
        for table in TABLES.values()
        if table.group in PUBLISHED_GROUPS and not table.is_view and session.kind(table)
    ]


def _copy(warehouse: Warehouse, path: Path, before: Path | None) -> dict[str, int]:
    with warehouse.read() as session:
        require_finished(unfinished(session))
        # More memory makes a copy no faster, and at the end of a run the process uses most of it.
        number, unit = session.value("SELECT current_setting('memory_limit')").split()
        session.execute(f"SET memory_limit = '{float(number) / 2} {unit}'")
        tables = published_tables(session)
        changes: dict[str, Change] = {}
        # Where the previous build cannot be read, all tables are copied whole.
        with suppress(duckdb.Error):
            changes = _changes(session, tables, before) if before else {}
        if changes and before:
            shutil.copyfile(before, path)
        session.execute(f"ATTACH {literal(path)} AS copy (READ_WRITE)")
        for group in PUBLISHED_GROUPS:
            session.execute(f"CREATE SCHEMA IF NOT EXISTS copy.{group}")
        for relation in changes.keys() - {table.relation for table in tables}:
            session.execute(f"DROP TABLE copy.{relation}")
        rows = {}
        for table in tables:
            days = changes.get(table.relation)
            if days is None:
                session.execute(f"DROP TABLE IF EXISTS copy.{table.relation}")
                session.execute(
                    f"CREATE TABLE copy.{table.relation} AS FROM {table.relation} {_order(table)}"
                )
            elif days:
                of_days = f"WHERE {table.window_column} IN (SELECT unnest(?))"
                session.execute(f"DELETE FROM copy.{table.relation} {of_days}", [days])
                session.execute(
                    f"INSERT INTO copy.{table.relation} FROM {table.relation} {of_days} "
                    f"{_order(table)}",
                    [days],
                )
            rows[table.relation] = session.count(table.relation)
        _comment(session, tables)
        write_lookup(
            session,
            {table.name: f"copy.{table.relation}" for table in tables},
            path.with_name(FILE),
        )
        session.execute("DETACH copy")
    return rows


def _comment(session: Session, tables: list[Table]) -> None:
    """Say in the copy what each table and column means, with its unit, for readers in SQL.

    All of it each time: a description may have changed where no row has.
    """
    session.execute("BEGIN")  # one write to the disk, not one a column
    for table in tables:
        of_table = f"copy.{table.relation}"
        session.execute(f"COMMENT ON TABLE {of_table} IS {literal(table.description)}")
        for name in session.columns(table, "copy"):
            if name in table.columns:
                unit = unit_of(table, name)
                text = f"{table.schema.columns[name].description}{f' [{unit}]' if unit else ''}"
                session.execute(
                    f"COMMENT ON COLUMN {of_table}.{identifier(name)} IS {literal(text)}"
                )
    session.execute("COMMIT")


def _order(table: Table) -> str:
    """Rows of one customer next to each other: who asks for them reads few blocks."""
    if "customer_id" not in table.key:
        return ""
    first = [table.window_column] if table.window_column else []
    return f"ORDER BY {', '.join([*first, *(name for name in table.key if name not in first)])}"


# The days that differ, empty where the table is the same; None where all of it has to be written.
Change = list[date] | None


def _changes(session: Session, tables: list[Table], before: Path) -> dict[str, Change]:
    """The changes since the previous build, by relation; empty where most rows have changed."""
    session.execute(f"ATTACH {literal(before)} AS before (READ_ONLY)")
    try:
        relations = session.rows(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
            "WHERE database_name = 'before'"
        )
        changes: dict[str, Change] = {relation: None for (relation,) in relations}
        changed = rows = 0
        for table in tables:
            now = _marks(session, table, "")
            rows += sum(count for count, _ in now.values())
            columns = [session.columns(table, name) for name in (None, "before")]
            same_columns = [*columns[0].items()] == [*columns[1].items()]  # in the same order
            then = _marks(session, table, "before.") if same_columns else {}
            days = [day for day in {*now, *then} if now.get(day) != then.get(day)]
            whole = not same_columns or None in days
            changed += sum(now[day][0] for day in (now if whole else days) if day in now)
            changes[table.relation] = None if whole else [day for day in days if day]
        return changes if changed <= rows / 2 else {}
    finally:
        session.execute("DETACH before")


def _marks(session: Session, table: Table, catalog: str) -> dict[date | None, tuple[int, int]]:
    """Number of rows and sum of their hashes, by day; by None for a table without days."""
    rows = session.rows(
        f"SELECT {table.window_column or 'NULL::DATE'}, count(*), sum(hash(whole_row)::HUGEINT) "
        f"FROM {catalog}{table.relation} AS whole_row GROUP BY 1"
    )
    return {day: (count, mark) for day, count, mark in rows}


def _verify(path: Path, rows: dict[str, int]) -> None:
    """Open the build as a reader would, and compare the row counts."""
    with open_build(path) as session:
        for relation, expected in rows.items():
            actual = session.count(relation)
            if actual != expected:
                raise WarehouseError(
                    f"The copy of {relation} has {actual} rows, not {expected}: not published. "
                    "Check the disk, then materialize published_warehouse again."
                )


def builds(published_dir: Path) -> list[Path]:
    """The folders of the builds, oldest first."""
    return sorted(path for path in published_dir.iterdir() if path.name.isdigit())


def _sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
