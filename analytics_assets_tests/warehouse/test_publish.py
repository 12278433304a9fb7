"""Publishing: a whole build or none, older readers undisturbed, nothing personal in it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse import publish as publishing
from analytics_assets.warehouse.connection import Warehouse, WarehouseError
from analytics_assets.warehouse.publish import POINTER, current_build, publish
from analytics_assets_tests.rows import insert

PERSONAL = {name for table in TABLES.values() for name in table.personal_columns}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """Two published tables, and personal data in raw and staging."""
    warehouse.prepare()
    with warehouse.write() as session:
        insert(session, "raw_customers", {"email": "canary@example.com"})
        insert(session, "stg_customers", {"email": "canary@example.com"})
        insert(session, "dim_customers", {"customer_id": "C1"})
        insert(session, "churn_predictions", {"customer_id": "C1"})
    return warehouse


def add_customer(warehouse: Warehouse) -> None:
    with warehouse.write() as session:
        insert(session, "dim_customers", {"customer_id": "more"})
        insert(session, "churn_predictions", {"customer_id": "more"})


def rows(build: Path) -> list[int]:
    with duckdb.connect(str(build), read_only=True) as connection:
        return [
            connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("core.dim_customers", "churn.churn_predictions")
        ]


def test_before_the_first_build_the_error_says_what_to_do(published: Path) -> None:
    with pytest.raises(WarehouseError, match="materialize published_warehouse first"):
        current_build(published)


def test_a_pointer_to_a_build_that_is_gone_is_an_error(filled: Warehouse, published: Path) -> None:
    build = publish(filled, published, 3)
    shutil.rmtree(build.path.parent)
    with pytest.raises(WarehouseError, match="which is gone: materialize published_warehouse agai"):
        current_build(published)


def test_the_pointer_names_the_newest_build_relative_to_its_folder(
    filled: Warehouse, published: Path
) -> None:
    for number in (1, 2):
        build = publish(filled, published, 3)
        assert build.path == published / f"00000{number}" / "warehouse.duckdb"
        assert current_build(published) == build.path
        assert (published / POINTER).read_text() == f"00000{number}/warehouse.duckdb\n"
    moved = published.rename(published.with_name("elsewhere"))
    assert rows(current_build(moved)) == [1, 1]


def test_a_build_reports_and_contains_every_published_table(
    filled: Warehouse, published: Path
) -> None:
    build = publish(filled, published, 3)
    assert build.rows == {
        "core.dim_customers": 1,
        "churn.churn_predictions": 1,
        "quality.data_quality_metrics": 0,
        "quality.data_quality_scores": 0,
        "quality.pipeline_executions": 0,
    }
    with duckdb.connect(str(build.path), read_only=True) as connection:
        found = connection.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()")
        assert {name for (name,) in found.fetchall()} == set(build.rows)


def test_raw_staging_and_personal_columns_stay_behind(filled: Warehouse, published: Path) -> None:
    build = publish(filled, published, 3)
    with duckdb.connect(str(build.path), read_only=True) as connection:
        columns = connection.execute(
            "SELECT schema_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
    assert not {schema for schema, _ in columns} & {"raw", "staging"}
    assert not {column for _, column in columns} & PERSONAL
    assert b"canary" not in build.path.read_bytes()


def test_no_published_table_declares_a_personal_column() -> None:
    of_events = {"user_agent", "properties", "unknown_fields"}
    assert {"email", "first_name", "last_name", "row", *of_events} == PERSONAL
    groups = {table.group for table in TABLES.values() if PERSONAL & set(table.columns)}
    assert groups == {"raw", "staging"}


def test_a_view_is_published_as_a_table(filled: Warehouse, published: Path) -> None:
    with filled.write() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
        connection.execute("CREATE VIEW marts.sales_daily AS SELECT 1 AS lines FROM range(3)")
    assert publish(filled, published, 3).rows["marts.sales_daily"] == 3


def comments(build: Path) -> dict[str, str | None]:
    """The comments of a build by relation and by relation and column."""
    with duckdb.connect(str(build), read_only=True) as connection:
        return dict(
            connection.execute(
                "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables() UNION ALL "
                "SELECT schema_name || '.' || table_name || '.' || column_name, comment "
                "FROM duckdb_columns() WHERE NOT internal"
            ).fetchall()
        )


def test_tables_and_columns_say_what_they_mean(filled: Warehouse, published: Path) -> None:
    found = comments(publish(filled, published, 3).path)
    assert None not in found.values()
    predictions = TABLES["churn_predictions"]
    assert found["churn.churn_predictions"] == predictions.description
    assert found["churn.churn_predictions.customer_id"] == (
        predictions.schema.columns["customer_id"].description
    )
    assert found["churn.churn_predictions.churn_probability"] == (
        predictions.schema.columns["churn_probability"].description + " [probability, 0 to 1]"
    )
    columns = {f"{predictions.relation}.{name}" for name in predictions.columns}
    assert columns <= found.keys()


def test_a_new_description_is_published_where_no_row_has_changed(
    filled: Warehouse, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(filled, published, 3)
    monkeypatch.setattr(TABLES["dim_customers"].model, "__doc__", 'The shop\'s own "people".')
    found = comments(publish(filled, published, 3).path)
    assert found["core.dim_customers"] == 'The shop\'s own "people".'
    assert None not in found.values()


CHANGES = {
    "nothing": "SELECT 1",
    "a value": "UPDATE churn.churn_predictions SET model_version = 'b' WHERE customer_id = 'C2'",
    "a row more": "INSERT INTO churn.churn_predictions BY NAME "
    "SELECT * REPLACE ('C9' AS customer_id) FROM churn.churn_predictions WHERE customer_id = 'C2'",
    "two equal rows more": "INSERT INTO churn.churn_predictions BY NAME "
    "SELECT p.* FROM churn.churn_predictions AS p, range(2) WHERE customer_id = 'C2'",
    "a day less": "DELETE FROM churn.churn_predictions WHERE customer_id = 'C2'",
    "no row": "DELETE FROM churn.churn_predictions",
    "a row of another day": "UPDATE churn.churn_predictions SET snapshot_date = '2024-02-01' "
    "WHERE customer_id = 'C2'",
    "another type": "ALTER TABLE churn.churn_predictions ALTER model_version TYPE BLOB",
    "another order of columns": "CREATE OR REPLACE TABLE core.customer_days AS "
    "SELECT units, * EXCLUDE (units) FROM core.customer_days",
    "a table less": "DROP TABLE core.dim_customers",
    "a table more": "CREATE TABLE core.dim_date AS SELECT DATE '2024-01-01' AS date_day",
    "a table without days": "UPDATE core.dim_customers SET country = 'FR'",
    "a table with a column named rows": "UPDATE churn.churn_drift SET psi = 2",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_build_that_starts_from_another_equals_the_warehouse(
    filled: Warehouse, published: Path, change: str
) -> None:
    with filled.write() as connection:
        for day in range(2, 30):
            row = {"customer_id": f"C{day}", "snapshot_date": f"2024-01-{day:02}"}
            insert(connection, "churn_predictions", row | {"model_version": "a"})
        insert(connection, "customer_days", {"customer_id": "C2", "order_date": "2024-01-02"})
        insert(connection, "churn_drift", {"psi": 1})
    publish(filled, published, 3)
    with filled.write() as session:
        session.execute(change)
    build = publish(filled, published, 3)
    with filled.read() as session:
        session.execute(f"ATTACH '{build.path}' AS build (READ_ONLY)")
        relations = session.rows(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
            "WHERE database_name = 'build'"
        )
        assert {name for (name,) in relations} == set(build.rows)
        for name, count in build.rows.items():
            for one, other in ((name, f"build.{name}"), (f"build.{name}", name)):
                assert not session.rows(f"FROM {one} EXCEPT ALL FROM {other}")
            assert session.count(name) == count


def test_a_build_writes_only_the_days_that_differ(filled: Warehouse, published: Path) -> None:
    with filled.write() as connection:
        for day in range(2, 30):
            row = {"customer_id": f"C{day}", "snapshot_date": f"2024-01-{day:02}"}
            insert(connection, "churn_predictions", row)
    publish(filled, published, 3)
    with filled.write() as connection:
        connection.execute(CHANGES["a value"])
    build = publish(filled, published, 3)
    with duckdb.connect(str(build.path), read_only=True) as connection:
        order = connection.execute(
            "SELECT customer_id FROM churn.churn_predictions ORDER BY rowid"
        ).fetchall()
    assert [name for (name,) in order[-2:]] == ["C29", "C2"]  # written again, after the others


def test_a_damaged_build_is_not_copied(filled: Warehouse, published: Path) -> None:
    build = publish(filled, published, 3)
    build.path.write_bytes(build.path.read_bytes()[:5000])
    assert rows(publish(filled, published, 3).path) == [1, 1]


def test_the_newest_builds_are_kept(filled: Warehouse, published: Path) -> None:
    for _ in range(5):
        publish(filled, published, 2)
    assert sorted(path.name for path in published.iterdir()) == ["000004", "000005", POINTER]


def test_numbers_go_on_past_the_width_of_a_name(filled: Warehouse, published: Path) -> None:
    publish(filled, published, 3).path.parent.rename(published / "000099")
    assert publish(filled, published, 3).path.parent.name == "000100"


def test_an_open_reader_keeps_its_build_through_later_ones(
    filled: Warehouse, published: Path
) -> None:
    first = publish(filled, published, 1)
    with duckdb.connect(str(first.path), read_only=True) as reader:
        for _ in range(3):
            add_customer(filled)
            publish(filled, published, 1)
        assert not first.path.exists()
        assert reader.execute("SELECT count(*) FROM core.dim_customers").fetchone() == (1,)
        assert rows(current_build(published)) == [4, 4]


def test_a_copy_that_differs_is_not_published(
    filled: Warehouse, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = publish(filled, published, 3)
    copy = publishing._copy

    def short(warehouse: Warehouse, path: Path, before: Path | None) -> dict[str, int]:
        copied = copy(warehouse, path, before)
        with duckdb.connect(str(path)) as connection:
            connection.execute("DELETE FROM core.dim_customers")
        return copied

    monkeypatch.setattr(publishing, "_copy", short)
    with pytest.raises(WarehouseError, match=r"The copy of core.dim_customers has .*not published"):
        publish(filled, published, 3)
    assert current_build(published) == before.path
    assert sorted(path.name for path in published.iterdir()) == ["000001", POINTER]


def test_a_quote_in_the_path_is_no_sql(filled: Warehouse, tmp_path: Path) -> None:
    assert rows(publish(filled, tmp_path / "it's here", 3).path) == [1, 1]


class Killed(BaseException):
    """Raised where the process dies; from then on it does nothing more."""


STEPS: list[tuple[Any, str]] = [
    (publishing, "published_tables"),
    (publishing, "_copy"),
    (publishing, "write_lookup"),
    (publishing, "_verify"),
    (publishing, "_sync"),
    (shutil, "rmtree"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "write_text"),
    (Path, "replace"),
]


def dying_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Make the step-th step of a publish, and all that follow, raise; the steps that were tried."""
    tried: list[str] = []

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            tried.append(name)
            if len(tried) > step:
                raise Killed(name)
            return real(*args, **options)

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, wrapped(name, getattr(owner, name)))
    return tried


def test_the_kill_points_are_all_steps_of_a_publish(
    filled: Warehouse, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(filled, published, 1)
    with monkeypatch.context() as patched:
        tried = dying_at(patched, 99)
        publish(filled, published, 1)
    # 16 is the range of the next test.
    assert tried == [
        *("mkdir", "rmtree", "mkdir", "_copy", "published_tables", "write_lookup", "_verify"),
        *("_sync", "_sync", "rename", "_sync", "write_text", "_sync", "replace", "_sync", "rmtree"),
    ]


@pytest.mark.parametrize("step", range(16))
def test_killed_at_any_step_the_pointer_names_a_whole_build(
    filled: Warehouse, published: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    publish(filled, published, 1)
    add_customer(filled)
    with monkeypatch.context() as patched:
        dying_at(patched, step)
        with pytest.raises(Killed):
            publish(filled, published, 1)
    assert rows(current_build(published)) == ([2, 2] if step > 13 else [1, 1])

    add_customer(filled)
    after = publish(filled, published, 1)
    assert rows(current_build(published)) == [3, 3]
    assert sorted(path.name for path in published.iterdir()) == [after.path.parent.name, POINTER]
