"""The published copy: what readers (people, BI, an API) open.

Belongs here: building a read-only file beside, verifying it, swapping the pointer, keeping the
newest few, and resolving the pointer. Does not belong here: what the tables hold.

A build is `published/<number>/warehouse.duckdb`: a new name for each build, because reopening a
replaced file in one process silently gives the old data, and one stem, because the stem is the
catalog. `published/CURRENT` holds the path of the newest, relative to `published/`.

A build begins as a copy of the file before it, in which the days that differ are replaced: a day's
refresh does not write the whole history again. What differs is told by hashes of the rows.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.session import Session

POINTER = "CURRENT"
PUBLISHED_GROUPS = ("core", "marts", "churn", "quality")


@dataclass(frozen=True)
class Build:
    """A published build: its file, and the rows of each of its tables."""

    path: Path
    rows: dict[str, int]


def current_build(published_dir: Path) -> Path:
    """The file that the pointer names.

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

    Raw and staging stay behind: they hold personal columns. Readers that have an older build open
    keep it: a removed file lives until they close it.

    Args:
        warehouse: what is copied.
        published_dir: where builds and the pointer lie.
        keep: builds that are kept, the new one included.

    Returns:
        The new build.

    Raises:
        WarehouseError: the copy differs from the warehouse; the pointer stays as it was.
    """
    published_dir.mkdir(parents=True, exist_ok=True)
    builds = _builds(published_dir)
    number = int(builds[-1].name) + 1 if builds else 1
    beside = published_dir / f".building-{number:06d}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        before = builds[-1] / "warehouse.duckdb" if builds else None
        rows = _copy(warehouse, beside / "warehouse.duckdb", before)
        _verify(beside / "warehouse.duckdb", rows)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    _sync(beside / "warehouse.duckdb")
    directory = published_dir / f"{number:06d}"
    beside.rename(directory)
    _sync(published_dir)

    pointer = published_dir / f".{POINTER}"
    pointer.write_text(f"{directory.name}/warehouse.duckdb\n", encoding="utf-8")
    _sync(pointer)
    pointer.replace(published_dir / POINTER)
    _sync(published_dir)
    for old in _builds(published_dir)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return Build(directory / "warehouse.duckdb", rows)


@contextmanager
def open_build(path: Path) -> Iterator[Session]:
    """A read-only session over the file of a build."""
    with duckdb.connect(str(path), read_only=True) as connection:
        yield DuckDBSession(connection)


def published_tables(session: Session) -> list[Table]:
    """The declared tables of the published groups that exist."""
    return [
        table
        for table in TABLES.values()
        if table.group in PUBLISHED_GROUPS and session.kind(table)
    ]


def _copy(warehouse: Warehouse, path: Path, before: Path | None) -> dict[str, int]:
    with warehouse.read() as session:
        # A copy is no faster with more, and comes last, when the process holds most besides.
        number, unit = session.value("SELECT current_setting('memory_limit')").split()
        session.execute(f"SET memory_limit = '{float(number) / 2} {unit}'")
        tables = published_tables(session)
        changes: dict[str, Change] = {}
        # Whatever is wrong with the build before, this one does without it.
        with suppress(duckdb.Error):
            changes = _changes(session, tables, before) if before else {}
        if changes and before:
            shutil.copyfile(before, path)
        session.execute(f"ATTACH '{_quoted(path)}' AS copy (READ_WRITE)")
        for group in PUBLISHED_GROUPS:
            session.execute(f"CREATE SCHEMA IF NOT EXISTS copy.{group}")
        for relation in changes.keys() - {table.relation for table in tables}:
            session.execute(f"DROP TABLE copy.{relation}")
        rows = {}
        for table in tables:
            days = changes.get(table.relation)
            if days is None:
                session.execute(f"DROP TABLE IF EXISTS copy.{table.relation}")
                session.execute(f"CREATE TABLE copy.{table.relation} AS FROM {table.relation}")
            elif days:
                of_days = f"WHERE {table.window_column} IN (SELECT unnest(?))"
                session.execute(f"DELETE FROM copy.{table.relation} {of_days}", [days])
                session.execute(
                    f"INSERT INTO copy.{table.relation} FROM {table.relation} {of_days}", [days]
                )
            rows[table.relation] = session.count(table.relation)
        session.execute("DETACH copy")
    return rows


# Days that differ; none where a table is the same; None where all of it is to be written.
Change = list[date] | None


def _changes(session: Session, tables: list[Table], before: Path) -> dict[str, Change]:
    """What differs from the build before, by relation; nothing where it is most of the rows."""
    session.execute(f"ATTACH '{_quoted(before)}' AS before (READ_ONLY)")
    try:
        held = session.rows(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
            "WHERE database_name = 'before'"
        )
        changes: dict[str, Change] = {relation: None for (relation,) in held}
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
    """Rows and the sum of their hashes of each day; of a table without days under None."""
    found = session.rows(
        f"SELECT {table.window_column or 'NULL::DATE'}, count(*), sum(hash(rows)::HUGEINT) "
        f"FROM {catalog}{table.relation} AS rows GROUP BY 1"
    )
    return {day: (count, mark) for day, count, mark in found}


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _verify(path: Path, rows: dict[str, int]) -> None:
    """Open the build as a reader would, and count."""
    with open_build(path) as session:
        for relation, expected in rows.items():
            found = session.count(relation)
            if found != expected:
                raise WarehouseError(
                    f"The copy of {relation} has {found} rows, not {expected}: not published. "
                    "Check the disk, then materialize published_warehouse again."
                )


def _builds(published_dir: Path) -> list[Path]:
    return sorted(path for path in published_dir.iterdir() if path.name.isdigit())


def _sync(path: Path) -> None:
    """Force a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
