"""Tables that were stored by other code: their columns are brought up to the declared ones.

Belongs here: the difference between stored and declared columns, the statements that remove it, and
the record of what has to be built again. Does not belong here: building it (`automation`).

A column that is gone is dropped, and a type is changed if every stored value stays what it is. A
new column has the value that its declaration names for earlier rows (`before`). If it names none,
the value has to be computed: the column is empty at first, and the days are recorded as unfinished,
so nothing is scored or published until they have been loaded again. Snapshots, months and scores
count as stale, because the days that they depend on have changed. All of this is one transaction.

Rows of a history, such as a ledger, cannot be built again. If one lacks a value that no declaration
names, the whole table is set aside under another name, and a new one begins.

Views are left out: dbt creates them in each run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analytics_assets.quoting import identifier
from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.session import Session

LOADS, UNFINISHED = TABLES["source_loads"], TABLES["unfinished_tables"]
NOW = "make_timestamp(epoch_us(now()))"  # UTC


@dataclass(frozen=True)
class Difference:
    """How a stored table differs from its declaration.

    Attributes:
        table: the table as it is declared.
        dropped: columns that are not declared any more.
        retyped: columns whose values stay what they are in the declared type.
        given: new columns whose declaration names the value of earlier rows.
        computed: columns whose values have to be computed.
    """

    table: Table
    dropped: tuple[str, ...]
    retyped: tuple[str, ...]
    given: tuple[str, ...]
    computed: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """The difference, as a line for people."""
        parts = {
            "not declared any more": self.dropped,
            "of another type": self.retyped,
            "new": self.given,
            "new, to be computed": self.computed,
        }
        named = "; ".join(f"{word}: {', '.join(names)}" for word, names in parts.items() if names)
        return f"{self.table.relation} ({named})"


def differences(session: Session) -> list[Difference]:
    """The stored tables whose columns are not the declared ones."""
    stored: dict[tuple[str, str], dict[str, str]] = {}
    for schema, name, column, type_ in session.rows(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        "JOIN duckdb_tables() USING (database_name, schema_name, table_name) "
        "WHERE database_name = current_database()"
    ):
        stored.setdefault((schema, name), {})[column] = type_
    behind = []
    for table in TABLES.values():
        columns = stored.get((table.group, table.name))
        if columns is not None and columns != session.declared_types(table):
            behind.append(_difference(session, table, columns))
    return behind


def _difference(session: Session, table: Table, stored: dict[str, str]) -> Difference:
    declared = session.declared_types(table)
    new = [name for name in declared if name not in stored]
    other = [name for name in declared if name in stored and stored[name] != declared[name]]
    retyped = [name for name in other if _keeps_values(session, table, name, stored[name])]
    is_empty = not session.rows(f"SELECT 1 FROM {table.relation} LIMIT 1")
    given = [name for name in new if is_empty or name in table.values_before]
    computed = [n for n in new if n not in given] + [n for n in other if n not in retyped]
    dropped = tuple(name for name in stored if name not in declared)
    return Difference(table, dropped, tuple(retyped), tuple(given), tuple(computed))


def _keeps_values(session: Session, table: Table, name: str, before: str) -> bool:
    """Whether every stored value of a column can be had back from the declared type."""
    column = identifier(name)
    there = f"TRY_CAST({column} AS {table.sql_types[name]})"
    lost = f"{column} IS NOT NULL AND TRY_CAST({there} AS {before}) IS DISTINCT FROM {column}"
    return not session.rows(f"SELECT 1 FROM {table.relation} WHERE {lost} LIMIT 1")


def migrate(session: Session, behind: Sequence[Difference]) -> list[str]:
    """Bring tables up to their declarations. The caller holds the transaction.

    Returns:
        What was done and what has to be built again, as lines for people.
    """
    # The ledgers first: what has to be built again is recorded in them.
    ordered = sorted(behind, key=lambda one: not one.table.is_history)
    lines = []
    for one in ordered:
        if one.computed and one.table.is_history:
            lines.append(_set_aside(session, one))
        else:
            _alter(session, one)
            lines.append(f"{one.in_words}: migrated.")
    rebuilt = [one.table for one in ordered if one.computed and not one.table.is_history]
    if rebuilt and session.exists(LOADS):
        session.execute(UNFINISHED.ddl)
        for table in rebuilt:
            _record(session, table)
        session.execute(
            f"UPDATE {LOADS.relation} SET changed_at = {NOW} WHERE window_date IS NOT NULL"
        )
        lines.append(
            "To be loaded or built again, because columns have to be computed: "
            f"{', '.join(table.name for table in rebuilt)}. analytics-assets run does that; until "
            "then nothing is published."
        )
    return lines


def _alter(session: Session, one: Difference) -> None:
    table = one.table
    for name in one.dropped:
        session.execute(f"ALTER TABLE {table.relation} DROP COLUMN {identifier(name)}")
    for name in one.retyped:
        column, type_ = identifier(name), table.sql_types[name]
        session.execute(f"ALTER TABLE {table.relation} ALTER COLUMN {column} TYPE {type_}")
    stored = session.columns(table)
    for name in (*one.given, *one.computed):
        column, type_ = identifier(name), table.sql_types[name]
        if name in stored:
            session.execute(f"ALTER TABLE {table.relation} DROP COLUMN {column}")
        session.execute(f"ALTER TABLE {table.relation} ADD COLUMN {column} {type_}")
    values = [f"{identifier(n)} = {table.values_before[n]}" for n in _with_value(table, one.given)]
    if values:
        session.execute(f"UPDATE {table.relation} SET {', '.join(values)}")


def _with_value(table: Table, names: Iterable[str]) -> list[str]:
    return [name for name in names if table.values_before.get(name, "NULL") != "NULL"]


def _set_aside(session: Session, one: Difference) -> str:
    """Keep a history whose new columns nobody can fill under another name."""
    table = one.table
    taken = {name for schema, name in session.kinds() if schema == table.group}
    number = next(n for n in range(1, len(taken) + 2) if f"{table.name}_before_{n}" not in taken)
    name = f"{table.name}_before_{number}"
    session.execute(f"ALTER TABLE {table.relation} RENAME TO {name}")
    session.execute(table.ddl)
    return (
        f"{one.in_words}: set aside as {table.group}.{name}, because no value is known for "
        f"{', '.join(one.computed)} of its rows; a new one begins. Nothing reads it: drop it when "
        "you do not need it."
    )


def _record(session: Session, table: Table) -> None:
    """Record the loads that build a table as unfinished; nothing for what counts as stale."""
    # A table without days is built whole by any load of its source.
    has_days = table.partitioning is not None or table.group == "raw"
    day = "window_date" if has_days else "NULL::DATE AS window_date"
    loads = f"SELECT 'raw_' || source AS table_name, {day} FROM {LOADS.relation} WHERE source = ?"
    known = f"SELECT table_name, window_date FROM {UNFINISHED.relation}"
    for source in filter(None, (table.source, table.or_loaded_with)):
        session.execute(
            f"INSERT INTO {UNFINISHED.relation} BY NAME "
            f"SELECT *, {NOW} AS begun_at FROM ({loads} EXCEPT {known})",
            [source],
        )
