"""Rows and money add up between the layers; each equation is a blocking check.

Belongs here: the equations of DESIGN, as SQL over a window. Does not belong here: rules within one
table (`schema`, dbt tests).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import duckdb
from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
    ResourceParam,
    multi_asset_check,
)

from analytics_assets.assets.common import POOL, run_window
from analytics_assets.partitions import Window
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.windows import window_predicate


@dataclass(frozen=True)
class Equation:
    """Two figures that are equal in every window.

    Attributes:
        name: the check.
        asset: the table that the check belongs to, the later of those compared.
        description: the equation in words.
        left: SQL of one figure; `{where:column}` stands for the window by a column.
        right: SQL of the other.
        needs: sources without which there is nothing to compare.
    """

    name: str
    asset: str
    description: str
    left: str
    right: str
    needs: tuple[str, ...] = ()


def _accounted(source: str, column: str) -> Equation:
    table = f"raw_{source}"
    return Equation(
        "read_is_accepted_plus_rejected",
        table,
        f"Every row read from {source} was accepted or rejected.",
        f"SELECT coalesce(sum(rows_read), 0) FROM raw.source_loads "
        f"WHERE source = '{source}' AND {{window_date}}",
        f"SELECT (SELECT count(*) FROM raw.{table} WHERE {{{column}}}) + (SELECT count(*) "
        f"FROM raw.rejected_rows WHERE source = '{source}' AND {{window_date}})",
        (source,),
    )


EQUATIONS = (
    _accounted("orders", "order_date"),
    _accounted("user_sessions", "session_date"),
    Equation(
        "accepted_is_staged_plus_collapsed",
        "stg_orders",
        "Every accepted order line is staged, or collapsed into one that is.",
        "SELECT count(*) FROM raw.raw_orders WHERE {order_date}",
        "SELECT coalesce(sum(copies), 0) FROM staging.stg_orders WHERE {order_date}",
    ),
    Equation(
        "staged_is_fact",
        "fact_orders",
        "Every staged order line is in the fact, none dropped for an unknown customer or product.",
        "SELECT count(*) FROM staging.stg_orders WHERE {order_date}",
        "SELECT count(*) FROM core.fact_orders WHERE {order_date}",
    ),
    Equation(
        "money_of_staged_is_money_of_fact",
        "fact_orders",
        "The extended amounts of the staged lines and of the fact are the same.",
        "SELECT coalesce(sum(extended_amount), 0) FROM staging.stg_orders WHERE {order_date}",
        "SELECT coalesce(sum(extended_amount), 0) FROM core.fact_orders WHERE {order_date}",
    ),
    Equation(
        "no_key_stands_on_two_days",
        "fact_orders",
        "An order line stands once in the whole fact: de-duplication looks within a day only.",
        "SELECT count(*) FROM core.fact_orders",
        "SELECT count(*) FROM (SELECT DISTINCT order_id, line_number FROM core.fact_orders)",
    ),
    Equation(
        "no_key_stands_on_two_days",
        "fact_user_sessions",
        "A session stands once in the whole fact: de-duplication looks within a day only.",
        "SELECT count(*) FROM core.fact_user_sessions",
        "SELECT count(*) FROM (SELECT DISTINCT session_id FROM core.fact_user_sessions)",
        ("user_sessions",),
    ),
    Equation(
        "lines_of_fact_are_lines_of_days",
        "customer_days",
        "customer_days counts every line of the fact.",
        "SELECT count(*) FROM core.fact_orders WHERE {order_date}",
        "SELECT coalesce(sum(lines), 0) FROM core.customer_days WHERE {order_date}",
    ),
    Equation(
        "money_of_fact_is_money_of_days",
        "customer_days",
        "Net of the fact (sales and returns) is net of customer_days.",
        "SELECT coalesce(sum(extended_amount) FILTER (line_type IN ('sale', 'return')), 0) "
        "FROM core.fact_orders WHERE {order_date}",
        "SELECT coalesce(sum(net_amount), 0) FROM core.customer_days WHERE {order_date}",
    ),
    Equation(
        "money_of_days_is_money_of_sales",
        "sales_daily",
        "Net of customer_days is net of sales_daily.",
        "SELECT coalesce(sum(net_amount), 0) FROM core.customer_days",
        "SELECT coalesce(sum(net_amount), 0) FROM marts.sales_daily",
    ),
    Equation(
        "money_of_days_is_money_of_customers",
        "customer_sales",
        "Net of customer_days is net of customer_sales.",
        "SELECT coalesce(sum(net_amount), 0) FROM core.customer_days",
        "SELECT coalesce(sum(net_amount), 0) FROM marts.customer_sales",
    ),
)
_WINDOW_COLUMNS = ("order_date", "session_date", "window_date")


def reconciliation_checks(absent_sources: tuple[str, ...]) -> list[AssetChecksDefinition]:
    """All equations, one step a layer."""
    layers: dict[str, list[Equation]] = {}
    for equation in EQUATIONS:
        if not set(equation.needs) & set(absent_sources):
            layer = "raw" if equation.asset.startswith("raw_") else "models"
            layers.setdefault(layer, []).append(equation)
    return [_layer(layer, equations) for layer, equations in layers.items()]


def _layer(layer: str, equations: list[Equation]) -> AssetChecksDefinition:
    by_key = {AssetCheckKey(AssetKey(e.asset), e.name): e for e in equations}

    @multi_asset_check(
        name=f"{layer}_reconciliation",
        specs=[
            AssetCheckSpec(e.name, asset=e.asset, blocking=True, description=e.description)
            for e in equations
        ],
        can_subset=True,
        pool=POOL,
    )
    def check(
        context: AssetCheckExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[AssetCheckResult]:
        window = run_window(context.run.tags)
        with warehouse.read() as connection:
            for key in context.selected_asset_check_keys:
                yield evaluate(connection, by_key[key], window)

    return check


def evaluate(
    connection: duckdb.DuckDBPyConnection, equation: Equation, window: Window | None
) -> AssetCheckResult:
    """Compare both sides of an equation in a window; over the whole tables without one."""
    where = {column: window_predicate(column, window) for column in _WINDOW_COLUMNS}
    left, right = (
        _figure(connection, side.format_map(where)) for side in (equation.left, equation.right)
    )
    return AssetCheckResult(
        asset_key=equation.asset,
        check_name=equation.name,
        passed=left == right,
        description=f"{left:,} = {right:,}" if left == right else f"{left:,} is not {right:,}",
        metadata={
            "difference": float(left - right),
            "left": MetadataValue.md(f"`{equation.left}`"),
            "right": MetadataValue.md(f"`{equation.right}`"),
            **({"window": str(window)} if window else {}),
        },
    )


def _figure(connection: duckdb.DuckDBPyConnection, query: str) -> Decimal:
    row = connection.execute(query).fetchone()
    assert row is not None
    return Decimal(row[0])
