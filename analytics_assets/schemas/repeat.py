"""Tables of the marts on repeat purchase.

Belongs here: who buys again, and when. Does not belong here: cohorts (`marts`), or what a model
expects (`churn`).
"""
# mypy: disable-error-code="valid-type"

from typing import Any

from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    BigInt,
    Date,
    Double,
    Integer,
    Money,
    TableModel,
    Text,
    column,
    table,
)

NO_DATE = ("no model", "probably gone", "too far")  # why next_orders has no date
FARTHEST_DAYS = 365  # from as_of on; a date after it says too little
REPEAT_DAYS = (30, 60, 90, 180, 365)  # as in the macro repeat_days; a test compares them


def _observed(days: int) -> Any:
    return column(f"Customers whose {days} days after the order have been observed", ge=0)


def _repeated(days: int) -> Any:
    return column(f"Those of them who ordered again within {days} days", ge=0)


def _rate(days: int) -> Any:
    return column(
        f"repeated_{days}d / observed_{days}d; null where nobody has been observed that long",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )


@table(group="marts", key=("order_number",))
class RepeatPurchases(TableModel):
    """Who orders again after the first, second, third order, and how long they take.

    An order is one with a sale line; on two days it is two. Known customers only: without one there
    is no next order. Who ordered lately has had little time for the next: the rates within so many
    days are of customers who were observed that long, and the others are of all, so far.
    """

    order_number: Integer = column("The customer's order, 1 for the first", ge=1)
    customers: BigInt = column("Customers who have reached it", ge=1)
    repeated: BigInt = column("Those of them who have ordered again so far", ge=0)
    repeat_rate: Double = column(
        "repeated / customers: so far, so less than what it is going to be",
        in_range={"min_value": 0, "max_value": 1},
    )
    days_to_next_mean: Double = column(
        "Mean days to the next order, of those who have ordered again so far, so too short; 0 on "
        "the same day; null without one",
        nullable=True,
        ge=0,
    )
    days_to_next_p25: Double = column("A quarter of them took no longer", nullable=True, ge=0)
    days_to_next_median: Double = column("Half of them took no longer", nullable=True, ge=0)
    days_to_next_p75: Double = column("Three quarters took no longer", nullable=True, ge=0)
    observed_30d: BigInt = _observed(30)
    repeated_30d: BigInt = _repeated(30)
    repeat_rate_30d: Double = _rate(30)
    observed_60d: BigInt = _observed(60)
    repeated_60d: BigInt = _repeated(60)
    repeat_rate_60d: Double = _rate(60)
    observed_90d: BigInt = _observed(90)
    repeated_90d: BigInt = _repeated(90)
    repeat_rate_90d: Double = _rate(90)
    observed_180d: BigInt = _observed(180)
    repeated_180d: BigInt = _repeated(180)
    repeat_rate_180d: Double = _rate(180)
    observed_365d: BigInt = _observed(365)
    repeated_365d: BigInt = _repeated(365)
    repeat_rate_365d: Double = _rate(365)


@table(group="marts", key=("product_id",))
class ComebackProducts(TableModel):
    """Products of the first purchase, and how many of who bought them came back within 90 days.

    The first purchase is the first day with a sale; to come back is to buy on a later day. Who
    bought several products counts for each. It is no proof that the product brings people back:
    other people buy it.
    """

    product_id: Text = column("Product; '(unknown)' when missing")
    product_name: Text = column("Its name", nullable=True)
    customers: BigInt = column("Known customers with the product in their first purchase", ge=1)
    gross_amount: Money = column("Gross amount of the product in first purchases", ge=0)
    repeated: BigInt = column("Those customers who have come back so far", ge=0)
    observed_90d: BigInt = column("Those whose 90 days afterwards have been observed", ge=0)
    repeated_90d: BigInt = column("Those of them who came back within 90 days", ge=0)
    repeat_rate_90d: Double = _rate(90)
    repeat_rate_90d_low: Double = column(
        "Lower end of its 95% interval (Wilson); null where nobody has been observed that long",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    repeat_rate_90d_high: Double = column(
        "Upper end of that interval",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    all_repeat_rate_90d: Double = column(
        "The rate of all customers, whatever they bought first, to compare with",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )


@table(group="churn", key=("customer_id",))
class NextOrders(TableModel):
    """When each customer who has bought is expected to order next, as of the newest snapshot.

    By the BG/NBD model of the champion, from the customer's own days with a sale. The dates are
    those by which the next order has come with a probability of 10%, 50% and 90%. A customer who
    has probably gone, or whose date is more than a year away, has none, and the reason instead.
    """

    customer_id: Text = column("Customer; never the unknown member", person=CUSTOMER_KEY)
    as_of: Date = column("Exclusive end of what the model saw: the first day that it could be")
    active_days: BigInt = column("Days with a sale before as_of", ge=1)
    days_since_last_order: Integer = column("Days from the last sale to as_of", ge=1)
    next_order_low: Date = column(
        "Day by which the next order has come with 10%; null without next_order_date",
        nullable=True,
    )
    next_order_date: Date = column(
        "Day by which it has come with 50%; null with the reason in no_date_reason", nullable=True
    )
    next_order_high: Date = column(
        "Day by which it has come with 90%; null also where that is more than a year away, or may "
        "never be",
        nullable=True,
    )
    no_date_reason: Text = column(
        "no model: none has been trained on purchases; probably gone: another order is less likely "
        "than not; too far: more than a year away",
        nullable=True,
        isin=NO_DATE,
    )
    another_order_probability: Double = column(
        "Probability that there will be another order at all; 1 for who has bought once, of whom "
        "the model cannot know; null without a model",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    order_probability_90d: Double = column(
        "Probability of an order in the 90 days from as_of on; null without a model",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    model_version: Text = column("Version of the model; null without one", nullable=True)
