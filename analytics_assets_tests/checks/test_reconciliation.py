"""Rows and money add up: each equation fails when one of its sides is corrupted, and it alone."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from dagster import AssetCheckSeverity

from analytics_assets.checks import reconciliation
from analytics_assets.checks.base import Finding
from analytics_assets.checks.registry import evaluate
from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import DAY, insert

ONE_DAY = Window(DAY, DAY + timedelta(1))


def sources(*names: str) -> SourcesConfig:
    return SourcesConfig(
        Calendar(DAY, DAY + timedelta(1)), {name: SourceConfig(name, "x.csv") for name in names}
    )


# The equations that every source has are corrupted for those of the sample.
ENOUGH = [name for name, source in SOURCES.items() if source.sample or source.balances]
CHECKS = list(reconciliation.checks(sources(*ENOUGH)))
BY_NAME = {f"{check.asset}.{check.name}": check for check in CHECKS}
MONEY = Decimal("3.5")
FURTHER = {"discount": 0.5, "tax": 0.75, "shipping": 2, "cost": 0.25}
NOTHING = {"rows_split": 0, "rows_not_due": 0}


def day_of(connection: duckdb.DuckDBPyConnection, day: Any) -> None:
    """One day in which every equation holds, with no figure that is 0 or equals another by luck."""
    insert(
        connection,
        "source_loads",
        {"source": "orders", "window_date": day, "rows_read": 9, **NOTHING},
        {"source": "user_sessions", "window_date": day, "rows_read": 3, **NOTHING},
    )
    insert(
        connection,
        "source_loads",
        {"source": "customers", "window_date": None, "rows_read": 6, **NOTHING},
        {"source": "products", "window_date": None, "rows_read": 4, **NOTHING},
    )
    insert(
        connection,
        "source_loads",
        {"source": "subscriptions", "window_date": None, "rows_read": 6, **NOTHING},
    )
    insert(connection, "raw_subscriptions", *[{}] * 5)
    insert(connection, "rejected_rows", {"source": "subscriptions", "window_date": None})
    insert(
        connection,
        "stg_subscriptions",
        {"copies": 3, "total_charges_imputed": True},
        {"copies": 2, "total_charges_imputed": False},
    )
    insert(connection, "subscription_analytics", *[{"churned": n < 2} for n in range(5)])
    insert(
        connection,
        "churn_by_contract",
        {"subscribers": 4, "churned": 1, "total_charges_imputed": 1},
        {"subscribers": 1, "churned": 1, "total_charges_imputed": 0},
    )
    insert(connection, "raw_customers", *[{}] * 5)
    insert(connection, "raw_products", *[{}] * 4)
    insert(connection, "rejected_rows", {"source": "customers", "window_date": None})
    insert(connection, "stg_customers", *[{"copies": 2}] * 2, {"copies": 1})
    insert(connection, "stg_products", *[{"copies": 2}] * 2)
    insert(
        connection, "dim_customers", *[{"member_type": "source"}] * 3, {"member_type": "unknown"}
    )
    insert(
        connection, "dim_products", *[{"member_type": "source"}] * 2, {"member_type": "inferred"}
    )
    insert(connection, "stg_user_sessions", {"session_date": day, "copies": 2})
    insert(connection, "raw_orders", *[{"order_date": day}] * 7)
    insert(connection, "raw_user_sessions", *[{"session_date": day}] * 2)
    insert(
        connection,
        "rejected_rows",
        *[{"source": "orders", "window_date": day}] * 2,
        {"source": "user_sessions", "window_date": day},
    )
    staged = {"order_date": day, "extended_amount": MONEY}
    insert(connection, "stg_orders", {**staged, "copies": 3}, *[staged | {"copies": 2}] * 2)
    lines = (("sale", 5), ("return", -1), ("adjustment", Decimal("6.5")))
    for number, (line_type, amount) in enumerate(lines):
        line = {"order_date": day, "line_type": line_type, "extended_amount": amount, **FURTHER}
        insert(connection, "fact_orders", {**line, "order_id": str(day), "line_number": number})
    insert(connection, "fact_user_sessions", {"session_date": day, "session_id": str(day)})
    figures = {"lines": 3, "gross_amount": 5, "returned_amount": -1, "net_amount": 4}
    figures |= {f"{name}_amount": 2 * value for name, value in FURTHER.items()}
    figures |= {"margin_amount": 3.5}
    cohort = {"cohort_month": day, "month_number": 0, "margin_amount": 3, "gross_amount": 5}
    more = {"returned_amount": -1, "cohort_revenue": 4}
    insert(connection, "customer_cohort_analysis", {**cohort, **more})
    insert(connection, "ltv_curves", {**cohort, "net_amount": 4})
    insert(connection, "customer_days", {"order_date": day, **figures})
    insert(connection, "sales_daily", {"order_date": day, **figures})
    insert(
        connection,
        "customer_sales",
        {"month": day.replace(day=1), **figures, "amounts_imputed": 0},
    )


def growth_of_day(connection: duckdb.DuckDBPyConnection) -> None:
    """The day's customer is new in the first day, week and month that there are."""
    columns = TABLES["growth_accounting"].sql_types
    row: dict[str, Any] = {
        name: 0 for name, type_ in columns.items() if type_ == "BIGINT" or "DECIMAL" in type_
    }
    row |= {"new_customers": 1, "closing_customers": 1}
    row |= {"new_gross_amount": 5, "closing_gross_amount": 5, "gross_amount": 5}
    row |= {"new_net_amount": 4, "closing_net_amount": 4, "net_amount": 4}
    starts = {"day": DAY, "week": DAY - timedelta(DAY.weekday()), "month": DAY.replace(day=1)}
    for period, start in starts.items():
        insert(
            connection, "growth_accounting", {**row, "period_type": period, "period_start": start}
        )


