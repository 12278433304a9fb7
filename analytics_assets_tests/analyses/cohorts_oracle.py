"""cohorts_by_dimension, computed again from the raw rows, customer by customer."""

from collections import Counter, defaultdict
from datetime import date
from typing import Any

import pandas as pd

from analytics_assets_tests.analyses.raw_lines import UNKNOWN, cents, raw_lines
from analytics_assets_tests.conftest import Project

KEPT = 1000  # values of a dimension; the others are together
SUMS = ("cohort_revenue", "gross_amount", "returned_amount")


def countries(project: Project) -> dict[str, str]:
    """Country of each customer: of the source, or of the newest order of one who is not in it."""
    with project.warehouse.read() as session:
        orders = session.frame(
            "SELECT customer_id, country, ordered_at, updated_at FROM raw.raw_orders "
            "WHERE country IS NOT NULL AND customer_id IS NOT NULL"
        )
        source = session.rows("SELECT customer_id, country FROM raw.raw_customers")
    orders = orders.sort_values(
        ["ordered_at", "updated_at", "country"], ascending=[False, False, True]
    )
    newest = orders.drop_duplicates("customer_id")
    found = dict(zip(newest["customer_id"], newest["country"], strict=True))
    return {**found, **{customer: country or UNKNOWN for customer, country in source}}


def categories(project: Project) -> dict[str, str]:
    """Category of each product: of the source, or the most frequent one on the lines."""
    with project.warehouse.read() as session:
        lines = session.rows(
            "SELECT product_id, product_category FROM raw.raw_orders "
            "WHERE product_id IS NOT NULL AND product_category IS NOT NULL"
        )
        source = session.rows("SELECT product_id, category FROM raw.raw_products")
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for product, category in lines:
        counted[product][category] += 1
    found = {
        product: min(counts, key=lambda name: (-counts[name], name))
        for product, counts in counted.items()
    }
    return {**found, **{product: category or UNKNOWN for product, category in source}}


def first_orders(project: Project, sales: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Month and value of each dimension, by customer."""
    of_customers, of_products = countries(project), categories(project)
    found: dict[str, dict[str, Any]] = {}
    known = sales[sales["customer_id"] != UNKNOWN]
    for customer, lines in known.groupby("customer_id"):
        day = lines[lines["order_date"] == lines["order_date"].min()]
        placed = day.groupby("order_id")["ordered_at"].min()
        order = min((at, name) for name, at in placed.items())[1]
        order_lines = day[day["order_id"] == order]
        # Without numbers, equal amounts are numbered by product: the columns of the line's content.
        line = min(
            order_lines.to_dict("records"),
            key=lambda row: (
                -row["amount"],
                0 if pd.isna(row["line_number"]) else row["line_number"],
                row["ordered_at"],
                row["product_id"] or "",
                row["quantity"],
            ),
        )
        product = line["product_id"] if isinstance(line["product_id"], str) else UNKNOWN
        amount = int(order_lines["amount"].sum())
        channels, coupons = (
            sorted(order_lines[column].dropna()) for column in ("channel", "coupon")
        )
        found[str(customer)] = {
            "month": line["order_date"].replace(day=1),
            "category": of_products.get(product, UNKNOWN),
            "product": product,
            "country": of_customers.get(str(customer), UNKNOWN),
            "channel": channels[-1] if channels else UNKNOWN,
            "coupon": coupons[-1] if coupons else "(none)",
            "discounted": UNKNOWN,  # no line has a discount
            "price_band": "low" if amount < 1e6 else "medium" if amount < 1e7 else "high",
        }
    return found


def months_between(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


def assert_as_recomputed(project: Project) -> None:
    """Every figure of every row is that of the raw rows."""
    lines = raw_lines(project)
    firsts = first_orders(project, lines[lines["kind"] == "sale"])
    ((last,),) = project.query(
        "SELECT max(window_date) FROM raw.source_loads WHERE source = 'orders'"
    )
    active: dict[tuple[str, date], bool] = defaultdict(bool)
    sums: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    for customer, day, kind, amount in lines[
        ["customer_id", "order_date", "kind", "amount"]
    ].itertuples(index=False, name=None):
        month = (customer, day.replace(day=1))
        active[month] |= kind == "sale"
        sums[month]["cohort_revenue"] += amount
        sums[month]["gross_amount" if kind == "sale" else "returned_amount"] += amount
    oldest = min(first["month"] for first in firsts.values())
    for dimension in ("category", "product", "country", "channel", "coupon", "discounted",
                      "price_band"):  # fmt: skip
        sizes = Counter(first[dimension] for first in firsts.values())
        kept = sorted(sizes, key=lambda value: (-sizes[value], value))[:KEPT]
        value_of = {
            customer: first[dimension] if first[dimension] in kept else "(other)"
            for customer, first in firsts.items()
        }
        cohorts = Counter(
            (value_of[customer], first["month"]) for customer, first in firsts.items()
        )
        cells: dict[tuple[str, date, int], Counter[str]] = {
            (value, month, number): Counter()
            for value, month in cohorts
            for number in range(months_between(oldest, last) + 1)
        }
        for (customer, month), figures in sums.items():
            if customer in firsts and month >= firsts[customer]["month"]:
                first = firsts[customer]["month"]
                cell = cells[value_of[customer], first, months_between(first, month)]
                cell.update(figures)
                cell["active"] += active[customer, month]
        with project.warehouse.read() as session:
            rows = session.records(
                "SELECT * FROM marts.cohorts_by_dimension WHERE dimension = ?", [dimension]
            )
        assert {(r["value"], r["cohort_month"], r["month_number"]) for r in rows} == cells.keys()
        for row in rows:
            key = (row["value"], row["cohort_month"], row["month_number"])
            size = cohorts[key[:2]]
            assert row["customers_in_cohort"] == size, key
            if months_between(row["cohort_month"], last) < row["month_number"]:
                assert row["customers_active"] is row["retention_rate"] is None, key
                assert {row[name] for name in SUMS} == {None}, key
                continue
            assert row["customers_active"] == cells[key]["active"], key
            assert row["retention_rate"] == cells[key]["active"] / size, key
            for name in SUMS:
                assert cents(row[name]) == cells[key][name], (key, name)
