"""Rules on orders that need more than one row.

Belongs here: rules on all lines of an order, or on all orders. Does not belong here: rules on one
row (`validity`), or keys of any table (`uniqueness`).
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows
from analytics_assets.checks.uniqueness import may_repeat
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.plausible import RULE, implausible

FACT, RAW = TABLES["fact_orders"], TABLES["raw_orders"]
OF_ONE_ORDER = ("customer_id", "currency", "status")


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """The rules, where there are orders."""
    if "orders" in sources.absent:
        return
    yield _one_day()
    yield _agreeing()
    yield _refunded()
    yield _plausible()


def _one_day() -> Check:
    """The key of the fact does not show it: it contains the day, so that refunds can come later."""
    key = ("order_id", "line_number")
    listed = ", ".join(key)
    numbered = "line_number IS NOT NULL AND NOT is_refund"

    def on_two_days(of: str) -> str:
        return f"""
            SELECT {listed}, coalesce(min(order_date) FILTER ({{window}}), min(order_date)) AS day
            FROM {RAW.relation}
            WHERE {numbered} AND {of} AND {may_repeat(RAW, key, of)}
            GROUP BY {listed} HAVING min(order_date) <> max(order_date)
            """

    of_window = f"hash({listed}) IN (SELECT hash({listed}) FROM {RAW.relation} WHERE {{window}})"
    return Check(
        "uniqueness",
        RAW.name,
        "numbered_line_on_one_day",
        "No line that the source numbers is on two days, in the whole table.",
        "uniqueness",
        "A line on two days counts twice. Load both days of the listed lines again; if they are "
        "still on both, correct the dates in the source. A refund of a later day comes as a line "
        "of its own, without a number and with a negative quantity.",
        ListedRows(
            on_two_days(of_window),
            total=RAW.relation,
            day_column="order_date",
            keys=key,
            whole=on_two_days("TRUE"),
        ),
    )


def _agreeing() -> Check:
    # As texts: a missing value next to another one is a difference, too.
    values = {name: f"coalesce({name}, '')" for name in OF_ONE_ORDER}
    differs = {name: f"min({value}) <> max({value})" for name, value in values.items()}
    kinds = ", ".join(f"CASE WHEN {differs[name]} THEN '{name}' END" for name in OF_ONE_ORDER)
    return Check(
        "integrity",
        FACT.name,
        "order_agrees_with_itself",
        f"The lines of an order have one {', one '.join(OF_ONE_ORDER)}.",
        "consistency",
        "Each line counts for its own customer and by its own status. Where the source writes what "
        "belongs to the order on its first line only, name the columns in `order_level` of the "
        "source configuration. Otherwise correct the lines.",
        ListedRows(
            f"""
            SELECT order_date AS day, order_date, order_id, lines.line_number, kind
            FROM {FACT.relation} AS lines
            JOIN (
                SELECT order_date, order_id, concat_ws(', ', {kinds}) AS kind
                FROM {FACT.relation} WHERE {{window}} AND NOT is_refund
                GROUP BY order_date, order_id HAVING {" OR ".join(differs.values())}
            ) AS orders USING (order_date, order_id)
            WHERE NOT is_refund
            """,
            total=FACT.relation,
            day_column="order_date",
            keys=FACT.key,
            kind="kind",
        ),
        severe_share=None,
    )


def _refunded() -> Check:
    return Check(
        "validity",
        FACT.name,
        "returned_line_has_a_refund",
        "Every line of status returned has a negative quantity, or a refund.",
        "consistency",
        "Such a line counts as a sale that was kept. Deliver what came back as a line of its own "
        "with a negative quantity, or give the source's word another status in status_map: "
        "cancelled takes the line out of sales.",
        ListedRows(
            f"""
            SELECT order_date AS day, order_date, order_id, line_number FROM {FACT.relation}
            WHERE {{window}} AND status = 'returned' AND quantity > 0 AND NOT is_refund
                AND (order_id, product_id) NOT IN (
                    SELECT (order_id, product_id) FROM {FACT.relation} WHERE is_refund
                )
            """,
            total=f"(FROM {FACT.relation} WHERE status = 'returned')",
            day_column="order_date",
            keys=FACT.key,
        ),
    )


def _plausible() -> Check:
    return Check(
        "validity",
        "dim_customers",
        "customer_has_a_plausible_share_of_the_orders",
        f"No customer_id has {RULE}.",
        "validity",
        "Where the listed customer_id is nobody (a guest, a till, a missing number), say so with "
        "`null_words` in the source configuration, as in the metadata: its orders then count in "
        "totals, and in no cohort, segment or score. A wholesaler who buys as much is right as it "
        "is.",
        ListedRows(
            "SELECT *, NULL::DATE AS day FROM ("
            + implausible(
                "SELECT customer_id, sum(orders)::BIGINT AS orders FROM core.customer_days "
                "GROUP BY customer_id"
            )
            + ")",
            total="core.dim_customers",
            day_column=None,
            keys=("customer_id", "orders"),
            details={
                "to configure": "SELECT 'null_words: [' "
                "|| string_agg('''' || customer_id || '''', ', ' ORDER BY customer_id) || ']' "
                "FROM listed WHERE NOT contains(customer_id, '@')"
            },
        ),
    )
