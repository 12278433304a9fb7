"""Rows by key, next to the file of a build: for readers that ask for one row many times a second.

Belongs here: writing that file when a build is made, and reading it. Does not belong here: other
questions, which the build itself answers.

It is an SQLite file. Its rows are JSON lists of the values, in the order of the columns: decimals
as texts, dates and times as ISO 8601 has them (times in UTC), NaN and infinities as the texts
"NaN", "Infinity" and "-Infinity". A row is found in microseconds; DuckDB needs longer to plan its
query.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from analytics_assets.quoting import identifier
from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.session import Session

FILE = "lookup.sqlite"
CHUNK = 20_000
NEWEST = {"churn_predictions": "snapshot_date"}  # only the rows of the newest day, by customer


def lookup_key(table: Table) -> str | None:
    """The column by which a table's rows can be looked up; None where they cannot."""
    if table.name in NEWEST:
        return "customer_id"
    key = table.key[0]
    return key if len(table.key) == 1 and key in ("customer_id", "product_id") else None


def write_lookup(session: Session, relations: dict[str, str], path: Path) -> None:
    """Write the rows of all tables that can be looked up.

    Args:
        session: a session that can read the tables.
        relations: relation of each table that exists, by name.
        path: the file; it must not exist.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size = 8192")
        # The folder is renamed once it is whole: a file that is cut off is never read.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE columns (name TEXT PRIMARY KEY, columns TEXT)")
        for name, relation in relations.items():
            table = TABLES[name]
            if key := lookup_key(table):
                _write_table(connection, session, table, relation, key)
    finally:
        connection.close()


class Lookup:
    """Reads rows by key; None of its methods waits for another process.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        self.columns = {
            name: text.split(",")
            for name, text in self._connection.execute("SELECT name, columns FROM columns")
        }

    def row(self, table: str, key: str) -> str | None:
        """The values of a row as a JSON list; None where there is none."""
        found = self._connection.execute(
            f"SELECT row FROM {identifier(table)} WHERE key = ?", (key,)
        ).fetchone()
        return found[0] if found else None

    def rows(self, table: str) -> Iterator[tuple[str, str]]:
        """All keys of a table, each with its values as a JSON list."""
        yield from self._connection.execute(f"SELECT key, row FROM {identifier(table)}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _write_table(
    connection: sqlite3.Connection, session: Session, table: Table, relation: str, key: str
) -> None:
    name = identifier(table.name)
    columns = list(session.columns(table))
    connection.execute("INSERT INTO columns VALUES (?, ?)", (table.name, ",".join(columns)))
    connection.execute(f"CREATE TABLE {name} (key TEXT PRIMARY KEY, row TEXT) WITHOUT ROWID")
    newest = NEWEST.get(table.name)
    where = f"{newest} = (SELECT max({newest}) FROM {relation})" if newest else "TRUE"
    values = ", ".join(
        json_value(column, table.sql_types.get(column, "TEXT")) for column in columns
    )
    # In the order of the file, so that it only grows at its end. A key that is not unique, which is
    # a check's to find, has its first row.
    rows = session.chunks(
        f"SELECT {identifier(key)}, json_array({values})::VARCHAR FROM {relation} "
        f"WHERE {where} ORDER BY encode({identifier(key)})",
        size=CHUNK,
    )
    for chunk in rows:
        connection.execute("BEGIN")
        connection.executemany(f"INSERT OR IGNORE INTO {name} VALUES (?, ?)", chunk)
        connection.execute("COMMIT")


def json_value(column: str, type_: str) -> str:
    """SQL of a value as JSON has it."""
    name = identifier(column)
    if type_.startswith("DECIMAL"):
        return f"{name}::VARCHAR"
    if type_.startswith("TIMESTAMP"):
        return iso_time(name)
    if type_ == "DOUBLE":
        return (
            f"CASE WHEN isnan({name}) THEN to_json('NaN') WHEN isinf({name}) "
            f"THEN to_json(if({name} > 0, 'Infinity', '-Infinity')) ELSE to_json({name}) END"
        )
    return name


def iso_time(name: str) -> str:
    """SQL of a time as ISO 8601 has it, with a fraction where there is one."""
    return f"replace(strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z')"
