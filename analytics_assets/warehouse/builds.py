"""Published builds that stay open for many readers.

Belongs here: opening a build once, giving each reader a cursor, and closing builds that have been
replaced. Does not belong here: what is read (`api`), or how a build is made (`publish`).

A build that is open can be read after its folder has been removed. It is closed once nobody reads
it: otherwise its blocks would stay on the disk.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.lookup import FILE, Lookup
from analytics_assets.warehouse.publish import POINTER, PUBLISHED_GROUPS, current_build

MOST_OPEN = 3
ATTEMPTS = 5  # a build may be removed between reading the pointer and opening it


class NothingPublishedError(WarehouseError):
    """There is no build yet."""


class BuildGoneError(WarehouseError):
    """A build that was named has been removed, or never was."""


@dataclass(eq=False)
class OpenBuild:
    """A build that is open.

    Attributes:
        name: its number, the name of its folder.
        mark: hash that tells it from any other build of that number.
        path: its file.
        published_at: when it was written, in seconds since 1970.
        columns: columns of each of its declared tables, by the table's name.
        lookup: rows by key; None in builds that were made without.
        facts: what readers have found out and keep, by name: a build does not change.
    """

    name: str
    mark: str
    path: Path
    published_at: float
    columns: dict[str, dict[str, str]]
    lookup: Lookup | None
    _connection: duckdb.DuckDBPyConnection = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    readers: int = 0

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """A session of its own for one reader: it can be interrupted without the others."""
        cursor = self._connection.cursor()
        try:
            yield DuckDBSession(cursor)
        finally:
            cursor.close()

    def close(self) -> None:
        """Close the files."""
        self._connection.close()
        if self.lookup:
            self.lookup.close()


class Builds:
    """The published builds of a folder: the current one, and older ones that are still read.

    Args:
        published_dir: the folder of the builds and the pointer.
        memory_limit: memory of DuckDB for each open build.
        threads: threads of DuckDB.
    """

    def __init__(self, published_dir: Path, memory_limit: str, threads: int) -> None:
        self._folder = published_dir
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": str(threads),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            # Readers touch this file and nothing else, whatever a statement says.
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        self._open: dict[str, OpenBuild] = {}  # by mark, the last used last
        self._lock = threading.Lock()
        self._pointer: tuple[tuple[int, int], Path] | None = None

    @contextmanager
    def use(self, name: str | None = None, mark: str | None = None) -> Iterator[OpenBuild]:
        """The current build, or the one that is named; it stays open within the block.

        Args:
            name: number of the build.
            mark: its mark, where it has to be exactly that build.

        Raises:
            NothingPublishedError: there is no build.
            BuildGoneError: the named one does not exist, or is another than it was.
        """
        build = self._take(name, mark)
        try:
            yield build
        finally:
            with self._lock:
                build.readers -= 1
                self._close_replaced()

    @property
    def open_builds(self) -> int:
        """Number of builds that are open."""
        return len(self._open)

    def current_mark(self) -> tuple[str, str]:
        """Name and mark of the current build; it is not opened.

        Raises:
            NothingPublishedError: there is no build.
        """
        path = self._current()
        return path.parent.name, _mark(path)

    def close(self) -> None:
        """Close all builds."""
        with self._lock:
            for build in self._open.values():
                build.close()
            self._open.clear()

    def _take(self, name: str | None, mark: str | None) -> OpenBuild:
        for attempt in range(ATTEMPTS):
            path = self._folder / name / "warehouse.duckdb" if name else self._current()
            try:
                found = mark or _mark(path)
                with self._lock:
                    build = self._open.get(found)
                    if build is None:
                        if found != _mark(path):
                            raise FileNotFoundError(path)
                        build = self._open[found] = self._opened(path, found)
                    else:
                        self._open[found] = self._open.pop(found)
                    build.readers += 1
                    return build
            except FileNotFoundError as error:
                if name:
                    raise BuildGoneError(
                        f"Build {name} is gone, or is not the one that was asked for. Start again "
                        "without naming a build: the current one answers."
                    ) from error
                self._pointer = None
                if attempt == ATTEMPTS - 1:
                    raise NothingPublishedError(
                        f"{path} is gone: materialize published_warehouse again."
                    ) from error
        raise AssertionError("the last attempt returns or raises")

    def _current(self) -> Path:
        """The file that the pointer names; the pointer is read where it has been replaced."""
        try:
            status = os.stat(self._folder / POINTER)  # noqa: PTH116 (twice as fast, on each request)
            seen = (status.st_ino, status.st_mtime_ns)
            if self._pointer is None or self._pointer[0] != seen:
                self._pointer = (seen, current_build(self._folder))
            return self._pointer[1]
        except (FileNotFoundError, WarehouseError) as error:
            self._pointer = None
            raise NothingPublishedError(
                "Nothing is published yet: materialize published_warehouse first."
            ) from error

    def _opened(self, path: Path, mark: str) -> OpenBuild:
        try:
            connection = duckdb.connect(str(path), read_only=True, config=self._config)
        except duckdb.IOException as error:
            if not path.exists():
                raise FileNotFoundError(path) from error
            raise
        columns: dict[str, dict[str, str]] = {}
        for schema, table, column, type_ in connection.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE database_name = current_database() ORDER BY table_name, column_index"
        ).fetchall():
            declared = TABLES.get(table)
            if declared and declared.group == schema and schema in PUBLISHED_GROUPS:
                columns.setdefault(table, {})[column] = type_
        lookup = Lookup(path.with_name(FILE)) if path.with_name(FILE).exists() else None
        return OpenBuild(
            name=path.parent.name,
            mark=mark,
            path=path,
            published_at=path.stat().st_mtime,
            columns=columns,
            lookup=lookup,
            _connection=connection,
        )

    def _close_replaced(self) -> None:
        """Close what nobody reads and is gone or beyond the number of builds that stay open."""
        current = None
        with suppress(NothingPublishedError, FileNotFoundError):
            current = _mark(self._current())
        idle = [mark for mark, b in self._open.items() if not b.readers and mark != current]
        for mark in idle:
            if len(self._open) > MOST_OPEN or not self._open[mark].path.exists():
                self._open.pop(mark).close()


def _mark(path: Path) -> str:
    """A hash that tells the file of a build from any other.

    Raises:
        FileNotFoundError: there is no such file.
    """
    status = os.stat(path)  # noqa: PTH116
    text = f"{path.parent.name} {status.st_ino} {status.st_mtime_ns} {status.st_size}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
