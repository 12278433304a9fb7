"""Churn: who is likely to leave and why, and how good the probabilities are.

Belongs here: questions to the tables of churn and of subscribers. Does not belong here: training,
or anything that computes a probability.
"""

from typing import Any

from analytics_assets.questions import Records
from analytics_assets.warehouse.session import Session

REASONS = ", ".join(f"p.reason_{n}, p.push_{n}" for n in (1, 2, 3))
NEWEST = "(SELECT max(snapshot_date) FROM churn.churn_predictions)"


def bands(session: Session) -> Records:
    """The newest day, and the customers of each risk band on it, the lowest first."""
    return session.records(
        "SELECT max(snapshot_date) AS day, risk_band, count(*) AS customers, "
        "avg(churn_probability) AS mean_probability FROM churn.churn_predictions "
        f"WHERE snapshot_date = {NEWEST} GROUP BY 2 ORDER BY 4"
    )


def bands_of(session: Session, country: str | None, segment: str | None) -> Records:
    """Risk bands on the newest day, of a country and a segment."""
    return session.records(
        "SELECT p.risk_band, count(*) AS customers, "
        "avg(p.churn_probability) AS churn_probability, "
        "sum(p.churn_probability * p.lifetime_value) AS value_at_stake, "
        f"sum(p.lifetime_value) AS lifetime_value {_SCORED} GROUP BY 1 ORDER BY 3",
        [country, country, segment, segment],
    )


def distribution(session: Session, country: str | None, segment: str | None) -> Records:
    """Customers by tenths of the probability, on the newest day."""
    return session.records(
        "SELECT least(floor(p.churn_probability * 20), 19) / 20 AS probability_from, "
        "least(floor(p.churn_probability * 20), 19) / 20 + 0.05 AS probability_to, "
        f"count(*) AS customers {_SCORED} GROUP BY ALL ORDER BY 1",
        [country, country, segment, segment],
    )


def queue(session: Session, country: str | None, segment: str | None, limit: int) -> Records:
    """Customers with the most value at stake: probability of churn x lifetime value."""
    return session.records(
        "SELECT p.customer_id, d.country, u.segment, p.risk_band, p.churn_probability, "
        "p.lifetime_value, p.churn_probability * p.lifetime_value AS value_at_stake, "
        f"u.days_since_last_order, u.sale_orders, {REASONS} {_SCORED} "
        f"ORDER BY value_at_stake DESC NULLS LAST, p.customer_id LIMIT {int(limit)}",
        [country, country, segment, segment],
    )


def prediction_of(session: Session, customer_id: str) -> dict[str, Any] | None:
    """The newest score of a customer."""
    found = session.records(
        f"SELECT * FROM churn.churn_predictions WHERE snapshot_date = {NEWEST} AND customer_id = ?",
        [customer_id],
    )
    return found[0] if found else None


def performance(session: Session) -> Records:
    """Past scores and what happened, one row for each day whose window has closed."""
    return session.records(
        "SELECT as_of, model_version, customers, mean_predicted, prevalence, roc_auc, roc_auc_low, "
        "roc_auc_high, brier, calibration_slope, calibration_intercept, shortfall "
        "FROM churn.churn_performance ORDER BY as_of, model_version"
    )


def calibration(session: Session) -> Records:
    """Tenths of the past scores by probability, and the share of each that churned.

    Only scores whose window has closed, and that were made before the model had seen it. A build
    has no views, so who churned is computed as churn_outcomes does it.
    """
    return session.records(
        """
        WITH scored AS (
            SELECT p.as_of, p.customer_id, p.churn_probability, m.horizon_days
            FROM churn.churn_predictions p
            JOIN churn.churn_performance f USING (as_of, model_version)
            JOIN churn.churn_model m ON m.model_version = p.model_version AND m.is_chosen
        ),
        known AS (
            SELECT s.*, NOT EXISTS (
                FROM core.customer_days c
                WHERE c.customer_id = s.customer_id AND c.sale_orders > 0
                AND c.order_date >= s.as_of
                AND c.order_date < s.as_of + to_days(s.horizon_days)
            ) AS churned FROM scored s
        ),
        tenths AS (
            SELECT *, ntile(10) OVER (ORDER BY churn_probability, as_of, customer_id) AS tenth
            FROM known
        )
        SELECT tenth, count(*) AS customers, avg(churn_probability) AS mean_predicted,
            avg(churned::INTEGER) AS churned
        FROM tenths GROUP BY 1 ORDER BY 1
        """
    )


def candidates(session: Session) -> Records:
    """The candidates of the newest training, the best first."""
    return session.records(
        "SELECT candidate, is_chosen, test_as_of, test_rows, roc_auc, roc_auc_low, roc_auc_high, "
        "brier, calibration_slope, calibration_intercept, top_decile_lift, prevalence, "
        "model_version FROM churn.churn_model "
        "WHERE model_version = (SELECT arg_max(model_version, labels_to) FROM churn.churn_model) "
        "ORDER BY roc_auc DESC NULLS LAST, candidate"
    )


def trainings(session: Session) -> Records:
    """The choice of each training, and what became of it; the newest first."""
    return session.records(
        "SELECT model_version, candidate, labels_to, train_rows, roc_auc, decision, "
        "decision_reason FROM churn.churn_model WHERE is_chosen ORDER BY labels_to DESC, 1 DESC "
        "LIMIT 50"
    )


def drift(session: Session) -> Records:
    """Inputs and scores of the newest day against the training, the most different first."""
    return session.records(
        "SELECT snapshot_date, feature, psi, expected_psi, p_value, missing, reference_missing, "
        "verdict FROM churn.churn_drift "
        "WHERE snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_drift) "
        "ORDER BY psi DESC, feature"
    )


def by_contract(session: Session) -> Records:
    """Subscribers and those who left, by kind of contract."""
    return session.records(
        "SELECT contract, subscribers, churned, churn_rate, monthly_charges, "
        "monthly_charges_lost FROM marts.churn_by_contract ORDER BY churn_rate DESC, contract"
    )


def by_tenure(session: Session) -> Records:
    """Subscribers and those who left, by full years of the subscription."""
    return session.records(
        "SELECT tenure_months // 12 AS years, count(*) AS subscribers, "
        "count(*) FILTER (churned) AS churned, avg(churned::INTEGER) AS churn_rate "
        "FROM marts.subscription_analytics WHERE tenure_months IS NOT NULL GROUP BY 1 ORDER BY 1"
    )


def subscriber_queue(session: Session, limit: int) -> Records:
    """Subscribers with the most money of a year at stake."""
    return session.records(
        f"SELECT p.customer_id, a.contract, p.risk_band, p.churn_probability, p.expected_loss, "
        f"a.monthly_charges, a.tenure_months, {REASONS} FROM churn.subscription_predictions p "
        "LEFT JOIN marts.subscription_analytics a USING (customer_id) "
        f"ORDER BY p.expected_loss DESC NULLS LAST, p.customer_id LIMIT {int(limit)}"
    )


_SCORED = (
    "FROM churn.churn_predictions p "
    "LEFT JOIN marts.user_analytics u USING (customer_id) "
    "LEFT JOIN core.dim_customers d USING (customer_id) "
    f"WHERE p.snapshot_date = {NEWEST} AND (?::VARCHAR IS NULL OR d.country = ?) "
    "AND (?::VARCHAR IS NULL OR u.segment = ?)"
)
