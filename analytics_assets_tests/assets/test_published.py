"""What keeps the published copy from taking over tables that a check has found wrong."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import duckdb
import pytest
from dagster import AssetCheckResult, AssetCheckSpec, DagsterInstance, asset, materialize

from analytics_assets.assets.published import serving_assets
from analytics_assets.assets.quality.blocking import (
    FailedCheck,
    failed_checks,
    failed_now,
    still_failing,
)
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import insert

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
FAILED = {
    "asset": "fact_orders",
    "check_name": "key",
    "passed": False,
    "severity": "ERROR",
    "day": None,
    "window_start": None,
    "window_end": None,
}


KEY = FailedCheck("fact_orders", "key")


def test_the_message_names_check_table_and_days_and_not_all_of_a_thousand() -> None:
    days = tuple(FIRST + timedelta(n) for n in range(1000))
    said = still_failing([KEY, replace(KEY, days=days)], "Not published.")
    assert "the check key of fact_orders; the check key of fact_orders on" in said
    assert f"{days[4]} and 995 more days up to {days[-1]}" in said
    assert str(days[5]) not in said


def of_days(first: date, last: date) -> dict[str, object]:
    return {"window_start": first, "window_end": last + timedelta(1)}


@pytest.fixture
def ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def verdicts(connection: duckdb.DuckDBPyConnection, *rows: dict[str, object]) -> None:
    """One run a row, an hour after the one before."""
    for name in ("data_quality_metrics", "pipeline_executions"):
        insert(connection, name)
        connection.execute(f"DELETE FROM quality.{name}")
    for number, row in enumerate(rows):
        values = {"run_id": str(number), "evaluated_at": datetime(2024, 1, 1, number)}
        insert(connection, "pipeline_executions", {"run_id": str(number), "job": row["job"]})
        insert(
            connection,
            "data_quality_metrics",
            {**FAILED, **values, **{k: v for k, v in row.items() if k != "job"}},
        )


def test_an_error_counts_until_the_check_has_passed_in_any_run(ledger) -> None:
    verdicts(ledger, {"job": "load"})
    assert failed_checks(DuckDBSession(ledger)) == [KEY]
    verdicts(ledger, {"job": "load"}, {"job": "by hand", "passed": True})
    assert failed_checks(DuckDBSession(ledger)) == []


@pytest.mark.parametrize("harmless", [{"severity": "WARN"}, {"passed": True}])
def test_warnings_and_passes_do_not_count(ledger, harmless) -> None:
    verdicts(ledger, {"job": "load", **harmless})
    assert failed_checks(DuckDBSession(ledger)) == []


def test_a_pass_on_another_day_does_not_clear_a_failed_day(ledger) -> None:
    failed = {"job": "load", **of_days(FIRST, FIRST)}
    passed = {"job": "load", "passed": True, **of_days(SECOND, SECOND)}
    verdicts(ledger, failed, passed)
    assert failed_checks(DuckDBSession(ledger)) == [replace(KEY, days=(FIRST,))]
    verdicts(ledger, failed, passed, {"job": "load", "passed": True, **of_days(FIRST, SECOND)})
    assert failed_checks(DuckDBSession(ledger)) == []


def test_a_failed_range_is_cleared_day_by_day(ledger) -> None:
    failed = {"job": "load", **of_days(FIRST, SECOND)}
    verdicts(ledger, failed)
    assert failed_checks(DuckDBSession(ledger)) == [replace(KEY, days=(FIRST, SECOND))]
    days = [{"job": "load", "passed": True, **of_days(day, day)} for day in (FIRST, SECOND)]
    verdicts(ledger, failed, days[0])
    assert failed_checks(DuckDBSession(ledger)) == [replace(KEY, days=(SECOND,))]
    verdicts(ledger, failed, *days)
    assert failed_checks(DuckDBSession(ledger)) == []


def test_of_a_failed_range_only_its_failed_days_have_to_pass(ledger) -> None:
    failed = {"job": "load", **of_days(FIRST, SECOND)}
    verdicts(ledger, failed, {"job": "load", "passed": True, **of_days(SECOND, SECOND)})
    for day, passed in ((FIRST, True), (SECOND, False)):
        row = {**FAILED, "run_id": "0", "evaluated_at": datetime(2024, 1, 1)}
        insert(ledger, "data_quality_metrics", {**row, "day": day, "passed": passed})
    assert failed_checks(DuckDBSession(ledger)) == []


def test_a_later_warning_takes_the_place_of_an_error(ledger) -> None:
    verdicts(ledger, {"job": "load"}, {"job": "load", "severity": "WARN"})
    assert failed_checks(DuckDBSession(ledger)) == []


def test_a_check_that_its_job_no_longer_has_does_not_count(ledger) -> None:
    verdicts(ledger, {"job": "load"}, {"job": "load", "check_name": "other", "passed": True})
    assert failed_checks(DuckDBSession(ledger)) == []


def test_another_job_that_checks_other_things_hides_nothing(ledger) -> None:
    verdicts(ledger, {"job": "load"}, {"job": "score", "check_name": "other", "passed": True})
    assert failed_checks(DuckDBSession(ledger)) == [KEY]


def test_nothing_is_published_while_a_check_has_failed(settings: Settings) -> None:
    warehouse = Warehouse(settings.warehouse_path)
    warehouse.prepare()
    with warehouse.write() as session:
        verdicts(session, {"job": "load", **of_days(FIRST, FIRST)})
    result = materialize(
        serving_assets(settings, []), resources={"warehouse": warehouse}, raise_on_error=False
    )
    assert not result.success
    (failure,) = result.get_step_failure_events()
    said = str(failure.step_failure_data.error)
    assert f"the check key of fact_orders on {FIRST}" in said
    assert "pages may show a later verdict on other days" in said
    assert not settings.published_dir.exists()


def test_a_failure_of_a_run_that_no_ledger_has_yet_counts(settings: Settings) -> None:
    """A failed blocking check ends its run before the ledgers."""

    @asset(check_specs=[AssetCheckSpec("key", asset="raw_orders", blocking=True)])
    def raw_orders() -> Iterator[AssetCheckResult]:
        yield AssetCheckResult(passed=False)

    warehouse = Warehouse(settings.warehouse_path)
    warehouse.prepare()
    with DagsterInstance.ephemeral() as instance:
        assert not materialize([raw_orders], instance=instance, raise_on_error=False).success
        assert failed_now(instance, warehouse, {"raw"}) == [FailedCheck("raw_orders", "key")]
        assert failed_now(instance, warehouse, {"core"}) == []
    with warehouse.read() as session:
        assert session.rows("FROM quality.data_quality_metrics") == []
