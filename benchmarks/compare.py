"""Whether the contestants built the same tables; compared before their times are printed.

Belongs here: which tables and figures are compared, and how. The project and the hand-written
script have to agree in every row and column. Pandas, whose numbers are binary and whose forest is
another model, has to agree in the figures below.
"""

from pathlib import Path

import duckdb

from analytics_assets.warehouse.diff import diff_builds

TABLES = (
    "core.dim_customers", "core.dim_products", "core.fact_orders", "core.customer_days",
    "marts.customer_cohort_analysis", "marts.customer_sales", "marts.sales_daily",
    "marts.customer_analytics_daily", "churn.churn_features", "churn.churn_predictions",
)  # fmt: skip
DECIMALS = 9  # of binary fractions

# The figures of each table in which pandas has to agree.
FIGURES = {
    "core.fact_orders": "count(*), sum(quantity), sum(extended_amount), sum(amount)",
    "core.customer_days": "count(*), sum(orders), sum(sale_orders), sum(net_amount)",
    "marts.customer_cohort_analysis": (
        "count(*), sum(customers_active), sum(customers_in_cohort), sum(cohort_revenue), "
        "sum(retention_rate)"
    ),
    "marts.customer_sales": "count(*), sum(lines), sum(gross_amount)",
    "marts.sales_daily": "count(*), sum(orders), sum(customers), sum(net_amount)",
    "marts.customer_analytics_daily": (
        "count(*), count(*) FILTER (segment = 'Champion'), count(*) FILTER (segment = 'Loyal'), "
        "count(*) FILTER (segment = 'At Risk'), count(*) FILTER (segment = 'Prospect'), "
        "sum(churn_risk_score), sum(net_amount_90d), sum(days_since_registration)"
    ),
    "churn.churn_features": (
        "count(*), sum(churned::INT), sum(days_since_last_order), sum(orders_60d), "
        "sum(orders_90d), sum(mean_gap_days), sum(return_share), sum(average_order_value)"
    ),
    "churn.churn_predictions": "count(*)",
}


class DifferentResultsError(RuntimeError):
    """Two contestants have different results; the message names the tables."""


def require_same_rows(ours: Path, theirs: Path) -> int:
    """Compare the rows of all columns that both warehouses have; returns how many rows."""
    with duckdb.connect() as connection:
        for name, path in (("ours", ours), ("theirs", theirs)):
            connection.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
        different, compared = [], 0
        for table in TABLES:
            types = {row[0]: row[1] for row in connection.sql(f"DESCRIBE ours.{table}").fetchall()}
            shared = [
                row[0]
                for row in connection.sql(f"DESCRIBE theirs.{table}").fetchall()
                if row[0] in types
            ]
            columns = ", ".join(
                f"round({name}, {DECIMALS})"
                if types[name] == "DOUBLE"
                else f"{name}::{types[name]}"
                for name in shared
            )
            sums = [
                connection.sql(
                    f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM {name}.{table}"
                ).fetchall()[0]
                for name in ("ours", "theirs")
            ]
            if sums[0] != sums[1]:
                different.append(f"{table} ({sums[0]} and {sums[1]})")
            compared += sums[0][0] if sums[0] else 0
    if different:
        raise DifferentResultsError(f"The hand-written script differs in: {', '.join(different)}")
    return compared


def require_same_tables(full: Path, corrected: Path) -> int:
    """Compare the tables but the models', which follow each other; returns how many tables."""
    names = [table.split(".")[1] for table in TABLES if table != "churn.churn_predictions"]
    different = [diff.table for diff in diff_builds(full, corrected, names) if not diff.same]
    if different:
        raise DifferentResultsError(f"The corrections differ in: {', '.join(different)}")
    return len(names)


def require_same_figures(ours: Path, folder: Path) -> int:
    """Compare the figures with those of JSON files in a folder; returns how many figures."""
    different, compared = [], 0
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{ours}' AS ours (READ_ONLY)")
        for table, figures in FIGURES.items():
            json = f"read_json('{folder}/{table.split('.')[1]}.json', format = 'newline_delimited')"
            values = [
                connection.sql(f"SELECT {figures} FROM {relation}").fetchall()[0]
                for relation in (f"ours.{table}", json)
            ]
            names = [name.strip() for name in figures.split(", ")]
            for name, one, other in zip(names, *values, strict=True):
                compared += 1
                # Sums of binary fractions written with ten decimals.
                if abs(float(one) - float(other)) > 1e-7 * max(abs(float(one)), 1):
                    different.append(f"{table}: {name} {one} and {other}")
    if different:
        raise DifferentResultsError(f"Pandas differs in: {'; '.join(different)}")
    return compared
