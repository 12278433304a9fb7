"""The marts that explain sales, computed again by pandas from the raw rows.

Nothing of the project's SQL is used. Money is whole ten-thousandths, so that sums are exact, and
ratios are fractions.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

UNKNOWN = "(unknown)"
UNIT = 10_000
IDENTITY = ["order_date", "order_id", "line_number", "line_key", "is_refund"]
# What two copies of a line without a number have in common.
CONTENT = [
    *("ordered_at", "customer_id", "product_id", "quantity", "unit_price", "amount", "country"),
    *("product_name", "product_category", "discount", "tax", "shipping", "cost"),
]
NUMBERS = ["quantity", "unit_price", "amount", "discount", "tax", "shipping", "cost"]
TEXTS = ["order_id", "customer_id", "product_id", "country", "channel", "product_category"]
MEASURES = ["lines", "units", "gross", "returned", "net", "discount", "tax", "shipping", "cost"]
# Reads a query as a frame.
Frame = Callable[[str], pd.DataFrame]


def exact(value: Any) -> int:
    """Money or a quantity as whole ten-thousandths; 0 where it is missing."""
    return 0 if pd.isna(value) else int(Decimal(str(value)) * UNIT)


def newest(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    order = ["updated_at", "source_file", "source_row"]
    ordered = rows.sort_values(order, na_position="first")
    return ordered.drop_duplicates(key, keep="last")


def order_lines(frame: Frame) -> pd.DataFrame:
    """The lines of orders, classified, with the members and dimensions that they count for."""
    units = ", ".join(f"({name} * {UNIT})::BIGINT AS {name}" for name in NUMBERS)
    rows = frame(f"SELECT * REPLACE ({units}) FROM raw.raw_orders")
    for name in TEXTS:
        rows[name] = rows[name].str.strip().replace("", None)
    before = rows
    content = rows[CONTENT].where(rows["line_number"].isna() & rows["line_key"].isna())
    rows = newest(rows.join(content, rsuffix="_"), [*IDENTITY, *(f"{n}_" for n in CONTENT)])
    missing = {name: rows[name].isna() for name in NUMBERS}
    rows = rows.assign(**{name: rows[name].fillna(0).astype("int64") for name in NUMBERS})
    product = rows["quantity"] * rows["unit_price"]
    rounded = np.sign(product) * ((2 * product.abs() + UNIT) // (2 * UNIT))  # half away from 0
    extended = rows["amount"].where(rows["amount_is_total"], rounded - rows["discount"])
    rows = rows.assign(
        extended=extended,
        units=rows["quantity"],
        has_cost=~missing["cost"],
        order_date=pd.to_datetime(rows["order_date"]).dt.date,
    )
    rows["kind"] = _kinds(rows)
    _add_dimensions(frame, rows, before)
    sale, counts = rows["kind"] == "sale", rows["kind"] != "adjustment"
    return rows.assign(
        customer_id=rows["customer_id"].fillna(UNKNOWN),
        product_id=rows["product_id"].fillna(UNKNOWN),
        month=rows["order_date"].map(lambda day: day.replace(day=1)),
        lines=1,
        units=rows["units"].where(sale, 0),
        gross=rows["extended"].where(sale, 0),
        returned=rows["extended"].where(rows["kind"] == "return", 0),
        net=rows["extended"].where(counts, 0),
        **{name: rows[name].where(counts, 0) for name in ("discount", "tax", "shipping", "cost")},
        without_cost=sale & ~rows["has_cost"],
    )


def _kinds(rows: pd.DataFrame) -> np.ndarray:
    cancelled = rows["status"].str.lower() == "cancelled"
    test = rows["is_test"].fillna(False).astype(bool)
    refund = rows["is_refund"].astype(bool)
    returned = np.where(refund, ~cancelled, rows["units"] < 0) & ~test
    sold = ~refund & ~test & ~cancelled & (rows["units"] > 0) & (rows["extended"] > 0)
    return np.select([sold, returned], ["sale", "return"], "adjustment")


def _add_dimensions(frame: Frame, rows: pd.DataFrame, raw: pd.DataFrame) -> None:
    """Category, country and channel: of the members' sources, else of the lines."""
    products = newest(frame("SELECT * FROM raw.raw_products"), ["product_id"])
    customers = newest(frame("SELECT * FROM raw.raw_customers"), ["customer_id"])
    category = dict(zip(products["product_id"].str.strip(), products["category"], strict=True))
    country = dict(zip(customers["customer_id"].str.strip(), customers["country"], strict=True))
    named = raw[raw["product_category"].notna() & ~raw["product_id"].isin(list(category))]
    for product, values in named.groupby("product_id")["product_category"]:
        counts = values.value_counts()
        category[product] = min(counts[counts == counts.max()].index)
    ordered = raw[raw["country"].notna() & ~raw["customer_id"].isin(list(country))]
    ordered = ordered.sort_values(["ordered_at", "updated_at"], na_position="first")
    country |= ordered.groupby("customer_id")["country"].last().to_dict()
    rows["category"] = rows["product_id"].map(category).fillna(UNKNOWN)
    rows["country"] = rows["customer_id"].map(country).fillna(UNKNOWN)
    rows["channel"] = rows["channel"].fillna(UNKNOWN)


