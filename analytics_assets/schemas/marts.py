"""Tables of the marts: cohorts, sales, and what is known of each customer as of each day.

Belongs here: tables that people and tools read. Does not belong here: training data and
predictions (churn).
"""
# mypy: disable-error-code="valid-type"

from typing import Any

from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    MARGIN,
    QUASI_IDENTIFYING,
    BigInt,
    Boolean,
    Date,
    Double,
    Integer,
    Money,
    Quantity,
    TableModel,
    Text,
    column,
    table,
)

COHORT_QUALITIES = ("Strong", "Fair", "Weak")
REVENUE_BANDS = ("none", "low", "medium", "high")
SEGMENTS = ("Champion", "Loyal", "Potential", "At Risk", "Lost", "Prospect")
# As Shopify names them, from the best customers to those who have not bought.
RFM_GROUPS = (
    *("Champions", "Loyal", "Active", "New", "Promising", "Needs Attention", "Almost Lost"),
    *("At Risk", "Previously Loyal", "Dormant", "Prospects"),
)
# Of rows that have the scores but not the group yet: as the macro rfm_group computes it.
RFM_GROUP_BEFORE = """CASE
    WHEN sale_orders = 0 THEN 'Prospects'
    WHEN r_score = 5 AND f_score + m_score >= 7 THEN 'Champions'
    WHEN r_score >= 3 AND f_score + m_score >= 7 THEN 'Loyal'
    WHEN r_score >= 4 AND f_score + m_score >= 3 THEN 'Active'
    WHEN r_score >= 4 THEN if(r_score = 5, 'New', 'Promising')
    WHEN r_score = 3 THEN if(f_score + m_score >= 5, 'Needs Attention', 'Almost Lost')
    WHEN f_score + m_score >= 9 THEN 'Previously Loyal'
    WHEN f_score + m_score >= 5 THEN 'At Risk'
    ELSE 'Dormant'
END"""
NEW, GONE = "New", "Gone"
VALUE_SEGMENTS = ("High Value", "New", "At Risk", "Regular", "Prospect")
RULE_BANDS = ("Low", "Medium", "High")  # of churn_risk_score; of a probability: PROBABILITY_BANDS


