"""Tables of databases, streamed as Arrow: PostgreSQL through ADBC, and DuckDB files.

Belongs here: the queries that push a window down, data versions computed by the database, and one
snapshot for both. Does not belong here: types of the contract (`typed`), files (`files`).
"""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import (
    Part,
    Reader,
    Scan,
    SourceError,
    identifier,
    mapped_columns,
    unknown_columns,
)

# What goes over as it is typed; anything else the database writes as text.
PLAIN_TYPES = ("SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DATE", "VARCHAR")


class DatabaseReader(Reader):
    """One table or query of a database. A database is one subclass: a session and some SQL."""

    view = "source_stream"
    table = "source_rows"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self.relation = f"({config.query}) AS source" if config.query else str(config.table)

    @abstractmethod
    def session(self) -> AbstractContextManager["Session"]:
        """A read-only session in which every query sees one snapshot.

        Raises:
            SourceError: the database cannot be reached.
        """

    @abstractmethod
    def day_of(self, column: str, type_: str) -> str | None:
        """SQL of the UTC date of a time column; None where its type has no date (text)."""

    @abstractmethod
    def checksum(self, columns: list[str]) -> str:
        """SQL aggregate over rows: the same for the same rows in any order."""

    @property
    def name(self) -> str:
        """The table, or that it is a query; of a file, its name before that."""
        return str(self.config.table or "query")

    @property
    def place(self) -> str:
        """The table, or the query."""
        return str(self.config.table or self.config.query)

    @contextmanager
    def scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        window: Window | None,
        calendar: Calendar,
        scratch: Path,
        *,
        careful: bool = True,
    ) -> Iterator[Scan]:
        """The rows of a window, and their versions, from one snapshot."""
        with self.session() as session:
            types, mapped = self._columns(session)
            versions = None
            if not self._days_are_unseen(types, mapped, window):
                versions = self._versions(session, types, mapped, window, calendar)
            wanted = {name: types[name] for name in dict.fromkeys(mapped.values())}
            listed = ", ".join(session.plain(name, type_) for name, type_ in wanted.items())
            condition = self._condition(types, mapped, window, calendar)
            stream = session.stream(f"SELECT {listed} FROM {self.relation} WHERE {condition}")
            # A stream can be read once: an empty table of its schema says what DuckDB makes of it.
            connection.register(self.view, stream.schema.empty_table())
            described = connection.execute(f"DESCRIBE {self.view}").fetchall()
            connection.unregister(self.view)
            connection.register(self.view, stream)
            # The rows are looked at more than once, and a stream can be read once.
            try:
                connection.execute(f"CREATE OR REPLACE TEMP TABLE {self.table} AS FROM {self.view}")
            except duckdb.Error as error:
                # Not chained: DuckDB may quote a row.
                why = str(error).splitlines()[0][:200]
                raise SourceError(
                    f"{self.config.source}: {self.name}: {why}. Nothing was loaded."
                ) from None
            connection.unregister(self.view)
            first, rows = connection.execute(
                f"SELECT coalesce(min(rowid), 0), count(*) FROM {self.table}"
            ).fetchall()[0]
            try:
                warnings = []
                unknown = unknown_columns(self.config, list(types))
                if unknown:
                    warnings.append(f"columns that nothing reads: {', '.join(unknown)}")
                if not rows:
                    warnings.append(f"{self.name}: no rows")
                yield Scan(
                    f"(SELECT *, 0 AS _load_part, rowid - {first} + 1 AS _load_row, "
                    f"NULL::BIGINT AS _load_line FROM {self.table})",
                    {row[0]: row[1] for row in described},
                    [Part(self.name, rows=rows)],
                    numbered=True,
                    versions=versions,
                    warnings=warnings,
                )
            finally:
                # A transaction that has failed takes the table with it.
                with suppress(duckdb.Error):
                    connection.execute(f"DROP TABLE IF EXISTS temp.{self.table}")

    def versions(
        self, window: Window | None, calendar: Calendar, since: Any = None
    ) -> dict[date | None, str] | None:
        """Count, newest change and checksum of each day's rows.

        None where the times are text: then only their typed rows tell the days apart.

        Args:
            window: the days; None for a source without days.
            calendar: the days that the sources cover.
            since: only days with a row changed at or after this time of the source.
        """
        with self.session() as session:
            types, mapped = self._columns(session)
            if self._days_are_unseen(types, mapped, window):
                return None
            return self._versions(session, types, mapped, window, calendar, since)

    def _days_are_unseen(
        self, types: Mapping[str, str], mapped: Mapping[str, str], window: Window | None
    ) -> bool:
        """Whether there are days that the database cannot tell apart."""
        return window is not None and self._day(types, mapped) is None

    def _columns(self, session: "Session") -> tuple[dict[str, str], dict[str, str]]:
        """Types of the columns, and which of them are ours."""
        found = session.types(self.config.query or f"SELECT * FROM {self.config.table}")
        mapped = mapped_columns(self.config, [name for name, _ in found], self.name)
        return dict(found), mapped

    def _versions(
        self,
        session: "Session",
        types: Mapping[str, str],
        mapped: Mapping[str, str],
        window: Window | None,
        calendar: Calendar,
        since: Any = None,
    ) -> dict[date | None, str]:
        day = self._day(types, mapped)
        changed = identifier(mapped["updated_at"]) if "updated_at" in mapped else "NULL"
        figures = (
            f"count(*), max({changed}), {self.checksum([identifier(n) for n in mapped.values()])}"
        )
        if window is None or day is None:
            rows = session.fetch(f"SELECT {figures} FROM {self.relation}")
            return {None: self._version(rows[0])}
        end = f"DATE '{calendar.end}'" if calendar.end else "DATE '2100-01-01'"
        inside = f"{day} >= DATE '{calendar.start}' AND {day} < {end}"
        # A row without a usable day is accounted to the first.
        counted = f"CASE WHEN {inside} THEN {day} ELSE DATE '{calendar.start}' END"
        condition = self._condition(types, mapped, window, calendar)
        if since is not None and "updated_at" in mapped:
            recent = f"SELECT {counted} FROM {self.relation} WHERE {changed} >= '{since}'"
            condition = f"({condition}) AND {counted} IN ({recent})"
        rows = session.fetch(
            f"SELECT {counted}, {figures} FROM {self.relation} WHERE {condition} GROUP BY 1"
        )
        found = {row[0]: self._version(row[1:]) for row in rows if row[0] in set(window)}
        if since is not None:
            return dict(found)
        empty = self._version((0, None, None))
        return {day: found.get(day, empty) for day in window}

    def _version(self, figures: tuple[Any, ...]) -> str:
        count, changed, checksum = figures
        return f"{count}-{changed}-{checksum or 0}-{self.config.fingerprint}"

    def _day(self, types: Mapping[str, str], mapped: Mapping[str, str]) -> str | None:
        column = self.config.contract.time_column
        return self.day_of(identifier(mapped[column]), types[mapped[column]]) if column else None

    def _condition(
        self,
        types: Mapping[str, str],
        mapped: Mapping[str, str],
        window: Window | None,
        calendar: Calendar,
    ) -> str:
        """Rows that the window can hold. It is kept plain, so that an index on the time serves."""
        column = self.config.contract.time_column
        if window is None or column is None or self._day(types, mapped) is None:
            return "TRUE"
        time = identifier(mapped[column])
        # A day wider on both sides: the column may be in another time zone; the load cuts exactly.
        day = timedelta(days=1)
        condition = f"{time} >= DATE '{window.start - day}' AND {time} < DATE '{window.end + day}'"
        if window.start == calendar.start:
            condition = f"({condition}) OR {time} IS NULL OR {time} < DATE '{calendar.start}'"
            if calendar.end:
                condition += f" OR {time} >= DATE '{calendar.end - day}'"
        return f"({condition})"


