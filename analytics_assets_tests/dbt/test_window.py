"""A window is replaced whole or not at all, whatever the order of the windows."""

import random
import re
from datetime import date, timedelta

import pytest

from analytics_assets.schemas import TABLES

from .conftest import SPAN, Warehouse, failures

DAILY = ["fact_orders", "fact_user_sessions", "customer_days", "customer_analytics_daily"]
DAY = ("2024-01-10", "2024-01-11")

pytestmark = pytest.mark.slow


def contents(warehouse: Warehouse) -> dict[str, list[tuple]]:
    return {name: warehouse.rows(TABLES[name].relation) for name in DAILY}


def test_day_by_day_in_any_order_equals_the_range(warehouse: Warehouse) -> None:
    expected = contents(warehouse)
    days = [date(2024, 1, 8) + timedelta(days=n) for n in range(5)]
    order = [*days, *days[:2]]
    random.Random(1).shuffle(order)
    warehouse.execute(
        *(
            f"delete from {TABLES[name].relation}"
            f" where {TABLES[name].window_column} between '2024-01-08' and '2024-01-12'"
            for name in DAILY
        )
    )
    assert contents(warehouse) != expected
    # A snapshot reads earlier days: the spine is whole before the first of them.
    for models in (DAILY[:3], DAILY[3:]):
        for day in order:
            window = (day.isoformat(), (day + timedelta(days=1)).isoformat())
            warehouse.built("run", "--select", *models, window=window)
    assert contents(warehouse) == expected


def test_a_day_that_became_empty_loses_its_rows(warehouse: Warehouse) -> None:
    before = warehouse.rows("core.fact_orders")
    warehouse.execute("delete from raw.raw_orders where order_date = date '2024-01-10'")
    warehouse.built("run", "--select", "fact_orders", "customer_days", window=DAY)
    after = warehouse.rows("core.fact_orders")
    assert after == [row for row in before if row[0] != date(2024, 1, 10)] != before
    assert not warehouse.query("from core.customer_days where order_date = date '2024-01-10'")


def test_months_one_by_one_equal_the_range(warehouse: Warehouse) -> None:
    expected = warehouse.rows("churn.churn_features")
    for window in [("2024-02-01", "2024-03-01"), ("2024-01-01", "2024-02-01")]:
        warehouse.built("run", "--select", "churn_features", window=window)
    assert expected == warehouse.rows("churn.churn_features")


