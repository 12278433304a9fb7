"""Equations of the marts about growth, which are built from orders.

Belongs here: their figures. Does not belong here: equations from the files to the facts, and those
of the other marts (`orders`).
"""

from analytics_assets.sources.declared.base import Balance, Figure

DAYS = "core.customer_days"
GROWTH = "marts.growth_accounting"
PERIODS = ("day", "week", "month")
CLOSED = ", ".join(
    f"coalesce(lag(closing_{what}) OVER before, 0) AS closed_{what}"
    for what in ("customers", "gross_amount", "net_amount")
)
# With what the period before closed with, where there was one.
STEPS = f"""(
    SELECT *, {CLOSED} FROM {GROWTH}
    WINDOW before AS (PARTITION BY period_type ORDER BY period_start)
)"""
BUYERS = "count(DISTINCT customer_id) FILTER (sale_orders > 0 AND customer_id <> '(unknown)')"
MONEY = " + expansion_{0} - contraction_{0}"


def _add_up(period: str, name: str, words: str, what: str, more: str = "") -> Balance:
    return Balance(
        "growth_accounting",
        f"{name}_of_{period}s_add_up",
        f"In each {period}, {words} closes with what the {period} before closed with, plus what is "
        "won, less what is lost.",
        Figure(
            STEPS,
            f"sum(closed_{what} + new_{what} + resurrected_{what}{more.format(what)} "
            f"- churned_{what})",
            "period_start",
            f"period_type = '{period}'",
        ),
        Figure(GROWTH, f"sum(closing_{what})", "period_start", f"period_type = '{period}'"),
        windowed=False,
        money=what != "customers",
    )


def _of_days(period: str, name: str, words: str, of_days: str, of_growth: str) -> Balance:
    verb = "are" if name == "buyers" else "is"
    return Balance(
        "growth_accounting",
        f"{name}_of_days_{verb}_{name}_of_{period}_growth",
        f"{words} of each {period} are the same in customer_days and in growth_accounting.",
        Figure(DAYS, of_days, f"date_trunc('{period}', order_date)::DATE"),
        Figure(GROWTH, of_growth, "period_start", f"period_type = '{period}'"),
        windowed=False,
        money=name != "buyers",
    )


_GROWTH = tuple(
    balance
    for period in PERIODS
    for balance in (
        _add_up(period, "customers", "the number of customers", "customers"),
        _add_up(period, "gross", "their gross amount", "gross_amount", MONEY),
        _add_up(period, "money", "their net amount", "net_amount", MONEY),
        _of_days(
            *(period, "buyers", "Known customers with a sale", BUYERS),
            "sum(new_customers + retained_customers + resurrected_customers)",
        ),
        _of_days(
            *(period, "gross", "Gross amounts", "sum(gross_amount)"),
            "sum(new_gross_amount + retained_gross_amount + resurrected_gross_amount "
            "+ unknown_gross_amount)",
        ),
        _of_days(
            *(period, "money", "Net amounts", "sum(net_amount)"),
            "sum(new_net_amount + returning_net_amount + unknown_net_amount)",
        ),
    )
)

LTV = "marts.ltv_curves"
COHORTS = "marts.customer_cohort_analysis"
# What each month adds to the sums, and the months of the cohorts up to which a margin is known.
ADDED = ", ".join(
    f"{name}_amount - coalesce(lag({name}_amount) OVER months, 0) AS {name}_added"
    for name in ("gross", "net", "margin")
)
BY_MONTH = "WINDOW months AS (PARTITION BY cohort_month ORDER BY month_number)"
LTV_STEPS = f"(SELECT *, {ADDED} FROM {LTV} {BY_MONTH})"
COHORT_STEPS = (
    "(SELECT *, count(margin_amount) OVER months = month_number + 1 AS margin_is_known "
    f"FROM {COHORTS} {BY_MONTH})"
)
CALENDAR_MONTH = "(cohort_month + to_months(month_number))::DATE"
_LTV = tuple(
    Balance(
        "ltv_curves",
        f"{name}_of_cohorts_is_{name}_of_curves",
        f"What each calendar month adds to {words} of the curves is that of the cohorts.",
        Figure(COHORT_STEPS, f"coalesce(sum({of_cohorts}){known}, 0)", CALENDAR_MONTH),
        Figure(LTV_STEPS, f"coalesce(sum({name}_added), 0)", CALENDAR_MONTH),
        windowed=False,
        money=True,
    )
    for name, words, of_cohorts, known in (
        ("gross", "the gross amount", "gross_amount", ""),
        ("net", "the net amount", "cohort_revenue", ""),
        ("margin", "the margin", "margin_amount", " FILTER (margin_is_known)"),
    )
)
GROWTH_BALANCES = _GROWTH + _LTV
