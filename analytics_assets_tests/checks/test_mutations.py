"""Each check fails when the good warehouse is corrupted in the way that it is there to see.

A corruption is undone by rolling it back, so that one copy of the built project serves all. What a
check finds counts as more than it found before: the sample has planted rows of its own.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from dagster import AssetCheckResult, AssetCheckSeverity
from dagster_dbt.dbt_manifest import validate_manifest

from analytics_assets.assets.dbt.command import DbtCommand, prepare_manifest
from analytics_assets.checks import dbt
from analytics_assets.checks.base import Check, Finding
from analytics_assets.checks.registry import all_checks, evaluate
from analytics_assets.checks.scans import Scans
from analytics_assets.checks.schema import MAY_BE_EMPTY
from analytics_assets.partitions import Window, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import CHECK_POLICIES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.checks import of_analyses
from analytics_assets_tests.conftest import CHECKED_OF_SAMPLE, Project

pytestmark = pytest.mark.slow

DAYS = 14  # at the end of the calendar: what came before is what they are compared with
LAST = "(SELECT max(order_date) FROM core.fact_orders)"
LINE = (
    "(SELECT (order_id, line_number) FROM core.fact_orders WHERE order_date = "
    f"{LAST} AND line_type = 'sale' AND amount IS NOT NULL ORDER BY ALL LIMIT 1)"
)
OF_LINE = f"(order_id, line_number) = {LINE}"
RAW_ROW = (
    "(source_file, source_row) = (SELECT (source_file, source_row) FROM raw.raw_orders "
    f"WHERE order_date = {LAST} AND line_number IS NOT NULL ORDER BY ALL LIMIT 1)"
)
COPY = "INSERT INTO {0} FROM (FROM {0} WHERE {1} LIMIT 1)"


@dataclass(frozen=True)
class Corruption:
    """SQL, and the other checks of rows that it cannot but make fail too."""

    sql: str
    also: frozenset[str] = frozenset()


def corrupt(sql: str, *also: str) -> Corruption:
    return Corruption(sql, frozenset(also))


def loads(source: str, change: str) -> str:
    return (
        f"UPDATE raw.source_loads SET {change} WHERE source = '{source}' AND "
        "window_date IS NOT DISTINCT FROM (SELECT max(window_date) FROM raw.source_loads "
        f"WHERE source = '{source}')"
    )


STAGED = {
    # A view is replaced by one that has lost a row, or counts one twice.
    source: f"CREATE OR REPLACE VIEW staging.stg_{source} AS FROM (FROM staged QUALIFY "
    "row_number() OVER (ORDER BY source_file DESC, source_row DESC) > 1)"
    for source in ("orders", "user_sessions", "customers", "products")
}


def of_days(figure: str) -> tuple[str, str]:
    """What compares customer_days with what is made of it."""
    verb = "are" if figure in ("lines", "units") else "is"
    return (
        f"customer_sales.{figure}_of_days_{verb}_{figure}_of_customers",
        f"sales_daily.{figure}_of_days_{verb}_{figure}_of_sales",
    )


GROSS_OF_FACT = "customer_days.gross_of_fact_is_gross_of_days"
UNITS_OF_FACT = "customer_days.units_of_fact_are_units_of_days"
LAST_DAYS = f"WHERE order_date = {LAST}"


def measure(name: str, column: str, *also: str) -> dict[str, Corruption]:
    """A measure that one of the layers has wrong: the days, or what is made of them."""
    of_customers, of_sales = of_days(name)
    verb = "are" if name == "units" else "is"
    more = f"SET {column} = {column} + 0.5, margin_amount = NULL"
    return {
        f"customer_days.{name}_of_fact_{verb}_{name}_of_days": corrupt(
            f"UPDATE core.customer_days {more} {LAST_DAYS}", of_customers, of_sales, *also
        ),
        of_sales: corrupt(f"UPDATE marts.sales_daily {more} {LAST_DAYS}"),
        of_customers: corrupt(f"UPDATE marts.customer_sales {more} WHERE month = '2024-03-01'"),
    }


COHORTS_ADD_UP = "cohorts_by_dimension.cohorts_by_dimension_add_up"


def growth(name: str) -> list[str]:
    """What compares customer_days with growth_accounting, by day, week and month."""
    verb = "are" if name == "buyers" else "is"
    return [
        f"growth_accounting.{name}_of_days_{verb}_{name}_of_{period}_growth"
        for period in ("day", "week", "month")
    ]


def wrong_growth(column: str, period: str) -> Corruption:
    return corrupt(
        f"UPDATE marts.growth_accounting SET {column} = {column} + 1 WHERE period_type = "
        f"'{period}' AND period_start = (SELECT max(period_start) FROM marts.growth_accounting "
        f"WHERE period_type = '{period}')"
    )


CORRUPTIONS: dict[str, Corruption] = {
    # accounting
    **{
        f"raw_{source}.read_is_accepted_plus_rejected": corrupt(
            loads(source, "rows_read = rows_read + 1")
        )
        for source in ("orders", "user_sessions", "customers", "products")
    },
    "stg_orders.accepted_is_staged_plus_collapsed": corrupt(
        STAGED["orders"],
        "fact_orders.staged_is_fact",
        "fact_orders.money_of_staged_is_money_of_fact",
    ),
    "stg_user_sessions.accepted_is_staged_plus_collapsed": corrupt(
        STAGED["user_sessions"], "fact_user_sessions.staged_is_fact"
    ),
    "stg_customers.accepted_is_staged_plus_collapsed": corrupt(
        STAGED["customers"], "dim_customers.staged_is_members_of_the_source"
    ),
    "stg_products.accepted_is_staged_plus_collapsed": corrupt(
        STAGED["products"], "dim_products.staged_is_members_of_the_source"
    ),
    "fact_orders.staged_is_fact": corrupt(
        f"DELETE FROM core.fact_orders WHERE {OF_LINE}",
        "fact_orders.money_of_staged_is_money_of_fact",
        "customer_days.lines_of_fact_are_lines_of_days",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
        UNITS_OF_FACT,
    ),
    "fact_user_sessions.staged_is_fact": corrupt(
        "DELETE FROM core.fact_user_sessions WHERE session_id = (SELECT max(session_id) FROM "
        "core.fact_user_sessions WHERE session_date = (SELECT max(session_date) FROM "
        "core.fact_user_sessions))"
    ),
    "fact_orders.money_of_staged_is_money_of_fact": corrupt(
        f"UPDATE core.fact_orders SET extended_amount = extended_amount + 0.001 WHERE {OF_LINE}",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
    ),
    "dim_customers.staged_is_members_of_the_source": corrupt(
        "DELETE FROM core.dim_customers WHERE customer_id = (SELECT min(c.customer_id) FROM "
        "core.dim_customers AS c ANTI JOIN core.fact_orders USING (customer_id) ANTI JOIN "
        "core.fact_user_sessions USING (customer_id) WHERE member_type = 'source')"
    ),
    "dim_products.staged_is_members_of_the_source": corrupt(
        "INSERT INTO core.dim_products (product_id, member_type) VALUES ('new', 'source')"
    ),
    "customer_days.lines_of_fact_are_lines_of_days": corrupt(
        f"UPDATE core.customer_days SET lines = lines + 1 WHERE order_date = {LAST}",
        *of_days("lines"),
    ),
    "customer_days.money_of_fact_is_money_of_days": corrupt(
        f"UPDATE core.customer_days SET net_amount = net_amount + 0.01 WHERE order_date = {LAST}",
        "sales_daily.money_of_days_is_money_of_sales",
        "customer_sales.money_of_days_is_money_of_customers",
        "customer_cohort_analysis.money_of_days_is_money_of_cohorts",
        *growth("money"),
    ),
    "sales_daily.money_of_days_is_money_of_sales": corrupt(
        f"UPDATE marts.sales_daily SET order_date = order_date + 1 WHERE order_date = {LAST}",
        of_days("gross")[1],
        of_days("lines")[1],
        of_days("units")[1],
    ),
    "customer_sales.money_of_days_is_money_of_customers": corrupt(
        "DELETE FROM marts.customer_sales WHERE month = DATE '2024-03-01'",
        *(of_days(name)[0] for name in ("gross", "lines", "units", "returned")),
    ),
    **measure("units", "units"),
    **measure(
        "returned",
        "returned_amount",
        "customer_cohort_analysis.returned_of_days_is_returned_of_cohorts",
    ),
    **{
        key: value
        for name in ("discount", "tax", "shipping", "cost")
        for key, value in measure(name, f"{name}_amount").items()
    },
    **{
        f"{relation.split('.')[1]}.margin_is_net_less_cost": corrupt(
            f"UPDATE {relation} SET margin_amount = net_amount - cost_amount - 1"
        )
        for relation in ("core.customer_days", "marts.sales_daily", "marts.customer_sales")
    },
    **{
        f"customer_cohort_analysis.{name}_of_days_is_{name}_of_cohorts": corrupt(
            f"UPDATE marts.customer_cohort_analysis SET {column} = {column} + 1",
            COHORTS_ADD_UP,
            *of_curves,
        )
        for name, column, *of_curves in (
            ("gross", "gross_amount", "ltv_curves.gross_of_cohorts_is_gross_of_curves"),
            ("returned", "returned_amount"),
            ("money", "cohort_revenue", "ltv_curves.net_of_cohorts_is_net_of_curves"),
        )
    },
    **{
        f"growth_accounting.{name}_of_{period}s_add_up": wrong_growth(f"churned_{what}", period)
        for period in ("day", "week", "month")
        for name, what in (
            ("customers", "customers"),
            ("gross", "gross_amount"),
            ("money", "net_amount"),
        )
    },
    **{
        check: wrong_growth(column, period)
        for name, column in (
            ("buyers", "retained_customers"),
            ("gross", "retained_gross_amount"),
            ("money", "returning_net_amount"),
        )
        for check, period in zip(growth(name), ("day", "week", "month"), strict=True)
    },
    "raw_orders.numbered_line_on_one_day": corrupt(
        "INSERT INTO raw.raw_orders SELECT * REPLACE (order_date - 30 AS order_date, "
        f"source_row + 1000000 AS source_row) FROM raw.raw_orders WHERE {RAW_ROW}"
    ),
    "fact_orders.order_agrees_with_itself": corrupt(
        "UPDATE core.fact_orders SET currency = 'USD' WHERE line_number = 1 AND order_id = ("
        f"SELECT max(order_id) FROM core.fact_orders WHERE order_date = {LAST} "
        "AND line_number = 2)"
    ),
    "fact_orders.returned_line_has_a_refund": corrupt(
        f"UPDATE core.fact_orders SET status = 'returned' WHERE {OF_LINE}"
    ),
    "dim_customers.customer_has_a_plausible_share_of_the_orders": corrupt(
        f"UPDATE core.customer_days SET orders = orders + 1000000 WHERE customer_id = ("
        f"SELECT max(customer_id) FROM core.customer_days {LAST_DAYS} "
        "AND customer_id <> '(unknown)')"
    ),
    "fact_orders.missing_amounts_are_still_missing": corrupt(
        f"UPDATE core.fact_orders SET amount = NULL WHERE {OF_LINE}",
        "fact_orders.amount_present",
        "customer_sales.imputed_amounts_are_the_missing_ones",
    ),
    "customer_sales.imputed_amounts_are_the_missing_ones": corrupt(
        "UPDATE marts.customer_sales SET amounts_imputed = 0"
    ),
    # uniqueness
    # No window of the sample has closed after a prediction: twice the same, made up.
    "churn_performance.key_is_unique": corrupt(
        "INSERT INTO churn.churn_performance (as_of, model_version, customers, mean_predicted) "
        "SELECT DATE '2024-01-01', 'v', 1, 0.5 FROM range(2)"
    ),
    "raw_orders.key_is_unique": corrupt(
        COPY.format("raw.raw_orders", f"order_date = {LAST}"),
        "raw_orders.no_row_twice",
        "raw_orders.read_is_accepted_plus_rejected",
    ),
    "raw_user_sessions.key_is_unique": corrupt(
        "INSERT INTO raw.raw_user_sessions SELECT * REPLACE (session_id || 'x' AS session_id) "
        "FROM raw.raw_user_sessions WHERE session_date = (SELECT max(session_date) FROM "
        "raw.raw_user_sessions) LIMIT 1",
        "raw_user_sessions.read_is_accepted_plus_rejected",
        "fact_user_sessions.staged_is_fact",
    ),
    "raw_customers.key_is_unique": corrupt(
        COPY.format("raw.raw_customers", "TRUE"),
        "raw_customers.no_row_twice",
        "raw_customers.read_is_accepted_plus_rejected",
    ),
    "raw_products.key_is_unique": corrupt(
        "UPDATE raw.raw_products SET source_row = 1 WHERE source_row = 2"
    ),
    "rejected_rows.key_is_unique": corrupt(
        "INSERT INTO raw.rejected_rows SELECT * REPLACE (window_date - 1 AS window_date) FROM "
        "raw.rejected_rows WHERE source = 'orders' LIMIT 1"
    ),
    "fact_orders.key_is_unique": corrupt(
        COPY.format("core.fact_orders", OF_LINE),
        "fact_orders.staged_is_fact",
        "fact_orders.money_of_staged_is_money_of_fact",
        "customer_days.lines_of_fact_are_lines_of_days",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
        UNITS_OF_FACT,
    ),
    # The same session on another day, which no look at the window alone can see.
    "fact_user_sessions.key_is_unique": corrupt(
        "INSERT INTO core.fact_user_sessions SELECT * REPLACE (session_date - 30 AS session_date) "
        "FROM core.fact_user_sessions WHERE session_id = (SELECT max(session_id) FROM "
        "core.fact_user_sessions WHERE session_date = (SELECT max(session_date) FROM "
        "core.fact_user_sessions))"
    ),
    "raw_orders.no_row_twice": corrupt(
        "INSERT INTO raw.raw_orders SELECT * REPLACE (source_row + 1000000 AS source_row) FROM "
        f"raw.raw_orders WHERE {RAW_ROW}",
        "raw_orders.read_is_accepted_plus_rejected",
    ),
    "raw_user_sessions.no_row_twice": corrupt(
        "INSERT INTO raw.raw_user_sessions SELECT * REPLACE (source_row + 1000000 AS source_row) "
        "FROM raw.raw_user_sessions WHERE session_date = (SELECT max(session_date) FROM "
        "raw.raw_user_sessions) LIMIT 1",
        "raw_user_sessions.read_is_accepted_plus_rejected",
    ),
    "raw_customers.no_row_twice": corrupt(
        "INSERT INTO raw.raw_customers SELECT * REPLACE (source_row + 1000000 AS source_row) FROM "
        "raw.raw_customers LIMIT 1",
        "raw_customers.read_is_accepted_plus_rejected",
    ),
    "raw_products.no_row_twice": corrupt(
        "INSERT INTO raw.raw_products SELECT * REPLACE (source_row + 1000000 AS source_row) FROM "
        "raw.raw_products LIMIT 1",
        "raw_products.read_is_accepted_plus_rejected",
    ),
    "raw_orders.no_line_with_two_contents": corrupt(
        "INSERT INTO raw.raw_orders SELECT * REPLACE (source_row + 1000000 AS source_row, "
        f"unit_price + 1 AS unit_price) FROM raw.raw_orders WHERE {RAW_ROW}",
        "raw_orders.read_is_accepted_plus_rejected",
        "fact_orders.money_of_staged_is_money_of_fact",
    ),
    # integrity
    "fact_orders.customer_is_in_its_source": corrupt(
        f"UPDATE core.fact_orders SET customer_id = 'nobody' WHERE {OF_LINE}",
        "fact_orders.fact_orders_customer_id_member",
    ),
    "fact_orders.product_is_in_its_source": corrupt(
        f"UPDATE core.fact_orders SET product_id = 'nothing' WHERE {OF_LINE}",
        "fact_orders.fact_orders_product_id_member",
    ),
    "fact_user_sessions.customer_is_in_its_source": corrupt(
        "UPDATE core.fact_user_sessions SET customer_id = 'nobody' WHERE session_id = (SELECT "
        "max(session_id) FROM core.fact_user_sessions WHERE session_date = (SELECT "
        "max(session_date) FROM core.fact_user_sessions))",
        "fact_user_sessions.fact_user_sessions_customer_id_member",
    ),
    "fact_orders.customer_is_known": corrupt(
        f"UPDATE core.fact_orders SET customer_id = '(unknown)' WHERE {OF_LINE}"
    ),
    "fact_orders.product_is_known": corrupt(
        f"UPDATE core.fact_orders SET product_id = '(unknown)' WHERE {OF_LINE}"
    ),
    # validity
    "fact_orders.amount_present": corrupt(
        f"UPDATE core.fact_orders SET amount = NULL WHERE {OF_LINE}",
        "fact_orders.missing_amounts_are_still_missing",
        "customer_sales.imputed_amounts_are_the_missing_ones",
    ),
    "fact_orders.amount_is_quantity_times_price": corrupt(
        f"UPDATE core.fact_orders SET amount = amount + 0.01 WHERE {OF_LINE}"
    ),
    "fact_orders.price_is_not_zero": corrupt(
        f"UPDATE core.fact_orders SET unit_price = 0 WHERE {OF_LINE}"
    ),
    "fact_orders.price_is_not_negative": corrupt(
        f"UPDATE core.fact_orders SET unit_price = -unit_price WHERE {OF_LINE}"
    ),
    "fact_orders.quantity_is_not_zero": corrupt(
        f"UPDATE core.fact_orders SET quantity = 0, line_type = 'adjustment', amount = 0, "
        f"extended_amount = 0 WHERE {OF_LINE}",
        UNITS_OF_FACT,
        "fact_orders.money_of_staged_is_money_of_fact",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
    ),
    "raw_user_sessions.session_ends_after_its_start": corrupt(
        "UPDATE raw.raw_user_sessions SET ended_at = started_at - INTERVAL 1 SECOND WHERE "
        "source_row = 1 AND session_date = (SELECT max(session_date) FROM raw.raw_user_sessions)"
    ),
    **{
        f"rejected_rows.no_rejected_{source}": corrupt(
            "INSERT INTO raw.rejected_rows BY NAME SELECT * REPLACE ("
            f"'{source}' AS source, {day} AS window_date, 4711 AS source_row) "
            "FROM raw.rejected_rows LIMIT 1",
            f"raw_{source}.read_is_accepted_plus_rejected",
        )
        for source, day in (
            ("orders", LAST),
            ("user_sessions", LAST),
            ("customers", "NULL::DATE"),
            ("products", "NULL::DATE"),
        )
    },
    # anomalies: far in units, in the product's units, in money alone
    "fact_orders.quantity_within_fences": corrupt(
        f"UPDATE core.fact_orders SET quantity = 9 WHERE {OF_LINE}",
        UNITS_OF_FACT,
    ),
    "fact_orders.quantity_within_log_fences": corrupt(
        f"UPDATE core.fact_orders SET quantity = 900 WHERE {OF_LINE}",
        UNITS_OF_FACT,
        "fact_orders.quantity_within_fences",
        "fact_orders.quantity_within_fences_of_its_product",
    ),
    "fact_orders.quantity_within_fences_of_its_product": corrupt(
        f"UPDATE core.fact_orders SET quantity = 900 WHERE {OF_LINE}",
        UNITS_OF_FACT,
        "fact_orders.quantity_within_fences",
        "fact_orders.quantity_within_log_fences",
    ),
    "fact_orders.amount_near_others_of_its_product": corrupt(
        "UPDATE core.fact_orders SET extended_amount = 100000 WHERE (order_id, line_number) = ("
        "SELECT (order_id, line_number) FROM core.fact_orders WHERE product_id = (SELECT "
        "mode(product_id) FROM core.fact_orders WHERE line_type = 'sale') AND line_type = 'sale' "
        "ORDER BY order_date DESC, order_id LIMIT 1)",
        "fact_orders.amount_is_quantity_times_price",
        "fact_orders.money_of_staged_is_money_of_fact",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
    ),
    # volume, freshness
    "raw_orders.rows_of_a_usual_day": corrupt(loads("orders", "rows_accepted = 0")),
    "raw_user_sessions.rows_of_a_usual_day": corrupt(
        loads("user_sessions", "rows_accepted = rows_accepted * 100")
    ),
    "raw_orders.newest_day_loaded": corrupt(
        loads("orders", "window_date = window_date - 1000"),
        "raw_orders.no_day_left_out",
        "raw_orders.read_is_accepted_plus_rejected",
    ),
    "raw_user_sessions.newest_day_loaded": corrupt(
        loads("user_sessions", "window_date = window_date - 1000"),
        "raw_user_sessions.no_day_left_out",
        "raw_user_sessions.read_is_accepted_plus_rejected",
    ),
    **{
        f"raw_{source}.no_day_left_out": corrupt(
            loads(source, "window_date = window_date + 1"),
            f"raw_{source}.newest_day_loaded",
            f"raw_{source}.read_is_accepted_plus_rejected",
        )
        for source in ("orders", "user_sessions")
    },
    # drift
    "raw_orders.null_shares_as_before": corrupt(
        f"UPDATE raw.raw_orders SET status = NULL WHERE order_date > {LAST} - {DAYS}"
    ),
    "raw_user_sessions.null_shares_as_before": corrupt(
        f"UPDATE raw.raw_user_sessions SET device = NULL WHERE session_date > {LAST} - {DAYS}"
    ),
    "raw_orders.no_new_categories": corrupt(
        f"UPDATE raw.raw_orders SET status = 'new word' WHERE order_date > {LAST} - {DAYS}"
    ),
    "raw_user_sessions.no_new_categories": corrupt(
        f"UPDATE raw.raw_user_sessions SET device = 'watch' WHERE session_date > {LAST} - {DAYS}"
    ),
    **{
        f"dim_{members}.{name}": corrupt(
            f"UPDATE core.dim_{members} SET {column} = {value} WHERE member_type = 'source'"
        )
        for members, column in (("customers", "country"), ("products", "category"))
        for name, value in (("null_shares_as_before", "NULL"), ("no_new_categories", "'new'"))
    },
    # churn
    "churn_performance.scores_hold": corrupt(
        "INSERT INTO churn.churn_performance (as_of, model_version, shortfall) "
        "VALUES (DATE '2024-01-01', 'v', 'worse than promised')"
    ),
    "churn_drift.inputs_hold": corrupt(
        "UPDATE churn.churn_drift SET verdict = 'major' WHERE verdict = 'stable'"
    ),
}


def twice(table: str, day: str | None = None) -> str:
    newest = f"{day} = (SELECT max({day}) FROM {table})" if day else "TRUE"
    return COPY.format(table, newest)


def word(table: str, column: str, day: str | None = None) -> str:
    newest = f"{day} = (SELECT max({day}) FROM {table})" if day else "TRUE"
    return f"UPDATE {table} SET {column} = 'no such word' WHERE {newest}"


MOVES = "marts.customer_segment_moves"


def moves(change: str, rows: int = 1) -> str:
    """So many copies of a row, changed, in the window."""
    return (
        f"INSERT INTO {MOVES} SELECT * EXCLUDE (n) REPLACE ({LAST} AS month, {change}) "
        f"FROM (FROM {MOVES} LIMIT 1), range({rows}) AS copies(n)"
    )


CORRUPTIONS |= {
    # keys of what dbt builds
    "session_corrections.key_is_unique": corrupt(
        f"INSERT INTO core.session_corrections BY NAME SELECT {LAST} AS session_date, "
        f"'S' AS session_id, {LAST} AS known_from, 1 AS weight FROM range(2)"
    ),
    "customer_segment_moves.key_is_unique": corrupt(moves("customers + 1 AS customers", 2)),
    "dim_customers.key_is_unique": corrupt(
        "INSERT INTO core.dim_customers FROM core.dim_customers WHERE member_type = 'unknown'"
    ),
    "dim_products.key_is_unique": corrupt(
        "INSERT INTO core.dim_products FROM core.dim_products WHERE member_type = 'unknown'"
    ),
    "customer_days.key_is_unique": corrupt(
        "INSERT INTO core.customer_days SELECT * REPLACE (0 AS lines, 0 AS units, "
        f"0 AS gross_amount, 0 AS returned_amount, 0 AS net_amount) FROM core.customer_days "
        f"WHERE order_date = {LAST} LIMIT 1"
    ),
    "customer_cohort_analysis.key_is_unique": corrupt(
        "INSERT INTO marts.customer_cohort_analysis SELECT * REPLACE (0 AS gross_amount, "
        "0 AS returned_amount, 0 AS cohort_revenue) FROM marts.customer_cohort_analysis LIMIT 1",
        COHORTS_ADD_UP,
    ),
    **{
        f"ltv_curves.{name}_of_cohorts_is_{name}_of_curves": corrupt(
            f"UPDATE marts.ltv_curves SET {name}_amount = coalesce({name}_amount, 0) + 1 "
            "WHERE month_number = 0"
        )
        for name in ("gross", "net", "margin")
    },
    "ltv_curves.key_is_unique": corrupt(
        "INSERT INTO marts.ltv_curves FROM marts.ltv_curves WHERE net_amount IS NULL LIMIT 1"
    ),
    COHORTS_ADD_UP: corrupt(
        "UPDATE marts.cohorts_by_dimension SET customers_active = customers_active + 1 "
        "WHERE dimension = 'country' AND month_number = 2"
    ),
    "cohorts_by_dimension.key_is_unique": corrupt(
        "INSERT INTO marts.cohorts_by_dimension FROM marts.cohorts_by_dimension "
        "WHERE month_number = 0 LIMIT 1",
        COHORTS_ADD_UP,
    ),
    "customer_sales.key_is_unique": corrupt(
        "INSERT INTO marts.customer_sales SELECT * REPLACE (0 AS lines, 0 AS units, "
        "0 AS gross_amount, 0 AS returned_amount, 0 AS net_amount, "
        "0 AS amounts_imputed) FROM marts.customer_sales LIMIT 1"
    ),
    "growth_accounting.key_is_unique": corrupt(
        "INSERT INTO marts.growth_accounting FROM marts.growth_accounting "
        "WHERE period_type = 'day' ORDER BY period_start DESC LIMIT 1",
        *(growth(name)[0] for name in ("buyers", "gross", "money")),
        *(f"growth_accounting.{name}_of_days_add_up" for name in ("customers", "gross", "money")),
    ),
    "sales_daily.key_is_unique": corrupt(
        "INSERT INTO marts.sales_daily SELECT * REPLACE (0 AS lines, 0 AS units, "
        "0 AS gross_amount, 0 AS returned_amount, 0 AS net_amount) FROM marts.sales_daily LIMIT 1"
    ),
    "churn_features.key_is_unique": corrupt(
        f"INSERT INTO churn.churn_features SELECT * EXCLUDE (n) REPLACE ({LAST} AS month) "
        "FROM (FROM churn.churn_features LIMIT 1), range(2) AS twice(n)"
    ),
    # On one day, which staging would have collapsed.
    "fact_orders.key_is_unique on a day": corrupt(
        twice("core.fact_orders", "order_date"),
        "fact_orders.staged_is_fact",
        "fact_orders.money_of_staged_is_money_of_fact",
        "customer_days.lines_of_fact_are_lines_of_days",
        "customer_days.money_of_fact_is_money_of_days",
        GROSS_OF_FACT,
        UNITS_OF_FACT,
    ),
    "fact_user_sessions.key_is_unique on a day": corrupt(
        twice("core.fact_user_sessions", "session_date"),
        "fact_user_sessions.staged_is_fact",
    ),
    # tests of dbt
    "customer_segment_moves.customer_segment_moves_add_up": corrupt(
        f"UPDATE {MOVES} SET customers = customers + 1 "
        f"WHERE month = (SELECT max(month) FROM {MOVES}) AND from_segment <> 'New'"
    ),
    "fact_orders.fact_orders_customer_id_member": corrupt(
        f"UPDATE core.fact_orders SET customer_id = 'nobody' WHERE {OF_LINE}",
        "fact_orders.customer_is_in_its_source",
    ),
    "fact_orders.fact_orders_product_id_member": corrupt(
        f"UPDATE core.fact_orders SET product_id = 'nothing' WHERE {OF_LINE}",
        "fact_orders.product_is_in_its_source",
    ),
    "fact_user_sessions.fact_user_sessions_customer_id_member": corrupt(
        word("core.fact_user_sessions", "customer_id", "session_date"),
        "fact_user_sessions.customer_is_in_its_source",
    ),
    "customer_days.customer_days_customer_id_member": corrupt(
        "UPDATE core.customer_days SET customer_id = 'nobody' WHERE (order_date, customer_id) = "
        "(SELECT max((order_date, customer_id)) FROM core.customer_days)"
    ),
    # accounting of what is made of the days
    GROSS_OF_FACT: corrupt(
        f"UPDATE core.customer_days SET gross_amount = gross_amount + 1 WHERE order_date = {LAST}",
        *of_days("gross"),
        *growth("gross"),
        "customer_cohort_analysis.gross_of_days_is_gross_of_cohorts",
    ),
    **{
        name: corrupt(f"UPDATE marts.{name.split('.')[0]} SET {column} = {column} + 1")
        for figure, column in (("gross", "gross_amount"), ("lines", "lines"))
        for name in of_days(figure)
    },
}
CORRUPTIONS = {
    name: corrupt(one.sql, *one.also, *of_analyses.seen_by_analyses(one.sql))
    for name, one in CORRUPTIONS.items()
}
CORRUPTIONS |= {name: corrupt(*one) for name, one in of_analyses.CORRUPTIONS.items()}
# The key of a table of which nothing else is said: one row, twice.
for table in CHECKED_OF_SAMPLE:
    if not table.is_view:
        CORRUPTIONS.setdefault(
            f"{table.name}.key_is_unique", corrupt(twice(table.relation, table.window_column))
        )
# Values that no declared rule lets in: found by the schema check of the table.
WRONG_VALUES: dict[tuple[str, str], str] = {
    ("order_corrections", "line_type"): word("core.order_corrections", "line_type", "order_date"),
    ("customer_segment_moves", "from_segment"): moves("'no such word' AS from_segment"),
    ("customer_segment_moves", "to_segment"): moves("'no such word' AS to_segment"),
    ("dim_customers", "member_type"): word("core.dim_customers", "member_type"),
    ("dim_products", "member_type"): word("core.dim_products", "member_type"),
    ("fact_orders", "line_type"): word("core.fact_orders", "line_type", "order_date"),
    ("fact_orders", "status"): word("core.fact_orders", "status", "order_date"),
    ("customer_cohort_analysis", "cohort_quality"): word(
        "marts.customer_cohort_analysis", "cohort_quality"
    ),
    ("sales_daily", "revenue_band"): word("marts.sales_daily", "revenue_band"),
    **{
        ("customer_analytics_daily", column): word(
            "marts.customer_analytics_daily", column, "snapshot_date"
        )
        for column in ("segment", "rfm_group", "value_segment", "churn_risk_category")
    },
    **{
        (name, column): word(TABLES[name].relation, column)
        for name, column in of_analyses.WRONG_VALUES
    },
}


TABLES_CHECKED = [table.name for table in CHECKED_OF_SAMPLE]


@dataclass(frozen=True)
class Warehouse:
    """A copy of the built project's warehouse, what is checked in it, and what that finds."""

    connection: duckdb.DuckDBPyConnection
    checks: list[Check]
    tests: dict[str, Check]
    compiled: dict[str, str]
    window: Window
    good: dict[str, tuple[bool, int]]

    def findings(self, checks: list[Check]) -> dict[str, Finding]:
        found = evaluate(DuckDBSession(self.connection), checks, lambda check: self.window)
        return {f"{finding.check.asset}.{finding.check.name}": finding for finding in found}

    def tested(self, names: Collection[str]) -> dict[str, Finding]:
        """What failed tests of dbt tell, failed by the SQL that dbt has made of them."""
        found = {}
        for name in names:
            row = self.connection.execute(f"SELECT count(*) FROM ({self.compiled[name]})")
            ((results,),) = row.fetchall()
            if results:
                verdict = AssetCheckResult(
                    passed=False,
                    severity=AssetCheckSeverity.ERROR,
                    metadata={"dagster_dbt/failed_row_count": results},
                )
                found[name] = dbt.finding(
                    DuckDBSession(self.connection),
                    Scans(DuckDBSession(self.connection)),
                    self.tests[name],
                    self.window,
                    verdict,
                    self.compiled[name],
                )
        return found

    def worse(self, sql: str) -> dict[str, Finding]:
        """Checks that find more than in the good warehouse, of those that read what was changed."""
        changed = {name for name in TABLES if re.search(CHANGES.format(name), sql)}
        assert changed
        checks = [check for check in self.checks if check.family != "schema"]
        found = self.findings([check for check in checks if changed & read_by(check)])
        tests = [name for name, text in self.compiled.items() if changed & named(text)]
        return {
            name: finding
            for name, finding in (found | self.tested(tests)).items()
            if not finding.passed
            and (self.good[name][0] or (finding.failing or 0) > self.good[name][1])
        }


