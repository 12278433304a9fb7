"""Units of the columns: what a number counts.

Belongs here: the unit of each numeric column, by its name. Does not belong here: types and
descriptions (the models).
"""

import re

from analytics_assets.schemas.base import Table

# The first pattern that a column's name matches gives its unit; names before endings.
_UNITS: tuple[tuple[str, str], ...] = (
    (r".*_probability(_\d+d)?|p_value|mean_predicted", "probability, 0 to 1"),
    (r"churn_risk_score", "0 to 1"),
    (r"push_\d", "log-odds"),
    (r"log_loss|excess_log_loss_(low|high)", "nats"),
    (r"calibration_intercept", "log-odds"),
    (r"top_decile_lift|spending_velocity|calibration_slope", "ratio"),
    (r"top_percent", "percent"),
    (r"brier|roc_auc.*|promised_auc_low|average_precision|psi|expected_psi", "number, 0 is least"),
    (r"retention_change", "share, -1 to 1"),
    (r"order_frequency", "orders in 30 days"),
    (r"session_frequency", "sessions in 30 days"),
    (r"expected_purchases", "days with a purchase"),
    (r"units|quantity", "units of the product"),
    (r"seconds|.*_seconds", "seconds"),
    (r".*_gap_days|.*_days|days_.*", "days"),
    (r"mean_hours_.*", "hours"),
    (r"satisfaction", "score of the source"),
    (r"engagement", "0 to 100"),
    (r".*_bytes", "bytes"),
    (r"tenure_months", "months"),
    (r"[rfm]_score", "fifth, 1 to 5"),
    (
        r".*(_rate|_share)(_\d+d(_low|_high)?)?|share|prevalence|missing|reference_missing",
        "share, 0 to 1",
    ),
    (r"score|completeness|validity|consistency|uniqueness|timeliness", "0 to 1"),
    (r"figure|threshold", "as the check says"),
    (
        r"amount|.*_amount|.*amount_\d+d|.*_value.*|.*_price|unit_cost|.*_revenue|revenue_.*"
        r"|.*charges.*|.*_effect|order_total|profit|discount|tax|shipping|cost|expected_loss",
        "money, in the currency of the shop",
    ),
    (r"year|quarter|month|iso_.*|day_of_week|month_number.*", "of the calendar"),
    (r".*_number|.*_version|.*_offset|topic_partition|batch_id|weight", "number"),
)
# Amounts in their names, but counted: rows, not money.
_COUNTED = re.compile(r"amounts_imputed|total_charges_imputed")
_NUMBERS = ("INT", "BIGINT", "DOUBLE", "DECIMAL")


def unit_of(table: Table, column: str) -> str | None:
    """The unit of a column; None where it is no number.

    A whole number without a unit of its own counts rows, customers or what it is named after.
    """
    type_ = table.sql_types[column]
    if not type_.startswith(_NUMBERS):
        return None
    if not _COUNTED.fullmatch(column):
        for pattern, unit in _UNITS:
            if re.fullmatch(pattern, column):
                return unit
    if type_ in ("INT", "BIGINT"):
        return "count"
    raise KeyError(f"{table.name}.{column} has no unit: add its name to {__name__}.")
