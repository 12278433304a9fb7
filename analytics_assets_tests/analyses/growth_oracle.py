"""growth_accounting, computed again from the raw rows with sets of customers."""

from collections import Counter
from datetime import date, timedelta

import pandas as pd

from analytics_assets_tests.analyses.raw_lines import UNKNOWN, cents, raw_lines
from analytics_assets_tests.conftest import Project

COUNTS = ("opening", "new", "retained", "resurrected", "churned", "closing", "dormant")
AMOUNTS = (
    *("opening", "new", "retained", "resurrected", "expansion", "contraction", "churned"),
    *("closing", "unknown"),
)


def start_of(period: str, day: date) -> date:
    if period == "week":
        return day - timedelta(day.weekday())
    return day.replace(day=1) if period == "month" else day


def after(period: str, start: date) -> date:
    if period == "month":
        return (start + timedelta(31)).replace(day=1)
    return start + timedelta({"day": 1, "week": 7}[period])


def amounts(lines: pd.DataFrame, period: str) -> dict[date, Counter[str]]:
    found: dict[date, Counter[str]] = {}
    for day, customer, amount in lines[["order_date", "customer_id", "amount"]].itertuples(
        index=False, name=None
    ):
        found.setdefault(start_of(period, day), Counter())[customer] += amount
    return found


def expected_rows(
    lines: pd.DataFrame, period: str, first_day: date, last_day: date
) -> dict[date, dict[str, int | bool]]:
    """Row of each period: counts, gross_ and net_ amounts."""
    sales = lines[lines["kind"] == "sale"]
    gross, net = amounts(sales, period), amounts(lines, period)
    rows: dict[date, dict[str, int | bool]] = {}
    seen: set[str] = set()
    before: set[str] = set()
    start = start_of(period, min(net))
    previous = start
    while start <= last_day:
        of_gross, of_net = gross.get(start, Counter()), net.get(start, Counter())
        now = {*of_gross} - {UNKNOWN}
        states = {
            "new": now - seen,
            "retained": now & before,
            "resurrected": (now & seen) - before,
            "closing": now,
            "opening": before,
            "churned": before - now,
            "dormant": seen - before - now,
        }
        row: dict[str, int | bool] = {f"{state}_customers": len(states[state]) for state in COUNTS}
        for kind, current, all_of_them in (("gross", of_gross, gross), ("net", of_net, net)):
            old = all_of_them.get(previous, Counter())
            for state in ("new", "retained", "resurrected", "closing"):
                row[f"{state}_{kind}_amount"] = sum(current[c] for c in states[state])
            for state in ("opening", "churned"):
                row[f"{state}_{kind}_amount"] = sum(old[c] for c in states[state])
            changes = [current[c] - old[c] for c in states["retained"]]
            row[f"expansion_{kind}_amount"] = sum(c for c in changes if c > 0)
            row[f"contraction_{kind}_amount"] = -sum(c for c in changes if c < 0)
            row[f"unknown_{kind}_amount"] = current[UNKNOWN]
            row[f"{kind}_amount"] = sum(current.values())
        row["returns_only_net_amount"] = sum(
            amount for customer, amount in of_net.items() if customer not in {*now, UNKNOWN}
        )
        row["returning_net_amount"] = sum(
            amount
            for customer, amount in of_net.items()
            if customer not in states["new"] and customer != UNKNOWN
        )
        row["is_complete"] = start >= first_day and after(period, start) - timedelta(1) <= last_day
        rows[start] = row
        seen |= now
        before, previous, start = now, start, after(period, start)
    return rows


def assert_as_recomputed(project: Project) -> None:
    """Every figure of every row is that of the raw rows."""
    lines = raw_lines(project)
    ((first, last),) = project.query(
        "SELECT min(window_date), max(window_date) FROM raw.source_loads WHERE source = 'orders'"
    )
    for period in ("day", "week", "month"):
        expected = expected_rows(lines, period, first, last)
        with project.warehouse.read() as session:
            found = session.records(
                "SELECT * FROM marts.growth_accounting WHERE period_type = ? ORDER BY period_start",
                [period],
            )
        assert [row["period_start"] for row in found] == list(expected)
        for row in found:
            assert row["period_end"] == after(period, row["period_start"])
            given = expected[row["period_start"]]
            assert row.keys() - given.keys() == {"period_type", "period_start", "period_end"}
            figures = {
                name: cents(row[name]) if name.endswith("_amount") else row[name] for name in given
            }
            assert figures == given, (period, row["period_start"])