CHANGES = r"(UPDATE|INTO|FROM|VIEW) \w+\.{}\b"


def named(text: str) -> set[str]:
    """Tables that SQL names, by name; of a view what it is made from, too."""
    words = {word for word in re.findall(r"\w+", text) if word in TABLES}
    return words | {word.replace("stg_", "raw_") for word in words}


def read_by(check: Check) -> set[str]:
    """Tables that a check looks at: nothing else can change what it finds."""
    loads = {"source_loads"} if check.family in ("volume", "freshness") else set()
    return named(f"{check.asset} {check.rule!r}") | loads


def compiled_tests(project: Project, path: Path, window: Window) -> dict[str, str]:
    """The SQL of each test of dbt, by table and name, as a run of the window would send it."""
    manifest = prepare_manifest(project.settings)
    target = path.parent / "target"
    DbtCommand(project.settings).run(
        ["--quiet", "compile", "--select", "resource_type:test"],
        target,
        window,
        environment={"ANALYTICS_WAREHOUSE": str(path)},
    )
    files = {file.stem: file for file in (target / "compiled").rglob("*.sql")}
    tests = dbt.checks(validate_manifest(manifest))
    return {
        f"{asset}.{name}": files[name].read_text()
        for asset, name in tests
        if asset in TABLES_CHECKED
    }