class Session:
    """One snapshot of a database."""

    def types(self, query: str) -> list[tuple[str, str]]:
        """Name and type of the columns of a query, in words of the database."""
        raise NotImplementedError

    def plain(self, name: str, type_: str) -> str:
        """SQL of a column in a type that Arrow and DuckDB know exactly."""
        raise NotImplementedError

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        raise NotImplementedError

    def stream(self, query: str) -> Any:
        """The result as an Arrow stream."""
        raise NotImplementedError


class PostgresReader(DatabaseReader):
    """A table or query of PostgreSQL; the address comes from an environment variable."""

    kind = "postgres"

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """A read-only transaction of one snapshot (REPEATABLE READ)."""
        variable = self.config.connection_env
        address = os.environ.get(str(variable))
        if not address:
            raise SourceError(
                f"{self.config.source}: the environment variable {variable} is not set. Set it to "
                "the database's address: postgresql://user:password@host:port/database."
            )
        try:
            import adbc_driver_postgresql.dbapi as postgres
        except ImportError as error:
            raise SourceError(
                f"{self.config.source}: reading PostgreSQL needs analytics_assets[postgres]."
            ) from error
        try:
            connection = postgres.connect(address)
        except postgres.Error as error:
            # Not chained: the message may hold the address, and so the password.
            raise SourceError(
                f"{self.config.source}: the database of {variable} cannot be reached. Check the "
                f"address, and that it answers: {_first_line(error, address)}"
            ) from None
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
                cursor.execute("SET LOCAL DateStyle = 'ISO, YMD'")
            yield _PostgresSession(connection)
        except postgres.Error as error:
            raise SourceError(
                f"{self.config.source}: {self.place} cannot be read: {_first_line(error, address)}"
            ) from None
        finally:
            connection.close()

    def day_of(self, column: str, type_: str) -> str | None:
        """The date in UTC; a time without zone is in the configured one."""
        if type_ == "timestamp with time zone":
            return f"({column} AT TIME ZONE 'UTC')::date"
        if type_ == "timestamp without time zone":
            zone = self.config.time_zone.replace("'", "''")
            return f"(({column} AT TIME ZONE '{zone}') AT TIME ZONE 'UTC')::date"
        return column if type_ == "date" else None

    def checksum(self, columns: list[str]) -> str:
        """Sum of a 64-bit hash of each row."""
        return f"sum(hashtextextended(row({', '.join(columns)})::text, 0)::numeric)::text"