def growth(name: str, difference: float) -> dict[str, float]:
    """What compares customer_days with growth_accounting."""
    verb = "are" if name == "buyers" else "is"
    return {
        f"growth_accounting.{name}_of_days_{verb}_{name}_of_{period}_growth": difference
        for period in ("day", "week", "month")
    }


@pytest.fixture(scope="module")
def good_day() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        day_of(connection, DAY)
        growth_of_day(connection)
        yield connection


@pytest.fixture
def connection(good_day: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The good day, in a transaction that is rolled back."""
    good_day.execute("BEGIN")
    yield good_day
    good_day.execute("ROLLBACK")


def findings(connection: duckdb.DuckDBPyConnection, window: Window | None) -> dict[str, Finding]:
    found = list(evaluate(DuckDBSession(connection), CHECKS, lambda check: window))
    return {f"{finding.check.asset}.{finding.check.name}": finding for finding in found}


def failing(connection: duckdb.DuckDBPyConnection, window: Window | None) -> set[str]:
    return {name for name, finding in findings(connection, window).items() if not finding.passed}


@pytest.mark.parametrize("window", [ONE_DAY, None])
def test_good_data_balances(connection: duckdb.DuckDBPyConnection, window: Window | None) -> None:
    assert failing(connection, window) == set()


# What is corrupted, the equations that must fail, and the difference that they must tell.
CORRUPTIONS = [
    (
        "UPDATE raw.source_loads SET rows_read = 10 WHERE source = 'orders'",
        {"raw_orders.read_is_accepted_plus_rejected": 1},
    ),
    (
        "UPDATE raw.source_loads SET rows_split = 2 WHERE source = 'orders'",
        {"raw_orders.read_is_accepted_plus_rejected": 2},
    ),
    (
        "UPDATE raw.source_loads SET rows_not_due = 2 WHERE source = 'orders'",
        {"raw_orders.read_is_accepted_plus_rejected": -2},
    ),
    (
        "DELETE FROM raw.rejected_rows WHERE source = 'orders'",
        {"raw_orders.read_is_accepted_plus_rejected": 2},
    ),
    (
        "UPDATE raw.rejected_rows SET source = 'nothing' WHERE source = 'user_sessions'",
        {"raw_user_sessions.read_is_accepted_plus_rejected": 1},
    ),
    (
        "UPDATE raw.source_loads SET rows_read = 0 WHERE source = 'user_sessions'",
        {"raw_user_sessions.read_is_accepted_plus_rejected": -3},
    ),
    (
        "DELETE FROM raw.raw_user_sessions",
        {
            "raw_user_sessions.read_is_accepted_plus_rejected": 2,
            "stg_user_sessions.accepted_is_staged_plus_collapsed": -2,
        },
    ),
    (
        "UPDATE raw.source_loads SET rows_read = 7 WHERE source = 'subscriptions'",
        {"raw_subscriptions.read_is_accepted_plus_rejected": 1},
    ),
    (
        "UPDATE staging.stg_subscriptions SET copies = 3",
        {"stg_subscriptions.accepted_is_staged_plus_collapsed": -1},
    ),
    (
        "UPDATE marts.churn_by_contract SET total_charges_imputed = 3",
        {"churn_by_contract.imputed_charges_are_the_missing_ones": -5},
    ),
    (
        "UPDATE marts.churn_by_contract SET subscribers = 2, churned = 4",
        {
            "churn_by_contract.subscribers_are_those_of_the_subscribers": 1,
            "churn_by_contract.churned_are_those_of_the_subscribers": -6,
        },
    ),
    (
        "UPDATE staging.stg_orders SET copies = 2",
        {"stg_orders.accepted_is_staged_plus_collapsed": 1},
    ),
    (
        "INSERT INTO raw.raw_orders BY NAME SELECT DATE '2024-01-10' AS order_date; "
        "UPDATE raw.source_loads SET rows_read = 10 WHERE source = 'orders'",
        {"stg_orders.accepted_is_staged_plus_collapsed": 1},
    ),
    (
        # A line of no money that the fact lost, the spine with it.
        "UPDATE staging.stg_orders SET extended_amount = 5.25, copies = 3 WHERE copies = 2; "
        "UPDATE staging.stg_orders SET extended_amount = 0, copies = 1 WHERE extended_amount = 3.5;"
        "DELETE FROM core.fact_orders WHERE line_type = 'adjustment'; "
        "UPDATE core.fact_orders SET extended_amount = 11.5 WHERE line_type = 'sale'; "
        "UPDATE core.customer_days SET lines = 2, gross_amount = 11.5, net_amount = 10.5, "
        "margin_amount = 10; "
        "UPDATE marts.sales_daily SET lines = 2, gross_amount = 11.5, net_amount = 10.5, "
        "margin_amount = 10; "
        "UPDATE marts.customer_sales SET lines = 2, gross_amount = 11.5, net_amount = 10.5, "
        "margin_amount = 10; "
        "UPDATE marts.customer_cohort_analysis SET gross_amount = 11.5, cohort_revenue = 10.5; "
        "UPDATE marts.ltv_curves SET gross_amount = 11.5, net_amount = 10.5; "
        "UPDATE marts.growth_accounting SET new_gross_amount = 11.5, closing_gross_amount = 11.5, "
        "new_net_amount = 10.5, closing_net_amount = 10.5",
        {"fact_orders.staged_is_fact": 1},
    ),
    (
        "UPDATE staging.stg_orders SET extended_amount = 4.0001 WHERE copies = 3",
        {"fact_orders.money_of_staged_is_money_of_fact": 0.5001},
    ),
    (
        "UPDATE core.fact_orders SET extended_amount = 6.4999 WHERE line_type = 'adjustment'",
        {"fact_orders.money_of_staged_is_money_of_fact": 0.0001},
    ),
    (
        "UPDATE core.customer_days SET lines = 4",
        {
            "customer_days.lines_of_fact_are_lines_of_days": -1,
            "sales_daily.lines_of_days_are_lines_of_sales": 1,
            "customer_sales.lines_of_days_are_lines_of_customers": 1,
        },
    ),
    (
        "UPDATE core.customer_days SET gross_amount = 7",
        {
            "customer_days.gross_of_fact_is_gross_of_days": -2,
            "sales_daily.gross_of_days_is_gross_of_sales": 2,
            "customer_sales.gross_of_days_is_gross_of_customers": 2,
            "customer_cohort_analysis.gross_of_days_is_gross_of_cohorts": 2,
            **growth("gross", 2),
        },
    ),
    (
        "UPDATE core.customer_days SET units = 1.5, returned_amount = -2, net_amount = 3, "
        "margin_amount = NULL",
        {
            "customer_days.units_of_fact_are_units_of_days": -0.5,
            "customer_days.returned_of_fact_is_returned_of_days": 1,
            "customer_days.money_of_fact_is_money_of_days": 1,
            "sales_daily.units_of_days_are_units_of_sales": 0.5,
            "sales_daily.returned_of_days_is_returned_of_sales": -1,
            "sales_daily.money_of_days_is_money_of_sales": -1,
            "customer_sales.units_of_days_are_units_of_customers": 0.5,
            "customer_sales.returned_of_days_is_returned_of_customers": -1,
            "customer_sales.money_of_days_is_money_of_customers": -1,
            "customer_cohort_analysis.returned_of_days_is_returned_of_cohorts": -1,
            "customer_cohort_analysis.money_of_days_is_money_of_cohorts": -1,
            **growth("money", -1),
        },
    ),
    ("UPDATE marts.growth_accounting SET retained_customers = 1", growth("buyers", -1)),
    *(
        (
            f"UPDATE marts.ltv_curves SET {name}_amount = {name}_amount + 2",
            {f"ltv_curves.{name}_of_cohorts_is_{name}_of_curves": -2},
        )
        for name in ("gross", "net", "margin")
    ),
    *(
        (
            f"UPDATE marts.growth_accounting SET churned_{what} = 2",
            {
                f"growth_accounting.{name}_of_{period}s_add_up": -2
                for period in ("day", "week", "month")
            },
        )
        for name, what in (
            ("customers", "customers"),
            ("gross", "gross_amount"),
            ("money", "net_amount"),
        )
    ),
    *(
        (
            f"UPDATE core.customer_days SET {name}_amount = {name}_amount + 1, "
            "margin_amount = NULL",
            {
                f"customer_days.{name}_of_fact_is_{name}_of_days": -1,
                f"sales_daily.{name}_of_days_is_{name}_of_sales": 1,
                f"customer_sales.{name}_of_days_is_{name}_of_customers": 1,
            },
        )
        for name in ("discount", "tax", "shipping", "cost")
    ),
    *(
        (
            f"UPDATE {table} SET margin_amount = 4",
            {f"{table.split('.')[1]}.margin_is_net_less_cost": 0.5},
        )
        for table in ("core.customer_days", "marts.sales_daily", "marts.customer_sales")
    ),
    (
        "UPDATE core.fact_orders SET line_type = 'adjustment' WHERE line_type = 'return'",
        {
            "customer_days.returned_of_fact_is_returned_of_days": 1,
            "customer_days.money_of_fact_is_money_of_days": 1,
            **{
                f"customer_days.{name}_of_fact_is_{name}_of_days": -value
                for name, value in FURTHER.items()
            },
        },
    ),
    (
        "UPDATE core.fact_orders SET line_type = 'return' WHERE line_type = 'adjustment'",
        {
            "customer_days.returned_of_fact_is_returned_of_days": 6.5,
            "customer_days.money_of_fact_is_money_of_days": 6.5,
            **{
                f"customer_days.{name}_of_fact_is_{name}_of_days": value
                for name, value in FURTHER.items()
            },
        },
    ),
    (
        "UPDATE marts.sales_daily SET net_amount = 3.9999, margin_amount = 3.4999",
        {"sales_daily.money_of_days_is_money_of_sales": 0.0001},
    ),
    (
        # Accounted to another month: the total is as it was.
        "UPDATE marts.customer_sales SET month = DATE '2023-12-01'",
        {name: 0 for name in BY_NAME if name.startswith("customer_sales.") and "_of_days_" in name},
    ),
    (
        "UPDATE raw.source_loads SET rows_read = 7 WHERE source = 'customers'",
        {"raw_customers.read_is_accepted_plus_rejected": 1},
    ),
    (
        "UPDATE raw.source_loads SET rows_read = 3 WHERE source = 'products'",
        {"raw_products.read_is_accepted_plus_rejected": -1},
    ),
    (
        "UPDATE staging.stg_customers SET copies = 1",
        {"stg_customers.accepted_is_staged_plus_collapsed": 2},
    ),
    (
        "UPDATE staging.stg_products SET copies = 3",
        {"stg_products.accepted_is_staged_plus_collapsed": -2},
    ),
    (
        "UPDATE staging.stg_user_sessions SET copies = 1",
        {"stg_user_sessions.accepted_is_staged_plus_collapsed": 1},
    ),
    (
        "INSERT INTO core.fact_user_sessions FROM core.fact_user_sessions",
        {"fact_user_sessions.staged_is_fact": -1},
    ),
    (
        "UPDATE core.dim_customers SET member_type = 'inferred'",
        {"dim_customers.staged_is_members_of_the_source": 3},
    ),
    (
        "INSERT INTO core.dim_products BY NAME SELECT 'source' AS member_type",
        {"dim_products.staged_is_members_of_the_source": -1},
    ),
    (
        # An amount made up before the marts.
        "UPDATE staging.stg_orders SET amount = NULL WHERE copies = 3",
        {"fact_orders.missing_amounts_are_still_missing": 1},
    ),
    (
        "UPDATE marts.customer_sales SET amounts_imputed = 3",
        {"customer_sales.imputed_amounts_are_the_missing_ones": -3},
    ),
    (
        "DELETE FROM marts.customer_sales",
        {
            "customer_sales.lines_of_days_are_lines_of_customers": 3,
            "customer_sales.units_of_days_are_units_of_customers": 1,
            "customer_sales.gross_of_days_is_gross_of_customers": 5,
            "customer_sales.returned_of_days_is_returned_of_customers": -1,
            "customer_sales.money_of_days_is_money_of_customers": 4,
            **{
                f"customer_sales.{name}_of_days_is_{name}_of_customers": 2 * value
                for name, value in FURTHER.items()
            },
        },
    ),
]


@pytest.mark.parametrize(("corruption", "expected"), CORRUPTIONS)
def test_an_equation_with_a_corrupted_side_fails_and_it_alone(
    connection: duckdb.DuckDBPyConnection, corruption: str, expected: dict[str, float]
) -> None:
    connection.execute(corruption)
    assert failing(connection, ONE_DAY) == expected.keys()
    for name, difference in expected.items():
        result = findings(connection, ONE_DAY)[name].result("block")
        assert result.metadata["difference"].value == pytest.approx(difference)
        assert (" is not " in str(result.description)) == bool(difference)
        assert result.severity == AssetCheckSeverity.ERROR


@pytest.mark.parametrize(("corruption", "expected"), CORRUPTIONS)
def test_the_query_of_a_failed_equation_lists_the_days_that_differ(
    connection: duckdb.DuckDBPyConnection, corruption: str, expected: dict[str, float]
) -> None:
    connection.execute(corruption)
    for name, difference in expected.items():
        finding = findings(connection, ONE_DAY)[name]
        listed = connection.execute(str(finding.query)).fetchall()
        assert [(key["day"], key["left"], key["right"]) for key in finding.keys] == listed
        assert float(sum(left - right for _, left, right in listed)) == pytest.approx(difference)


def test_days_whose_errors_cancel_are_seen(connection: duckdb.DuckDBPyConnection) -> None:
    other = DAY + timedelta(1)
    day_of(connection, other)
    connection.execute(
        "UPDATE raw.source_loads SET rows_read = CASE window_date "
        f"WHEN DATE '{DAY}' THEN 8 ELSE 10 END WHERE source = 'orders'"
    )
    found = findings(connection, Window(DAY, other + timedelta(1)))
    finding = found["raw_orders.read_is_accepted_plus_rejected"]
    assert not finding.passed
    assert finding.description == "18 = 18 in total, but 2 days differ"
    assert finding.failing == 2
    assert finding.days == {DAY: (9, 1), other: (10, 1)}


def test_every_equation_is_corrupted_above() -> None:
    assert {name for _, expected in CORRUPTIONS for name in expected} == BY_NAME.keys()


@pytest.mark.parametrize("days", [-1, 1])
def test_what_lies_outside_the_window_does_not_count(
    connection: duckdb.DuckDBPyConnection, days: int
) -> None:
    other = DAY + timedelta(days)
    day_of(connection, other)
    for table, column in (
        ("raw.raw_orders", "order_date"),
        ("raw.raw_user_sessions", "session_date"),
        ("raw.rejected_rows", "window_date"),
        ("staging.stg_orders", "order_date"),
        ("core.customer_days", "order_date"),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {column} = DATE '{other}'")
    marts = {name for name in BY_NAME if "_of_days_" in name and "growth" not in name}
    assert failing(connection, ONE_DAY) == marts  # these compare whole tables
    assert failing(connection, Window(other, other + timedelta(1))) > marts


def test_an_empty_window_balances(connection: duckdb.DuckDBPyConnection) -> None:
    assert failing(connection, Window(DAY + timedelta(7), DAY + timedelta(8))) == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_missing_table_does_not_pass(memory: duckdb.DuckDBPyConnection, name: str) -> None:
    with pytest.raises(duckdb.CatalogException):
        list(evaluate(DuckDBSession(memory), [BY_NAME[name]], lambda check: ONE_DAY))


def test_a_cent_of_a_large_sum_is_seen(connection: duckdb.DuckDBPyConnection) -> None:
    huge = "90071992547409.9301"  # more digits than a float has
    connection.execute(f"UPDATE core.customer_days SET net_amount = {huge}")
    connection.execute(f"UPDATE marts.sales_daily SET net_amount = {huge} + 0.0001")
    name = "sales_daily.money_of_days_is_money_of_sales"
    assert name in failing(connection, None)


def test_equations_of_absent_sources_are_left_out() -> None:
    found = {f"{check.asset}.{check.name}" for check in reconciliation.checks(sources("orders"))}
    assert BY_NAME.keys() - found == {
        name
        for name in BY_NAME
        if name.split(".")[0].endswith(
            ("user_sessions", "_customers", "_products", "_subscriptions", "_contract")
        )
    }
    assert {"raw_orders.read_is_accepted_plus_rejected", "fact_orders.staged_is_fact"} <= found
