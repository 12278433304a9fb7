"""The schema check: every rule of a model, counted in the warehouse, in the window only."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from dagster import AssetCheckResult, AssetCheckSeverity, BackfillPolicy, Definitions, asset
from pandera.config import ValidationDepth, config_context

from analytics_assets.checks import registry, schema
from analytics_assets.checks.registry import check_definitions
from analytics_assets.checks.schema import MAY_BE_EMPTY, STORED_IN
from analytics_assets.definitions import build_definitions
from analytics_assets.partitions import Calendar, Window, daily_partitions, monthly_partitions
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import CHECK_POLICIES, Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.conftest import CHECKED_OF_SAMPLE
from analytics_assets_tests.rows import DAY, insert

# user_analytics has the model of customer_analytics_daily.
MODELLED = sorted(TABLES.keys() - {"user_analytics"})
ONE_DAY = Window(DAY, DAY + timedelta(1))


def evaluate(
    connection: duckdb.DuckDBPyConnection, table: Table, window: Window | None
) -> AssetCheckResult:
    (finding,) = registry.evaluate(
        DuckDBSession(connection), list(schema.checks([table])), lambda check: window
    )
    return finding.result("block")


def said(result: AssetCheckResult) -> str:
    """All that leaves the check, as text."""
    return f"{result.description} { ({k: v.value for k, v in result.metadata.items()}) }"


def problems(result: AssetCheckResult) -> list[tuple[str, str, int]]:
    if "problems" not in result.metadata:
        return []
    return [
        (problem["column"], problem["rule"], problem["failing rows"])
        for problem in result.metadata["problems"].value  # type: ignore[union-attr]
    ]


@pytest.mark.parametrize("name", MODELLED)
def test_good_rows_of_every_table_pass(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    insert(connection, name, {}, {})
    result = evaluate(connection, TABLES[name], None)
    assert result.passed, said(result)
    assert result.metadata["rows checked"].value == 2
    assert result.description == "2 rows keep every rule"


@pytest.mark.parametrize("window", [ONE_DAY, None])
@pytest.mark.parametrize("name", MODELLED)
def test_an_empty_table_is_a_warning_unless_it_may_be_empty(
    connection: duckdb.DuckDBPyConnection, name: str, window: Window | None
) -> None:
    insert(connection, name)
    result = evaluate(connection, TABLES[name], window)
    assert result.passed == (name in MAY_BE_EMPTY)
    if not result.passed:
        assert result.severity == AssetCheckSeverity.WARN
        assert result.description == "the table is empty"


def beyond(table: Table, column: str, check: Any) -> Any:
    """A value that breaks a rule."""
    if check.name == "isin":
        return 6 if table.sql_types[column] == "INT" else "canary"
    return check.statistics["min_value"] - 1


@pytest.mark.parametrize("name", MODELLED)
def test_each_broken_rule_of_every_table_fails_and_counts_its_rows(
    connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    table = TABLES[name]
    columns = table.schema.columns
    missing = {column: None for column, declared in columns.items() if not declared.nullable}
    rules = {column: check for column, declared in columns.items() for check in declared.checks}
    wrong = {column: beyond(table, column, check) for column, check in rules.items()}
    insert(connection, name, {}, missing, wrong, wrong)

    result = evaluate(connection, table, None)
    assert not result.passed
    assert result.severity == AssetCheckSeverity.ERROR
    expected = [(column, "not_nullable", 1) for column in missing]
    expected += [(column, check.name, 2) for column, check in rules.items()]
    if name in STORED_IN:
        elsewhere = TABLES[STORED_IN[name]].schema.columns
        expected = [
            (column, rule, rows)
            for column, rule, rows in expected
            if column not in elsewhere or (rule == "not_nullable" and elsewhere[column].nullable)
        ]
        assert {column for column, _, _ in expected} == {"source_file", "source_row", "copies"}
    assert sorted(problems(result)) == sorted(expected)
    assert result.metadata["failing rows"].value == sum(rows for _, _, rows in expected)
    assert "canary" not in said(result)


def test_several_broken_rules_are_all_named(connection: duckdb.DuckDBPyConnection) -> None:
    insert(
        connection,
        "churn_predictions",
        {"churn_probability": 1.5, "customer_id": None},
        {"churn_probability": -0.5, "risk_band": "Huge"},
        {},
    )
    result = evaluate(connection, TABLES["churn_predictions"], None)
    assert sorted(problems(result)) == [
        ("churn_probability", "in_range", 2),
        ("customer_id", "not_nullable", 1),
        ("risk_band", "isin", 1),
    ]
    assert result.metadata["failing rows"].value == 4
    assert "churn_probability: in_range" in str(result.description)


def test_nan_is_no_probability(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "churn_predictions", {"churn_probability": float("nan")})
    result = evaluate(connection, TABLES["churn_predictions"], None)
    assert sorted(problems(result)) == [
        ("churn_probability", "in_range", 1),
        ("churn_probability", "not_nullable", 1),
    ]


@pytest.mark.parametrize("days", [-1, 1])
def test_a_bad_row_outside_the_window_does_not_fail(
    connection: duckdb.DuckDBPyConnection, days: int
) -> None:
    table = TABLES["raw_orders"]
    bad = {"order_date": DAY + timedelta(days), "status": "canary", "quantity": None}
    insert(connection, table.name, {}, bad)
    inside = evaluate(connection, table, ONE_DAY)
    assert inside.passed
    assert inside.metadata["rows checked"].value == 1
    assert inside.metadata["window"].value == str(ONE_DAY)
    assert not evaluate(connection, table, None).passed
    assert not evaluate(connection, table, Window(DAY - timedelta(1), DAY + timedelta(2))).passed


def test_an_empty_window_of_a_table_with_bad_rows_passes(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    insert(connection, "raw_orders", {"quantity": None})
    window = Window(DAY + timedelta(1), DAY + timedelta(2))
    assert evaluate(connection, TABLES["raw_orders"], window).passed


def test_a_missing_table_fails(connection: duckdb.DuckDBPyConnection) -> None:
    result = evaluate(connection, TABLES["fact_orders"], ONE_DAY)
    assert not result.passed
    assert result.description == ": the table does not exist"


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("DROP COLUMN city", "city"),
        ("ADD COLUMN canary INTEGER", "canary"),
        ("ALTER city TYPE BLOB", "city"),
        ("ALTER registered_at TYPE DATE", "registered_at"),
        ("ALTER updated_at TYPE TIMESTAMPTZ", "updated_at"),
    ],
)
def test_a_table_of_another_shape_fails(
    connection: duckdb.DuckDBPyConnection, change: str, column: str
) -> None:
    insert(connection, "raw_customers", {})
    connection.execute(f"ALTER TABLE raw.raw_customers {change}")
    result = evaluate(connection, TABLES["raw_customers"], None)
    assert not result.passed
    assert column in said(result)


def test_money_of_another_scale_fails(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "raw_products", {})
    connection.execute("ALTER TABLE raw.raw_products ALTER list_price TYPE DECIMAL(18, 2)")
    assert not evaluate(connection, TABLES["raw_products"], None).passed


def test_a_number_stored_as_text_fails_where_it_has_a_value_rule(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    insert(connection, "raw_products", {})
    connection.execute("ALTER TABLE raw.raw_products ALTER list_price TYPE VARCHAR")
    result = evaluate(connection, TABLES["raw_products"], None)
    assert not result.passed
    assert "list_price" in {column for column, _, _ in problems(result)}


def test_no_row_value_leaves_the_check(connection: duckdb.DuckDBPyConnection) -> None:
    canaries = {
        name: f"canary-{name}" for name in ("email", "first_name", "last_name", "city", "country")
    }
    insert(connection, "raw_customers", {**canaries, "customer_id": None, "source_row": -4711})
    result = evaluate(connection, TABLES["raw_customers"], None)
    assert sorted(problems(result)) == [
        ("customer_id", "not_nullable", 1),
        ("source_row", "greater_than_or_equal_to", 1),
    ]
    assert "canary" not in said(result)
    assert "4711" not in said(result)
    json.dumps(result.metadata["problems"].value)


def test_values_are_checked_whatever_panderas_setting(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    insert(connection, "churn_predictions", {"churn_probability": 7})
    with config_context(validation_depth=ValidationDepth.SCHEMA_ONLY):
        assert not evaluate(connection, TABLES["churn_predictions"], None).passed


def test_every_table_has_one_blocking_check() -> None:
    keys = [
        (spec.asset_key.path, spec.name, spec.blocking)
        for definition in check_definitions(
            list(schema.checks(list(TABLES.values()))), CHECK_POLICIES
        )
        for spec in definition.check_specs
    ]
    assert sorted(keys) == sorted(([name], "schema", True) for name in TABLES)


@pytest.fixture
def verdict(warehouse: Warehouse) -> Callable[..., dict[str, bool]]:
    """Runs the schema checks of some tables as a Dagster run with tags; the verdicts."""

    def run(names: list[str], **options: Any) -> dict[str, bool]:
        calendar = Calendar(date(2024, 1, 1), date(2024, 4, 1))
        partitions = {
            "daily": daily_partitions(calendar),
            "monthly": monthly_partitions(calendar),
            None: None,
        }
        tables = [TABLES[name] for name in names]

        def nothing() -> None:
            """Stands for an asset that was written before."""

        assets = [
            asset(
                name=table.name,
                partitions_def=partitions[table.partitioning],
                backfill_policy=BackfillPolicy.single_run(),
            )(nothing)
            for table in tables
        ]
        definitions = Definitions(
            assets=assets,
            asset_checks=check_definitions(list(schema.checks(tables)), CHECK_POLICIES),
            resources={"warehouse": warehouse},
        )
        result = definitions.get_implicit_global_asset_job_def().execute_in_process(
            raise_on_error=False, **options
        )
        return {
            evaluation.asset_key.path[-1]: evaluation.passed
            for evaluation in result.get_asset_check_evaluations()
        }

    return run


def test_a_run_checks_its_partition_of_daily_tables_and_the_whole_of_others(
    warehouse: Warehouse, verdict: Callable[..., dict[str, bool]]
) -> None:
    bad = {"quantity": None}
    with warehouse.write() as session:
        insert(session, "raw_orders", {}, {"order_date": date(2024, 1, 11), **bad})
        insert(session, "raw_products", {"product_id": None})
    names = ["raw_orders", "raw_products"]
    assert verdict(names, partition_key="2024-01-10") == {"raw_orders": True, "raw_products": False}
    assert verdict(names, partition_key="2024-01-11")["raw_orders"] is False
    tags = {
        "dagster/asset_partition_range_start": "2024-01-09",
        "dagster/asset_partition_range_end": "2024-01-11",
    }
    assert verdict(names, tags=tags)["raw_orders"] is False


def test_a_run_of_a_month_checks_that_month_of_monthly_tables(
    warehouse: Warehouse, verdict: Callable[..., dict[str, bool]]
) -> None:
    january, february = date(2024, 1, 1), date(2024, 2, 1)
    with warehouse.write() as session:
        insert(session, "churn_features", {"month": january})
        insert(session, "churn_features", {"month": february, "customer_id": None})
    assert verdict(["churn_features"], partition_key="2024-01-01") == {"churn_features": True}
    assert verdict(["churn_features"], partition_key="2024-02-01") == {"churn_features": False}


def test_every_table_but_the_ledgers_has_its_check_in_the_built_definitions(
    parsed_settings: Settings,
) -> None:
    definitions = build_definitions(parsed_settings)
    keys = definitions.resolve_asset_graph().asset_check_keys
    checked = {key.asset_key.path[-1] for key in keys if key.name == "schema"}
    assert checked == {table.name for table in CHECKED_OF_SAMPLE}
