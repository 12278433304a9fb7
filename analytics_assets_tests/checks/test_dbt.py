"""A failed test of dbt lists its rows, counted and named by their key."""

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
MEMBER = ("fact_orders", "fact_orders_customer_id_member")
ORPHANS = (
    f"SELECT order_date, order_id, line_number, customer_id FROM core.fact_orders "
    f"WHERE order_date = DATE '{DAY}' AND customer_id = 'no'"
)
Tests = dict[tuple[str, str], Check]


@pytest.fixture(scope="module")
def tests(manifest: Path) -> Tests:
    return dbt.checks(validate_manifest(manifest))


def finding(
    connection: duckdb.DuckDBPyConnection,
    check: Check,
    window: Window | None,
    sql: str = ORPHANS,
    *,
    passed: bool,
    failed: int | None = 1,
) -> Finding:
    verdict = AssetCheckResult(
        passed=passed,
        severity=AssetCheckSeverity.ERROR,
        metadata={
            "Execution Duration": 0.5,
            **({} if failed is None else {"dagster_dbt/failed_row_count": failed}),
        },
    )
    return dbt.finding(
        DuckDBSession(connection), Scans(DuckDBSession(connection)), check, window, verdict, sql
    )


def test_every_test_of_the_project_is_a_check(tests: Tests) -> None:
    assert {asset for asset, _ in tests} == {
        *("fact_orders", "fact_user_sessions", "customer_days", "customer_segment_moves"),
        *("fact_support_tickets", "fact_events", "cohorts_by_dimension"),
    }
    for check in tests.values():
        assert check.family == "dbt"
        assert check.dimension in DIMENSIONS
        assert check.spec("block").blocking


def test_a_failed_test_counts_and_names_the_rows_that_it_lists(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    broken = {"customer_id": "no", "order_id": "x"}
    good = [{"order_id": str(number)} for number in range(6)]
    outside = {**broken, "order_date": DAY + timedelta(1)}
    insert(connection, "fact_orders", *good, *[broken] * 2, outside)
    found = finding(connection, tests[MEMBER], ONE_DAY, passed=False, failed=2)
    assert (found.passed, found.rows, found.failing) == (False, 8, 2)
    assert found.keys[0].items() == {"order_date": DAY, "order_id": "x", "line_number": 1}.items()
    assert found.days == {DAY: (8, 2)}
    assert found.seconds == 0.5
    assert len(connection.execute(str(found.query)).fetchall()) == 2
    metadata = found.result("block").metadata
    assert {"share", "keys", "query", "remedy", "window", "by day"} <= metadata.keys()
    assert found.result("block").severity == AssetCheckSeverity.ERROR
    assert found.result("warn").severity == AssetCheckSeverity.WARN


def test_a_test_that_passed_says_how_many_rows_it_looked_at(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    insert(connection, "fact_orders", {}, {}, {"order_date": DAY + timedelta(1)})
    found = finding(connection, tests[MEMBER], ONE_DAY, passed=True)
    assert (found.passed, found.rows, found.failing) == (True, 2, 0)
    assert found.description == "none of 2 rows"


def test_a_test_that_dbt_could_not_evaluate_names_no_rows(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    found = finding(connection, tests[MEMBER], None, passed=False, failed=None)
    assert (found.passed, found.failing) == (False, None)
    assert "could not evaluate" in found.description


def test_only_the_key_of_a_row_is_told_and_no_address(
    connection: duckdb.DuckDBPyConnection, tests: Tests
) -> None:
    insert(connection, "fact_orders", {"customer_id": "no", "order_id": "a@example.com"})
    sql = f"SELECT *, 'canary' AS other FROM ({ORPHANS})"
    metadata = finding(connection, tests[MEMBER], None, sql, passed=False).result("block").metadata
    told = str({key: value.value for key, value in metadata.items() if key != "query"})
    assert "(hidden)" in told
    assert "canary" not in told and "@example" not in told


@pytest.mark.parametrize("severity", ["ERROR", "warn"])
def test_a_test_that_a_team_has_added_has_the_verdict_of_dbt(
    connection: duckdb.DuckDBPyConnection, severity: str
) -> None:
    insert(connection, "fact_orders", {})
    node: dict[str, Any] = {
        "resource_type": "test",
        "name": "fact_orders_own",
        "config": {"severity": severity},
        "depends_on": {"nodes": ["model.p.fact_orders"]},
    }
    manifest = {"nodes": {"model.p.fact_orders": {"resource_type": "model"}, "test.own": node}}
    check = dbt.checks(manifest)["fact_orders", "fact_orders_own"]
    assert check.spec("block").blocking == (severity == "ERROR")
    found = finding(connection, check, None, "SELECT 1 AS n", passed=False)
    assert not found.passed
    assert (found.failing, found.keys) == (1, [])
    assert "remedy" in found.result("block").metadata
