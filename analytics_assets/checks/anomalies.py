"""Sale lines whose quantity or amount is far from the others': warnings with evidence.

Belongs here: outlier rules over the window and the days before it. Does not belong here: deleting
or correcting anything, or values that are wrong by themselves (`validity`).

Groups of fewer lines than `SMALLEST_GROUP` are not tested, and counted in the metadata. Fences are
Tukey's outer ones ("Exploratory Data Analysis", 1977): three times the interquartile range beyond
the quartiles. A z-score leaves the line itself out of mean and deviation: with it, none of n lines
could exceed (n - 1) / sqrt(n).
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows

SMALLEST_GROUP = 20
FENCES = 3.0
Z_SCORE = 6.0
# The others' deviation counts as at least this share of their mean: next to lines that are all
# equal, any other line would be infinitely far.
LEAST_DEVIATION = 0.25
REMEDY = (
    "Review by hand. A typing error: correct it in the source, or use the product's median. A rare "
    "but real order: leave it, or clamp to the bounds for a model that is sensitive to it. Nothing "
    "is deleted or changed here."
)
KEYS = ("order_id", "line_number")
# Equal lines as one row with their number: a tenth of the rows or less.
GROUPS = (
    "sale_groups",
    """
    SELECT product_id, quantity, extended_amount, count(*) AS lines
    FROM core.fact_orders
    WHERE {reference} AND line_type = 'sale'
    GROUP BY ALL
    """,
)


def checks() -> Iterator[Check]:
    """Fences on quantity, on its logarithm and for each product, and the amount's z-score."""
    yield _check(
        "quantity_within_fences",
        "No quantity lies beyond Tukey's outer fences of all sale lines. Skewed quantities raise "
        "false alarms here, but not in the check on a log scale.",
        _fenced("quantity", "1", by_product=False),
    )
    yield _check(
        "quantity_within_log_fences",
        "No quantity lies beyond Tukey's outer fences of all sale lines on a log scale.",
        _fenced("ln(quantity)", "ln(2)", by_product=False),
    )
    yield _check(
        "quantity_within_fences_of_its_product",
        "No quantity lies beyond Tukey's outer fences of its product's sale lines on a log scale.",
        _fenced("ln(quantity)", "ln(2)", by_product=True),
    )
    yield _check(
        "amount_near_others_of_its_product",
        f"No amount is further than {Z_SCORE:g} standard deviations of the product's other sale "
        "lines from their mean.",
        _far_from_others(),
    )


def _check(name: str, description: str, rule: ListedRows) -> Check:
    return Check("anomalies", "fact_orders", name, description, "validity", REMEDY, rule)


def _fenced(value: str, unit: str, *, by_product: bool) -> ListedRows:
    """Lines beyond the fences; the interquartile range counts as at least one unit."""
    group = "product_id" if by_product else "'all' AS product_id"
    same = "facts.product_id = fences.product_id" if by_product else "TRUE"
    return _rule(
        f"""
        WITH quantities AS (
            SELECT {group}, quantity, sum(lines) AS lines FROM sale_groups GROUP BY ALL
        ),
        ranked AS (
            SELECT product_id, {value} AS value,
                sum(lines) OVER (PARTITION BY product_id ORDER BY quantity) AS upto,
                sum(lines) OVER (PARTITION BY product_id) AS n
            FROM quantities
        ),
        quartiles AS (
            SELECT product_id,
                min(value) FILTER (upto >= 0.25 * n) AS q1,
                min(value) FILTER (upto >= 0.75 * n) AS q3
            FROM ranked WHERE n >= {SMALLEST_GROUP} GROUP BY product_id
        ),
        fences AS (
            SELECT product_id,
                q1 - {FENCES} * greatest(q3 - q1, {unit}) AS low,
                q3 + {FENCES} * greatest(q3 - q1, {unit}) AS high
            FROM quartiles
        )
        SELECT order_id, line_number, order_date AS day
        FROM core.fact_orders AS facts JOIN fences ON {same}
        WHERE {{window}} AND line_type = 'sale' AND {value} NOT BETWEEN low AND high
        """,
        by_product=by_product,
    )


def _far_from_others() -> ListedRows:
    return _rule(
        f"""
        WITH means AS (
            SELECT product_id, sum(lines) AS n,
                sum(lines * extended_amount::DOUBLE) / sum(lines) AS mean
            FROM sale_groups GROUP BY product_id HAVING n >= {SMALLEST_GROUP}
        ),
        spread AS (
            SELECT product_id, n, mean, sum(lines * (extended_amount::DOUBLE - mean) ** 2) AS ss
            FROM sale_groups JOIN means USING (product_id) GROUP BY ALL
        ),
        others AS (
            SELECT product_id, quantity, extended_amount,
                mean - (extended_amount::DOUBLE - mean) / (n - 1) AS mean,
                greatest(0, ss - (extended_amount::DOUBLE - mean) ** 2 * n / (n - 1)) / (n - 2)
                    AS variance
            FROM sale_groups JOIN spread USING (product_id)
        ),
        far AS (
            SELECT product_id, quantity, extended_amount FROM others
            WHERE abs(extended_amount::DOUBLE - mean)
                > {Z_SCORE} * greatest(sqrt(variance), {LEAST_DEVIATION} * abs(mean))
        )
        SELECT order_id, line_number, order_date AS day
        FROM core.fact_orders
        SEMI JOIN far USING (product_id, quantity, extended_amount)
        WHERE {{window}} AND line_type = 'sale'
        """,
        by_product=True,
    )


def _rule(query: str, *, by_product: bool) -> ListedRows:
    group = "product_id" if by_product else "'all'"
    small = (
        f"FROM (SELECT sum(lines) AS lines FROM sale_groups GROUP BY {group} "
        f"HAVING sum(lines) < {SMALLEST_GROUP})"
    )
    return ListedRows(
        query,
        total="(FROM core.fact_orders WHERE line_type = 'sale')",
        day_column="order_date",
        keys=KEYS,
        given=(GROUPS,),
        details={
            "groups not testable": f"SELECT count(*) {small}",
            "lines not testable": f"SELECT coalesce(sum(lines), 0)::BIGINT {small}",
        },
    )
