"""The one owner of connections to the warehouse file.

Belongs here: opening, preparing and closing. Does not belong here: what is written (`windows`,
`io_manager`, the dbt project) or who may read (`publish`).
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession

POOL = "warehouse"  # limit 1: one process writes at a time
SCHEMAS = ("raw", "staging", "core", "marts", "churn", "quality")


class WarehouseError(RuntimeError):
    """The warehouse cannot be opened or used; the message says why and what to do."""


class Warehouse:
    """Opens the warehouse for one piece of work at a time and always closes it.

    DuckDB lets one process write and shuts out every other one meanwhile, so a connection lives
    as short as possible and never leaves its `with` block.

    Args:
        path: the DuckDB file; its folder is made when first written.
        memory_limit: DuckDB's memory limit, such as '2GB'.
        threads: DuckDB's threads.
        patience: seconds to wait for another process that holds the file.
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

    @property
    def source_cache(self) -> Path:
        """Where it is remembered what source files hold; may be deleted."""
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
        """A read-write connection in a transaction: all of the block is kept, or none of it."""
        with self.write() as session:
            # A commit goes into the file at once: into the log, from which the connection's end
            # would bring it there, DuckDB may write whole rows once more, uncompressed, where rows
            # that the transaction inserted were updated in it (91 bytes an order line).
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
        """Make the schemas, the tables that Python writes, and empty tables for what is absent.

        Args:
            absent: staging and core tables whose optional source is not configured; models below
                them read an empty table instead.
        """
        made = [t for t in TABLES.values() if t.group in ("raw", "quality") or t.name in absent]
        with self.transaction() as session:
            for schema in SCHEMAS:
                session.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            kinds = session.kinds()
            for table in made:
                kind = kinds.get((table.group, table.name))
                if kind == "view":
                    # The source was configured once and no longer is.
                    session.execute(f"DROP VIEW {table.relation}")
                if kind != "table":
                    session.execute(table.ddl)

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[DuckDBSession]:
        deadline = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                connection = duckdb.connect(
                    str(self.path), read_only=read_only, config=self._config
                )
                break
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise
                if time.monotonic() >= deadline:
                    raise WarehouseError(
                        f"{self.path} is held by another process for over {self._patience:.0f} s: "
                        f"{error}. Wait for that run to end, or stop the process; to read while a "
                        "run writes, open the published copy instead."
                    ) from error
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield DuckDBSession(connection)
        finally:
            connection.close()
