"""A damaged warehouse: it is set aside, and a new one begins with what no source has.

Belongs here: what a new warehouse takes from the published copy. Does not belong here: rebuilding
the rest, which `run` does from the sources (`automation`).

Ledgers, trainings, and the scores of past days cannot be computed from the sources alone. The
newest published build has them, up to the last publishing. Snapshots are taken, too: they say which
days are to be built again, and by which model each was scored.
"""

from pathlib import Path

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.damage import WarehouseError, set_aside
from analytics_assets.warehouse.publish import (
    PUBLISHED_GROUPS,
    builds,
    open_build,
    published_tables,
)

OF_PAST_DAYS = (
    *("customer_analytics_daily", "churn_predictions", "churn_performance", "churn_drift"),
    "subscription_predictions",
)
TAKEN = [
    table
    for table in TABLES.values()
    if table.group in PUBLISHED_GROUPS and (table.is_history or table.name in OF_PAST_DAYS)
]


def begin_again(path: Path, published_dir: Path) -> list[str]:
    """Set the warehouse and its log aside, and begin a new one from the newest whole build.

    Args:
        path: the file of the warehouse.
        published_dir: the folder of the builds.

    Returns:
        What was done, as lines for people.
    """
    log = path.with_name(f"{path.name}.wal")
    lines = [
        f"{file} is set aside as {set_aside(file).name}." for file in (log, path) if file.exists()
    ]
    build = newest_whole_build(published_dir)
    if build is None:
        return [
            *lines,
            "No published build is whole: analytics-assets run builds everything again.",
        ]
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"ATTACH {literal(build)} AS build (READ_ONLY)")
        stored = connection.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
            "WHERE database_name = 'build'"
        ).fetchall()
        relations = [t.relation for t in TAKEN if (t.relation,) in stored]
        connection.execute("BEGIN")
        for table in TAKEN:
            if table.relation in relations:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.group}")
                connection.execute(f"CREATE TABLE {table.relation} AS FROM build.{table.relation}")
        connection.execute("COMMIT")
    return [
        *lines,
        f"A new warehouse has the ledgers, trainings and past scores of build {build.parent.name} "
        f"({len(relations)} tables). analytics-assets run builds the rest again from the sources.",
    ]


def newest_whole_build(published_dir: Path) -> Path | None:
    """The newest build of which every value can be read; None where there is none."""
    if not published_dir.is_dir():
        return None
    for folder in reversed(builds(published_dir)):
        file = folder / "warehouse.duckdb"
        if not damage_of(file):
            return file
    return None


def damage_of(path: Path) -> str:
    """Why a published build cannot be read, by reading all of it; empty if it can."""
    try:
        with open_build(path) as session:
            for table in published_tables(session):
                session.value(f"SELECT sum(hash(whole_row)) FROM {table.relation} AS whole_row")
    except (duckdb.Error, WarehouseError, OSError) as error:
        return str(error).strip().splitlines()[0]
    return ""


def read_all(warehouse: Warehouse) -> int:
    """Read every value of the warehouse, which finds damage: each block has a checksum.

    It is opened once for each table, so that a run which waits for it does not wait for all.

    Returns:
        The number of tables.

    Raises:
        DamagedError: a table cannot be read.
        WarehouseLockedError: another process has the warehouse open.
    """
    with warehouse.as_stored() as session:
        relations = session.rows(
            "SELECT schema_name, table_name FROM duckdb_tables() "
            "WHERE database_name = current_database()"
        )
    for schema, name in relations:
        with warehouse.as_stored() as session:
            relation = f"{identifier(schema)}.{identifier(name)}"
            session.value(f"SELECT sum(hash(whole_row)) FROM {relation} AS whole_row")
    return len(relations)
