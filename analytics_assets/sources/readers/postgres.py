"""PostgreSQL through ADBC.

Belongs here: a session of one snapshot, and SQL of PostgreSQL alone. Does not belong
here: what all databases share (`databases`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.databases import DatabaseReader, Session, first_line, kind_of


class PostgresReader(DatabaseReader):
    """A table or query of PostgreSQL; the address comes from an environment variable."""

    format = kind = "postgres"
    words = ("connection_env", "table", "query")
    place_word = "connection_env"
    scheme = "postgresql"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A read-only transaction of one snapshot (REPEATABLE READ)."""
        variable, address = self.config.connection_env, self.address()
        try:
            import adbc_driver_postgresql.dbapi as postgres
        except ImportError as error:
            raise SourceError(
                f"{self.config.source}: reading PostgreSQL needs analytics_assets[postgres]."
            ) from error
        try:
            connection = postgres.connect(address)
        except postgres.Error as error:
            kind = kind_of(error)
            # Not chained: the message may contain the address, and so the password.
            raise kind(
                f"{self.config.source}: the database of {variable} cannot be reached. Check the "
                f"address, and that it answers: {first_line(error, address)}"
            ) from None
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
                cursor.execute("SET LOCAL DateStyle = 'ISO, YMD'")
            yield _PostgresSession(connection)
        except postgres.Error as error:
            kind = kind_of(error)
            raise kind(
                f"{self.config.source}: {self.place} cannot be read: {first_line(error, address)}"
                ". Check `table` or `query` of the source, and what the user may read."
            ) from None
        finally:
            connection.close()

    def day_of(self, column: str, type_: str) -> str | None:
        """The shop's date; a time without zone is in the configured one."""
        shop = literal(self.config.shops_zone)
        if type_ == "timestamp with time zone":
            return f"({column} AT TIME ZONE {shop})::date"
        if type_ == "timestamp without time zone":
            zone = literal(self.config.time_zone)
            return f"(({column} AT TIME ZONE {zone}) AT TIME ZONE {shop})::date"
        return column if type_ == "date" else None

    def checksum(self, columns: list[str]) -> str:
        """Sum of a 64-bit hash of each row."""
        return f"sum(hashtextextended(row({', '.join(columns)})::text, 0)::numeric)::text"


class _PostgresSession(Session):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def types(self, query: str) -> list[tuple[str, str]]:
        with self._connection.cursor() as cursor:
            # Arrow's types lack PostgreSQL's names of types; a row of NULLs has both.
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
        # Kept, because a cursor that is garbage-collected closes its stream.
        self._streaming = self._connection.cursor()
        self._streaming.execute(query)
        return self._streaming.fetch_record_batch()
