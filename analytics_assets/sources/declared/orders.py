"""Lines of orders: what everything but subscriptions is computed from."""

from analytics_assets.sources.declared.base import (
    Balance,
    ChurnModel,
    Contract,
    Figure,
    Rule,
    Source,
)

# Half of the smallest unit of the currencies that have one: a billed amount is rounded to cents.
ROUNDING = "0.005"
DAY = "order_date"
MONTH = "date_trunc('month', order_date)::DATE"
EXTENDED = "coalesce(sum(extended_amount), 0)"
MISSING = "count(*) - count(amount)"
# Measures that add up from the fact to the marts: name, verb, words, in the fact, in what follows.
MEASURES = (
    ("lines", "are", "Lines", "count(*)", "coalesce(sum(lines), 0)"),
    (
        *("gross", "is", "Gross (sales)"),
        "coalesce(sum(extended_amount) FILTER (line_type = 'sale'), 0)",
        "coalesce(sum(gross_amount), 0)",
    ),
    (
        *("money", "is", "Net (sales and returns)"),
        "coalesce(sum(extended_amount) FILTER (line_type IN ('sale', 'return')), 0)",
        "coalesce(sum(net_amount), 0)",
    ),
)

RULES = (
    Rule(
        "fact_orders",
        "amount_present",
        "Every line has the amount that was billed, in a source that supplies amounts.",
        "Recompute the amount as quantity x price, as customer_sales.billed_amount does, or ask "
        "the source for it.",
        broken="amount IS NULL",
        # A source without amounts has none to miss.
        applies="EXISTS (FROM core.fact_orders AS billed WHERE billed.amount IS NOT NULL)",
        dimension="completeness",
    ),
    Rule(
        "fact_orders",
        "amount_is_quantity_times_price",
        "The amount billed for a line is its quantity x unit price, within half a cent.",
        "Recompute the amount as quantity x price, or find the discount, tax or shipping that the "
        "source has put into it. The marts add up quantity x price and are not affected.",
        broken=f"abs(amount - extended_amount) > {ROUNDING}",
        applies="amount IS NOT NULL",
    ),
    Rule(
        "fact_orders",
        "price_is_not_zero",
        "No line is without a price.",
        "Review by hand: gifts and samples are right at 0; otherwise use the product's median "
        "price. Such lines are adjustments and count in no sales.",
        broken="unit_price = 0",
    ),
    Rule(
        "fact_orders",
        "price_is_not_negative",
        "No price is below 0: a return has a negative quantity instead.",
        "Review by hand: book refunds as returns, with a negative quantity. Such lines are "
        "adjustments and count in no sales.",
        broken="unit_price < 0",
    ),
    Rule(
        "fact_orders",
        "quantity_is_not_zero",
        "Every line has a quantity.",
        "Review by hand, or drop the line in the source. Such lines are adjustments.",
        broken="quantity = 0",
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
        "The lines that came without an amount are without one in the fact: nothing is imputed "
        "before the marts.",
        Figure("staging.stg_orders", MISSING, DAY),
        Figure("core.fact_orders", MISSING, DAY),
    ),
    Balance(
        "customer_sales",
        "imputed_amounts_are_the_missing_ones",
        "Every amount that customer_sales has made up for is counted, in its month.",
        Figure(
            "core.fact_orders",
            "count(*) FILTER (amount IS NULL AND line_type IN ('sale', 'return'))",
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
)

ORDERS = Source(
    Contract(
        "orders",
        ("order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price"),
        "ordered_at",
    ),
    rows="orders",
    leads=True,
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