class CustomerFeatures(TableModel):
    """Columns that one macro computes from events before as_of, for both scoring and training.

    For rows that have changed since, the version known by then counts.
    """

    days_since_last_order: Integer = column(
        "Days from the last sale to as_of; null before the first", nullable=True, ge=1
    )
    sale_orders: BigInt = column("Orders with a sale line")
    sale_lines: BigInt = column("Sale lines")
    units: Quantity = column("Units of the sale lines")
    gross_amount: Money = column("Extended amount of the sale lines", ge=0)
    net_amount: Money = column("Extended amount of the sale and return lines")
    average_order_value: Money = column(
        "gross_amount / sale_orders; null before the first sale", nullable=True
    )
    return_lines: BigInt = column("Return lines")
    returned_amount: Money = column("Extended amount of the return lines: usually negative")
    return_share: Double = column(
        "Share of return lines among sale and return lines; null without any",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    tenure_days: Integer = column(
        "Days from the first sale to as_of; null before the first", nullable=True
    )
    days_since_registration: Integer = column(
        "Days from registration to as_of; null when not registered by then", nullable=True
    )
    mean_gap_days: Double = column(
        "Mean days between days with a sale; null with fewer than two", nullable=True
    )
    sd_gap_days: Double = column(
        "Standard deviation of the days between days with a sale; null with fewer than three",
        nullable=True,
        ge=0,
    )
    active_days: BigInt = column("Days with a sale")
    repeat_net_amount: Money = column(
        "net_amount less that of the first day with a sale, at least 0: the money of the repeat "
        "purchases, less what came back",
        ge=0,
    )
    orders_30d: BigInt = column("Orders with a sale line in the 30 days before as_of")
    orders_60d: BigInt = column("Orders with a sale line in the 60 days before as_of")
    orders_90d: BigInt = column("Orders with a sale line in the 90 days before as_of")
    orders_180d: BigInt = column("Orders with a sale line in the 180 days before as_of")
    net_amount_30d: Money = column("Net amount of the 30 days before as_of")
    net_amount_60d: Money = column("Net amount of the 60 days before as_of")
    net_amount_90d: Money = column("Net amount of the 90 days before as_of")
    net_amount_180d: Money = column("Net amount of the 180 days before as_of")
    products_180d: BigInt = column(
        "Distinct known products with a sale line in the 180 days before as_of", ge=0
    )
    categories_180d: BigInt = column(
        "Distinct categories on sale lines of the 180 days before as_of; 0 where the source of "
        "orders supplies none",
        ge=0,
    )
    sessions_total: BigInt = column("Sessions")
    sessions_7d: BigInt = column("Sessions in the 7 days before as_of")
    sessions_30d: BigInt = column("Sessions in the 30 days before as_of")
    sessions_90d: BigInt = column("Sessions in the 90 days before as_of")
    days_since_last_session: Integer = column(
        "Days from the last session to as_of; null without one", nullable=True
    )
    session_frequency: Double = column(
        "Sessions for each 30 days since the first, counted as at least 30 days; 0 without one"
    )
    tickets_total: BigInt = column("Support tickets", before="0")
    tickets_30d: BigInt = column("Support tickets opened in the 30 days before as_of", before="0")
    tickets_90d: BigInt = column("Support tickets opened in the 90 days before as_of", before="0")
    open_tickets: BigInt = column(
        "Support tickets that are not resolved as of as_of", before="0", ge=0
    )
    days_since_last_ticket: Integer = column(
        "Days from the last support ticket to as_of; null without one", nullable=True, before="NULL"
    )
    mean_hours_to_resolve: Double = column(
        "Mean hours to resolve of the support tickets resolved by as_of; null without one",
        nullable=True,
        before="NULL",
        ge=0,
    )


@table(group="marts", key=("cohort_month", "month_number"))
class CustomerCohortAnalysis(TableModel):
    """Retention and revenue of each cohort in each calendar month since its first sale.

    The matrix is full: every cohort has as many months as the oldest. A month that has not begun
    to be observed is null, not 0. The unknown customer belongs to no cohort.
    """

    cohort_month: Date = column("Month of the customers' first sale over all time")
    month_number: Integer = column("Calendar months since cohort_month", ge=0)
    customers_active: BigInt = column(
        "Customers of the cohort with a sale in the month; null when not observed", nullable=True
    )
    customers_in_cohort: BigInt = column("Customers of the cohort", ge=1)
    retention_rate: Double = column(
        "customers_active / customers_in_cohort",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    retention_change: Double = column(
        "retention_rate less that of the month before; null in month 0", nullable=True
    )
    cohort_revenue: Money = column("Net amount of the month; null when not observed", nullable=True)
    gross_amount: Money = column("Gross amount of the month; null when not observed", nullable=True)
    returned_amount: Money = column(
        "Returned amount of the month; null when not observed", nullable=True
    )
    margin_amount: Money = column(
        "Margin of the month; null when not observed, or where a sale line has no cost",
        nullable=True,
    )
    revenue_per_active_customer: Money = column(
        "cohort_revenue / customers_active; null without an active customer", nullable=True
    )
    cohort_quality: Text = column(
        "Strong, Fair or Weak by retention_rate; null in month 0 and in months not complete",
        nullable=True,
        isin=COHORT_QUALITIES,
    )
    is_complete: Boolean = column("The whole month has been observed")


@table(group="marts", key=("customer_id", "month"))
class CustomerSales(TableModel):
    """Sales of each customer in each month, the unknown member included."""

    customer_id: Text = column("Customer; '(unknown)' when missing", person=CUSTOMER_KEY)
    month: Date = column("First day of the month")
    orders: BigInt = column("Orders with a line of any type; counted twice if on two days")
    sale_orders: BigInt = column("Those of them with a sale line")
    lines: BigInt = column("Lines of any type")
    units: Quantity = column("Units of the sale lines")
    gross_amount: Money = column("Extended amount of the sale lines")
    returned_amount: Money = column("Extended amount of the return lines: usually negative")
    net_amount: Money = column("gross_amount + returned_amount")
    discount_amount: Money = column("Discounts of the sale and return lines, deducted already")
    tax_amount: Money = column("Tax on the sale and return lines, as far as known")
    shipping_amount: Money = column("Shipping of the sale and return lines, as far as known")
    cost_amount: Money = column("Cost of the sale and return lines, as far as known")
    margin_amount: Money = column(MARGIN, nullable=True)
    billed_amount: Money = column(
        "Amount of the sale and return lines as billed; the extended amount where the source has "
        "no amount"
    )
    amounts_imputed: BigInt = column(
        "Sale and return lines whose amount was missing in billed_amount"
    )


@table(group="marts", key=("order_date", "category", "revenue_band"))
class SalesDaily(TableModel):
    """Sales by day, product category and size of the order.

    Amounts, lines and units add up over rows. orders does not add up over categories, and
    customers adds up over nothing.
    """

    order_date: Date = column("The shop's day of the orders")
    category: Text = column("Category of the product; '(unknown)' when it has none")
    revenue_band: Text = column(
        "Size of the whole order by its sale lines: low, medium or high; none without one",
        isin=REVENUE_BANDS,
    )
    orders: BigInt = column(
        "Distinct orders with a line in the category; do not add up over categories"
    )
    lines: BigInt = column("Lines of any type")
    units: Quantity = column("Units of the sale lines")
    customers: BigInt = column("Distinct known customers; do not add up over rows")
    gross_amount: Money = column("Extended amount of the sale lines")
    returned_amount: Money = column("Extended amount of the return lines: usually negative")
    net_amount: Money = column("gross_amount + returned_amount")
    discount_amount: Money = column("Discounts of the sale and return lines, deducted already")
    tax_amount: Money = column("Tax on the sale and return lines, as far as known")
    shipping_amount: Money = column("Shipping of the sale and return lines, as far as known")
    cost_amount: Money = column("Cost of the sale and return lines, as far as known")
    margin_amount: Money = column(MARGIN, nullable=True)


class SnapshotKey(TableModel):
    """Columns before the features of a daily snapshot."""

    snapshot_date: Date = column("Day of the snapshot, its last day of events; the daily partition")
    as_of: Date = column("Exclusive end of what the snapshot sees: the day after")
    customer_id: Text = column("Customer; never the unknown member", person=CUSTOMER_KEY)


def _fifth(by: str) -> Any:
    text = f"Fifth of customers by {by}; null before the first sale"
    return column(text, nullable=True, isin=(1, 2, 3, 4, 5))


# Pandera takes the columns of the last base first: key, features, then those below.
@table(
    group="marts",
    key=("snapshot_date", "customer_id"),
    partitioning="daily",
    window_column="snapshot_date",
)
class CustomerAnalyticsDaily(CustomerFeatures, SnapshotKey):
    """Every customer known by the end of the day: features, RFM, segments, value and risk.

    Known means registered, or with an order line of any type. Scores are relative to the other
    customers of the same day. Only days that were the newest when they were loaded have a snapshot,
    and the other partitions are missing by design. The job score_day builds it.
    """

    first_order_date: Date = column("Date of the first sale", nullable=True)
    last_order_date: Date = column("Date of the last sale", nullable=True)
    order_frequency: Double = column(
        "Orders with a sale line for each 30 days of tenure, counted as at least 30 days"
    )
    spending_velocity: Double = column(
        "Net amount a day over the last 90 days, divided by that over the whole tenure: 1 as "
        "ever, above 1 faster; null without a positive net amount",
        nullable=True,
    )
    r_score: Integer = _fifth("recency, 5 the most recent")
    f_score: Integer = _fifth("sale_orders, 5 the most")
    m_score: Integer = _fifth("net_amount, 5 the most")
    rfm: Text = column("The three scores as text, such as 545", nullable=True)
    segment: Text = column(
        "Champion, Loyal, Potential, At Risk or Lost by the scores; Prospect before the first sale",
        isin=SEGMENTS,
    )
    rfm_group: Text = column(
        "One of eleven groups by r_score and the mean of f_score and m_score, halves rounded up: "
        "finer than segment; Prospects before the first sale",
        isin=RFM_GROUPS,
        before=RFM_GROUP_BEFORE,
    )
    value_segment: Text = column(
        "First true one of High Value, New, At Risk, Regular; Prospect before the first sale",
        isin=VALUE_SEGMENTS,
    )
    lifetime_value_simple: Money = column(
        "average_order_value x order_frequency x a horizon of 12 times 30 days: a rule of thumb, "
        "no prediction; 0 before the first sale"
    )
    churn_risk_score: Double = column(
        "Silence since the last sale as a share of the longest that is normal for the customer, "
        "at most 1: a rule, no probability; null before the first sale",
        nullable=True,
        in_range={"min_value": 0, "max_value": 1},
    )
    churn_risk_category: Text = column(
        "Low, Medium or High by churn_risk_score: by a rule, and so not the risk_band of "
        "churn_predictions, which is of a probability",
        nullable=True,
        isin=RULE_BANDS,
    )


@table(group="marts", key=("customer_id",))
class UserAnalytics(CustomerAnalyticsDaily):
    """Every customer as of the newest day."""


TENURE_CATEGORIES = ("new", "established", "long")
CHARGE_CATEGORIES = ("low", "medium", "high")


@table(group="marts", key=("customer_id",), loaded_with="subscriptions")
class SubscriptionAnalytics(TableModel):
    """Every subscriber: whether they left, and what they have, in figures and in categories."""

    customer_id: Text = column("Subscriber", person=CUSTOMER_KEY)
    churned: Boolean = column("The subscriber has left")
    contract: Text = column("Kind of contract; '(unknown)' when missing")
    payment_method: Text = column("How the subscriber pays", nullable=True)
    tenure_months: Integer = column("Whole months of the subscription so far", nullable=True, ge=0)
    tenure_category: Text = column(
        "new, established or long by tenure_months; null without",
        nullable=True,
        isin=TENURE_CATEGORIES,
    )
    monthly_charges: Money = column("Money charged a month", nullable=True)
    charge_category: Text = column(
        "low, medium or high by monthly_charges; null without",
        nullable=True,
        isin=CHARGE_CATEGORIES,
    )
    total_charges: Money = column("Money charged so far", nullable=True)
    total_charges_imputed: Boolean = column(
        "total_charges is imputed, as tenure_months x monthly_charges"
    )
    attributes: Text = column(
        "Further columns that the source configuration names, as a JSON object of texts",
        nullable=True,
        person=QUASI_IDENTIFYING,
    )


@table(group="marts", key=("contract",), loaded_with="subscriptions")
class ChurnByContract(TableModel):
    """Subscribers, and how many of them left, by the kind of contract."""

    contract: Text = column("Kind of contract; '(unknown)' when missing")
    subscribers: BigInt = column("Subscribers, those who left included", ge=1)
    churned: BigInt = column("Those who left", ge=0)
    churn_rate: Double = column("churned / subscribers", in_range={"min_value": 0, "max_value": 1})
    monthly_charges: Money = column("Money charged a month to those who stayed")
    monthly_charges_lost: Money = column("Money charged a month to those who left")
    total_charges_imputed: BigInt = column("Subscribers whose total charges are imputed", ge=0)


@table(
    group="marts",
    key=("month", "from_segment", "to_segment"),
    partitioning="monthly",
    window_column="month",
    may_be_empty=True,
)
class CustomerSegmentMoves(TableModel):
    """How many customers moved between segments from the end of one month to that of the next.

    Everyone known at either end is counted once, also who stays in a segment. So the rows of a
    month that come from a segment add up to those that went to it in the month before.
    """

    month: Date = column("First day of the month over which they moved; the monthly partition")
    from_segment: Text = column(
        "Segment at the end of the month before; New when not known by then",
        isin=(*SEGMENTS, NEW),
    )
    to_segment: Text = column(
        "Segment at the end of the month; Gone if corrections have removed all that was known of "
        "the customer",
        isin=(*SEGMENTS, GONE),
    )
    customers: BigInt = column("Customers", ge=1)
