"""Lines of orders, on which all models but those of subscriptions depend."""

from analytics_assets.sources.declared.base import (
    Balance,
    ChurnModel,
    Contract,
    Figure,
    Rule,
    Source,
)
from analytics_assets.sources.declared.growth_balances import GROWTH_BALANCES

# Half a cent: billed amounts are rounded to cents.
ROUNDING = "0.005"
DAY = "order_date"
MONTH = "date_trunc('month', order_date)::DATE"
EXTENDED = "coalesce(sum(extended_amount), 0)"
MISSING = "count(*) - count(amount)"
OF_SALES, OF_BOTH = "line_type = 'sale'", "line_type IN ('sale', 'return')"


def _sum(column: str, where: str = "") -> str:
    return f"coalesce(sum({column}){where and f' FILTER ({where})'}, 0)"


# Measures that add up from the fact to the marts: name, verb, words, in the fact, in what follows.
MEASURES = (
    ("lines", "are", "Lines", "count(*)", _sum("lines")),
    ("units", "are", "Units", _sum("quantity", OF_SALES), _sum("units")),
    *(
        (name, "is", words, _sum(column, where), _sum(measure))
        for name, words, column, where, measure in (
            ("gross", "Gross (sales)", "extended_amount", OF_SALES, "gross_amount"),
            (
                *("returned", "Returned (returns and refunds)", "extended_amount"),
                *("line_type = 'return'", "returned_amount"),
            ),
            ("money", "Net (sales and returns)", "extended_amount", OF_BOTH, "net_amount"),
            ("discount", "Discount", "discount", OF_BOTH, "discount_amount"),
            ("tax", "Tax", "tax", OF_BOTH, "tax_amount"),
            ("shipping", "Shipping", "shipping", OF_BOTH, "shipping_amount"),
            ("cost", "Known cost", "cost", OF_BOTH, "cost_amount"),
        )
    ),
)
# Tables with a margin. It is null where a cost is unknown, so margins do not add up across tables.
WITH_MARGIN = (("core.customer_days", DAY), ("marts.sales_daily", DAY),
               ("marts.customer_sales", "month"))  # fmt: skip
COHORTS = "marts.customer_cohort_analysis"
# The days of customers from the month of their first sale on.
DAYS_OF_COHORTS = """(
    SELECT days.* FROM core.customer_days AS days
    JOIN (
        SELECT customer_id, date_trunc('month', min(order_date)) AS cohort_month
        FROM core.customer_days WHERE sale_orders > 0 AND customer_id <> '(unknown)' GROUP BY 1
    ) AS firsts ON days.customer_id = firsts.customer_id AND order_date >= cohort_month
)"""

RULES = (
    Rule(
        "fact_orders",
        "amount_present",
        "Every line has the amount that was billed, in a source that supplies amounts.",
        "Recompute the amount as quantity x price, as customer_sales.billed_amount does, or ask "
        "the source for it.",
        broken="amount IS NULL",
        # Not for a source without amounts.
        applies="EXISTS (FROM core.fact_orders AS billed WHERE billed.amount IS NOT NULL)",
        dimension="completeness",
    ),
    Rule(
        "fact_orders",
        "amount_is_quantity_times_price",
        "The amount billed for a line is its quantity x unit price less its discount, within half "
        "a cent.",
        "Map the discount, tax or shipping that the amount includes; or map the amount without "
        "unit_price, then the marts add up the amount. Now they add up quantity x price less "
        "discount.",
        broken=f"abs(amount - extended_amount) > {ROUNDING}",
        applies="amount IS NOT NULL",
    ),
    Rule(
        "fact_orders",
        "price_is_not_zero",
        "No line is without a price.",
        "Review by hand: 0 is right for gifts and samples; otherwise use the product's median "
        "price. Such lines are adjustments and do not count as sales.",
        broken="unit_price = 0",
    ),
    Rule(
        "fact_orders",
        "price_is_not_negative",
        "No price is below 0: a return has a negative quantity instead.",
        "Review by hand: book refunds as returns, with a negative quantity. Such lines are "
        "adjustments and do not count as sales.",
        broken="unit_price < 0",
    ),
    Rule(
        "fact_orders",
        "quantity_is_not_zero",
        "Every line has a quantity.",
        "Review by hand, or drop the line in the source. Such lines are adjustments.",
        broken="quantity = 0",
        applies="NOT is_refund",
    ),
)

