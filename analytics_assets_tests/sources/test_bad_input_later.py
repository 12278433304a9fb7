"""Bad input that a load lets through on purpose: what staging, core and marts make of it.

One shop of few orders is loaded and built by dbt three times: good; with rows changed; and with
days changed, of which only those that change detection names are loaded and built again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.changes import changed_days
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.load import load_source
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.dbt.conftest import Warehouse as Built
from analytics_assets_tests.sources.conftest import ORDERS, Source
from analytics_assets_tests.sources.forms import csv_text

pytestmark = pytest.mark.slow

SPAN = Window(date(2024, 1, 1), date(2024, 3, 1))
CALENDAR = Calendar(SPAN.start, SPAN.end)
COLUMNS = (*ORDERS[:1], "line_number", *ORDERS[1:], "updated_at")
TABLES = [
    "raw.raw_orders", "staging.stg_orders", "core.fact_orders", "core.dim_customers",
    "core.dim_products", "core.customer_days", "marts.customer_cohort_analysis",
]  # fmt: skip


def line(order: str, day: str, **values: str) -> dict[str, str]:
    return {
        "order_id": order,
        "line_number": "1",
        "ordered_at": f"{day} 10:00:00",
        "customer_id": "C1",
        "product_id": "P1",
        "quantity": "2",
        "unit_price": "3.5",
        "updated_at": f"{day} 11:00:00",
        **values,
    }


GOOD = {
    "2024-01-05": [line("A", "2024-01-05"), line("B", "2024-01-05", customer_id="C2")],
    "2024-01-06": [line("C", "2024-01-06", customer_id="C2"), line("D", "2024-01-06")],
    "2024-01-07": [line("E", "2024-01-07")],
    "2024-02-10": [line("F", "2024-02-10", customer_id="C3"), line("G", "2024-02-10")],
}
CHANGED = {
    **GOOD,
    "2024-01-05": [
        *GOOD["2024-01-05"],
        GOOD["2024-01-05"][0],
        line("B", "2024-01-05", customer_id="C2", quantity="5", updated_at="2024-01-06"),
        line("36", "2024-01-05", quantity="-1"),
        line("37", "2024-01-05", unit_price="0"),
        line("37", "2024-01-05", unit_price="-1", line_number="2"),
        line("48", "2024-01-05", customer_id="C9", product_id="P9"),
        line("53a", "2024-01-05", customer_id="Zoë"),
        line("53b", "2024-01-05", customer_id="Zoe\u0308"),
        line("53c", "2024-01-05", customer_id="Z\u200boë\ufeff"),
    ],
}
LATER = {
    **CHANGED,
    # 56: C3, a customer of February, did buy in January.
    "2024-01-06": [GOOD["2024-01-06"][1], line("56", "2024-01-06", customer_id="C3")],
    # 55: a row of the fifth comes with the file of the seventh. 57: C is gone from the sixth.
    "2024-01-07": [*GOOD["2024-01-07"], line("55", "2024-01-05", customer_id="C2")],
}


@dataclass
class Shop:
    """What was built at one time: rows of each table as dictionaries."""

    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    days: list[date] = field(default_factory=list)

    def rows(self, table: str, **values: Any) -> list[dict[str, Any]]:
        return [
            row
            for row in self.tables[table]
            if all(row[name] == value for name, value in values.items())
        ]

    def one(self, table: str, **values: Any) -> dict[str, Any]:
        (row,) = self.rows(table, **values)
        return row


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Iterator[list[Shop]]:
    source = Source(tmp_path_factory.mktemp("shop"))
    built = Built(tmp_path_factory.mktemp("built"), manifest)
    built.create()
    source.write("customers.csv", "customer_id\nC1\nC2\nC3\n")
    source.write("products.csv", "product_id\nP1\n")
    orders = source.config("orders_{date}.csv", late_days=3)
    others = [source.config(f"{name}.csv", name) for name in ("customers", "products")]
    sources = SourcesConfig(CALENDAR, {config.source: config for config in (orders, *others)})
    warehouse = Warehouse(built.path)

    def load(window: Window) -> Shop:
        with warehouse.transaction() as session:
            at = datetime(2024, 3, 1, tzinfo=UTC).replace(tzinfo=None)
            load_source(session.connection, orders, CALENDAR, window, at)
            for config in others:
                load_source(session.connection, config, CALENDAR, None, at)
        span = (str(window.start), str(window.end))
        # Moves between segments are made of churn features.
        layers = ("--select", "staging", "core", "marts", "--exclude", "customer_segment_moves")
        built.built("build", *layers, "--exclude-resource-type", "unit_test", window=span)
        shop = Shop()
        with warehouse.read() as session:
            for table in TABLES:
                shop.tables[table] = session.records(f"FROM {table} ORDER BY ALL")
        return shop

    def write(files: dict[str, list[dict[str, str]]]) -> None:
        for day, lines in files.items():
            source.write(f"orders_{day}.csv", csv_text(lines, COLUMNS))

    write(GOOD)
    shops = [load(SPAN)]
    for files in (CHANGED, LATER):
        write(files)
        days = sorted(changed_days(sources, warehouse, [str(day) for day in SPAN]))
        shops.append(load(Window.of_days(str(days[0]), str(days[-1]))))
        shops[-1].days = days
    yield shops


@pytest.fixture
def good(shops: list[Shop]) -> Shop:
    return shops[0]


@pytest.fixture
def changed(shops: list[Shop]) -> Shop:
    return shops[1]


@pytest.fixture
def later(shops: list[Shop]) -> Shop:
    return shops[2]


def test_the_good_rows_are_all_sales_of_known_members(good: Shop) -> None:
    facts = good.rows("core.fact_orders")
    assert len(facts) == len(good.rows("raw.raw_orders")) == 7
    assert {row["line_type"] for row in facts} == {"sale"}
    assert not good.rows("core.dim_customers", member_type="inferred")
    assert not good.rows("core.dim_products", member_type="inferred")
    assert {row["copies"] for row in good.rows("staging.stg_orders")} == {1}


def test_case_36_a_negative_quantity_is_a_return(changed: Shop) -> None:
    assert changed.one("core.fact_orders", order_id="36")["line_type"] == "return"
    day = changed.one("core.customer_days", customer_id="C1", order_date=date(2024, 1, 5))
    assert (day["gross_amount"], day["net_amount"]) == (Decimal(7), Decimal("3.5"))


def test_case_37_a_price_of_zero_or_less_is_an_adjustment(changed: Shop) -> None:
    lines = changed.rows("core.fact_orders", order_id="37")
    assert [row["line_type"] for row in lines] == ["adjustment"] * 2


def test_case_46_an_exact_duplicate_is_collapsed_and_counted(good: Shop, changed: Shop) -> None:
    assert good.one("staging.stg_orders", order_id="A")["copies"] == 1
    assert changed.one("staging.stg_orders", order_id="A")["copies"] == 2
    assert len(changed.rows("raw.raw_orders", order_id="A")) == 2
    assert changed.one("core.fact_orders", order_id="A")["quantity"] == 2


def test_case_47_of_one_key_the_newest_wins_and_raw_keeps_both(good: Shop, changed: Shop) -> None:
    assert good.one("core.fact_orders", order_id="B")["quantity"] == 2
    assert changed.one("core.fact_orders", order_id="B")["quantity"] == 5
    kept = changed.rows("raw.raw_orders", order_id="B")
    assert sorted(row["quantity"] for row in kept) == [2, 5]


def test_case_48_who_is_not_in_the_source_is_an_inferred_member(changed: Shop) -> None:
    for dimension, column, value in (
        ("core.dim_customers", "customer_id", "C9"),
        ("core.dim_products", "product_id", "P9"),
    ):
        assert changed.one(dimension, **{column: value})["member_type"] == "inferred"
    fact = changed.one("core.fact_orders", order_id="48")
    assert (fact["customer_id"], fact["product_id"]) == ("C9", "P9")


def test_case_53_spellings_that_look_the_same_are_one_customer(changed: Shop) -> None:
    lines = [row for row in changed.rows("core.fact_orders") if row["order_id"].startswith("53")]
    assert [row["customer_id"] for row in lines] == ["Zoë"] * 3
    assert changed.one("core.dim_customers", customer_id="Zoë")
    raw = [row for row in changed.rows("raw.raw_orders") if row["order_id"].startswith("53")]
    assert len({row["customer_id"] for row in raw}) == 3


def test_case_55_a_late_row_has_its_old_day_redone(changed: Shop, later: Shop) -> None:
    assert changed.days == [date(2024, 1, 5)]
    assert later.days == [date(2024, 1, 5), date(2024, 1, 6)]
    assert not changed.rows("core.fact_orders", order_id="55")
    fact = later.one("core.fact_orders", order_id="55")
    assert fact["order_date"] == date(2024, 1, 5)
    assert later.one("raw.raw_orders", order_id="55")["source_file"] == "orders_2024-01-07.csv"


def cohort(shop: Shop, month: date, number: int) -> tuple[Any, ...]:
    row = shop.one("marts.customer_cohort_analysis", cohort_month=month, month_number=number)
    return row["customers_in_cohort"], row["customers_active"]


def test_case_56_a_backdated_correction_has_its_cohorts_recomputed(
    changed: Shop, later: Shop
) -> None:
    january, february = date(2024, 1, 1), date(2024, 2, 1)
    assert cohort(changed, january, 0) == (4, 4)  # C1, C2, C9, Zoë
    assert cohort(changed, february, 0) == (1, 1)  # C3
    assert cohort(later, january, 0) == (5, 5)
    assert cohort(later, january, 1) == (5, 2)  # C1, C3
    assert not [row for row in later.rows("marts.customer_cohort_analysis", cohort_month=february)
                if row["customers_in_cohort"]]  # fmt: skip


def test_case_57_a_row_deleted_at_the_source_is_gone(changed: Shop, later: Shop) -> None:
    for table in ("raw.raw_orders", "staging.stg_orders", "core.fact_orders"):
        assert changed.rows(table, order_id="C")
        assert not later.rows(table, order_id="C")
    day = {"customer_id": "C2", "order_date": date(2024, 1, 6)}
    assert changed.rows("core.customer_days", **day)
    assert not later.rows("core.customer_days", **day)
