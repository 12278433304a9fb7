"""Rows and money add up between the layers, on every day.

Belongs here: the equations of docs/quality.md, as figures of two relations. Does not belong here:
rules within one table (`schema`, `validity`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.scans import Scans, scan
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.session import Session

Figures = dict[date | None, Decimal]
REMEDY = (
    "Rows or money were lost or doubled on the way. Load the days again; if they still differ, a "
    "model or the warehouse is at fault: the query lists the days with both figures."
)


@dataclass(frozen=True)
class Side:
    """One figure of an equation: an aggregate over a relation, by day where it has days.

    Attributes:
        relation: table or view.
        figure: SQL aggregate.
        by: SQL expression of the day (or month) that figures are compared by; None compares one.
        where: condition on the rows.
    """

    relation: str
    figure: str = "count(*)"
    by: str | None = None
    where: str | None = None

    def scan(self, window: Window | None) -> str:
        """The scan that has the figure."""
        return scan(self.relation, self.by, window, self.where)

    def query(self, window: Window | None) -> str:
        """SQL of the figures: columns day and figure."""
        return self.scan(window).replace("{figures}", f"{self.figure} AS figure")


@dataclass(frozen=True)
class Equation:
    """The left side is the sum of the right ones, on every day that they are told by.

    Attributes:
        left: one figure.
        right: the figures that add up to it.
        windowed: whether a window of it can be looked at; otherwise it holds for whole tables.
        money: whether the figures are money rather than rows.
    """

    left: Side
    right: tuple[Side, ...]
    windowed: bool = True
    money: bool = False

    @property
    def sides(self) -> tuple[Side, ...]:
        """All of them."""
        return (self.left, *self.right)

    def query(self, window: Window | None) -> str:
        """SQL that lists the days on which it does not hold, with both figures."""
        right = "\n    UNION ALL ".join(side.query(window) for side in self.right)
        return (
            "SELECT coalesce(l.day, r.day) AS day, coalesce(l.figure, 0) AS left_figure, "
            "coalesce(r.figure, 0) AS right_figure\n"
            f"FROM ({self.left.query(window)}) AS l\n"
            f"FULL JOIN (\n    SELECT day, sum(figure) AS figure FROM (\n    {right}\n    ) "
            "GROUP BY day\n) AS r ON l.day IS NOT DISTINCT FROM r.day\n"
            "WHERE left_figure <> right_figure\nORDER BY day"
        )


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """All equations of the configured sources."""
    for source, config in sources.sources.items():
        yield _accounted(source, config.contract.table.window_column)
        yield _staged(source, config.contract.table.window_column)
    for fact, source, day in (
        ("fact_orders", "orders", "order_date"),
        ("fact_user_sessions", "user_sessions", "session_date"),
    ):
        if source not in sources.absent:
            yield _check(
                fact,
                "staged_is_fact",
                f"Every staged row of {source} is in the fact, none dropped for an unknown "
                "customer or product.",
                Equation(Side(f"staging.stg_{source}", by=day), (Side(f"core.{fact}", by=day),)),
            )
    for dimension, source in (("dim_customers", "customers"), ("dim_products", "products")):
        if source not in sources.absent:
            yield _check(
                dimension,
                "staged_is_members_of_the_source",
                f"Every staged row of {source} is a member of the dimension.",
                Equation(
                    Side(f"staging.stg_{source}"),
                    (Side(f"core.{dimension}", where="member_type = 'source'"),),
                    windowed=False,
                ),
            )
    if "subscriptions" not in sources.absent:
        for column, figure in (
            ("subscribers", "count(*)"),
            ("churned", "count(*) FILTER (churned)"),
        ):
            yield _check(
                "churn_by_contract",
                f"{column}_are_those_of_the_subscribers",
                f"{column} of all contracts is that of subscription_analytics.",
                Equation(
                    Side("marts.subscription_analytics", figure),
                    (Side("marts.churn_by_contract", f"coalesce(sum({column}), 0)"),),
                    windowed=False,
                ),
            )
        yield _check(
            "churn_by_contract",
            "imputed_charges_are_the_missing_ones",
            "Every total of charges that staging has made up for is counted.",
            Equation(
                Side("staging.stg_subscriptions", "count(*) FILTER (total_charges_imputed)"),
                (Side("marts.churn_by_contract", "coalesce(sum(total_charges_imputed), 0)"),),
                windowed=False,
            ),
        )
    yield from _sales()


def _sales() -> Iterator[Check]:
    day = "order_date"
    net = "coalesce(sum(net_amount), 0)"
    extended = "coalesce(sum(extended_amount), 0)"
    yield _check(
        "fact_orders",
        "money_of_staged_is_money_of_fact",
        "The extended amounts of the staged lines and of the fact are the same.",
        Equation(
            Side("staging.stg_orders", extended, day),
            (Side("core.fact_orders", extended, day),),
            money=True,
        ),
    )
    missing = "count(*) - count(amount)"
    yield _check(
        "fact_orders",
        "missing_amounts_are_still_missing",
        "The lines that came without an amount are without one in the fact: nothing is imputed "
        "before the marts.",
        Equation(
            Side("staging.stg_orders", missing, day), (Side("core.fact_orders", missing, day),)
        ),
    )
    yield _check(
        "customer_sales",
        "imputed_amounts_are_the_missing_ones",
        "Every amount that customer_sales has made up for is counted, in its month.",
        Equation(
            Side(
                "core.fact_orders",
                "count(*) FILTER (amount IS NULL AND line_type IN ('sale', 'return'))",
                "date_trunc('month', order_date)::DATE",
            ),
            (Side("marts.customer_sales", "coalesce(sum(amounts_imputed), 0)", "month"),),
            windowed=False,
        ),
    )
    in_days = {
        "lines": ("Lines", "coalesce(sum(lines), 0)"),
        "gross": ("Gross (sales)", "coalesce(sum(gross_amount), 0)"),
        "money": ("Net (sales and returns)", net),
    }
    in_fact = {
        "lines": "count(*)",
        "gross": "coalesce(sum(extended_amount) FILTER (line_type = 'sale'), 0)",
        "money": "coalesce(sum(extended_amount) FILTER (line_type IN ('sale', 'return')), 0)",
    }
    for name, (words, figure) in in_days.items():
        money = name != "lines"
        yield _check(
            "customer_days",
            f"{name}_of_fact_{'is' if money else 'are'}_{name}_of_days",
            f"{words} of the fact and of customer_days are the same.",
            Equation(
                Side("core.fact_orders", in_fact[name], day),
                (Side("core.customer_days", figure, day),),
                money=money,
            ),
        )
        for mart, last, by, of_day in (
            ("sales_daily", "sales", day, day),
            ("customer_sales", "customers", "month", "date_trunc('month', order_date)::DATE"),
        ):
            yield _check(
                mart,
                f"{name}_of_days_{'is' if money else 'are'}_{name}_of_{last}",
                f"{words} of customer_days and of {mart} are the same.",
                Equation(
                    Side("core.customer_days", figure, of_day),
                    (Side(f"marts.{mart}", figure, by),),
                    windowed=False,
                    money=money,
                ),
            )


def _accounted(source: str, day: str | None) -> Check:
    """Read = accepted + rejected."""
    of_source = f"source = '{source}'"
    by = "window_date" if day else None
    return _check(
        f"raw_{source}",
        "read_is_accepted_plus_rejected",
        f"Every row read from {source} was accepted or rejected.",
        Equation(
            Side("raw.source_loads", "coalesce(sum(rows_read), 0)", by, of_source),
            (
                Side(f"raw.raw_{source}", by=day),
                Side("raw.rejected_rows", by=by, where=of_source),
            ),
            windowed=day is not None,
        ),
    )


def _staged(source: str, day: str | None) -> Check:
    """Accepted = staged + collapsed duplicates."""
    return _check(
        f"stg_{source}",
        "accepted_is_staged_plus_collapsed",
        f"Every accepted row of {source} is staged, or collapsed into one that is.",
        Equation(
            Side(f"raw.raw_{source}", by=day),
            (Side(f"staging.stg_{source}", "coalesce(sum(copies), 0)", day),),
            windowed=day is not None,
        ),
    )


def _check(asset: str, name: str, description: str, equation: Equation) -> Check:
    return Check("accounting", asset, name, description, "consistency", REMEDY, equation)


def want(
    session: Session,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> None:
    """Ask for both sides of each equation."""
    for check in checks:
        for side in check.rule.sides:
            scans.want(side.scan(_seen(check, window)), side.figure)


def evaluate(
    session: Session,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> Iterator[Finding]:
    """Compare both sides of each equation."""
    for check in checks:
        seen = _seen(check, window)
        sides = [
            {
                day: Decimal(figure)
                for day, figure in scans.days(side.scan(seen), side.figure).items()
            }
            for side in check.rule.sides
        ]
        spent = sum(scans.seconds(side.scan(seen)) for side in check.rule.sides)
        yield _compared(check, seen, sides[0], sides[1:], spent)


def _seen(check: Check, window: Window | None) -> Window | None:
    return window if check.rule.windowed else None


def _compared(
    check: Check, window: Window | None, left: Figures, rights: list[Figures], seconds: float
) -> Finding:
    right: Figures = {}
    for side in rights:
        for day, figure in side.items():
            right[day] = right.get(day, Decimal()) + figure
    nothing = Decimal()
    days = {day: (left.get(day, nothing), right.get(day, nothing)) for day in {*left, *right}}
    wrong = {day: sides for day, sides in days.items() if sides[0] != sides[1]}
    totals = [sum((sides[side] for sides in days.values()), nothing) for side in (0, 1)]
    equation: Equation = check.rule
    by_day = {
        day: (int(max(sides)), int(abs(sides[0] - sides[1])))
        for day, sides in days.items()
        if day is not None
    }
    if equation.money:
        # Of money there are no rows to count: a day adds up or does not.
        by_day = {day: (1, int(day in wrong)) for day in by_day}
        rows, failing = len(days), len(wrong)
    else:
        rows = int(max(totals))
        failing = int(sum(abs(a - b) for a, b in wrong.values()))
    return Finding(
        check,
        passed=not wrong,
        description=_in_words(totals, wrong),
        window=window,
        rows=rows,
        failing=failing,
        figure=float(totals[0] - totals[1]),
        threshold=0.0,
        days=by_day,
        keys=[
            {"day": day, "left": sides[0], "right": sides[1]}
            for day, sides in sorted(wrong.items(), key=lambda item: str(item[0]))[:KEYS_SHOWN]
        ],
        query=equation.query(window),
        details={"difference": float(totals[0] - totals[1])},
        seconds=seconds,
    )


def _in_words(totals: list[Decimal], wrong: dict[date | None, tuple[Decimal, Decimal]]) -> str:
    left, right = totals
    if not wrong:
        return f"{left:,} = {right:,}"
    if None in wrong:
        return f"{left:,} is not {right:,}"
    days = f"{len(wrong):,} day{'s' if len(wrong) > 1 else ''}"
    if left == right:
        return f"{left:,} = {right:,} in total, but {days} differ"
    return f"{left:,} is not {right:,}; {days} differ"
