"""What a failed test of dbt says: the rows, counted and named, whatever dbt's query returns."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetCheckResult, AssetCheckSeverity
from dagster_dbt.dbt_manifest import validate_manifest

from analytics_assets.checks import dbt
from analytics_assets.checks.base import DIMENSIONS, Check, Finding
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import DAY, insert

ONE_DAY = Window(DAY, DAY + timedelta(1))
Tests = dict[tuple[str, str], Check]


@pytest.fixture(scope="module")
def tests(manifest: Path) -> Tests:
    return dbt.checks(validate_manifest(manifest))


@pytest.fixture
def connection(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    insert(connection, "dim_customers", {"customer_id": "known"})
    return connection


def told(
    connection: duckdb.DuckDBPyConnection, check: Check, window: Window | None, *, passed: bool
) -> Finding:
    verdict = AssetCheckResult(
        passed=passed,
        severity=AssetCheckSeverity.ERROR,
        metadata={"dagster_dbt/failed_row_count": 1, "Execution Duration": 0.5},
    )
    return dbt.told(
        DuckDBSession(connection), Scans(DuckDBSession(connection)), check, window, verdict
    )


def test_every_test_of_the_project_is_of_a_kind_that_names_its_rows(tests: Tests) -> None:
    assert len(tests) > 20
    for key, check in tests.items():
        assert check.rule is not None, key
        assert check.family == "dbt"
        assert check.dimension in DIMENSIONS
        assert check.description.endswith(".")
        assert check.remedy.endswith(".")
        assert check.spec("block").blocking


LINE: dict[str, Any] = {"customer_id": "known"}
BROKEN = [
    ("fact_orders_key", {"order_id": "twice"}, {"order_id": "twice", "line_number": 1}, 1),
    ("fact_orders_line_type_values", {"line_type": "word"}, {"order_id": "x", "line_number": 1}, 2),
    ("fact_orders_customer_id_member", {"customer_id": "no"}, {"order_id": "x"}, 2),
]


@pytest.mark.parametrize(("name", "broken", "key", "failing"), BROKEN)
def test_a_failed_test_counts_and_names_the_rows_of_the_window(
    connection: duckdb.DuckDBPyConnection,
    tests: Tests,
    name: str,
    broken: dict[str, Any],
    key: dict[str, Any],
    failing: int,
) -> None:
    good = [LINE | {"order_id": str(number)} for number in range(6)]
    outside = {**LINE, **broken, "order_date": DAY + timedelta(1)}
    insert(connection, "fact_orders", *good, *[LINE | broken] * 2, outside)
    finding = told(connection, tests["fact_orders", name], ONE_DAY, passed=False)
    assert (finding.passed, finding.rows, finding.failing) == (False, 8, failing)
    assert finding.keys[0].items() >= key.items()
    assert finding.days == {DAY: (8, failing)}
    assert finding.seconds == 0.5
    assert len(connection.execute(str(finding.query)).fetchall()) == failing
    metadata = finding.result("block").metadata
    assert {"share", "keys", "query", "remedy", "window", "by day"} <= metadata.keys()
    assert finding.result("block").severity == AssetCheckSeverity.ERROR
    assert finding.result("warn").severity == AssetCheckSeverity.WARN


def test_totals_that_differ_are_told_by_column_and_day(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    insert(connection, "fact_orders", {"line_type": "sale", "extended_amount": 5})
    insert(connection, "customer_days", {"lines": 1, "gross_amount": 5, "net_amount": 4})
    finding = told(
        connection,
        tests["customer_days", "customer_days_totals"],
        None,
        passed=False,
    )
    assert finding.description.startswith("net_amount: ")
    (key,) = finding.keys
    assert (key["column"], key["day"], key["left"], key["right"]) == ("net_amount", DAY, 4, 5)
    assert len(connection.execute(str(finding.query)).fetchall()) == 1


def test_a_test_that_passed_says_how_many_rows_it_looked_at(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    insert(connection, "fact_orders", {}, {}, {"order_date": DAY + timedelta(1)})
    finding = told(connection, tests["fact_orders", "fact_orders_key"], ONE_DAY, passed=True)
    assert (finding.passed, finding.rows, finding.failing) == (True, 2, 0)
    assert finding.description == "none of 2 rows"


def test_a_value_in_the_wrong_column_is_no_key(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    insert(connection, "fact_orders", {"line_type": "canary", "order_id": "a@example.com"})
    check = tests["fact_orders", "fact_orders_line_type_values"]
    metadata = told(connection, check, None, passed=False).result("block").metadata
    told_ = str({key: value.value for key, value in metadata.items()})
    assert "canary" not in told_ and "@example" not in told_


@pytest.mark.parametrize("severity", ["ERROR", "warn"])
def test_a_test_that_a_team_has_added_has_the_verdict_of_dbt(
    connection: duckdb.DuckDBPyConnection, severity: str
) -> None:
    insert(connection, "fact_orders", {})
    node = {
        "resource_type": "test",
        "name": "fact_orders_own",
        "attached_node": "model.p.fact_orders",
        "config": {"severity": severity, "where": "quantity > 1"},
        "test_metadata": {"name": "unique_combination", "kwargs": {"columns": ["order_id"]}},
        "depends_on": {"nodes": ["model.p.fact_orders"]},
        "description": "Own.",
    }
    manifest = {"nodes": {"model.p.fact_orders": {"resource_type": "model"}, "test.own": node}}
    check = dbt.checks(manifest)["fact_orders", "fact_orders_own"]
    assert check.description == "Own."
    assert check.spec("block").blocking == (severity == "ERROR")
    finding = told(connection, check, None, passed=False)
    assert not finding.passed
    assert finding.description == "dbt counts 1 results; its log says more"
    assert "remedy" in finding.result("block").metadata
