"""Tables of the marts about growth: whom the shop wins and loses, and who came for what.

Belongs here: what customers do from one period to the next, cohorts by what brought them, and what
they brought so far. Does not belong here: cohorts by month alone, sales and customers (`marts`).
"""
# mypy: disable-error-code="valid-type"

from typing import Any

from analytics_assets.schemas.base import (
    BigInt,
    Boolean,
    Date,
    Integer,
    Money,
    TableModel,
    Text,
    column,
    table,
)
from analytics_assets.schemas.marts import CustomerCohortAnalysis

PERIOD_TYPES = ("day", "week", "month")
GROSS, NET = "Gross amount", "Net amount"


# What a part of an amount is of; the same for gross and net.
PARTS = {
    "opening": "of the period before, of its customers with a sale",
    "new": "of new_customers in the period",
    "retained": "of retained_customers in the period",
    "resurrected": "of resurrected_customers in the period",
    "expansion": "by which retained customers who spent more exceed the period before",
    "contraction": "by which retained customers who spent less fall short of the period before",
    "churned": "of churned_customers in the period before: what is lost with them",
    "closing": "of closing_customers in the period: opening + new + resurrected + expansion - "
    "contraction - churned",
    "unknown": "of the unknown customer in the period, who is in none of the states",
}


def _customers(text: str) -> Any:
    return column(text, ge=0)


def _part(amount: str, name: str) -> Any:
    text = f"{amount} {PARTS[name]}"
    # A net amount is negative where more came back than was sold.
    positive = amount == GROSS or name in ("expansion", "contraction")
    return column(text, ge=0) if positive else column(text)


@table(group="marts", key=("period_type", "period_start"))
class GrowthAccounting(TableModel):
    """Customers and money won, kept and lost from each day, week and month to the next.

    A customer with a sale in a period is active in it. Active now and never before is new; also in
    the period just before, retained; only earlier, resurrected. Active in the period before and not
    now is churned, and dormant from the next period on. opening + new + resurrected - churned =
    closing. Churned says no more than that: by day, it is everybody who bought yesterday and not
    today. Weeks begin on Monday. In the first period, everybody is new.
    """

    period_type: Text = column("day, week or month", isin=PERIOD_TYPES)
    period_start: Date = column("First day of the period")
    period_end: Date = column("Exclusive end of the period: the first day of the next")
    opening_customers: BigInt = _customers("closing_customers of the period before")
    new_customers: BigInt = _customers("Customers with their first sale in the period")
    retained_customers: BigInt = _customers(
        "Customers with a sale in the period and in the one before: opening - churned"
    )
    resurrected_customers: BigInt = _customers(
        "Customers with a sale in the period, none in the one before, and one earlier"
    )
    churned_customers: BigInt = _customers(
        "Customers with a sale in the period before and none in this one; so far, where it is not "
        "over"
    )
    closing_customers: BigInt = _customers(
        "Customers with a sale in the period: opening + new + resurrected - churned"
    )
    dormant_customers: BigInt = _customers(
        "Customers with a sale before, but neither in the period nor in the one before"
    )
    opening_gross_amount: Money = _part(GROSS, "opening")
    new_gross_amount: Money = _part(GROSS, "new")
    retained_gross_amount: Money = _part(GROSS, "retained")
    resurrected_gross_amount: Money = _part(GROSS, "resurrected")
    expansion_gross_amount: Money = _part(GROSS, "expansion")
    contraction_gross_amount: Money = _part(GROSS, "contraction")
    churned_gross_amount: Money = _part(GROSS, "churned")
    closing_gross_amount: Money = _part(GROSS, "closing")
    unknown_gross_amount: Money = _part(GROSS, "unknown")
    gross_amount: Money = column("Gross amount of the period: closing + unknown", ge=0)
    opening_net_amount: Money = _part(NET, "opening")
    new_net_amount: Money = _part(NET, "new")
    retained_net_amount: Money = _part(NET, "retained")
    resurrected_net_amount: Money = _part(NET, "resurrected")
    expansion_net_amount: Money = _part(NET, "expansion")
    contraction_net_amount: Money = _part(NET, "contraction")
    churned_net_amount: Money = _part(NET, "churned")
    closing_net_amount: Money = _part(NET, "closing")
    returns_only_net_amount: Money = column(
        "Net amount in the period of known customers without a sale in it: what they sent back"
    )
    returning_net_amount: Money = column(
        "Net amount of all known customers but the new: retained + resurrected + returns_only"
    )
    unknown_net_amount: Money = _part(NET, "unknown")
    net_amount: Money = column("Net amount of the period: new + returning + unknown")
    is_complete: Boolean = column("The whole period has been observed")


class DimensionKey(TableModel):
    """Columns before those of the cohorts."""

    dimension: Text = column(
        "What the customers are told apart by: category, product, country, channel, coupon, "
        "discounted or price_band"
    )
    value: Text = column(
        "Its value for the customer's first order: of the line with the largest amount; "
        "'(unknown)' where it is missing, '(none)' without a coupon, '(other)' for all values but "
        "the 1,000 of the dimension with most customers"
    )


@table(group="marts", key=("dimension", "value", "cohort_month", "month_number"))
class CohortsByDimension(CustomerCohortAnalysis, DimensionKey):
    """The cohorts of customer_cohort_analysis, told apart by what the customers came for.

    Each dimension has every customer once, so its rows add up to customer_cohort_analysis; rows of
    several dimensions do not add up. The first order is the earliest with a sale line on the day of
    the first sale, by time and then by order_id. country is the customer's, as it is known now.
    """


@table(group="marts", key=("cohort_month", "month_number"))
class LtvCurves(TableModel):
    """What the customers of a cohort have brought by each month since their first sale.

    Sums over the months of customer_cohort_analysis, from month 0 to this one, and the same for
    each customer of the cohort, also those who have not bought again. What has happened, and no
    projection: a month that has not begun to be observed is null.
    """

    cohort_month: Date = column("Month of the customers' first sale over all time")
    month_number: Integer = column("Calendar months since cohort_month", ge=0)
    customers_in_cohort: BigInt = column("Customers of the cohort", ge=1)
    gross_amount: Money = column(
        "Gross amount from month 0 to this one; null when not observed", nullable=True
    )
    net_amount: Money = column(
        "Net amount from month 0 to this one; null when not observed", nullable=True
    )
    margin_amount: Money = column(
        "Margin from month 0 to this one; null when not observed, or from the first month on in "
        "which a sale line has no cost",
        nullable=True,
    )
    gross_value: Money = column("gross_amount / customers_in_cohort", nullable=True)
    net_value: Money = column("net_amount / customers_in_cohort", nullable=True)
    margin_value: Money = column("margin_amount / customers_in_cohort", nullable=True)
    is_complete: Boolean = column("The whole month has been observed")
