"""Plots of the marts that are easier to see than to read.

Belongs here: which plot shows which mart. Does not belong here: how a plot is drawn (`plots`).
"""

from collections.abc import Callable
from typing import Any

from dagster import MetadataValue

from analytics_assets.reports import bars, plots, repeat_plots, sales_plots
from analytics_assets.schemas.marts import GONE, NEW, SEGMENTS
from analytics_assets.warehouse.session import Session


def _cohorts(session: Session) -> dict[str, Any]:
    frame = session.frame(
        "SELECT cohort_month, month_number, retention_rate, is_complete "
        "FROM marts.customer_cohort_analysis ORDER BY ALL"
    )
    return {"retention": MetadataValue.md(plots.cohort_heatmap(frame))} if len(frame) else {}


def _sales(session: Session) -> dict[str, Any]:
    frame = session.frame(
        "SELECT date_trunc('month', order_date) AS month, sum(gross_amount)::DOUBLE AS gross, "
        "sum(net_amount)::DOUBLE AS net FROM marts.sales_daily GROUP BY 1 ORDER BY 1"
    )
    if frame.empty:
        return {}
    series = {name: frame[name].tolist() for name in ("gross", "net")}
    return {
        "sales by month": MetadataValue.md(
            plots.line_chart(frame["month"].tolist(), series, "Sales by month", "currency")
        )
    }


def _segments(session: Session) -> dict[str, Any]:
    rows = session.rows(
        "SELECT segment, count(*) FROM marts.user_analytics GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    if not rows:
        return {}
    return {
        "segments": MetadataValue.md(
            plots.bar_chart([r[0] for r in rows], [r[1] for r in rows], "Segments", "customers")
        )
    }


def _contracts(session: Session) -> dict[str, Any]:
    rows = session.rows(
        "SELECT contract, churn_rate FROM marts.churn_by_contract ORDER BY 2 DESC, 1 LIMIT 20"
    )
    if not rows:
        return {}
    names, rates = zip(*rows, strict=True)
    chart = plots.bar_chart(list(names), list(rates), "Churn by contract", "share that left")
    return {"churn by contract": MetadataValue.md(chart)}


def _segment_moves(session: Session) -> dict[str, Any]:
    moves = session.frame(
        "SELECT month, from_segment, to_segment, customers FROM marts.customer_segment_moves "
        "ORDER BY ALL"
    )
    if moves.empty:
        return {}
    month = moves["month"].max()
    newest = plots.move_matrix(
        moves[moves["month"] == month],
        (*SEGMENTS, NEW),
        (*SEGMENTS, GONE),
        f"Moves in {month:%Y-%m}",
    )
    sizes = moves[moves["to_segment"] != GONE].pivot_table(
        index="month", columns="to_segment", values="customers", aggfunc="sum", fill_value=0
    )
    series = {name: sizes[name].tolist() for name in SEGMENTS if name in sizes}
    return {
        "moves": MetadataValue.md(newest),
        "segments by month": MetadataValue.md(
            plots.line_chart(sizes.index.tolist(), series, "Segments by month", "customers")
        ),
    }


def _dimensions(session: Session) -> dict[str, Any]:
    """Retention by months since the first sale, for the largest values of each dimension.

    Each month number has only cohorts for which the whole month has been observed.
    """
    frame = session.frame(
        """
        WITH sizes AS (
            SELECT dimension, value, sum(customers_in_cohort) AS customers
            FROM marts.cohorts_by_dimension WHERE month_number = 0 GROUP BY 1, 2
        ),
        ranked AS (
            SELECT *, row_number() OVER (PARTITION BY dimension ORDER BY customers DESC, value) AS n
            FROM sizes QUALIFY count(*) OVER (PARTITION BY dimension) > 1
        )
        SELECT dimension, value, n, month_number,
            sum(customers_active) / sum(customers_in_cohort) AS retention
        FROM marts.cohorts_by_dimension JOIN ranked USING (dimension, value)
        WHERE n <= 6 AND is_complete AND month_number BETWEEN 1 AND 12
        GROUP BY ALL ORDER BY dimension, n, month_number
        """
    )
    charts = {}
    for dimension, rows in frame.groupby("dimension"):
        table = rows.pivot(index="month_number", columns="n", values="retention")
        names = dict(zip(rows["n"], rows["value"], strict=True))
        words = str(dimension).replace("_", " ")
        charts[f"retention by {words}"] = MetadataValue.md(
            plots.line_chart(
                [str(month) for month in table.index],
                {names[n]: table[n].tolist() for n in table},
                f"Retention by months since the first sale, largest {words} of the first order",
                "share with a sale",
            )
        )
    return charts


def _growth(session: Session) -> dict[str, Any]:
    frame = session.frame(
        "SELECT period_start, is_complete, new_customers, retained_customers, "
        "resurrected_customers, -churned_customers AS churned_customers, "
        "new_net_amount::DOUBLE AS new_net, returning_net_amount::DOUBLE AS returning_net, "
        "unknown_net_amount::DOUBLE AS unknown_net "
        "FROM marts.growth_accounting WHERE period_type = 'month' ORDER BY period_start"
    )
    if frame.empty:
        return {}
    customers = {
        state.capitalize(): frame[f"{state}_customers"].tolist()
        for state in ("retained", "new", "resurrected", "churned")
    }
    money = {
        name.capitalize(): frame[f"{name}_net"].tolist() for name in ("returning", "new", "unknown")
    }
    months, complete = frame["period_start"].tolist(), frame["is_complete"].tolist()
    return {
        name: MetadataValue.md(bars.stacked_months(months, series, complete, title, unit))
        for name, series, title, unit in (
            ("customers", customers, "Customers won, kept and lost by month", "customers"),
            ("net amount", money, "Net amount by month, by whose it is", "currency"),
        )
    }


def _ltv(session: Session) -> dict[str, Any]:
    """Net amount a customer so far, of at most seven cohorts from the oldest to the newest."""
    frame = session.frame(
        "SELECT cohort_month, month_number, net_value::DOUBLE AS net_value FROM marts.ltv_curves "
        "WHERE is_complete ORDER BY ALL"
    )
    if frame.empty:
        return {}
    table = frame.pivot(index="month_number", columns="cohort_month", values="net_value")
    step = -(-len(table.columns) // 7)
    series = {f"{month:%Y-%m}": table[month].tolist() for month in table.columns[::step]}
    chart = plots.line_chart(
        [str(number) for number in table.index],
        series,
        "Net amount a customer so far, by months since the first sale",
        "currency a customer",
    )
    return {"net amount a customer": MetadataValue.md(chart)}


PLOTS: dict[str, Callable[[Session], dict[str, Any]]] = {
    "customer_cohort_analysis": _cohorts,
    "sales_daily": _sales,
    "customer_segment_moves": _segment_moves,
    "user_analytics": _segments,
    "churn_by_contract": _contracts,
    "growth_accounting": _growth,
    "cohorts_by_dimension": _dimensions,
    "ltv_curves": _ltv,
    **sales_plots.PLOTS,
    **repeat_plots.PLOTS,
}
