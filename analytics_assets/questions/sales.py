"""Sales: amounts of some days, by month, by category, and the growth of the customers who buy.

Belongs here: questions to sales_daily, customer_days, customer_sales and
growth_accounting. Does not belong here: what a customer is like (`customers`).
"""

from datetime import date, timedelta
from typing import Any

from analytics_assets.questions import Records
from analytics_assets.quoting import literal
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.warehouse.session import Session

AMOUNTS = ("gross_amount", "returned_amount", "net_amount", "margin_amount")
KNOWN = f"customer_id <> {literal(UNKNOWN_MEMBER)}"
# Customers of a country; all of them, the unknown one included, without one.
OF_COUNTRY = (
    "(?::VARCHAR IS NULL OR customer_id IN "
    "(SELECT customer_id FROM core.dim_customers WHERE country = ?))"
)


def newest_day(session: Session) -> date | None:
    """The newest day with orders."""
    day: date | None = session.value("SELECT max(order_date) FROM marts.sales_daily")
    return day


def first_day(session: Session) -> date | None:
    """The oldest day with orders."""
    day: date | None = session.value("SELECT min(order_date) FROM marts.sales_daily")
    return day


def days_before(newest: date, days: int, periods: int = 0) -> tuple[date, date]:
    """First and last day of a period that ends on the newest day, or some periods before."""
    until = newest - timedelta(days * periods)
    return until - timedelta(days - 1), until


def amounts_between(session: Session, since: date, until: date) -> dict[str, Any]:
    """Amounts of some days; a margin that is not known for some rows is not known for their sum."""
    sums = ", ".join(f"if(count({a}) = count(*), sum({a}), NULL) AS {a}" for a in AMOUNTS)
    return session.records(
        f"SELECT {sums} FROM marts.sales_daily WHERE order_date BETWEEN ? AND ?", [since, until]
    )[0]


def trade_between(
    session: Session, since: date, until: date, country: str | None
) -> dict[str, Any]:
    """Net and gross amount, orders and customers of some days."""
    return session.records(
        "SELECT coalesce(sum(net_amount), 0) AS net_amount, "
        "coalesce(sum(gross_amount), 0) AS gross_amount, "
        "coalesce(sum(returned_amount), 0) AS returned_amount, "
        "coalesce(sum(sale_orders), 0)::BIGINT AS sale_orders, "
        f"count(DISTINCT customer_id) FILTER (sale_orders > 0 AND {KNOWN}) "
        "AS customers FROM core.customer_days "
        f"WHERE order_date BETWEEN ? AND ? AND {OF_COUNTRY}",
        [since, until, country, country],
    )[0]


def sales_by_month(session: Session, since: date, until: date, country: str | None) -> Records:
    """Amounts and orders of each month; the first and the last may be parts of one."""
    return session.records(
        "SELECT date_trunc('month', order_date)::DATE AS month, sum(gross_amount) AS gross_amount, "
        "sum(returned_amount) AS returned_amount, sum(net_amount) AS net_amount, "
        "sum(sale_orders)::BIGINT AS sale_orders, count(DISTINCT order_date) AS days "
        f"FROM core.customer_days WHERE order_date BETWEEN ? AND ? AND {OF_COUNTRY} "
        "GROUP BY 1 ORDER BY 1",
        [since, until, country, country],
    )


def sales_by_category(session: Session, since: date, until: date) -> Records:
    """Amounts of each category, the largest first."""
    return session.records(
        "SELECT category, sum(gross_amount) AS gross_amount, "
        "sum(returned_amount) AS returned_amount, sum(net_amount) AS net_amount, "
        "sum(units) AS units FROM marts.sales_daily WHERE order_date BETWEEN ? AND ? "
        "GROUP BY 1 ORDER BY 4 DESC, 1",
        [since, until],
    )


def growth_by_month(session: Session, since: date, until: date, country: str | None) -> Records:
    """Customers won, kept and lost in each month, as growth_accounting has them.

    That table is of all countries; of one, the same is computed from customer_sales.
    """
    if country is None:
        return session.records(
            "SELECT period_start AS month, closing_customers, new_customers, retained_customers, "
            "resurrected_customers, churned_customers FROM marts.growth_accounting "
            "WHERE period_type = 'month' "
            "AND period_start BETWEEN date_trunc('month', ?::DATE) AND ? ORDER BY 1",
            [since, until],
        )
    return session.records(
        f"""
        WITH bought AS (
            SELECT customer_id, month FROM marts.customer_sales
            WHERE sale_orders > 0 AND {KNOWN} AND {OF_COUNTRY}
        ),
        steps AS (
            SELECT
                month,
                lag(month) OVER w AS before,
                lead(month) OVER w AS after
            FROM bought WINDOW w AS (PARTITION BY customer_id ORDER BY month)
        ),
        gained AS (
            SELECT
                month,
                count(*) AS closing_customers,
                count(*) FILTER (before IS NULL) AS new_customers,
                count(*) FILTER (before = month - INTERVAL 1 MONTH) AS retained_customers,
                count(*) FILTER (before < month - INTERVAL 1 MONTH) AS resurrected_customers
            FROM steps GROUP BY 1
        ),
        lost AS (
            SELECT (month + INTERVAL 1 MONTH)::DATE AS month, count(*) AS churned_customers
            FROM steps WHERE after IS NULL OR after > month + INTERVAL 1 MONTH GROUP BY 1
        )
        SELECT
            month,
            coalesce(closing_customers, 0) AS closing_customers,
            coalesce(new_customers, 0) AS new_customers,
            coalesce(retained_customers, 0) AS retained_customers,
            coalesce(resurrected_customers, 0) AS resurrected_customers,
            coalesce(churned_customers, 0) AS churned_customers
        FROM gained FULL JOIN lost USING (month)
        WHERE month BETWEEN date_trunc('month', ?::DATE) AND ?
        ORDER BY month
        """,
        [country, country, since, until],
    )
