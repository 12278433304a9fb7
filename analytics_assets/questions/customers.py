"""Customers: who there are, their segments, and one of them.

Belongs here: questions about what customers are like. Does not belong here: whether they leave
(`churn`).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from analytics_assets.questions import Records
from analytics_assets.questions.sales import OF_COUNTRY
from analytics_assets.warehouse.session import Session


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


def segments_of(session: Session, country: str | None) -> Records:
    """What each segment consists of, on the newest day."""
    return session.records(
        "SELECT segment, count(*) AS customers, sum(net_amount) AS net_amount, "
        "sum(net_amount_90d) AS net_amount_90d, "
        "median(days_since_last_order)::DOUBLE AS days_since_last_order, "
        "avg(sale_orders)::DOUBLE AS sale_orders FROM marts.user_analytics "
        f"WHERE {OF_COUNTRY} GROUP BY 1 ORDER BY 2 DESC, 1",
        [country, country],
    )


def snapshot_day(session: Session) -> date | None:
    """The day that user_analytics shows."""
    day: date | None = session.value("SELECT max(snapshot_date) FROM marts.user_analytics")
    return day


def moves(session: Session) -> Records:
    """Moves between segments over the newest month that has any."""
    return session.records(
        "SELECT month, from_segment, to_segment, customers FROM marts.customer_segment_moves "
        "WHERE month = (SELECT max(month) FROM marts.customer_segment_moves) ORDER BY ALL"
    )


def sizes_by_month(session: Session, since: date, until: date) -> Records:
    """Customers of each segment at the end of each month."""
    return session.records(
        "SELECT month, to_segment AS segment, sum(customers)::BIGINT AS customers "
        "FROM marts.customer_segment_moves WHERE to_segment <> 'Gone' "
        "AND month BETWEEN date_trunc('month', ?::DATE) AND ? GROUP BY ALL ORDER BY ALL",
        [since, until],
    )


def search(
    session: Session, text: str, country: str | None, segment: str | None, limit: int
) -> Records:
    """Customers whose id begins with a text, those with the largest net amount first."""
    return session.records(
        "SELECT u.customer_id, d.country, u.segment, u.rfm, u.sale_orders, u.net_amount, "
        "u.last_order_date, u.days_since_last_order FROM marts.user_analytics u "
        "LEFT JOIN core.dim_customers d USING (customer_id) "
        "WHERE starts_with(lower(u.customer_id), lower(?)) "
        "AND (?::VARCHAR IS NULL OR d.country = ?) AND (?::VARCHAR IS NULL OR u.segment = ?) "
        f"ORDER BY u.net_amount DESC, u.customer_id LIMIT {int(limit)}",
        [text, country, country, segment, segment],
    )


def one(session: Session, customer_id: str) -> dict[str, Any] | None:
    """What is known of a customer on the newest day."""
    found = session.records(
        "SELECT u.*, d.country, d.city, d.registered_at FROM marts.user_analytics u "
        "LEFT JOIN core.dim_customers d USING (customer_id) WHERE u.customer_id = ?",
        [customer_id],
    )
    return found[0] if found else None


def months_of(session: Session, customer_id: str) -> Records:
    """Sales of a customer by month."""
    return session.records(
        "SELECT month, sale_orders, units, gross_amount, returned_amount, net_amount "
        "FROM marts.customer_sales WHERE customer_id = ? ORDER BY month",
        [customer_id],
    )


def month_ends(session: Session) -> list[date]:
    """The last day of each month that has a snapshot, and the newest one."""
    return [
        day
        for (day,) in session.rows(
            "SELECT max(day) FROM (SELECT DISTINCT snapshot_date AS day "
            "FROM marts.customer_analytics_daily) GROUP BY date_trunc('month', day)"
        )
    ]


def segment_changes(session: Session, customer_id: str, days: Sequence[date]) -> Records:
    """The segment of a customer on some days, where it is another than on the one before."""
    rows = session.rows(
        "SELECT snapshot_date, segment FROM marts.customer_analytics_daily WHERE customer_id = ? "
        f"AND snapshot_date IN ({', '.join('?' * len(days)) or 'NULL'}) ORDER BY 1",
        [customer_id, *days],
    )
    changes: Records = []
    for day, segment in rows:
        if not changes or changes[-1]["segment"] != segment:
            changes.append({"day": day, "segment": segment})
    return changes
