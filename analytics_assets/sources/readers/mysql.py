"""MySQL and MariaDB through SQLAlchemy and PyMySQL.

Belongs here: a session of one snapshot, and SQL of MySQL alone. Does not belong here:
what all databases share (`databases`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from analytics_assets.quoting import identifier
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.databases import DatabaseReader, Session, first_line, kind_of

BATCH = 50_000
# Types that Arrow represents exactly; any other comes as text.
ARROW = {
    "int": pa.int64(),
    "mediumint": pa.int64(),
    "smallint": pa.int64(),
    "tinyint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", "UTC"),
}


class MySQLReader(DatabaseReader):
    """A table or query of MySQL; the address comes from an environment variable."""

    format = kind = "mysql"
    words = ("connection_env", "table", "query")
    place_word = "connection_env"
    scheme = "mysql"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A read-only transaction of one snapshot."""
        variable, address = self.config.connection_env, self.address()
        try:
            import pymysql  # type: ignore[import-untyped]
            import sqlalchemy as sa
        except ImportError as error:
            raise SourceError(
                f"{self.config.source}: reading MySQL needs analytics_assets[mysql]."
            ) from error
        try:
            url = sa.make_url(address).set(drivername="mysql+pymysql")
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            opened = engine.raw_connection()
        except (sa.exc.SQLAlchemyError, pymysql.MySQLError, ValueError) as error:
            kind = kind_of(error)
            # Not chained: the message may contain the address, and so the password.
            raise kind(
                f"{self.config.source}: the database of {variable} cannot be reached. Check the "
                f"address, and that it answers: {first_line(error, address)}"
            ) from None
        connection: Any = opened.driver_connection
        try:
            with connection.cursor() as cursor:
                # Names in double quotes, as in the other databases.
                cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')")
                cursor.execute("SET time_zone = '+00:00'")
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield _MySQLSession(connection)
        except pymysql.MySQLError as error:
            kind = kind_of(error)
            raise kind(
                f"{self.config.source}: {self.place} cannot be read: {first_line(error, address)}"
                ". Check `table` or `query` of the source, and what the user may read."
            ) from None
        finally:
            opened.close()

    def day_of(self, column: str, type_: str) -> str | None:
        """The date in UTC; a time without zone has one only where the configured zone is UTC.

        Many MySQL servers lack the tables of time zones, and then convert to NULL.
        """
        zoned = type_ == "timestamp" or (type_ == "datetime" and self.config.time_zone == "UTC")
        if zoned and self.config.shops_zone == "UTC":
            return f"CAST({column} AS DATE)"
        return column if type_ == "date" else None

    def checksum(self, columns: list[str]) -> str:
        """Sum of 64 bits of each row's digest."""
        # With lengths, so that NULL differs from a value, and ('ab', 'c') from ('a', 'bc').
        values = ", ".join(
            f"coalesce(concat(char_length({name}), ':', CAST({name} AS BINARY)), '-')"
            for name in columns
        )
        digest = f"conv(left(md5(concat({values})), 16), 16, 10)"
        return f"CAST(sum(CAST({digest} AS UNSIGNED)) AS CHAR)"


class _MySQLSession(Session):
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._types: dict[str, str] = {}

    def types(self, query: str) -> list[tuple[str, str]]:
        import pymysql

        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}) AS described LIMIT 0")
            codes = pymysql.constants.FIELD_TYPE
            names = {
                codes.LONG: "int", codes.INT24: "mediumint",
                codes.SHORT: "smallint", codes.TINY: "tinyint", codes.DOUBLE: "double",
                codes.DATE: "date", codes.NEWDATE: "date", codes.DATETIME: "datetime",
                codes.TIMESTAMP: "timestamp",
            }  # fmt: skip
            self._types = {column[0]: names.get(column[1], "text") for column in cursor.description}
        return list(self._types.items())

    def plain(self, name: str, type_: str) -> str:
        column = identifier(name)
        if type_ in ARROW:
            return column
        return f"CAST({column} AS CHAR) AS {column}"

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def stream(self, query: str) -> Any:
        from pymysql.cursors import SSCursor  # type: ignore[import-untyped]

        cursor = self._connection.cursor(SSCursor)
        cursor.execute(query)
        schema = pa.schema(
            {name[0]: ARROW.get(self._types[name[0]], pa.string()) for name in cursor.description}
        )

        def batches() -> Iterator[pa.RecordBatch]:
            while rows := cursor.fetchmany(BATCH):
                columns = zip(*rows, strict=True)
                arrays = [
                    pa.array(map(_no_zero_date, values), item.type)
                    if pa.types.is_temporal(item.type)
                    else pa.array(values, item.type)
                    for values, item in zip(columns, schema, strict=True)
                ]
                yield pa.record_batch(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())


def _no_zero_date(value: Any) -> Any:
    """A time; MySQL may have 0000-00-00, which is none."""
    return None if isinstance(value, str) else value
