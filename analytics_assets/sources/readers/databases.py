"""Tables of databases, streamed as Arrow.

Belongs here: queries of a window, data versions that the database computes, and one snapshot for
both. Does not belong here: any one database (`postgres`, `duckdb_file`), types of the contract
(`typed`).
"""

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.addresses import SecretError, address_problem, secret, without_password
from analytics_assets.partitions import Calendar, Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import (
    LOOKED_AT_ROWS,
    Part,
    Reader,
    Sample,
    Scan,
    SourceError,
    UnreachableError,
    mapped_columns,
    read_columns,
)
from analytics_assets.sources.readers.unread import unknown_columns, unread

# What drivers say when a server or the way to it is away; they have no codes for it.
AWAY = re.compile(
    r"refused|timed? ?out|closed|reset by|broken pipe|lost connection|gone away|not known|"
    r"name resolution|no route|unreachable|terminat|PQgetCopyData|in an error state|too many|"
    r"starting up|shutting down|no such file or directory|set lock|is locked",
    re.IGNORECASE,
)


class Session:
    """One snapshot of a database."""

    def types(self, query: str) -> list[tuple[str, str]]:
        """Name and type of the columns of a query, as the database names types."""
        raise NotImplementedError

    def plain(self, name: str, type_: str) -> str:
        """SQL of a column in a type that Arrow and DuckDB represent exactly."""
        raise NotImplementedError

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        raise NotImplementedError

    def stream(self, query: str) -> Any:
        """The result as an Arrow stream."""
        raise NotImplementedError


