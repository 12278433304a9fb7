"""The one owner of connections to the warehouse file.

Belongs here: opening, migrating, preparing and closing the file. Does not belong here: what is
written to it (`windows`, `io_manager`, the dbt project) or what readers open (`publish`).
"""

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.damage import WarehouseError, raise_if_damaged
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.migration import differences, migrate

POOL = "warehouse"  # limit 1: one process writes at a time
SCHEMAS = ("raw", "staging", "core", "marts", "churn", "quality")


_LOG = logging.getLogger(__name__)


class WarehouseLockedError(WarehouseError):
    """Another process has the warehouse open."""


class Warehouse:
    """Opens the warehouse for one piece of work at a time and always closes it.

    While one process writes, DuckDB lets no other process open the file. So a connection is as
    short as possible and never leaves its `with` block.

    Args:
        path: the DuckDB file; its folder is created by the first write.
        memory_limit: DuckDB's memory limit, such as '2GB'.
        threads: number of DuckDB's threads.
        patience: seconds to wait while another process has the file open.
    """

    def __init__(
        self, path: Path, memory_limit: str = "2GB", threads: int = 2, patience: float = 60.0
    ) -> None:
        self.path = path
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": str(threads),
            "temp_directory": str(path.with_suffix(".tmp")),
        }
        self._patience = patience
        self._is_current = not path.exists()  # known to have the columns of the code

    @property
    def source_cache(self) -> Path:
        """The file that remembers the contents of source files; it may be deleted."""
        return self.path.with_name("source_files.sqlite")

    @contextmanager
    def write(self) -> Iterator[DuckDBSession]:
        """A read-write connection."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(read_only=False) as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[DuckDBSession]:
        """A read-only connection.

        Raises:
            WarehouseError: there is no warehouse yet.
        """
        if not self.path.exists():
            raise WarehouseError(
                f"There is no warehouse at {self.path}. Materialize the raw assets first, or check "
                "ANALYTICS_HOME."
            )
        with self._open(read_only=True) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[DuckDBSession]:
        """A read-write connection in a transaction: everything in the block is kept, or nothing."""
        with self.write() as session:
            # Commit into the file, not into the log that is merged into it when the connection
            # closes: where a transaction updates rows that it inserted, DuckDB may write them to
            # the log whole and uncompressed (91 bytes an order line).
            session.execute("SET checkpoint_threshold = '1B'")
            session.execute("SET auto_checkpoint_skip_wal_threshold = 0")
            session.execute("BEGIN")
            try:
                yield session
                session.execute("COMMIT")
            except BaseException:
                # A fatal error (disk full at a checkpoint) leaves nothing to roll back.
                with suppress(duckdb.Error):
                    session.execute("ROLLBACK")
                raise

    def prepare(self, absent: Collection[str] = ()) -> None:
        """Create the schemas, the tables that Python writes, and empty tables for what is absent.

        Args:
            absent: staging and core tables whose optional source is not configured; the models
                that use them read an empty table instead.
        """
        of_python = [
            t for t in TABLES.values() if t.group in ("raw", "quality") and not t.is_optional
        ]
        wanted = [*of_python, *(TABLES[name] for name in absent)]
        with self.transaction() as session:
            for schema in SCHEMAS:
                session.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            kinds = session.kinds()
            for table in wanted:
                kind = kinds.get((table.group, table.name))
                if kind == "view":
                    # The source was configured once and no longer is.
                    session.execute(f"DROP VIEW {table.relation}")
                if kind != "table":
                    session.execute(table.ddl)

    def migrate(self) -> list[str]:
        """Bring the stored tables up to the code, which the first opening does anyway.

        Returns:
            What was done and what has to be built again, as lines for people; none if nothing was.
        """
        if not self.path.exists():
            return []
        self._is_current = False
        with self.as_stored() as session:
            behind = differences(session)
        lines = []
        if behind:
            # Read again: another process may have migrated meanwhile.
            with self._connection(read_only=False) as session:
                session.execute("BEGIN")
                lines = migrate(session, differences(session))
                session.execute("COMMIT")
        self._is_current = True
        return lines

    @contextmanager
    def as_stored(self, *, read_only: bool = True) -> Iterator[DuckDBSession]:
        """A connection to the tables as they are: nothing is migrated."""
        with self._connection(read_only=read_only) as session:
            yield session

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[DuckDBSession]:
        if not self._is_current:
            for line in self.migrate():
                _LOG.warning(line)
        with self._connection(read_only=read_only) as session:
            yield session

    @contextmanager
    def _connection(self, *, read_only: bool) -> Iterator[DuckDBSession]:
        connection = self._connect(read_only)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield DuckDBSession(connection)
        except duckdb.Error as error:
            raise_if_damaged(self.path, error)
            raise
        finally:
            connection.close()

    def _connect(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=self._config)
            except duckdb.Error as error:
                raise_if_damaged(self.path, error)
                if "lock" not in str(error).lower() or not isinstance(error, duckdb.IOException):
                    raise
                if time.monotonic() >= deadline:
                    raise WarehouseLockedError(
                        f"{self.path} is locked by another process, for over {self._patience:.0f} "
                        f"seconds: {error}. Wait for that run to end, or stop the process; to read "
                        "while a run writes, open the published copy instead."
                    ) from error
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
