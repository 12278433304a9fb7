"""Which customer is probably nobody: one rule, before the load and after it.

Belongs here: the rule on shares of the orders. Does not belong here: reporting it (`findings`
before a load, `checks.orders` after it).
"""

from analytics_assets.schemas.core import UNKNOWN_MEMBER

# Whose orders are implausibly many: shares and numbers of what one person orders, in any shop.
LARGE_SHARE = 0.05
MANY_ORDERS = 50
TIMES_OTHERS = 10
OTHERS = 10  # the tenth busiest identifier is what the others are compared with
RULE = (
    f"more than {LARGE_SHARE:.0%} of the orders, more than {MANY_ORDERS}, and more than "
    f"{TIMES_OTHERS} times as many as the {OTHERS}th busiest"
)


def implausible(counted: str) -> str:
    """SQL query of the customers who break the rule, with their orders.

    Args:
        counted: a query of customer_id and orders, each customer once; orders of nobody have the
            unknown member or NULL.
    """
    return f"""
        WITH counted AS ({counted}),
        known AS (SELECT * FROM counted WHERE customer_id <> '{UNKNOWN_MEMBER}'),
        others AS (
            SELECT min(orders) AS orders
            FROM (SELECT orders FROM known ORDER BY orders DESC LIMIT {OTHERS})
        )
        SELECT customer_id, orders FROM known
        WHERE orders > {MANY_ORDERS}
            AND orders > {LARGE_SHARE} * (SELECT sum(orders) FROM counted)
            AND orders > {TIMES_OTHERS} * (SELECT orders FROM others)
        """
