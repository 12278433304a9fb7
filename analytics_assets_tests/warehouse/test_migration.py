"""Tables of other code are migrated: what can be altered is, and the rest is loaded again."""

import json
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from analytics_assets.assets.dbt.generations import built_from
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.diff import diff_builds
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.migration import differences
from analytics_assets.warehouse.unfinished import UnfinishedError, require_finished, unfinished
from analytics_assets_tests.conftest import CUSTOMERS, MONTHS, Project

RELEASED = Path(__file__).with_name("tables_74b4da9.sql")  # before migrations
DAYS = [date(2024, 3, 5), date(2024, 3, 6)]


@pytest.fixture
def prepared(warehouse: Warehouse) -> Warehouse:
    """A warehouse with two loaded days and a row of each."""
    warehouse.prepare()
    with warehouse.transaction() as session:
        for day in DAYS:
            session.execute(
                "INSERT INTO raw.source_loads BY NAME SELECT 'orders' AS source, ?::DATE AS "
                "window_date, 'v' AS source_version, 1 AS rows_read, 1 AS rows_accepted, "
                "0 AS rows_rejected, 0 AS rows_split, 0 AS rows_not_due, "
                "TIMESTAMP '2024-04-01' AS loaded_at, TIMESTAMP '2024-04-01' AS changed_at",
                [day],
            )
            session.execute(
                "INSERT INTO raw.raw_orders BY NAME SELECT 'O1' AS order_id, "
                "?::DATE AS order_date, 2 AS quantity, 'f' AS source_file, 1 AS source_row",
                [day],
            )
    return warehouse


def alter(warehouse: Warehouse, *statements: str) -> None:
    with duckdb.connect(str(warehouse.path)) as connection:
        for statement in statements:
            connection.execute(statement)


def opened_again(warehouse: Warehouse) -> Warehouse:
    return Warehouse(warehouse.path, patience=0.2)


def test_nothing_is_done_to_tables_of_this_code(prepared: Warehouse) -> None:
    before = prepared.path.stat().st_mtime_ns
    assert opened_again(prepared).migrate() == []
    assert prepared.path.stat().st_mtime_ns == before


def test_a_column_that_is_not_declared_any_more_is_dropped(prepared: Warehouse) -> None:
    alter(prepared, "ALTER TABLE raw.raw_orders ADD COLUMN colour VARCHAR DEFAULT 'red'")
    (line,) = opened_again(prepared).migrate()
    assert line == "raw.raw_orders (not declared any more: colour): migrated."
    with prepared.read() as session:
        assert session.has_declared_columns(TABLES["raw_orders"])
        assert unfinished(session) == {}


def test_a_type_is_changed_where_all_values_stay(prepared: Warehouse) -> None:
    alter(prepared, "ALTER TABLE raw.raw_orders ALTER quantity TYPE INTEGER")
    (line,) = opened_again(prepared).migrate()
    assert line == "raw.raw_orders (of another type: quantity): migrated."
    with prepared.read() as session:
        assert session.rows("SELECT DISTINCT quantity FROM raw.raw_orders") == [(2,)]
        assert unfinished(session) == {}


def test_a_type_that_would_change_values_is_a_column_to_be_computed(prepared: Warehouse) -> None:
    alter(
        prepared,
        "ALTER TABLE raw.raw_orders ALTER quantity TYPE DOUBLE",
        "UPDATE raw.raw_orders SET quantity = 1.00004 WHERE order_date = '2024-03-05'",
    )
    assert "computed: quantity" in opened_again(prepared).migrate()[0]
    with prepared.read() as session:
        assert unfinished(session) == {"raw_orders": {*DAYS}}


def test_days_with_a_column_to_be_computed_are_unfinished(prepared: Warehouse) -> None:
    alter(prepared, "ALTER TABLE raw.raw_orders DROP COLUMN is_refund")
    migrated, asked = opened_again(prepared).migrate()
    assert migrated == "raw.raw_orders (new, to be computed: is_refund): migrated."
    assert "analytics-assets run does that" in asked
    with prepared.read() as session:
        assert unfinished(session) == {"raw_orders": {*DAYS}}
        with pytest.raises(UnfinishedError, match="2024-03-05, 2024-03-06 was begun"):
            require_finished(unfinished(session))
        # Snapshots and months are older than that.
        assert session.value("SELECT min(changed_at) > '2024-04-02' FROM raw.source_loads")


def test_a_table_without_rows_asks_for_nothing(prepared: Warehouse) -> None:
    alter(prepared, "ALTER TABLE raw.raw_user_sessions DROP COLUMN device")
    assert len(opened_again(prepared).migrate()) == 1
    with prepared.read() as session:
        assert unfinished(session) == {}


def test_a_ledger_keeps_its_rows_with_the_values_that_it_declares(prepared: Warehouse) -> None:
    alter(
        prepared,
        "ALTER TABLE raw.source_loads DROP COLUMN changed_at",
        "ALTER TABLE raw.source_loads DROP COLUMN rows_split",
    )
    opened_again(prepared).migrate()
    with prepared.read() as session:
        assert session.rows(
            "SELECT DISTINCT rows_split, changed_at = loaded_at FROM raw.source_loads"
        ) == [(0, True)]
        assert session.count("raw.source_loads") == len(DAYS)


