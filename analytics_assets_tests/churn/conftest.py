"""Labelled rows with a known signal, and a model trained on them."""

import numpy as np
import pandas as pd
import pytest

from analytics_assets.churn.data import FeatureSet
from analytics_assets.churn.training import Plan, TrainingResult, train

COLUMNS = ("orders", "recency", "net")
FEATURES = FeatureSet(COLUMNS, recency="recency", value="worth")
HORIZON = 60
PLAN = Plan(horizon_days=HORIZON, seed=1, dates=2, iterations=30)


def make_features(
    customers: int = 300, months: int = 8, signal: float = 1.5, seed: int = 0
) -> pd.DataFrame:
    """Monthly as-of dates from 2024-01-01; the risk rises with recency and falls with orders."""
    rng = np.random.default_rng(seed)
    as_of = pd.date_range("2024-01-01", periods=months, freq="MS")
    n = customers * months
    frame = pd.DataFrame(
        {
            "as_of": np.repeat(as_of, customers),
            "customer_id": [f"c{i:04d}" for i in range(customers)] * months,
            "orders": rng.poisson(4, n).astype(float),
            "recency": rng.exponential(40, n),
            "net": rng.normal(50, 400, n),
            "worth": rng.gamma(2, 50, n),
        }
    )
    logit = signal * (np.log1p(frame["recency"]) - 3.3 - 0.5 * (frame["orders"] - 4))
    frame["churned"] = pd.array(rng.random(n) < 1 / (1 + np.exp(-logit)), dtype="boolean")
    frame.loc[rng.random(n) < 0.1, "net"] = np.nan
    return frame


@pytest.fixture(scope="package")
def features() -> pd.DataFrame:
    return make_features()


@pytest.fixture(scope="package")
def result(features: pd.DataFrame) -> TrainingResult:
    return train(features, FEATURES, PLAN)
