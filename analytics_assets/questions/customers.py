"""Customers: who there are, their segments, and one of them.

Belongs here: questions about what customers are like. Does not belong here: churn (`churn`).
"""

from typing import Any

from analytics_assets.warehouse.session import Session

Records = list[dict[str, Any]]


def countries(session: Session) -> list[str]:
    """Countries of customers, the most frequent first."""
    return [
        country
        for (country,) in session.rows(
            "SELECT country FROM core.dim_customers WHERE country IS NOT NULL GROUP BY 1 "
            "ORDER BY count(*) DESC, 1 LIMIT 100"
        )
    ]


def segments(session: Session) -> Records:
    """The newest day, and the customers of each segment on it."""
    return session.records(
        "SELECT max(snapshot_date) AS day, segment, count(*) AS customers "
        "FROM marts.user_analytics GROUP BY 2 ORDER BY 3 DESC, 2"
    )