@pytest.mark.parametrize(
    "model", ["churn_features", "customer_analytics_daily", "customer_segment_moves"]
)
def test_more_rows_than_fit_in_memory_are_made_in_parts(warehouse: Warehouse, model: str) -> None:
    relation = TABLES[model].relation
    expected = warehouse.rows(relation)
    ((customers,),) = warehouse.query("select count(*) from core.dim_customers")
    dates = len({row[0] for row in expected})
    log = warehouse.path.parent / "logs" / "dbt.log"
    # What fits is made at once; a part is of one customer, or of one day, at the least.
    condition, column, cases = {
        "churn_features": (
            r"hash\(customer_id\) % \d+ = \d+",
            "sale_orders",
            [(customers * dates // 2, 1), (customers * dates // 2 - 1, 2), (1, customers)],
        ),
        "customer_analytics_daily": (
            "date_day between .*",
            "sale_orders",
            [(customers * dates, 1), (customers * (dates - 1), 2), (1, dates)],
        ),
        # Of the months of the window, and the one after it.
        "customer_segment_moves": (
            "date_day between .*",
            "customers",
            [(customers * dates, 1), (-(-customers // 8), 2), (1, dates + 1)],
        ),
    }[model]
    for rows, parts in cases:
        # A new table, and an old one.
        before = "drop table {}" if parts < 3 else f"update {{}} set {column} = 0"
        warehouse.execute(before.format(relation))
        log.unlink(missing_ok=True)
        choice = ("run", "--select", model)
        warehouse.built(*choice, window=SPAN, ANALYTICS_FEATURE_ROWS=str(rows))
        assert warehouse.rows(relation) == expected
        assert len(set(re.findall(condition, log.read_text()))) == parts


def test_a_failure_in_a_later_part_leaves_nothing(warehouse: Warehouse) -> None:
    warehouse.execute(
        "drop table churn.churn_features",
        "update core.customer_days set gross_amount = 99999999999999"
        " where order_date >= date '2024-02-20'",
    )
    choice = ("run", "--select", "churn_features")
    result = warehouse.dbt(*choice, window=SPAN, ANALYTICS_FEATURE_ROWS="1")
    assert not result.success
    assert "DECIMAL(18,4)" in failures(result)
    assert not warehouse.query("from duckdb_tables() where table_name like 'churn_features%'")
    warehouse.built(*choice, window=("2024-01-01", "2024-02-01"))  # the part before it


def test_moves_between_segments_add_up_when_one_month_is_made_again(warehouse: Warehouse) -> None:
    before = warehouse.rows("marts.customer_segment_moves")
    # What a late order does to the features of its month, and of no later one.
    warehouse.execute("""update churn.churn_features set net_amount = 1000000
        where month = '2024-01-01' and net_amount = (select min(net_amount)
            from churn.churn_features where month = '2024-01-01')""")
    moves = ("--select", "customer_segment_moves")
    warehouse.built("run", *moves, window=("2024-01-01", "2024-02-01"))
    assert warehouse.rows("marts.customer_segment_moves") != before
    warehouse.built("test", *moves, "--exclude-resource-type", "unit_test")


def test_a_failure_in_the_insert_keeps_the_old_rows(warehouse: Warehouse) -> None:
    """dbt-duckdb runs the delete and the insert of the strategy in one transaction."""
    before = warehouse.rows("core.fact_orders")
    warehouse.execute("alter table core.fact_orders alter column status set not null")
    warehouse.execute("update raw.raw_orders set status = null where order_id = 'O9-5'")
    result = warehouse.dbt("run", "--select", "fact_orders", window=DAY)
    assert not result.success
    assert "NOT NULL constraint failed" in failures(result)
    assert warehouse.rows("core.fact_orders") == before


def test_columns_are_matched_by_name(warehouse: Warehouse) -> None:
    before = warehouse.rows("core.customer_days")
    warehouse.execute("""create or replace table core.customer_days as
        select columns(* exclude (order_date)), order_date from core.customer_days""")
    warehouse.built("run", "--select", "customer_days", window=DAY)
    moved = (
        "select order_date, columns(* exclude (order_date)) from core.customer_days order by all"
    )
    assert warehouse.query(moved) == before


def test_a_changed_table_is_refused(warehouse: Warehouse) -> None:
    warehouse.execute("alter table core.fact_orders drop column status")
    result = warehouse.dbt("run", "--select", "fact_orders", window=DAY)
    assert not result.success
    assert "out of sync" in failures(result)


def test_rows_outside_the_window_are_refused(warehouse: Warehouse) -> None:
    before = warehouse.rows("churn.churn_features")
    window = ("2024-01-15", "2024-02-01")  # no whole month
    result = warehouse.dbt("run", "--select", "churn_features", window=window)
    assert not result.success
    assert "lie outside the window" in failures(result)
    assert warehouse.rows("churn.churn_features") == before


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (None, "ANALYTICS_WINDOW_START is not set"),
        (("2024-01-10", ""), "ANALYTICS_WINDOW_END is not set"),
        (("2024-01-11", "2024-01-10"), "has to lie after"),
        (("10/01/2024", "2024-01-11"), "Invalid isoformat string"),
    ],
)
def test_a_window_has_to_be_given(
    warehouse: Warehouse, window: tuple[str, str] | None, message: str
) -> None:
    result = warehouse.dbt("run", "--select", "fact_orders", window=window)
    assert not result.success
    assert message in failures(result)


def test_full_refresh_does_not_drop_other_windows(warehouse: Warehouse) -> None:
    before = warehouse.rows("core.fact_orders")
    warehouse.built("run", "--full-refresh", "--select", "fact_orders", window=DAY)
    assert warehouse.rows("core.fact_orders") == before


def test_another_window_does_not_parse_again(warehouse: Warehouse) -> None:
    (warehouse.target / "partial_parse.msgpack").unlink()
    warehouse.built("parse", window=("2024-02-01", "2024-02-02"))
    log = warehouse.path.parent / "logs" / "dbt.log"
    for window in (DAY, SPAN):
        log.unlink(missing_ok=True)
        warehouse.built("run", "--select", "customer_days", window=window)
        text = log.read_text()
        assert "Partial parsing enabled, no changes found, skipping parsing" in text
        assert "Unable to do partial parsing" not in text


def test_tests_look_at_the_window_only(warehouse: Warehouse) -> None:
    """A window's run neither pays for nor fails on the rest of the table."""
    warehouse.execute("""update core.fact_orders set customer_id = 'nobody'
        where order_date = date '2024-01-10'""")
    test = ("test", "--select", "fact_orders_customer_id_member")
    warehouse.built(*test, window=("2024-02-10", "2024-02-11"))
    assert not warehouse.dbt(*test, window=("2024-01-10", "2024-01-11")).success
    assert not warehouse.dbt(*test).success
