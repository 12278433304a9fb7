"""Dates of the next order, and why there is none."""

from datetime import date
from types import SimpleNamespace

import pandas as pd
import pytest

from analytics_assets.assets.churn.model import FEATURES
from analytics_assets.assets.churn.next_orders import expected_orders
from analytics_assets.schemas import TABLES

ROLES = FEATURES.purchases
assert ROLES
MODEL = SimpleNamespace(
    version="v1",
    purchases={
        "history": ROLES.columns,
        "bgnbd": {"r": 1.0, "alpha": 10.0, "a": 1.0, "b": 2.0},
    },
)
CUSTOMERS = pd.DataFrame(
    # Bought once; often, and gone; often; once, and long ago.
    [("once", 1, 10, 10), ("gone", 11, 500, 400), ("often", 11, 100, 2), ("long ago", 1, 900, 900)],
    columns=["customer_id", ROLES.days, ROLES.tenure, ROLES.silence],
).assign(as_of=date(2024, 3, 1))


def test_a_date_or_the_reason() -> None:
    rows = expected_orders(CUSTOMERS, MODEL).set_index("customer_id")
    assert list(rows["no_date_reason"].fillna("")) == ["", "probably gone", "", "too far"]
    # Of r = 1: half have bought when the time doubles, alpha + T = 20 days.
    assert rows["next_order_date"]["once"] == date(2024, 3, 21)
    assert rows["next_order_low"]["once"] == date(2024, 3, 3)  # 20 / 9 days
    assert rows["next_order_high"]["once"] == date(2024, 8, 28)  # 180 days
    assert rows["another_order_probability"]["once"] == 1
    assert rows["order_probability_90d"]["once"] == pytest.approx(1 - 20 / 110)
    assert rows["next_order_low"]["often"] < rows["next_order_date"]["often"]
    # Of alpha + T = 910 days, half are over a year, and a tenth within.
    none = rows.loc[["gone", "long ago"], ["next_order_low", "next_order_date", "next_order_high"]]
    assert none.isna().all(axis=None)
    assert set(rows["model_version"]) == {"v1"}


def test_without_a_model_everybody_is_there_with_the_reason() -> None:
    for model in (None, SimpleNamespace(version="v1", purchases={})):
        rows = expected_orders(CUSTOMERS, model)
        assert list(rows.columns) == TABLES["next_orders"].columns
        assert list(rows["customer_id"]) == list(CUSTOMERS["customer_id"])
        assert set(rows["no_date_reason"]) == {"no model"}
        assert rows["next_order_date"].isna().all()


def test_nobody() -> None:
    assert len(expected_orders(CUSTOMERS.iloc[:0], MODEL)) == 0