@pytest.fixture(scope="module")
def warehouse(
    built_project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    calendar = built_project.calendar
    assert calendar.end is not None
    tables = [TABLES[name] for name in TABLES_CHECKED]
    checks = all_checks(
        built_project.settings, built_project.sources, daily_partitions(calendar), tables
    )
    path = tmp_path_factory.mktemp("mutations") / "warehouse.duckdb"
    path.write_bytes(built_project.settings.warehouse_path.read_bytes())
    window = Window(calendar.end - timedelta(DAYS), calendar.end)
    compiled = compiled_tests(built_project, path, window)
    manifest = validate_manifest(built_project.settings.dbt_target_dir / "manifest.json")
    tests = {
        f"{asset}.{name}": test
        for (asset, name), test in dbt.checks(manifest).items()
        if asset in TABLES_CHECKED
    }
    with duckdb.connect(str(path)) as connection:
        for table in (table for table in tables if table.is_view):
            # The rows of a view, to make another of it.
            held = f"held_{table.name.removeprefix('stg_')}"
            connection.execute(f"CREATE TABLE {held} AS FROM {table.relation}")
        made = Warehouse(connection, checks, tests, compiled, window, {})
        assert made.tested(compiled) == {}
        made.good.update(dict.fromkeys(compiled, (True, 0)))
        for name, finding in made.findings(checks).items():
            made.good[name] = (finding.passed, finding.failing or 0)
        yield made


def test_every_check_has_a_corruption(warehouse: Warehouse) -> None:
    rows = {name for name in warehouse.good if not name.endswith(".schema")}
    assert rows == {name.split(" ")[0] for name in CORRUPTIONS}
    families = {check.family for check in [*warehouse.checks, *warehouse.tests.values()]}
    # The sample has no stream: test_stream has the corruptions of its checks.
    assert families | {"stream"} == CHECK_POLICIES.keys()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_fails_its_check_and_only_those_it_must(
    warehouse: Warehouse, name: str
) -> None:
    corruption = CORRUPTIONS[name]
    name = name.split(" ")[0]
    connection = warehouse.connection
    connection.execute("BEGIN")
    try:
        for source in STAGED:
            if f"stg_{source} " in corruption.sql:
                connection.execute(
                    corruption.sql.replace("FROM staged", f"FROM main.held_{source}")
                )
                break
        else:
            connection.execute(corruption.sql)
        worse = warehouse.worse(corruption.sql)
        assert name in worse, "the corruption is not seen"
        assert worse.keys() - {name} == corruption.also
        finding = worse[name]
        told = finding.result("block").metadata
        assert {"remedy", "query", "keys"} <= told.keys()
        assert finding.failing or finding.figure
        # Beside its planted rows the query lists those of the corruption.
        if finding.check.family not in ("accounting", "drift", "freshness") and finding.rows:
            listed = connection.execute(str(finding.query)).fetchall()
            assert len(listed) == finding.failing
    finally:
        connection.execute("ROLLBACK")


@pytest.mark.parametrize(("name", "column"), WRONG_VALUES)
def test_a_wrong_value_fails_the_schema_check(warehouse: Warehouse, name: str, column: str) -> None:
    connection = warehouse.connection
    connection.execute("BEGIN")
    try:
        connection.execute(WRONG_VALUES[name, column])
        check = next(c for c in warehouse.checks if (c.asset, c.family) == (name, "schema"))
        assert check.spec("block").blocking
        found = warehouse.findings([check])[f"{name}.schema"]
        result = found.result("block")
        assert (result.passed, result.severity) == (False, AssetCheckSeverity.ERROR)
        assert f"{column}: isin" in found.description
        assert found.failing
        assert {"remedy", "query", "keys"} <= result.metadata.keys()
    finally:
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("name", TABLES_CHECKED)
def test_a_column_that_is_missing_fails_the_schema_check(warehouse: Warehouse, name: str) -> None:
    table = TABLES[name]
    column = table.columns[0]
    connection = warehouse.connection
    connection.execute("BEGIN")
    try:
        if table.is_view:
            held = f"main.held_{name.removeprefix('stg_')}"
            connection.execute(
                f"CREATE OR REPLACE VIEW {table.relation} AS "
                f"SELECT * EXCLUDE ({column}) FROM {held}"
            )
        else:
            connection.execute(f"ALTER TABLE {table.relation} RENAME {column} TO other")
        check = next(c for c in warehouse.checks if (c.asset, c.family) == (name, "schema"))
        found = warehouse.findings([check])[f"{name}.schema"]
        assert not found.passed
        assert column in found.description
    finally:
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("name", TABLES_CHECKED)
def test_an_emptied_table_fails_a_check_of_its_own_or_of_what_it_is_made_from(
    warehouse: Warehouse, name: str
) -> None:
    table = TABLES[name]
    connection = warehouse.connection
    connection.execute("BEGIN")
    try:
        if table.is_view:
            held = f"main.held_{name.removeprefix('stg_')}"
            connection.execute(
                f"CREATE OR REPLACE VIEW {table.relation} AS FROM {held} WHERE FALSE"
            )
        else:
            connection.execute(f"DELETE FROM {table.relation}")
        check = next(c for c in warehouse.checks if (c.asset, c.family) == (name, "schema"))
        empty = warehouse.findings([check])[f"{name}.schema"]
        # Without a model or a rejected row these are good; what is lost of them is accounted for.
        if name != "rejected_rows" and name in MAY_BE_EMPTY:
            assert empty.passed
        elif name == "rejected_rows":
            assert empty.passed
            accounting = [c for c in warehouse.checks if c.family == "accounting"]
            found = evaluate(DuckDBSession(connection), accounting, lambda check: None)
            assert {finding.check.asset for finding in found if not finding.passed} == {
                "raw_orders",
                "raw_user_sessions",
            }
        else:
            assert empty.description == "the table is empty"
            assert not empty.passed
    finally:
        connection.execute("ROLLBACK")


def test_no_personal_value_is_told_whatever_fails(warehouse: Warehouse) -> None:
    connection = warehouse.connection
    connection.execute("BEGIN")
    try:
        for statement in (
            # Where they belong, and where a shifted column or a careless source puts them.
            "UPDATE raw.raw_customers SET email = 'canary@example.com', first_name = 'Canaria', "
            "last_name = 'Canary', source_row = -source_row",
            'UPDATE raw.rejected_rows SET row = \'{"email": "canary@example.com"}\', '
            f"window_date = {LAST}",
            f"UPDATE core.fact_orders SET customer_id = 'canary@example.com' WHERE {OF_LINE}",
            "UPDATE core.fact_orders SET order_id = 'canary@example.com', quantity = 0, amount = 1"
            " WHERE customer_id = 'canary@example.com'",
            f"UPDATE raw.raw_orders SET status = 'canary@example.com', country = 'Canaria' WHERE "
            f"order_date = {LAST}",
            "UPDATE core.dim_customers SET member_type = 'canary@example.com', city = 'Canaria'",
            "INSERT INTO raw.raw_customers FROM (FROM raw.raw_customers LIMIT 3)",
        ):
            connection.execute(statement)
        found = warehouse.findings(warehouse.checks)
        failed = {name for name, finding in found.items() if not finding.passed}
        assert {
            "raw_customers.schema",
            "raw_customers.no_row_twice",
            "rejected_rows.no_rejected_orders",
            "fact_orders.quantity_is_not_zero",
            "fact_orders.customer_is_in_its_source",
            "raw_orders.schema",
            "dim_customers.schema",
        } <= failed
        for name, finding in found.items():
            told = finding.result("block")
            metadata = {key: value.value for key, value in told.metadata.items()}
            assert "canar" not in f"{told.description} {metadata}".lower(), name
    finally:
        connection.execute("ROLLBACK")