BALANCES = (
    Balance(
        "fact_orders",
        "money_of_staged_is_money_of_fact",
        "The extended amounts of the staged lines and of the fact are the same.",
        Figure("staging.stg_orders", EXTENDED, DAY),
        Figure("core.fact_orders", EXTENDED, DAY),
        money=True,
    ),
    Balance(
        "fact_orders",
        "missing_amounts_are_still_missing",
        "Lines without an amount in the source have none in the fact: nothing is imputed before "
        "the marts.",
        Figure("staging.stg_orders", MISSING, DAY),
        Figure("core.fact_orders", MISSING, DAY),
    ),
    Balance(
        "customer_sales",
        "imputed_amounts_are_the_missing_ones",
        "Every amount that customer_sales has imputed is counted, in its month.",
        Figure(
            "core.fact_orders",
            f"count(*) FILTER (amount IS NULL AND {OF_BOTH})",
            MONTH,
        ),
        Figure("marts.customer_sales", "coalesce(sum(amounts_imputed), 0)", "month"),
        windowed=False,
    ),
    *(
        Balance(
            "customer_days",
            f"{name}_of_fact_{verb}_{name}_of_days",
            f"{words} of the fact and of customer_days are the same.",
            Figure("core.fact_orders", of_fact, DAY),
            Figure("core.customer_days", of_days, DAY),
            money=verb == "is",
        )
        for name, verb, words, of_fact, of_days in MEASURES
    ),
    *(
        Balance(
            mart,
            f"{name}_of_days_{verb}_{name}_of_{last}",
            f"{words} of customer_days and of {mart} are the same.",
            Figure("core.customer_days", of_days, by_days),
            Figure(f"marts.{mart}", of_days, by),
            windowed=False,
            money=verb == "is",
        )
        for name, verb, words, _, of_days in MEASURES
        for mart, last, by, by_days in (
            ("sales_daily", "sales", DAY, DAY),
            ("customer_sales", "customers", "month", MONTH),
        )
    ),
    *(
        Balance(
            relation.split(".")[1],
            "margin_is_net_less_cost",
            "Every margin is the net amount less the cost.",
            Figure(relation, _sum("margin_amount"), by),
            Figure(relation, _sum("net_amount - cost_amount", "margin_amount IS NOT NULL"), by),
            windowed=relation.startswith("core."),
            money=True,
        )
        for relation, by in WITH_MARGIN
    ),
    *(
        Balance(
            "customer_cohort_analysis",
            f"{name}_of_days_is_{name}_of_cohorts",
            f"{words} of the customers of cohorts is the same in customer_days and in the cohorts.",
            Figure(DAYS_OF_COHORTS, _sum(measure)),
            Figure(COHORTS, _sum(column)),
            windowed=False,
            money=True,
        )
        for name, words, measure, column in (
            ("gross", "Gross", "gross_amount", "gross_amount"),
            ("returned", "Returned", "returned_amount", "returned_amount"),
            ("money", "Net", "net_amount", "cohort_revenue"),
        )
    ),
    *GROWTH_BALANCES,
)

ORDERS = Source(
    Contract(
        "orders",
        ("order_id", "ordered_at", "customer_id", "quantity", "unit_price"),
        "ordered_at",
        expected=("product_id",),
        door={"refunded_amount": "amount", "refunded_at": "updated_at", "unit_cost": "cost"},
        follows={"unit_price": "amount"},
    ),
    rows="orders",
    fact="fact_orders",
    corrections="order_corrections",
    members={"customers": True, "products": True},
    identity=("order_id", "line_number"),
    numbered=True,
    changing=("status", "updated_at"),
    rules=RULES,
    balances=BALANCES,
    model=ChurnModel(
        "",
        "churn_predictions",
        "customers on the newest day",
        "snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_predictions)",
    ),
    sample="orders/orders_{date}.csv",
    sample_words={"late_days": 7},
)
