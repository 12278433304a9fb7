"""What differs between two published builds, and between two homes."""

from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from analytics_assets.cli import main
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.diff import TableDiff, diff_builds, find_build
from analytics_assets_tests.rows import insert

MODEL = {"model_version": "m", "trained_at": None}


def build(folder: Path, number: int, *changes: str) -> Path:
    path = folder / "published" / f"{number:06d}" / "warehouse.duckdb"
    path.parent.mkdir(parents=True)
    with duckdb.connect(str(path)) as connection:
        insert(
            connection,
            "customer_sales",
            *[{"customer_id": f"C{n}", "units": None if n == 3 else n} for n in range(5)],
        )
        insert(connection, "churn_model", {})
        insert(connection, "pipeline_executions", {"run_id": str(number)})
        for change in changes:
            connection.execute(change)
    (folder / "published" / "CURRENT").write_text(f"{number:06d}/warehouse.duckdb\n")
    return path


def sales(diffs: list[TableDiff]) -> TableDiff:
    return next(diff for diff in diffs if diff.table == "marts.customer_sales")


def test_builds_of_the_same_rows_are_the_same(tmp_path: Path) -> None:
    a, b = build(tmp_path, 1), build(tmp_path, 2)
    diffs = diff_builds(a, b)
    assert {diff.table for diff in diffs} == {"marts.customer_sales", "churn.churn_model"}
    assert all(diff.same for diff in diffs)
    # The ledger grows with each run, and is compared only when named.
    (ledger,) = diff_builds(a, b, ["pipeline_executions"])
    assert (ledger.added, ledger.removed) == (1, 1)


def test_rows_added_removed_and_changed_are_counted_by_key(tmp_path: Path) -> None:
    a = build(tmp_path, 1)
    b = build(
        tmp_path,
        2,
        "DELETE FROM marts.customer_sales WHERE customer_id = 'C0'",
        "INSERT INTO marts.customer_sales SELECT * REPLACE ('C9' AS customer_id) "
        "FROM marts.customer_sales WHERE customer_id = 'C1'",
        "UPDATE marts.customer_sales SET units = 7 WHERE customer_id IN ('C2', 'C3')",
        "UPDATE marts.customer_sales SET orders = 8 WHERE customer_id = 'C2'",
    )
    diff = sales(diff_builds(a, b))
    assert (diff.added, diff.removed, diff.changed) == (1, 1, 2)
    assert diff.columns == {"units": 2, "orders": 1}
    assert diff.rows == (5, 5)
    assert diff.keys == (
        "+ C9, 2024-01-10",
        "- C0, 2024-01-10",
        "~ C2, 2024-01-10",
        "~ C3, 2024-01-10",
    )
    back = sales(diff_builds(b, a))
    assert (back.added, back.removed, back.changed) == (1, 1, 2)


@pytest.mark.parametrize("value", ["NULL", "4"])
def test_a_null_is_a_value_like_any_other(tmp_path: Path, value: str) -> None:
    a = build(tmp_path, 1)
    b = build(tmp_path, 2, f"UPDATE marts.customer_sales SET units = {value}")
    assert sales(diff_builds(a, b)).columns == {"units": 4}


def test_columns_that_differ_with_every_load_are_left_out(tmp_path: Path) -> None:
    a = build(tmp_path, 1)
    b = build(tmp_path, 2, "UPDATE churn.churn_model SET registered_version = 99")
    assert all(diff.same for diff in diff_builds(a, b))


def test_new_and_missing_columns_and_tables_are_reported(tmp_path: Path) -> None:
    a = build(tmp_path, 1, "DROP TABLE churn.churn_model")
    b = build(
        tmp_path,
        2,
        "ALTER TABLE marts.customer_sales DROP COLUMN lines",
        "ALTER TABLE marts.customer_sales ADD COLUMN new INTEGER",
        "ALTER TABLE marts.customer_sales ALTER units TYPE VARCHAR",
    )
    diffs = diff_builds(a, b)
    shape = sales(diffs)
    assert (shape.columns_added, shape.columns_removed) == (("new",), ("lines",))
    assert shape.types_changed == {"units": ("DECIMAL(18,4)", "VARCHAR")}
    assert not shape.same
    model = next(diff for diff in diffs if diff.table == "churn.churn_model")
    assert model.rows == (None, 1)
    assert not model.same


def test_a_build_is_named_by_number_pointer_or_file(tmp_path: Path) -> None:
    first, second = build(tmp_path, 1), build(tmp_path, 2)
    published = tmp_path / "published"
    assert find_build(published, "1") == find_build(published, "000001") == first
    assert find_build(published, "CURRENT") == second
    assert find_build(published, str(first)) == first
    assert find_build(published, str(first.parent)) == first
    with pytest.raises(WarehouseError, match="it has 000001, 000002"):
        find_build(published, "3")


def test_a_table_that_is_not_stored_is_refused(tmp_path: Path) -> None:
    a = build(tmp_path, 1)
    with pytest.raises(WarehouseError, match="No stored table is named stg_orders"):
        diff_builds(a, a, ["stg_orders"])


def test_raw_tables_of_two_homes_are_compared(tmp_path: Path) -> None:
    homes = [tmp_path / "a", tmp_path / "b"]
    for home, quantity in zip(homes, (1, 2), strict=True):
        home.mkdir()
        with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
            insert(connection, "raw_orders", {"quantity": quantity})
    (diff,) = diff_builds(*(find_build(tmp_path, str(home)) for home in homes))
    assert (diff.table, diff.changed, diff.columns) == ("raw.raw_orders", 1, {"quantity": 1})


def test_the_command_prints_and_exits_like_diff(tmp_path: Path) -> None:
    build(tmp_path, 1)
    build(tmp_path, 2, "UPDATE marts.customer_sales SET units = 9 WHERE customer_id = 'C1'")
    environment = {"ANALYTICS_HOME": str(tmp_path)}

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["diff", *arguments], env=environment)
        return result.exit_code, result.output

    code, output = run("1", "2")
    assert code == 1
    assert "marts.customer_sales: 5 rows -> 5 rows" in output
    assert "0 added, 0 removed, 1 changed" in output
    assert "units: 1 rows differ" in output
    assert "~ C1, 2024-01-10" in output
    assert "1 of 2 tables differ." in output
    assert run("2") == (0, "0 of 2 tables differ.\n")
    assert run("1", "2", "--table", "churn_model")[0] == 0
    code, output = run("4")
    assert code == 1
    assert output.startswith("Error: There is no build '4'")