def test_a_history_without_a_value_is_set_aside_with_its_rows(prepared: Warehouse) -> None:
    alter(
        prepared,
        "INSERT INTO quality.pipeline_executions BY NAME SELECT 'r' AS run_id",
        "ALTER TABLE quality.pipeline_executions DROP COLUMN assets",
    )
    (line,) = opened_again(prepared).migrate()
    assert "set aside as quality.pipeline_executions_before_1" in line
    with prepared.read() as session:
        assert session.value("SELECT run_id FROM quality.pipeline_executions_before_1") == "r"
        assert session.has_declared_columns(TABLES["pipeline_executions"])


def test_reading_migrates_first(prepared: Warehouse) -> None:
    alter(prepared, "ALTER TABLE raw.source_loads DROP COLUMN changed_at")
    with opened_again(prepared).read() as session:
        assert session.count("raw.source_loads", "changed_at IS NOT NULL") == len(DAYS)


def test_a_migration_that_fails_changes_nothing(
    prepared: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(
        prepared,
        "ALTER TABLE raw.source_loads DROP COLUMN changed_at",
        "ALTER TABLE raw.raw_orders ADD COLUMN colour VARCHAR",
    )

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("analytics_assets.warehouse.migration._record", fails)
    alter(prepared, "ALTER TABLE raw.raw_orders DROP COLUMN is_refund")
    with pytest.raises(ZeroDivisionError):
        opened_again(prepared).migrate()
    with duckdb.connect(str(prepared.path), read_only=True) as connection:
        names = connection.execute(
            "SELECT count(*) FROM duckdb_columns() WHERE column_name IN ('colour', 'changed_at')"
        ).fetchall()
    assert names == [(1,)]


def test_every_new_column_of_a_released_history_has_its_earlier_value(tmp_path: Path) -> None:
    """Otherwise an upgrade would set the history aside."""
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(RELEASED.read_text())
        for table in TABLES.values():
            if table.is_history and f"CREATE TABLE {table.relation} (" in RELEASED.read_text():
                connection.execute(f"INSERT INTO {table.relation} DEFAULT VALUES")
        behind = differences(DuckDBSession(connection))
    assert {one.table.name for one in behind if one.table.is_history} == {"source_loads"}
    assert [one.table.name for one in behind if one.table.is_history and one.computed] == []


def test_the_load_that_builds_a_table_is_the_one_of_its_lineage(manifest: Path) -> None:
    origins = built_from(json.loads(manifest.read_text()))
    for name, raw in origins.items():
        sources = filter(None, (TABLES[name].source, TABLES[name].or_loaded_with))
        assert {f"raw_{source}" for source in sources} <= raw, name
    others = [t for n, t in TABLES.items() if t.group in ("marts", "churn") and n not in origins]
    assert {table.source for table in others if not table.is_view} == {None}


@pytest.mark.slow
def test_a_warehouse_of_an_earlier_commit_is_migrated_and_loaded_again(
    copied_project: Project, tmp_path: Path
) -> None:
    """The instance says that all is up to date: what the migration records alone asks for days."""
    path = copied_project.settings.warehouse_path
    before = tmp_path / "warehouse.duckdb"
    shutil.move(path, before)
    with duckdb.connect(str(path)) as connection:
        connection.execute(RELEASED.read_text())
        connection.execute(f"ATTACH '{before}' AS before (READ_ONLY)")
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'warehouse'"
        ).fetchall()
        for schema, name in tables:
            columns = ", ".join(
                f'"{column}"'
                for (column,) in connection.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE database_name = 'warehouse' "
                    "AND schema_name = ? AND table_name = ?",
                    [schema, name],
                ).fetchall()
            )
            relation = f"{schema}.{name}"
            connection.execute(
                f"INSERT INTO {relation} BY NAME SELECT {columns} FROM before.{relation}"
            )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "analytics_assets.cli", "run"),
            *("--customers", str(CUSTOMERS), "--months", str(MONTHS)),
        ],
        env=copied_project.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "raw.source_loads (new: rows_split, rows_not_due, changed_at): migrated." in done.stdout
    assert "To be loaded or built again, because columns have to be computed" in done.stdout
    assert copied_project.query("FROM raw.unfinished_tables") == []
    different = {one.table: one for one in diff_builds(before, path) if not one.same}
    assert different == {}
    with copied_project.warehouse.read() as session:
        session.attach(before, "before")
        for ledger in ("data_quality_metrics", "pipeline_executions"):
            runs = f"SELECT run_id FROM {{}}quality.{ledger}"
            lost = f"{runs.format('before.')} EXCEPT ALL {runs.format('')}"
            assert session.rows(lost) == []
        loads = "SELECT source, window_date, source_version FROM {}raw.source_loads"
        assert session.rows(f"{loads.format('before.')} EXCEPT {loads.format('')}") == []