def months_from(first: date, last: date) -> list[date]:
    return [day.date() for day in pd.date_range(first, last, freq="MS")]


def whole_months(frame: Frame) -> Callable[[date], bool]:
    loads = frame("SELECT window_date FROM raw.source_loads WHERE source = 'orders'")
    days = pd.to_datetime(loads["window_date"])
    end = days.max() + pd.Timedelta(days=1)
    return lambda month: (
        pd.Timestamp(month) >= days.min() and pd.Timestamp(month) + pd.DateOffset(months=1) <= end
    )


def assert_dimensions(frame: Frame, lines: pd.DataFrame) -> None:
    """sales_by_dimension, row by row."""
    found = frame("SELECT * FROM marts.sales_by_dimension").to_dict("records")
    rows = {(r["order_date"].date(), r["dimension"], r["dimension_value"]): r for r in found}
    assert len(rows) == len(found)
    expected = {}
    for dimension in ("category", "country", "channel"):
        sums = lines.groupby(["order_date", dimension])[[*MEASURES, "without_cost"]].sum()
        for (day, value), row in sums.iterrows():
            expected[day, dimension, value] = row
    assert rows.keys() == expected.keys()
    for key, row in expected.items():
        given = rows[key]
        assert given["lines"] == row["lines"], key
        assert exact(given["units"]) == row["units"], key
        for name in MEASURES[2:]:
            assert exact(given[f"{name}_amount"]) == row[name], (key, name)
        assert pd.isna(given["margin_amount"]) == bool(row["without_cost"]), key
        if not row["without_cost"]:
            assert exact(given["margin_amount"]) == row["net"] - row["cost"], key


def member_months(lines: pd.DataFrame, member: str) -> dict[date, pd.DataFrame]:
    """Units, orders with a sale, gross and returned of each member in each month."""
    key = ["month", f"{member}_id"]
    sums = lines.groupby(key)[["units", "gross", "returned"]].sum()
    sales = lines[lines["kind"] == "sale"]
    # An order on two days is two.
    orders = sales.groupby([*key, "order_date"])["order_id"].nunique().groupby(level=[0, 1]).sum()
    sums = sums.join(orders.rename("orders")).fillna({"orders": 0})
    return {month: rows.droplevel(0) for month, rows in sums.groupby(level=0)}


def assert_bridge(frame: Frame, lines: pd.DataFrame) -> None:
    """sales_bridge, row by row; effects from fractions, to the rounding of money."""
    found = frame("SELECT * FROM marts.sales_bridge").to_dict("records")
    rows = {(r["month"].date(), r["member_type"]): r for r in found}
    whole = whole_months(frame)
    loads = frame("SELECT max(window_date) AS d FROM raw.source_loads WHERE source = 'orders'")
    months = months_from(lines["month"].min(), loads["d"][0])
    assert rows.keys() == {(m, t) for m in months[1:] for t in ("product", "customer")}
    for member in ("product", "customer"):
        of = member_months(lines, member)
        nothing = next(iter(of.values())).iloc[:0]
        seen: set[str] = set()
        for before, month in pairwise(months):
            old, new = of.get(before, nothing), of.get(month, nothing)
            expected = _effects(old, new, seen, member)
            row = rows[month, member]
            assert bool(row["is_complete"]) == (whole(before) and whole(month))
            for name, value in expected.items():
                if value is None:
                    assert pd.isna(row[name]), (month, name)
                elif name.startswith("members"):
                    assert row[name] == value, (month, name)
                else:
                    assert abs(exact(row[name]) - value) <= 1, (month, member, name)


