"""Rows and money add up: each equation fails when one of its sides is corrupted, and it alone."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from analytics_assets.checks.reconciliation import EQUATIONS, evaluate, reconciliation_checks
from analytics_assets.partitions import Window
from analytics_assets_tests.rows import DAY, insert

ONE_DAY = Window(DAY, DAY + timedelta(1))
BY_NAME = {f"{equation.asset}.{equation.name}": equation for equation in EQUATIONS}
MONEY = Decimal("3.5")


def day_of(connection: duckdb.DuckDBPyConnection, day: Any) -> None:
    """One day in which every equation holds, with no figure that is 0 or equals another by luck."""
    insert(
        connection,
        "source_loads",
        {"source": "orders", "window_date": day, "rows_read": 9},
        {"source": "user_sessions", "window_date": day, "rows_read": 3},
    )
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
        line = {"order_date": day, "line_type": line_type, "extended_amount": amount}
        insert(connection, "fact_orders", {**line, "order_id": str(day), "line_number": number})
    insert(connection, "fact_user_sessions", {"session_date": day, "session_id": str(day)})
    insert(connection, "customer_days", {"order_date": day, "lines": 3, "net_amount": 4})
    insert(connection, "sales_daily", {"order_date": day, "net_amount": 4})
    insert(connection, "customer_sales", {"month": day.replace(day=1), "net_amount": 4})


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        day_of(connection, DAY)
        yield connection


def failing(connection: duckdb.DuckDBPyConnection, window: Window | None) -> set[str]:
    return {
        name
        for name, equation in BY_NAME.items()
        if not evaluate(connection, equation, window).passed
    }


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
        "DELETE FROM raw.rejected_rows WHERE source = 'orders'",
        {"raw_orders.read_is_accepted_plus_rejected": 2},
    ),
    (
        "UPDATE raw.rejected_rows SET source = 'customers' WHERE source = 'user_sessions'",
        {"raw_user_sessions.read_is_accepted_plus_rejected": 1},
    ),
    (
        "UPDATE raw.source_loads SET rows_read = 0 WHERE source = 'user_sessions'",
        {"raw_user_sessions.read_is_accepted_plus_rejected": -3},
    ),
    (
        "DELETE FROM raw.raw_user_sessions",
        {"raw_user_sessions.read_is_accepted_plus_rejected": 2},
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
        "UPDATE core.customer_days SET lines = 2, net_amount = 10.5; "
        "UPDATE marts.sales_daily SET net_amount = 10.5; "
        "UPDATE marts.customer_sales SET net_amount = 10.5",
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
        {"customer_days.lines_of_fact_are_lines_of_days": -1},
    ),
    (
        "UPDATE core.fact_orders SET line_type = 'adjustment' WHERE line_type = 'return'",
        {"customer_days.money_of_fact_is_money_of_days": 1},
    ),
    (
        "UPDATE core.fact_orders SET line_type = 'return' WHERE line_type = 'adjustment'",
        {"customer_days.money_of_fact_is_money_of_days": 6.5},
    ),
    (
        "UPDATE marts.sales_daily SET net_amount = 3.9999",
        {"sales_daily.money_of_days_is_money_of_sales": 0.0001},
    ),
    (
        "UPDATE core.fact_orders SET line_number = 2 WHERE line_number = 1",
        {"fact_orders.no_key_stands_on_two_days": 1},
    ),
    (
        "INSERT INTO core.fact_user_sessions BY NAME "
        "SELECT session_id, session_date + 1 AS session_date FROM core.fact_user_sessions",
        {"fact_user_sessions.no_key_stands_on_two_days": 1},
    ),
    (
        "DELETE FROM marts.customer_sales",
        {"customer_sales.money_of_days_is_money_of_customers": 4},
    ),
]


@pytest.mark.parametrize(("corruption", "expected"), CORRUPTIONS)
def test_an_equation_with_a_corrupted_side_fails_and_it_alone(
    connection: duckdb.DuckDBPyConnection, corruption: str, expected: dict[str, float]
) -> None:
    connection.execute(corruption)
    assert failing(connection, ONE_DAY) == expected.keys()
    for name, difference in expected.items():
        result = evaluate(connection, BY_NAME[name], ONE_DAY)
        assert result.metadata["difference"].value == pytest.approx(difference)
        assert " is not " in str(result.description)
        assert result.asset_key is not None
        assert f"{result.asset_key.path[-1]}.{result.check_name}" == name


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
    marts = {name for name in BY_NAME if name.split(".")[0] in ("sales_daily", "customer_sales")}
    assert failing(connection, ONE_DAY) == marts  # these compare whole tables
    assert failing(connection, Window(other, other + timedelta(1))) > marts


def test_an_empty_window_balances(connection: duckdb.DuckDBPyConnection) -> None:
    assert failing(connection, Window(DAY + timedelta(7), DAY + timedelta(8))) == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_missing_table_does_not_pass(name: str) -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.CatalogException):
        evaluate(connection, BY_NAME[name], ONE_DAY)


def test_a_cent_of_a_large_sum_is_seen(connection: duckdb.DuckDBPyConnection) -> None:
    huge = "90071992547409.9301"  # more digits than a float has
    connection.execute(f"UPDATE core.customer_days SET net_amount = {huge}")
    connection.execute(f"UPDATE marts.sales_daily SET net_amount = {huge} + 0.0001")
    name = "sales_daily.money_of_days_is_money_of_sales"
    assert name in failing(connection, None)


def test_all_equations_are_blocking_checks_and_those_of_absent_sources_are_left_out() -> None:
    def checks(absent: tuple[str, ...]) -> set[str]:
        specs = [spec for d in reconciliation_checks(absent) for spec in d.check_specs]
        assert all(spec.blocking for spec in specs)
        return {f"{spec.asset_key.path[-1]}.{spec.name}" for spec in specs}

    assert checks(()) == BY_NAME.keys()
    assert BY_NAME.keys() - checks(("user_sessions", "products")) == {
        "raw_user_sessions.read_is_accepted_plus_rejected",
        "fact_user_sessions.no_key_stands_on_two_days",
    }
