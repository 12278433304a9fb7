"""The published copy: what readers (people, BI, an API) open.

Belongs here: building a read-only file beside, verifying it, swapping the pointer, keeping the
newest few, and resolving the pointer. Does not belong here: what the tables hold.

A build is `published/<number>/warehouse.duckdb`: a new name for each build, because reopening a
replaced file in one process silently gives the old data, and one stem, because the stem is the
catalog. `published/CURRENT` holds the path of the newest, relative to `published/`.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.connection import Warehouse, WarehouseError, relation_kind

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
        rows = _copy(warehouse, beside / "warehouse.duckdb")
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


def published_tables(connection: duckdb.DuckDBPyConnection) -> list[Table]:
    """The declared tables of the published groups that exist."""
    return [
        table
        for table in TABLES.values()
        if table.group in PUBLISHED_GROUPS and relation_kind(connection, table)
    ]


def _copy(warehouse: Warehouse, path: Path) -> dict[str, int]:
    rows = {}
    with warehouse.read() as connection:
        connection.execute(
            f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS copy (READ_WRITE)"
        )
        for group in PUBLISHED_GROUPS:
            connection.execute(f"CREATE SCHEMA copy.{group}")
        for table in published_tables(connection):
            result = connection.execute(
                f"CREATE TABLE copy.{table.relation} AS FROM {table.relation}"
            ).fetchone()
            rows[table.relation] = int(result[0]) if result else 0
        connection.execute("DETACH copy")
    return rows


def _verify(path: Path, rows: dict[str, int]) -> None:
    """Open the build as a reader would, and count."""
    with duckdb.connect(str(path), read_only=True) as connection:
        for relation, expected in rows.items():
            found = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
            if found != (expected,):
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