class DatabaseReader(Reader):
    """One table or query of a database. Each database is a subclass: a session and some SQL."""

    computes_versions = True
    scheme = ""  # of its addresses

    view = "source_stream"
    table = "source_rows"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self.relation = f"({config.query}) AS source" if config.query else str(config.table)

    def address(self) -> str:
        """The address of the database, from the environment or a file.

        Raises:
            SourceError: it is not set, or cannot be read as it was meant.
        """
        variable = str(self.config.connection_env)
        try:
            address = secret(variable)
        except SecretError as error:
            way_out = str(error)
            raise SourceError(f"{self.config.source}: {way_out}") from None
        if not address:
            raise SourceError(
                f"{self.config.source}: the environment variable {variable} is not set. Set it to "
                f"the database's address: {self.scheme}://user:password@host:port/database."
            )
        if problem := address_problem(address):
            way_out = problem
            raise SourceError(f"{self.config.source}: the address in {variable} {way_out}")
        return address

    @abstractmethod
    def session(self) -> AbstractContextManager[Session]:
        """A read-only session in which every query sees one snapshot.

        Raises:
            SourceError: the database cannot be reached.
        """

    def day_of(self, column: str, type_: str) -> str | None:
        """SQL of the shop's date of a time column; None where its type has none, such as text."""
        return None

    def checksum(self, columns: list[str]) -> str:
        """SQL aggregate over rows, independent of their order; only if it computes versions."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The table, or `query`; for a database in a file, after the name of the file."""
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
            if self.computes_versions and not self._lacks_days(types, mapped, window):
                versions = self._versions(session, types, mapped, window, calendar)
            wanted = {name: types[name] for name in read_columns(self.config, mapped, list(types))}
            listed = ", ".join(session.plain(name, type_) for name, type_ in wanted.items())
            condition = self._condition(types, mapped, window, calendar)
            stream = session.stream(f"SELECT {listed} FROM {self.relation} WHERE {condition}")
            # A stream can be read only once: an empty table of its schema gives DuckDB's types.
            connection.register(self.view, stream.schema.empty_table())
            described = connection.execute(f"DESCRIBE {self.view}").fetchall()
            connection.unregister(self.view)
            connection.register(self.view, stream)
            # The load reads the rows more than once.
            try:
                connection.execute(f"CREATE OR REPLACE TEMP TABLE {self.table} AS FROM {self.view}")
            except duckdb.Error as error:
                # Not chained: DuckDB may quote a row.
                why = str(error).splitlines()[0][:200]
                kind = kind_of(error)
                raise kind(
                    f"{self.config.source}: {self.name}: {why}. Correct that in "
                    "the source or in `query`; nothing was loaded."
                ) from None
            connection.unregister(self.view)
            first, rows = connection.execute(
                f"SELECT coalesce(min(rowid), 0), count(*) FROM {self.table}"
            ).fetchall()[0]
            try:
                warnings = unread(self.config, unknown_columns(self.config, list(types)))
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
                # The rollback of a failed transaction drops the table, too.
                with suppress(duckdb.Error):
                    connection.execute(f"DROP TABLE IF EXISTS temp.{self.table}")

    def sample(self, calendar: Calendar) -> Sample:
        """All rows; of many some that are spread over the table."""
        whole = self.config.query or f"SELECT * FROM {self.config.table}"
        with self.session() as session:
            types, _ = self._columns(session)
            [(rows,)] = session.fetch(f"SELECT count(*) FROM {self.relation}")
        some, part = self, ""
        if rows > LOOKED_AT_ROWS:
            step = -(-rows // LOOKED_AT_ROWS)
            listed = ", ".join(map(identifier, types))
            query = (
                f"SELECT {listed} FROM (SELECT whole.*, row_number() OVER () AS _load_place "
                f"FROM ({whole}) AS whole) AS placed WHERE _load_place % {step} = 0"
            )
            some = type(self)(replace(self.config, table=None, query=query))
            part = f"one row in {step:,}, as the database lists them"
        return Sample(
            f"{rows:,} row{'s' if rows != 1 else ''}",
            lambda connection, scratch: some.scan(connection, None, calendar, scratch),
            part,
        )

    def versions(
        self, window: Window | None, calendar: Calendar, since: Any = None
    ) -> dict[date | None, str] | None:
        """Count, newest change and checksum of each day's rows.

        None where the times are text: then the days are known only from the typed rows.

        Args:
            window: the days; None for a source without days.
            calendar: the days that the sources cover.
            since: only days with a row changed at or after this time of the source.
        """
        with self.session() as session:
            types, mapped = self._columns(session)
            if self._lacks_days(types, mapped, window):
                return None
            return self._versions(session, types, mapped, window, calendar, since)

    def _lacks_days(
        self, types: Mapping[str, str], mapped: Mapping[str, str], window: Window | None
    ) -> bool:
        """Whether the source has days that the database cannot compute."""
        return window is not None and self._day(types, mapped) is None

    def _columns(self, session: Session) -> tuple[dict[str, str], dict[str, str]]:
        """Types of the columns, and the name of each of ours."""
        types = session.types(self.config.query or f"SELECT * FROM {self.config.table}")
        return dict(types), mapped_columns(self.config, [name for name, _ in types], self.name)

    def _versions(
        self,
        session: Session,
        types: Mapping[str, str],
        mapped: Mapping[str, str],
        window: Window | None,
        calendar: Calendar,
        since: Any = None,
    ) -> dict[date | None, str]:
        day = self._day(types, mapped)
        read = read_columns(self.config, mapped, list(types))
        changed = identifier(mapped["updated_at"]) if "updated_at" in mapped else "NULL"
        figures = f"count(*), max({changed}), {self.checksum([identifier(n) for n in read])}"
        if window is None or day is None:
            rows = session.fetch(f"SELECT {figures} FROM {self.relation}")
            return {None: self._version(rows[0])}
        end = f"DATE '{calendar.end}'" if calendar.end else "DATE '2100-01-01'"
        inside = f"{day} >= DATE '{calendar.start}' AND {day} < {end}"
        # A row without a usable day counts on the first day.
        counted = f"CASE WHEN {inside} THEN {day} ELSE DATE '{calendar.start}' END"
        condition = self._condition(types, mapped, window, calendar)
        if since is not None and "updated_at" in mapped:
            recent = f"SELECT {counted} FROM {self.relation} WHERE {changed} >= '{since}'"
            condition = f"({condition}) AND {counted} IN ({recent})"
        rows = session.fetch(
            f"SELECT {counted}, {figures} FROM {self.relation} WHERE {condition} GROUP BY 1"
        )
        versions: dict[date | None, str] = {
            row[0]: self._version(row[1:]) for row in rows if row[0] in set(window)
        }
        if since is not None:
            return versions
        empty = self._version((0, None, None))
        return {day: versions.get(day, empty) for day in window}

    def _version(self, figures: tuple[Any, ...]) -> str:
        count, changed, checksum = figures
        return f"{count}-{changed}-{checksum or 0}-{self.config.fingerprint}"

    def _day(self, types: Mapping[str, str], mapped: Mapping[str, str]) -> str | None:
        column = self.config.contract.time_column
        if column is None or column not in mapped:
            return None
        if "refunded_at" in mapped or self.config.converts(mapped):
            return None  # a row then belongs to two days, or changes with the rates
        return self.day_of(identifier(mapped[column]), types[mapped[column]])

    def _condition(
        self,
        types: Mapping[str, str],
        mapped: Mapping[str, str],
        window: Window | None,
        calendar: Calendar,
    ) -> str:
        """SQL condition of the window, in a form that can use an index on the time."""
        column = self.config.contract.time_column
        if window is None or column is None or self._day(types, mapped) is None:
            return "TRUE"
        time = identifier(mapped[column])
        # Wider on both sides: the time zones of the column and of the shop may differ by more than
        # a day; the load filters exactly.
        day = timedelta(days=2)
        condition = f"{time} >= DATE '{window.start - day}' AND {time} < DATE '{window.end + day}'"
        if window.start == calendar.start:
            condition = f"({condition}) OR {time} IS NULL OR {time} < DATE '{calendar.start}'"
            if calendar.end:
                condition += f" OR {time} >= DATE '{calendar.end - day}'"
        return f"({condition})"


def kind_of(error: Exception) -> type[SourceError]:
    """Whether another try can help."""
    return UnreachableError if AWAY.search(str(error)) else SourceError


def first_line(error: Exception, address: str) -> str:
    """The database's message without the address and its password."""
    lines = without_password(str(error), address).splitlines()
    return lines[0][:300] if lines else type(error).__name__
