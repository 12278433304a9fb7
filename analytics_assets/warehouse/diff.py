"""What differs between two builds, or between two homes: tables, columns, rows by key.

Belongs here: comparing two files. Does not belong here: publishing them (`publish`) or printing
the result (`cli`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.publish import POINTER, current_build
from analytics_assets.warehouse.session import Session

KEYS_SHOWN = 5


@dataclass(frozen=True)
class TableDiff:
    """How a table differs between build A and build B.

    Attributes:
        table: its name with the schema.
        rows: rows in A and in B; None where the build does not have the table.
        added: rows whose key only B has.
        removed: rows whose key only A has.
        changed: rows of the same key that differ in some column.
        columns: number of rows that differ, by column.
        columns_added: columns that only B has.
        columns_removed: columns that only A has.
        types_changed: types in A and in B, by column.
        keys: a few keys of rows that differ, after `+` (added), `-` (removed) or `~` (changed).
    """

    table: str
    rows: tuple[int | None, int | None]
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    types_changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return (
            None not in self.rows
            and not (self.added or self.removed or self.changed)
            and not (self.columns_added or self.columns_removed or self.types_changed)
        )


def find_build(published_dir: Path, name: str) -> Path:
    """The file of a build, or the warehouse of a home.

    Args:
        published_dir: the folder of the builds.
        name: the build's number (7 or 000007), CURRENT, a file, or the folder of a home.

    Raises:
        WarehouseError: there is no such build.
    """
    if name.upper() == POINTER:
        return current_build(published_dir)
    builds = [path.name for path in sorted(published_dir.glob("[0-9]*"))]
    if name.isdigit() and f"{int(name):06d}" in builds:
        return published_dir / f"{int(name):06d}" / "warehouse.duckdb"
    warehouse = Path(name) / "warehouse.duckdb"
    for path in (Path(name), warehouse):
        if path.is_file():
            return path
    raise WarehouseError(
        f"There is no build {name!r} in {published_dir}: it has {', '.join(builds) or 'none'}. "
        f"Name one of these, {POINTER}, a DuckDB file, or the folder of a home."
    )


def diff_builds(a: Path, b: Path, tables: Sequence[str] = ()) -> list[TableDiff]:
    """Compare two builds, table by table.

    Columns that differ with every load (load times, serialised models) are left out.

    Args:
        a: file of a build.
        b: file of another.
        tables: names of the tables; by default all stored tables but the ledgers.

    Returns:
        A difference for each table that exists in A or B, also where nothing differs.

    Raises:
        WarehouseError: a table is not declared, or is a view.
    """
    stored = {table.name: table for table in TABLES.values() if not table.is_view}
    unknown = [name for name in tables if name not in stored]
    if unknown:
        raise WarehouseError(
            f"No stored table is named {', '.join(unknown)}; there are {', '.join(stored)}."
        )
    # The ledgers grow with every run; they are compared only when named.
    ledgers = {"source_loads", "unfinished_tables"}
    ledgers |= {table.name for table in stored.values() if table.group == "quality"}
    chosen = tables or [name for name in stored if name not in ledgers]
    with duckdb.connect() as connection:
        session = DuckDBSession(connection)
        for name, path in (("a", a), ("b", b)):
            session.attach(path, name)
        diffs = [_diff(session, stored[name]) for name in chosen]
    return [diff for diff in diffs if diff is not None]


def _diff(session: Session, table: Table) -> TableDiff | None:
    """Compare one table; None where neither build has it."""
    types = [session.columns(table, build) for build in ("a", "b")]
    rows = [
        session.count(f"{build}.{table.relation}") if columns else None
        for build, columns in zip(("a", "b"), types, strict=True)
    ]
    if not any(types):
        return None
    if not all(types):
        return TableDiff(table.relation, (rows[0], rows[1]))
    in_a, in_b = types
    shape = TableDiff(
        table.relation,
        (rows[0], rows[1]),
        columns_added=tuple(name for name in in_b if name not in in_a),
        columns_removed=tuple(name for name in in_a if name not in in_b),
        types_changed={
            name: (type_, in_b[name])
            for name, type_ in in_a.items()
            if name in in_b and in_b[name] != type_
        },
    )
    key = [name for name in table.key if name in in_a and name in in_b]
    if len(key) < len(table.key):
        return shape  # without the key rows cannot be matched
    both = [
        name for name in in_a if name in in_b and name not in table.volatile and name not in key
    ]
    return _compare_rows(session, table, shape, key, both)


def _compare_rows(
    session: Session,
    table: Table,
    shape: TableDiff,
    key: list[str],
    columns: list[str],
) -> TableDiff:
    same = " AND ".join(f'a."{name}" IS NOT DISTINCT FROM b."{name}"' for name in key)
    differs = {name: f'a."{name}" IS DISTINCT FROM b."{name}"' for name in columns}
    any_differs = " OR ".join(differs.values()) or "FALSE"
    side = "a.in_a IS NULL", "b.in_b IS NULL"
    joined = (
        f"FROM (SELECT *, TRUE AS in_a FROM a.{table.relation}) AS a "
        f"FULL JOIN (SELECT *, TRUE AS in_b FROM b.{table.relation}) AS b ON {same}"
    )
    matched = "a.in_a AND b.in_b"
    counts = ", ".join(
        f"count(*) FILTER ({condition})"
        for condition in (
            *side,
            f"{matched} AND ({any_differs})",
            *(f"{matched} AND {condition}" for condition in differs.values()),
        )
    )
    added, removed, changed, *by_column = session.row(f"SELECT {counts} {joined}")
    shown: list[tuple[str]] = []
    if added or removed or changed:
        named = " || ', ' || ".join(
            f'coalesce(a."{name}"::VARCHAR, b."{name}"::VARCHAR, \'null\')' for name in key
        )
        shown = session.rows(
            f"SELECT CASE WHEN {side[0]} THEN '+ ' WHEN {side[1]} THEN '- ' ELSE '~ ' END || "
            f"{named} AS shown {joined} WHERE {side[0]} OR {side[1]} OR {any_differs} "
            f"ORDER BY 1 LIMIT {KEYS_SHOWN}"
        )
    return TableDiff(
        shape.table,
        shape.rows,
        added,
        removed,
        changed,
        {name: count for name, count in zip(columns, by_column, strict=True) if count},
        shape.columns_added,
        shape.columns_removed,
        shape.types_changed,
        tuple(row[0] for row in shown),
    )
