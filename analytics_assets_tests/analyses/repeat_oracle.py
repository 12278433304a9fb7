"""The marts on repeat purchase, computed again by pandas from the raw rows."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.schemas.repeat import REPEAT_DAYS
from analytics_assets.settings import Settings
from analytics_assets_tests.analyses import explained_oracle
from analytics_assets_tests.analyses.explained_oracle import UNKNOWN, Frame, exact

Z = 1.959963984540054


def _last_day(frame: Frame) -> pd.Timestamp:
    loads = frame("SELECT max(window_date) AS d FROM raw.source_loads WHERE source = 'orders'")
    return pd.Timestamp(loads["d"][0])


def _sales(lines: pd.DataFrame) -> pd.DataFrame:
    return lines[(lines["kind"] == "sale") & (lines["customer_id"] != UNKNOWN)]


def assert_repeats(frame: Frame, lines: pd.DataFrame) -> None:
    """repeat_purchases: the orders of each customer in a list, one after the other."""
    last = _last_day(frame).date()
    orders = _sales(lines)[["customer_id", "order_date", "order_id"]].drop_duplicates()
    expected: dict[int, list[tuple[int, int | None]]] = {}
    for _, dates in orders.sort_values("order_date").groupby("customer_id")["order_date"]:
        days = list(dates)
        for number, (day, following) in enumerate(zip(days, [*days[1:], None], strict=True), 1):
            gap = (following - day).days if following else None
            expected.setdefault(number, []).append(((last - day).days, gap))
    found = frame("SELECT * FROM marts.repeat_purchases ORDER BY order_number").to_dict("records")
    assert [row["order_number"] for row in found] == sorted(expected)
    for row in found:
        given = expected[row["order_number"]]
        gaps = [gap for _, gap in given if gap is not None]
        assert (row["customers"], row["repeated"]) == (len(given), len(gaps))
        assert row["repeat_rate"] == len(gaps) / len(given)
        names = ("mean", "p25", "median", "p75")
        figures = [float(row[f"days_to_next_{name}"]) for name in names]
        if gaps:
            quartiles = np.quantile(gaps, [0.25, 0.5, 0.75])
            assert np.allclose(figures, [np.mean(gaps), *quartiles], rtol=1e-12, atol=0)
        else:
            assert np.isnan(figures).all()
        for days in REPEAT_DAYS:
            seen = [gap for observed, gap in given if observed >= days]
            back = sum(gap is not None and gap <= days for gap in seen)
            assert (row[f"observed_{days}d"], row[f"repeated_{days}d"]) == (len(seen), back)
            rate = row[f"repeat_rate_{days}d"]
            assert rate == back / len(seen) if seen else pd.isna(rate)


def assert_comebacks(frame: Frame, lines: pd.DataFrame) -> None:
    """comeback_products: the first day of each customer, and the products on it."""
    last = _last_day(frame).date()
    sales = _sales(lines)
    dates = {c: sorted(set(days)) for c, days in sales.groupby("customer_id")["order_date"]}
    expected: dict[str, dict[str, int]] = {}
    first = sales[sales["order_date"] == sales["customer_id"].map(lambda c: dates[c][0])]

    def back(customer: str, days: int) -> bool:
        return len(dates[customer]) > 1 and dates[customer][1] - dates[customer][0] <= timedelta(
            days
        )

    def observed(customer: str) -> bool:
        return last - dates[customer][0] >= timedelta(90)

    for (customer, product), gross in (
        first.groupby(["customer_id", "product_id"])["gross"].sum().items()
    ):
        row = expected.setdefault(product, dict.fromkeys(("n", "gross", "all", "seen", "back"), 0))
        row["n"] += 1
        row["gross"] += int(gross)
        row["all"] += len(dates[customer]) > 1
        row["seen"] += observed(customer)
        row["back"] += observed(customer) and back(customer, 90)
    seen = [customer for customer in dates if observed(customer)]
    found = frame("SELECT * FROM marts.comeback_products").to_dict("records")
    assert {row["product_id"] for row in found} == expected.keys()
    for row in found:
        given = expected[row["product_id"]]
        assert (row["customers"], row["repeated"]) == (given["n"], given["all"])
        assert (row["observed_90d"], row["repeated_90d"]) == (given["seen"], given["back"])
        assert exact(row["gross_amount"]) == given["gross"]
        if seen:
            rate = sum(back(customer, 90) for customer in seen) / len(seen)
            assert abs(row["all_repeat_rate_90d"] - rate) < 1e-12
        else:
            assert pd.isna(row["all_repeat_rate_90d"])
        ends = [row[f"repeat_rate_90d{end}"] for end in ("", "_low", "_high")]
        if not given["seen"]:
            assert pd.isna(ends).all()
            continue
        # The interval has the shares whose score test does not reject: its ends solve
        # (rate - p)^2 = z^2 p (1 - p) / n.
        rate, n = given["back"] / given["seen"], given["seen"]
        roots = np.roots([1 + Z**2 / n, -(2 * rate + Z**2 / n), rate**2])
        assert np.allclose(ends, [rate, min(roots.real), max(roots.real)], atol=1e-7)


def assert_next_orders(frame: Frame, lines: pd.DataFrame, model: Any) -> None:
    """next_orders: histories from the raw rows, and probabilities by the formulas of the paper.

    On the day of a date the probability that the order has come passes 10%, 50% or 90%.
    """
    r, alpha, a, b = (model.purchases["bgnbd"][name] for name in ("r", "alpha", "a", "b"))
    as_of = _last_day(frame).date() + timedelta(1)
    dates = {c: sorted(set(days)) for c, days in _sales(lines).groupby("customer_id")["order_date"]}
    found = frame("SELECT * FROM churn.next_orders").to_dict("records")
    assert {row["customer_id"] for row in found} == dates.keys()
    for row in found:
        days = dates[row["customer_id"]]
        x, age = len(days) - 1, (as_of - days[0]).days
        silence = (as_of - days[-1]).days
        assert (row["as_of"].date(), row["active_days"]) == (as_of, len(days))
        assert row["days_since_last_order"] == silence
        ratio = (alpha + age) / (alpha + age - silence)
        alive = 1 / (1 + a / (b + x - 1) * ratio ** (r + x)) if x else 1.0

        def bought(within: float) -> float:
            return alive * (1 - ((alpha + age) / (alpha + age + within)) ** (r + x))  # noqa: B023

        assert abs(row["another_order_probability"] - alive) < 1e-9
        assert abs(row["order_probability_90d"] - bought(90)) < 1e-9
        reason = "probably gone" if alive <= 0.5 else "too far" if bought(365) < 0.5 else None
        assert (row["no_date_reason"] or None) == reason
        for name, level in (("low", 0.1), ("date", 0.5), ("high", 0.9)):
            given = row[f"next_order_{name}"]
            if reason or bought(365) < level:
                assert pd.isna(given)
            else:
                after = (given.date() - as_of).days
                assert bought(after) <= level + 1e-9 and level - 1e-9 <= bought(after + 1)
        assert row["model_version"] == model.version


def assert_marts(frame: Frame, settings: Settings | None = None) -> None:
    """All marts on sales and repeat purchase; next_orders only of a home that has a model."""
    lines = explained_oracle.order_lines(frame)
    explained_oracle.assert_dimensions(frame, lines)
    explained_oracle.assert_bridge(frame, lines)
    explained_oracle.assert_concentration(frame, lines)
    assert_repeats(frame, lines)
    assert_comebacks(frame, lines)
    if settings:
        champion = model_registry(settings).load_good()
        assert champion
        assert_next_orders(frame, lines, champion[0])