class _PostgresSession(Session):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def types(self, query: str) -> list[tuple[str, str]]:
        with self._connection.cursor() as cursor:
            # Arrow's types leave out what PostgreSQL calls them; an empty row has both.
            cursor.execute(f"SELECT * FROM ({query}) AS described LIMIT 0")
            names = [column[0] for column in cursor.description]
            listed = ", ".join(f"pg_typeof({identifier(name)})::text" for name in names)
            cursor.execute(
                f"SELECT {listed} FROM (SELECT 1) AS one LEFT JOIN ({query}) AS described ON false"
            )
            types = cursor.fetchone()
        return list(zip(names, types, strict=True))

    def plain(self, name: str, type_: str) -> str:
        column = identifier(name)
        if type_ in ("smallint", "integer", "bigint", "real", "double precision", "text", "date"):
            return column
        if type_.startswith("timestamp"):
            return column
        return f"{column}::text AS {column}"

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def stream(self, query: str) -> Any:
        # Kept: a cursor that is forgotten closes its stream.
        self._streaming = self._connection.cursor()
        self._streaming.execute(query)
        return self._streaming.fetch_record_batch()


class DuckDBReader(DatabaseReader):
    """A table or query of a DuckDB file."""

    kind = "duckdb"

    @property
    def name(self) -> str:
        """File and table."""
        return f"{Path(self.config.path).name}: {super().name}"

    @property
    def place(self) -> str:
        """Path and table."""
        return f"{self.config.path}: {super().place}"

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """A read-only connection: nobody can write to the file while it is open."""
        path = Path(self.config.path)
        if not path.is_file():
            raise SourceError(f"{self.config.source}: there is no DuckDB file at {path}.")
        try:
            connection = duckdb.connect(str(path), read_only=True)
        except duckdb.Error as error:
            raise SourceError(
                f"{self.config.source}: {path} cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield _DuckDBSession(connection)
        except duckdb.Error as error:
            raise SourceError(
                f"{self.config.source}: {self.place} cannot be read: {str(error).splitlines()[0]}"
            ) from error
        finally:
            connection.close()

    def day_of(self, column: str, type_: str) -> str | None:
        """The date in UTC; a time without zone is in the configured one."""
        if type_ == "TIMESTAMP WITH TIME ZONE":
            return f"TRY_CAST({column} AT TIME ZONE 'UTC' AS DATE)"
        if type_.startswith("TIMESTAMP"):
            zone = self.config.time_zone.replace("'", "''")
            naive = f"TRY_CAST({column} AS TIMESTAMP)"
            return f"TRY_CAST(({naive} AT TIME ZONE '{zone}') AT TIME ZONE 'UTC' AS DATE)"
        return column if type_ == "DATE" else None

    def checksum(self, columns: list[str]) -> str:
        """Sum of a 64-bit hash of each row."""
        return f"sum(hash({', '.join(columns)})::HUGEINT)::VARCHAR"


class _DuckDBSession(Session):
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def types(self, query: str) -> list[tuple[str, str]]:
        described = self._connection.sql(query)
        return [
            (name, str(type_))
            for name, type_ in zip(described.columns, described.types, strict=True)
        ]

    def plain(self, name: str, type_: str) -> str:
        return identifier(name)

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def stream(self, query: str) -> Any:
        return self._connection.sql(query).to_arrow_reader(100_000)


def _first_line(error: Exception, address: str) -> str:
    """What a database says, without the address that holds the password."""
    lines = str(error).replace(address, "...").splitlines()
    return lines[0][:300] if lines else type(error).__name__
