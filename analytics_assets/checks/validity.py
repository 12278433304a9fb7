"""Rows that are typed and kept, yet cannot be right as they stand.

Belongs here: rules on the values of a row, its own columns against each other, and what was
rejected at the door. Does not belong here: what a column may hold at all (`schema`), or values that
are merely rare (`anomalies`).
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import RowRule
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourcesConfig

# Half of the smallest unit of the currencies that have one: a billed amount is rounded to cents.
ROUNDING = "0.005"


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """Rules of the lines of orders, of sessions, and of the rows rejected of each source."""

    def rule(
        asset: str, name: str, description: str, remedy: str, broken: str, applies: str = "TRUE"
    ) -> Check:
        return Check(
            "validity", asset, name, description, "validity", remedy, RowRule(broken, applies)
        )

    yield Check(
        "validity",
        "fact_orders",
        "amount_present",
        "Every line has the amount that was billed, in a source that supplies amounts.",
        "completeness",
        "Recompute the amount as quantity x price, as customer_sales.billed_amount does, or ask "
        "the source for it.",
        RowRule(
            "amount IS NULL",
            # A source without amounts has none to miss.
            applies="EXISTS (FROM core.fact_orders AS billed WHERE billed.amount IS NOT NULL)",
        ),
    )
    yield rule(
        "fact_orders",
        "amount_is_quantity_times_price",
        "The amount billed for a line is its quantity x unit price, within half a cent.",
        "Recompute the amount as quantity x price, or find the discount, tax or shipping that the "
        "source has put into it. The marts add up quantity x price and are not affected.",
        broken=f"abs(amount - extended_amount) > {ROUNDING}",
        applies="amount IS NOT NULL",
    )
    yield rule(
        "fact_orders",
        "price_is_not_zero",
        "No line is without a price.",
        "Review by hand: gifts and samples are right at 0; otherwise use the product's median "
        "price. Such lines are adjustments and count in no sales.",
        broken="unit_price = 0",
    )
    yield rule(
        "fact_orders",
        "price_is_not_negative",
        "No price is below 0: a return has a negative quantity instead.",
        "Review by hand: book refunds as returns, with a negative quantity. Such lines are "
        "adjustments and count in no sales.",
        broken="unit_price < 0",
    )
    yield rule(
        "fact_orders",
        "quantity_is_not_zero",
        "Every line has a quantity.",
        "Review by hand, or drop the line in the source. Such lines are adjustments.",
        broken="quantity = 0",
    )
    if "user_sessions" not in sources.absent:
        yield rule(
            "raw_user_sessions",
            "session_ends_after_its_start",
            "No session ends before it starts.",
            "Correct the clock of the tracker; the duration of such a session is null.",
            broken="ended_at < started_at",
        )
    for source, config in sources.sources.items():
        day = TABLES[f"raw_{source}"].window_column
        yield Check(
            "validity",
            "rejected_rows",
            f"no_rejected_{source}",
            f"No row of {source} was rejected: all could be typed and keep the rules of a row.",
            "validity",
            "The reasons say which column and why. Correct the rows in the source, or declare its "
            "formats in the source configuration, and load the days again; the rows are kept whole "
            "in raw.rejected_rows.",
            RowRule(
                "reasons IS NOT NULL",
                relation=(
                    f"(SELECT {day or 'NULL::DATE'} AS day, source_file, source_row, "
                    f"NULL AS reasons FROM raw.raw_{source} UNION ALL "
                    "SELECT window_date, source_file, source_row, reasons "
                    f"FROM raw.rejected_rows WHERE source = '{source}')"
                ),
                day="day" if config.contract.time_column else None,
                keys=("source_file", "source_row"),
                kind="reasons",
            ),
        )
