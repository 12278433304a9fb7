"""What only the lines of an order together, or all orders together, can give away."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from analytics_assets.checks import orders
from analytics_assets.checks.base import Check, Finding
from analytics_assets.checks.registry import evaluate
from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import DAY, insert

ONE_DAY = Window(DAY, DAY + timedelta(1))
CONFIG = SourcesConfig(
    Calendar(DAY, DAY + timedelta(30)), {"orders": SourceConfig("orders", "x.csv")}
)
LATER = DAY + timedelta(9)
CHECKS: dict[str, Check] = {check.name: check for check in orders.checks(CONFIG)}


@pytest.fixture
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def find(connection: duckdb.DuckDBPyConnection, name: str, window: Window | None) -> Finding:
    (finding,) = evaluate(DuckDBSession(connection), [CHECKS[name]], lambda check: window)
    return finding


def test_without_orders_there_are_no_rules() -> None:
    config = SourcesConfig(CONFIG.calendar, {"subscriptions": SourceConfig("subscriptions", "x")})
    assert list(orders.checks(config)) == []


@pytest.mark.parametrize("window", [None, ONE_DAY, Window(LATER, LATER + timedelta(1))])
def test_a_numbered_line_on_two_days_is_an_error_and_a_refund_is_not(
    memory: duckdb.DuckDBPyConnection, window: Window | None
) -> None:
    line = {"order_id": "A", "line_number": 1}
    rows: list[dict[str, Any]] = [
        line,
        {**line, "source_row": 2},  # a version of the same day
        {"order_id": "B", "line_number": None},
        {"order_id": "B", "line_number": None, "order_date": LATER},
        {"order_id": "C", "line_number": 1},
        {"order_id": "C", "line_number": 1, "order_date": LATER, "is_refund": True},
    ]
    insert(memory, "raw_orders", *rows)
    assert find(memory, "numbered_line_on_one_day", window).passed
    insert(memory, "raw_orders", {**line, "order_date": LATER})
    finding = find(memory, "numbered_line_on_one_day", window)
    assert (finding.passed, finding.failing, finding.severe) == (False, 1, True)
    assert finding.keys == [line]
    assert finding.check.spec("block").blocking


@pytest.mark.parametrize(
    ("column", "value"),
    [("customer_id", "other"), ("currency", "USD"), ("currency", None), ("status", None)],
)
def test_an_order_whose_lines_disagree_is_a_warning_with_its_lines(
    memory: duckdb.DuckDBPyConnection, column: str, value: str | None
) -> None:
    good = [{"order_id": "A", "line_number": number} for number in (1, 2)]
    refund = {"order_id": "A", "line_number": 3, "is_refund": True, column: value}
    later = {"order_id": "B", "line_number": 9, "order_date": LATER, column: value}
    insert(memory, "fact_orders", *good, refund, later, {"order_id": "B", "line_number": 1})
    assert find(memory, "order_agrees_with_itself", None).passed
    insert(memory, "fact_orders", {"order_id": "B", "line_number": 2, column: value})
    finding = find(memory, "order_agrees_with_itself", ONE_DAY)
    assert (finding.passed, finding.failing, finding.severe) == (False, 2, False)
    assert finding.details["by kind"] == {column: 2}
    assert [(key["order_id"], key["line_number"]) for key in finding.keys] == [("B", 1), ("B", 2)]
    assert "`query`" in finding.check.remedy


def test_a_returned_line_needs_a_refund(memory: duckdb.DuckDBPyConnection) -> None:
    returned = {"status": "returned", "quantity": 2, "product_id": "p"}
    fine = [
        {**returned, "order_id": "A", "line_number": 1},
        {"order_id": "A", "order_date": LATER, "product_id": "p", "is_refund": True},
        {**returned, "order_id": "B", "quantity": -2},
        {"order_id": "C", "status": "completed"},
    ]
    insert(memory, "fact_orders", *fine)
    assert find(memory, "returned_line_has_a_refund", None).passed
    insert(memory, "fact_orders", {**returned, "order_id": "C", "line_number": 7})
    insert(memory, "fact_orders", {**returned, "order_id": "A", "product_id": "q"})
    finding = find(memory, "returned_line_has_a_refund", ONE_DAY)
    assert [key["order_id"] for key in finding.keys] == ["A", "C"]
    assert "negative quantity" in finding.check.remedy


NAME = "customer_has_a_plausible_share_of_the_orders"


def counted(connection: duckdb.DuckDBPyConnection, customers: dict[str, int]) -> Finding:
    insert(connection, "dim_customers", *[{"customer_id": name} for name in customers])
    days = [{"customer_id": name, "orders": orders} for name, orders in customers.items()]
    insert(connection, "customer_days", *days)
    return find(connection, NAME, ONE_DAY)


MANY = {f"C{number}": 1 + number % 6 for number in range(200)}  # 697 orders


@pytest.mark.parametrize(
    "customers",
    [
        {**MANY, "big": 50},
        {**MANY, "big": 51},  # the others are near: no more than ten times as many
        {**{f"C{n}": 20 for n in range(9)}, "big": 150},  # a wholesaler of a small shop
        {"only": 900},
        {**MANY, "(unknown)": 900},
        {**{f"C{n}": 3 for n in range(2000)}, "big": 200},  # less than a twentieth
    ],
)
def test_busy_customers_are_plausible(
    memory: duckdb.DuckDBPyConnection, customers: dict[str, int]
) -> None:
    assert counted(memory, customers).passed


def test_an_identifier_of_nobody_is_named_with_the_word_to_configure(
    memory: duckdb.DuckDBPyConnection,
) -> None:
    finding = counted(memory, {**MANY, "0": 300, "guest": 90, "all@example.com": 80})
    assert not finding.passed
    assert finding.keys == [
        {"customer_id": "0", "orders": 300},
        {"customer_id": "(hidden)", "orders": 80},
        {"customer_id": "guest", "orders": 90},
    ]
    assert finding.details["to configure"] == "null_words: ['0', 'guest']"
