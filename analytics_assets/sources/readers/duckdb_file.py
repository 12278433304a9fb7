"""DuckDB files.

Belongs here: a read-only session, and SQL of DuckDB alone. Does not belong here: what all databases
share (`databases`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.databases import DatabaseReader, Session, kind_of


class DuckDBReader(DatabaseReader):
    """A table or query of a DuckDB file."""

    format = kind = "duckdb"
    suffixes = (".duckdb",)
    words = ("path", "table", "query")

    @property
    def name(self) -> str:
        """File and table."""
        return f"{Path(self.config.path).name}: {super().name}"

    @property
    def place(self) -> str:
        """Path and table."""
        return f"{self.config.path}: {super().place}"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A read-only connection: nobody can write to the file while it is open."""
        path = Path(self.config.path)
        if not path.is_file():
            raise SourceError(
                f"{self.config.source}: there is no DuckDB file at {path}. "
                "Correct `path` in the source configuration."
            )
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error as error:
            kind = kind_of(error)
            raise kind(
                f"{self.config.source}: {path} cannot be opened: {str(error).splitlines()[0]}. "
                "Check that `path` is a DuckDB file that nothing writes to."
            ) from error
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield DuckDBSession(connection)
        except duckdb.Error as error:
            raise SourceError(
                f"{self.config.source}: {self.place} cannot be read: {str(error).splitlines()[0]}. "
                "Correct `table` or `query` in the source configuration."
            ) from error
        finally:
            connection.close()

    def day_of(self, column: str, type_: str) -> str | None:
        """The shop's date; a time without zone is in the configured one."""
        shop = literal(self.config.shops_zone)
        if type_ == "TIMESTAMP WITH TIME ZONE":
            return f"TRY_CAST({column} AT TIME ZONE {shop} AS DATE)"
        if type_.startswith("TIMESTAMP"):
            zone = literal(self.config.time_zone)
            naive = f"TRY_CAST({column} AS TIMESTAMP)"
            return f"TRY_CAST(({naive} AT TIME ZONE {zone}) AT TIME ZONE {shop} AS DATE)"
        return column if type_ == "DATE" else None

    def checksum(self, columns: list[str]) -> str:
        """Sum of a 64-bit hash of each row."""
        return f"sum(hash({', '.join(columns)})::HUGEINT)::VARCHAR"


class DuckDBSession(Session):
    """A connection to DuckDB."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def types(self, query: str) -> list[tuple[str, str]]:
        """Name and type of the columns."""
        described = self._connection.sql(query)
        return [
            (name, str(type_))
            for name, type_ in zip(described.columns, described.types, strict=True)
        ]

    def plain(self, name: str, type_: str) -> str:
        """The column itself."""
        return identifier(name)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """All rows."""
        return self._connection.execute(query).fetchall()

    def stream(self, query: str) -> Any:
        """The result as an Arrow stream."""
        return self._connection.sql(query).to_arrow_reader(100_000)
