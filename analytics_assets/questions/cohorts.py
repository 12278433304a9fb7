"""Cohorts: how many of those who came in a month bought again, and what they brought.

Belongs here: questions to customer_cohort_analysis, the same of a country, and of the values of a
dimension. Does not belong here: what customers of cohorts are like now (`customers`).
"""

from datetime import date
from typing import Any

from analytics_assets.questions import Records
from analytics_assets.warehouse.session import Session

# Rows as customer_cohort_analysis has them, of the customers of each country. That table says which
# months have been observed, and which of them whole.
_OF_COUNTRIES = """
    WITH bought AS (
        SELECT
            c.customer_id,
            d.country,
            date_trunc('month', c.order_date)::DATE AS month,
            bool_or(c.sale_orders > 0) AS active,
            sum(c.net_amount) AS net_amount
        FROM core.customer_days c
        JOIN core.dim_customers d USING (customer_id)
        WHERE d.member_type <> 'unknown' AND d.country IS NOT NULL
        GROUP BY ALL
    ),
    firsts AS (
        SELECT customer_id, country, min(month) AS cohort_month FROM bought
        WHERE active GROUP BY ALL
    ),
    sizes AS (
        SELECT country, cohort_month, count(*) AS customers_in_cohort FROM firsts GROUP BY ALL
    ),
    observed AS (
        SELECT
            country,
            cohort_month,
            date_diff('month', cohort_month, month) AS month_number,
            count(*) FILTER (active) AS customers_active,
            sum(net_amount) AS cohort_revenue
        FROM bought JOIN firsts USING (customer_id, country)
        WHERE month >= cohort_month GROUP BY ALL
    ),
    cohorts AS (
        SELECT
            country,
            cohort_month,
            month_number,
            coalesce(o.customers_active, 0) AS customers_active,
            s.customers_in_cohort,
            coalesce(o.customers_active, 0) / s.customers_in_cohort AS retention_rate,
            coalesce(o.cohort_revenue, 0) AS cohort_revenue,
            m.is_complete
        FROM sizes s
        JOIN marts.customer_cohort_analysis m USING (cohort_month)
        LEFT JOIN observed o USING (country, cohort_month, month_number)
        WHERE m.customers_active IS NOT NULL
    )
"""
COLUMNS = (
    "cohort_month, month_number, customers_active, customers_in_cohort, retention_rate, "
    "cohort_revenue, sum(cohort_revenue) OVER (PARTITION BY cohort_month ORDER BY month_number) "
    "/ customers_in_cohort AS revenue_per_customer, is_complete"
)


def cohorts(session: Session, since: date, until: date, country: str | None) -> Records:
    """Months of the cohorts that began within some days, as far as they have been observed."""
    return session.records(
        f"{_rows(country)} SELECT {COLUMNS} FROM chosen ORDER BY cohort_month, month_number",
        _parameters(since, until, country),
    )


def curve(session: Session, since: date, until: date, country: str | None) -> Records:
    """Retention and revenue by months since the first sale, of these cohorts together.

    Each month number has only cohorts for which the whole month has been observed.
    """
    return session.records(
        f"{_rows(country)}, totals AS (SELECT {COLUMNS} FROM chosen) SELECT month_number, "
        "count(*) AS cohorts, sum(customers_active)::BIGINT AS customers_active, "
        "sum(customers_in_cohort)::BIGINT AS customers_in_cohort, "
        "sum(customers_active) / sum(customers_in_cohort) AS retention_rate, "
        "sum(revenue_per_customer * customers_in_cohort) / sum(customers_in_cohort) "
        "AS revenue_per_customer FROM totals WHERE is_complete GROUP BY 1 ORDER BY 1",
        _parameters(since, until, country),
    )


def dimensions(session: Session) -> list[str]:
    """The dimensions that cohorts are told apart by."""
    rows = session.rows("SELECT DISTINCT dimension FROM marts.cohorts_by_dimension ORDER BY 1")
    return [name for (name,) in rows]


def retention_by(session: Session, since: date, until: date, dimension: str) -> Records:
    """Retention of the largest values of a dimension, of cohorts that began within some days.

    Each month number has only cohorts for which the whole month has been observed.
    """
    return session.records(
        """
        WITH chosen AS (
            SELECT * FROM marts.cohorts_by_dimension
            WHERE dimension = ? AND cohort_month BETWEEN date_trunc('month', ?::DATE) AND ?
        ),
        largest AS (
            SELECT value FROM chosen WHERE month_number = 0
            GROUP BY 1 ORDER BY sum(customers_in_cohort) DESC, value LIMIT 6
        )
        SELECT
            value,
            month_number,
            sum(customers_active)::BIGINT AS customers_active,
            sum(customers_in_cohort)::BIGINT AS customers_in_cohort,
            sum(customers_active) / sum(customers_in_cohort) AS retention_rate
        FROM chosen SEMI JOIN largest USING (value)
        WHERE is_complete GROUP BY ALL ORDER BY value, month_number
        """,
        [dimension, since, until],
    )


def _rows(country: str | None) -> str:
    if country is None:
        return (
            "WITH chosen AS (SELECT * FROM marts.customer_cohort_analysis "
            "WHERE customers_active IS NOT NULL "
            "AND cohort_month BETWEEN date_trunc('month', ?::DATE) AND ?)"
        )
    return (
        f"{_OF_COUNTRIES}, chosen AS (SELECT * FROM cohorts "
        "WHERE cohort_month BETWEEN date_trunc('month', ?::DATE) AND ? AND country = ?)"
    )


def _parameters(since: date, until: date, country: str | None) -> list[Any]:
    return [since, until] if country is None else [since, until, country]
