"""SQLite files.

Belongs here: a read-only session, and the type of a column whose values have types of their own.
Does not belong here: what all databases share (`databases`).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from analytics_assets.quoting import identifier
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.databases import DatabaseReader, Session, kind_of

BATCH = 50_000
ARROW = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}


class SQLiteReader(DatabaseReader):
    """A table or query of a SQLite file.

    A column of only whole or floating-point numbers is read as such, any other as text. SQLite has
    no type for times: their days are known only from the typed rows.
    """

    format = kind = "sqlite"
    suffixes = (".sqlite", ".sqlite3", ".db")
    words = ("path", "table", "query")
    computes_versions = False

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
        """A read-only transaction: all queries see the file as of the first one."""
        path = Path(self.config.path)
        if not path.is_file():
            raise SourceError(
                f"{self.config.source}: there is no SQLite file at {path}. "
                "Correct `path` in the source configuration."
            )
        try:
            address = f"file:{quote(str(path))}?mode=ro"
            # DuckDB fetches the rows in another thread, while this one waits.
            opened = sqlite3.connect(
                address, uri=True, isolation_level=None, check_same_thread=False
            )
            with closing(opened) as connection:
                connection.execute("BEGIN")
                yield _SQLiteSession(connection)
        except sqlite3.Error as error:
            kind = kind_of(error)
            raise kind(
                f"{self.config.source}: {self.place} cannot be read: {_without_text(error)}. "
                "Check `path`, and `table` or `query`, in the source configuration."
            ) from None


def _without_text(error: sqlite3.Error) -> str:
    """SQLite's message without the text that it quotes where one is not UTF-8."""
    return (str(error).splitlines() or [""])[0].partition(" with text ")[0]


class _SQLiteSession(Session):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._types: dict[str, str] = {}

    def types(self, query: str) -> list[tuple[str, str]]:
        described = self._connection.execute(f"SELECT * FROM ({query}) LIMIT 0").description
        names = [column[0] for column in described]
        kinds = ", ".join(f"group_concat(DISTINCT typeof({identifier(name)}))" for name in names)
        row = self._connection.execute(f"SELECT {kinds} FROM ({query})").fetchone()
        for name, listed in zip(names, row, strict=True):
            types = set((listed or "text").split(",")) - {"null"}
            if types and types <= {"integer"}:
                self._types[name] = "integer"
            else:
                self._types[name] = "real" if types and types <= {"integer", "real"} else "text"
        return [(name, self._types.get(name, "text")) for name in names]

    @staticmethod
    def _fetched(cursor: sqlite3.Cursor) -> list[Any]:
        try:
            return cursor.fetchmany(BATCH)
        except sqlite3.Error as error:
            raise ValueError(_without_text(error)) from None

    def plain(self, name: str, type_: str) -> str:
        return f"CAST({identifier(name)} AS {type_.upper()}) AS {identifier(name)}"

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def stream(self, query: str) -> Any:
        cursor = self._connection.execute(query)
        schema = pa.schema(
            {column[0]: ARROW[self._types[column[0]]] for column in cursor.description}
        )

        def batches() -> Iterator[pa.RecordBatch]:
            while rows := self._fetched(cursor):
                columns = zip(*rows, strict=True)
                arrays = [
                    pa.array(values, item.type)
                    for values, item in zip(columns, schema, strict=True)
                ]
                yield pa.record_batch(arrays, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())