def _effects(
    old: pd.DataFrame, new: pd.DataFrame, seen: set[str], member: str
) -> dict[str, Fraction | int | None]:
    known_old = {m for m in old.index[old["gross"] > 0] if m != UNKNOWN}
    known_new = {m for m in new.index[new["gross"] > 0] if m != UNKNOWN}
    seen |= known_old
    kept, lost = known_old & known_new, known_old - known_new
    fresh, back = known_new - seen, (known_new & seen) - known_old
    quantity = "units" if member == "product" else "orders"
    g0, g1 = old["gross"].to_dict(), new["gross"].to_dict()
    q0, q1 = old[quantity].to_dict(), new[quantity].to_dict()

    def total(amounts: dict[str, int], members: set[str]) -> int:
        return int(sum(amounts[m] for m in members))

    opening, closing = total(q0, kept), total(q1, kept)
    mean = Fraction(total(g0, kept), opening) if kept else Fraction()
    prices = {m: Fraction(int(g0[m]), int(q0[m])) for m in kept}
    volume = (closing - opening) * mean
    price = sum((g1[m] - int(q1[m]) * prices[m] for m in kept), Fraction())
    # By its own definition, and not as what is left over.
    mix = sum((int(q1[m]) * (prices[m] - mean) for m in kept), Fraction())
    by_customer = member == "customer"
    return {
        "opening_net_amount": int((old["gross"] + old["returned"]).sum()),
        "closing_net_amount": int((new["gross"] + new["returned"]).sum()),
        "price_effect": None if by_customer else price,
        "volume_effect": None if by_customer else volume,
        "mix_effect": None if by_customer else mix,
        "orders_effect": volume if by_customer else None,
        "order_value_effect": (total(g1, kept) - closing * mean if by_customer else None),
        "new_effect": total(g1, fresh),
        "returning_effect": total(g1, back),
        "lost_effect": -total(g0, lost),
        "unknown_effect": int(g1.get(UNKNOWN, 0) - g0.get(UNKNOWN, 0)),
        "returns_effect": int(new["returned"].sum() - old["returned"].sum()),
        "members_kept": len(kept),
        "members_new": len(fresh),
        "members_returning": len(back),
        "members_lost": len(lost),
    }


def assert_concentration(frame: Frame, lines: pd.DataFrame) -> None:
    """sales_concentration, row by row."""
    found = frame("SELECT * FROM marts.sales_concentration").to_dict("records")
    rows = {(r["month"].date(), r["member_type"], r["top_percent"]): r for r in found}
    whole = whole_months(frame)
    expected = set()
    for member in ("product", "customer"):
        for month, sums in member_months(lines, member).items():
            nets = sums["gross"] + sums["returned"]
            ranked = sorted(nets[(sums["gross"] > 0) & (sums.index != UNKNOWN)], reverse=True)
            for top in (1, 10, 20):
                expected.add((month, member, top))
                row = rows[month, member, top]
                counted = -(-len(ranked) * top // 100)
                assert (row["members"], row["counted"]) == (len(ranked), counted)
                assert exact(row["top_net_amount"]) == sum(ranked[:counted])
                assert exact(row["net_amount"]) == sum(ranked)
                assert exact(row["other_net_amount"]) == nets.sum() - sum(ranked)
                assert bool(row["is_complete"]) == whole(month)
                if ranked:
                    assert exact(row["least_net_amount"]) == ranked[counted - 1]
                if sum(ranked) > 0:
                    share = sum(ranked[:counted]) / sum(ranked)
                    assert abs(row["net_share"] - share) < 1e-12
                else:
                    assert pd.isna(row["net_share"])
    assert rows.keys() == expected
