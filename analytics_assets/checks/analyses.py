"""The marts of analyses add up with the days of customers, cell by cell.

Belongs here: equations of more cells than days, such as days of a dimension. Does not belong here:
equations of days or of whole tables (`reconciliation`), which are declared with the source.
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows, RowRule
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.schemas.explained import MEMBER_TYPES, SALES_DIMENSIONS, TOP_PERCENTS
from analytics_assets.sources.config import SourcesConfig

REMEDY = (
    "The mart is older than the days that it is made from, or its model is wrong. Build the mart "
    "again; if the listed rows still differ, the query shows which figure."
)
OF_DIMENSIONS = (
    *("lines", "units", "gross_amount", "returned_amount", "net_amount"),
    *("discount_amount", "tax_amount", "shipping_amount", "cost_amount"),
)
EFFECTS = (
    *("price", "volume", "mix", "orders", "order_value"),
    *("new", "returning", "lost", "unknown", "returns"),
)
KNOWN = f"customer_id <> '{UNKNOWN_MEMBER}'"
NET_OF_MONTHS = """(
    SELECT date_trunc('month', order_date)::DATE AS month, sum(net_amount) AS net_amount
    FROM core.customer_days GROUP BY 1
)"""


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """The equations, where there are orders."""
    if "orders" in sources.absent:
        return
    yield _dimensions()
    yield _rows(
        "sales_by_dimension",
        "amounts_of_a_row_agree",
        "Net is gross and returned, and every margin is the net amount less the cost.",
        "net_amount <> gross_amount + returned_amount OR margin_amount <> net_amount - cost_amount",
    )
    added = " + ".join(f"coalesce({effect}_effect, 0)" for effect in EFFECTS)
    yield _rows(
        "sales_bridge",
        "effects_are_the_difference",
        "Opening and all effects are closing, exactly.",
        f"opening_net_amount + {added} <> closing_net_amount",
    )
    yield _bridge()
    yield _concentration()
    yield _repeats()
    yield _comebacks()
    yield _next_orders()


def _rows(mart: str, name: str, description: str, broken: str) -> Check:
    return _check(mart, name, description, RowRule(broken))


def _listed(mart: str, name: str, description: str, query: str) -> Check:
    table = TABLES[mart]
    rule = ListedRows(query, total=table.relation, day_column=None, keys=table.key)
    return _check(mart, name, description, rule)


def _check(mart: str, name: str, description: str, rule: RowRule | ListedRows) -> Check:
    return Check("accounting", mart, name, description, "consistency", REMEDY, rule)


def _names(words: tuple[str, ...]) -> str:
    return ", ".join(f"('{word}')" for word in words)


def _dimensions() -> Check:
    sums = ", ".join(f"sum({name}) AS {name}" for name in OF_DIMENSIONS)
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in OF_DIMENSIONS)
    return _listed(
        "sales_by_dimension",
        "each_dimension_is_all_sales",
        "On every day, each dimension has the lines, units and money of customer_days.",
        f"""
        SELECT coalesce(a.order_date, b.order_date) AS order_date,
            coalesce(a.dimension, b.dimension) AS dimension,
            NULL AS dimension_value, NULL::DATE AS day
        FROM (
            SELECT *
            FROM (SELECT order_date, {sums} FROM core.customer_days GROUP BY 1) AS days,
                (VALUES {_names(SALES_DIMENSIONS)}) AS of_all (dimension)
        ) AS a
        FULL JOIN (
            SELECT order_date, dimension, {sums} FROM marts.sales_by_dimension GROUP BY ALL
        ) AS b ON a.order_date = b.order_date AND a.dimension = b.dimension
        WHERE {differs}
        """,
    )


def _bridge() -> Check:
    return _listed(
        "sales_bridge",
        "opening_and_closing_are_net_of_days",
        "Every month but the first has a bridge by product and by customer, from the net amount of "
        "the month before in customer_days to that of the month.",
        f"""
        WITH net AS {NET_OF_MONTHS}
        SELECT bridge.month, member_type, NULL::DATE AS day
        FROM marts.sales_bridge AS bridge
        LEFT JOIN net AS closing ON bridge.month = closing.month
        LEFT JOIN net AS opening ON bridge.month = opening.month + INTERVAL 1 MONTH
        WHERE closing_net_amount <> coalesce(closing.net_amount, 0)
            OR opening_net_amount <> coalesce(opening.net_amount, 0)
        UNION ALL
        SELECT month, member_type, NULL::DATE AS day
        FROM net, (VALUES {_names(MEMBER_TYPES)}) AS types (member_type)
        WHERE month > (SELECT min(month) FROM net)
            AND (month, member_type) NOT IN (
                SELECT (month, member_type) FROM marts.sales_bridge
            )
        """,
    )


def _concentration() -> Check:
    tops = ", ".join(f"({top})" for top in TOP_PERCENTS)
    return _listed(
        "sales_concentration",
        "members_and_the_rest_are_net_of_days",
        "In every month, the net amount of the members and of the rest is that of customer_days.",
        f"""
        WITH expected AS (
            SELECT month, member_type, top_percent, net_amount
            FROM {NET_OF_MONTHS} AS net,
                (VALUES {_names(MEMBER_TYPES)}) AS types (member_type),
                (VALUES {tops}) AS tops (top_percent)
        )
        SELECT coalesce(a.month, b.month) AS month,
            coalesce(a.member_type, b.member_type) AS member_type,
            coalesce(a.top_percent, b.top_percent) AS top_percent, NULL::DATE AS day
        FROM expected AS a
        FULL JOIN marts.sales_concentration AS b
            ON a.month = b.month AND a.member_type = b.member_type
            AND a.top_percent = b.top_percent
        WHERE a.net_amount IS DISTINCT FROM b.net_amount + b.other_net_amount
        """,
    )


def _repeats() -> Check:
    return _listed(
        "repeat_purchases",
        "orders_are_those_of_days",
        "Every order of a known customer in customer_days has one number, and as many customers "
        "reach a number as have ordered again after the one before.",
        f"""
        SELECT order_number, NULL::DATE AS day FROM (
            SELECT order_number, customers, repeated,
                coalesce(lead(customers) OVER (ORDER BY order_number), 0) AS reached,
                row_number() OVER (ORDER BY order_number) AS position
            FROM marts.repeat_purchases
        ) WHERE repeated <> reached OR order_number <> position
        UNION ALL
        SELECT NULL AS order_number, NULL::DATE AS day
        WHERE (SELECT coalesce(sum(customers), 0) FROM marts.repeat_purchases) <> (
            SELECT coalesce(sum(sale_orders), 0) FROM core.customer_days WHERE {KNOWN}
        )
        UNION ALL
        SELECT 1 AS order_number, NULL::DATE AS day
        WHERE coalesce(
            (SELECT customers FROM marts.repeat_purchases WHERE order_number = 1), 0
        ) <> (
            SELECT count(DISTINCT customer_id) FROM core.customer_days
            WHERE {KNOWN} AND sale_orders > 0
        )
        """,
    )


def _comebacks() -> Check:
    return _listed(
        "comeback_products",
        "gross_is_that_of_first_purchases",
        "The gross amount of all products is that of the first days of all known customers.",
        f"""
        SELECT NULL AS product_id, NULL::DATE AS day
        WHERE (SELECT coalesce(sum(gross_amount), 0) FROM marts.comeback_products) <> (
            SELECT coalesce(sum(gross_amount), 0) FROM (
                SELECT arg_min(gross_amount, order_date) AS gross_amount
                FROM core.customer_days WHERE {KNOWN} AND sale_orders > 0 GROUP BY customer_id
            )
        )
        """,
    )


def _next_orders() -> Check:
    return _listed(
        "next_orders",
        "customers_are_those_who_have_bought",
        "Everybody who has bought, as of the newest snapshot, has one row: with a date, or with "
        "the reason why there is none.",
        """
        SELECT coalesce(a.customer_id, b.customer_id) AS customer_id, NULL::DATE AS day
        FROM (
            SELECT customer_id, as_of, active_days FROM marts.user_analytics WHERE sale_orders > 0
        ) AS a
        FULL JOIN churn.next_orders AS b ON a.customer_id = b.customer_id
        WHERE a.as_of IS DISTINCT FROM b.as_of OR a.active_days IS DISTINCT FROM b.active_days
            OR (next_order_date IS NULL) = (no_date_reason IS NULL)
            OR next_order_low > next_order_date OR next_order_date > next_order_high
        """,
    )
