"""The models of purchases on features: BG/NBD as a candidate, and what customers will spend.

Belongs here: histories from the columns of features, and BG/NBD and Gamma-Gamma applied to them.
Does not belong here: those models (`bgnbd`, `gamma_gamma`, `lifetime_value`).

Where nobody seems to leave for good, the likelihood of BG/NBD rises towards a = 0 and has no
maximum. Its limit is the NBD model (Ehrenberg, The pattern of consumer purchases, Applied
Statistics 8, 1959), which has a maximum and is used instead.

Purchases of one day count once. A purchase after the first day is a repeat purchase; how many there
are, and their mean value, leave the first out, in the fits as in what is expected of a customer:
the definition of Fader and Hardie. Money is net: of repeat purchases that all came back the mean is
0. Gamma-Gamma has no likelihood for it, so it learns from the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from analytics_assets.lifetime import bgnbd, gamma_gamma, lifetime_value
from analytics_assets.lifetime.history import Purchases
from analytics_assets.lifetime.likelihood import FitError, maximise
from analytics_assets.lifetime.next_purchase import time_to_next

NOBODY_LEAVES = 1e-300  # value of a: no history is long enough to make leaving likely
MONTHS, MONTH_DAYS = 12, 365.25 / 12
EXPECTED = (
    "expected_purchases",
    "expected_value",
    "lifetime_value",
    "lifetime_value_low",
    "lifetime_value_high",
)


class BgNbdClassifier(ClassifierMixin, BaseEstimator):
    """BG/NBD as a classifier: the probability of no purchase within the horizon.

    Args:
        columns: number of purchase days, tenure and silence in days, as columns of the features.
        horizon_days: length of the label window in days.
    """

    def __init__(self, columns: tuple[str, str, str], horizon_days: int) -> None:
        self.columns = columns
        self.horizon_days = horizon_days

    def fit(self, x: pd.DataFrame, y: Any = None) -> BgNbdClassifier:
        """Fit on histories; labels are not used.

        Raises:
            ValueError: a history is impossible, or there is no estimate.
        """
        model = fit_buying(*_histories(x, *self.columns))
        self.parameters_ = {name: getattr(model, name) for name in bgnbd.PARAMETERS}
        self.classes_ = np.array([False, True])
        return self

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        """Probabilities of a purchase and of none, shape (n, 2).

        For an impossible history they are those of the nearest possible one: a reason replaces the
        value of one column, whatever the others are.
        """
        model = bgnbd.BgNbd(**self.parameters_)
        history = _nearest_possible(*_histories(x, *self.columns))
        none = model.probability_of_no_purchase(self.horizon_days, *history)
        return np.column_stack([1 - none, none])


def fit_buying(frequency: np.ndarray, recency: np.ndarray, age: np.ndarray) -> bgnbd.BgNbd:
    """Fit BG/NBD by maximum likelihood, or its limit where nobody leaves: then a is 1e-300.

    Raises:
        ValueError: a history is impossible, or neither has an estimate.
    """
    try:
        return bgnbd.fit(frequency, recency, age)
    except FitError:
        if not (frequency > 0).any():
            raise
    scale, customers = float(age.mean()), len(age)
    likelihood = bgnbd.log_likelihood(frequency, recency / scale, age / scale, np.ones(customers))

    def limit(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = likelihood(np.array([*theta, np.log(NOBODY_LEAVES), 0.0]))
        return value, gradient[:2]

    starts = [np.log([r, r / frequency.mean()]) for r in (0.3, 1.5)]
    maximum = maximise(limit, starts, ("r", "alpha"), customers)
    r, alpha = np.exp(maximum.log_parameters)
    return bgnbd.BgNbd(float(r), float(alpha * scale), NOBODY_LEAVES, 1.0)


def fit_purchases(x: pd.DataFrame, roles: Purchases) -> dict[str, Any]:
    """Fit purchases and their value on histories.

    Returns:
        Parameters of both models, the columns of the history, and the test of the independence of
        frequency and value: plain values, for `expected`.

    Raises:
        ValueError: a history is impossible, or there is no estimate.
    """
    frequency, recency, age = _histories(x, roles.days, roles.tenure, roles.silence)
    value = _mean_value(x, roles)
    buys = fit_buying(frequency, recency, age)
    kept = (frequency == 0) | (value > 0)
    frequency, value = frequency[kept], value[kept]
    spends = gamma_gamma.fit(frequency, value)
    _ = spends.population_mean  # infinite for values of too long a tail: said now, not at scoring
    test = gamma_gamma.independence(frequency, value)
    return {
        "history": roles.columns,
        "bgnbd": {name: getattr(buys, name) for name in bgnbd.PARAMETERS},
        "gamma_gamma": {name: getattr(spends, name) for name in gamma_gamma.PARAMETERS},
        "independence": {"correlation": test.correlation, "p_value": test.p_value},
    }


def expected(purchases: dict[str, Any], matrix: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    """Predict what customers will buy and spend.

    Args:
        purchases: result of `fit_purchases`.
        matrix: at least its columns, shape (n, columns).
        horizon_days: days that expected_purchases and expected_value cover.

    Returns:
        expected_purchases (days with a purchase) and expected_value (money) within the horizon;
        lifetime_value of 12 months, discounted by 10% a year; and the ends of the 90% interval of a
        customer's spending: lifetime_value_low and lifetime_value_high.

    Raises:
        ValueError: a history is impossible, or the models have no mean.
    """
    roles = Purchases(*purchases["history"])
    buys = bgnbd.BgNbd(**purchases["bgnbd"])
    spends = gamma_gamma.GammaGamma(**purchases["gamma_gamma"])
    history = _histories(matrix, roles.days, roles.tenure, roles.silence)
    value = _mean_value(matrix, roles)
    number = buys.expected_purchases(horizon_days, *history)
    life = lifetime_value.discounted(
        buys, spends, *history, value, months=MONTHS, month_length=MONTH_DAYS
    )
    columns = (
        number,
        number * spends.expected_mean_value(history[0], value),
        life.expected,
        life.low,
        life.high,
    )
    return pd.DataFrame(dict(zip(EXPECTED, columns, strict=True)), index=matrix.index)


def next_purchase(purchases: dict[str, Any], matrix: pd.DataFrame, within: int) -> pd.DataFrame:
    """Predict when customers will buy next.

    Args:
        purchases: result of `fit_purchases`.
        matrix: at least its columns, shape (n, columns).
        within: days of the probability of a purchase.

    Returns:
        alive, the probability that there will be another purchase, and bought, that there is one
        within the days; and low, middle and high: the days by which the next purchase has come with
        10%, 50% and 90%, infinite where it may never come.

    Raises:
        ValueError: a history is impossible.
    """
    roles = Purchases(*purchases["history"])
    buys = bgnbd.BgNbd(**purchases["bgnbd"])
    history = _histories(matrix, roles.days, roles.tenure, roles.silence)
    days = {
        name: time_to_next(buys, level, *history)
        for name, level in (("low", 0.1), ("middle", 0.5), ("high", 0.9))
    }
    alive = buys.probability_alive(*history)
    bought = 1 - buys.probability_of_no_purchase(within, *history)
    return pd.DataFrame({"alive": alive, "bought": bought, **days}, index=matrix.index)


def _histories(
    x: pd.DataFrame, days: str, tenure: str, silence: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeat purchases, days from the first to the last, days since the first."""
    age = x[tenure].to_numpy(float)
    return x[days].to_numpy(float) - 1, age - x[silence].to_numpy(float), age


def _nearest_possible(
    frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest history with whole repeat purchases on later days than the first."""
    frequency = np.maximum(np.round(frequency), 0.0)
    age = np.maximum(age, np.where(frequency > 0, 1.0, 0.0))
    recency = np.clip(recency, 1.0, np.maximum(age, 1.0))
    return frequency, np.where(frequency > 0, recency, 0.0), age


def _mean_value(x: pd.DataFrame, roles: Purchases) -> np.ndarray:
    """Of the repeat purchases; 0 without one."""
    repeats = np.maximum(x[roles.days].to_numpy(float) - 1, 1)
    return x[roles.repeat_amount].to_numpy(float) / repeats
