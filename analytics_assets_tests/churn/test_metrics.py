"""Measures of probabilities, against independent computations and known cases."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from analytics_assets.churn import metrics
from analytics_assets.churn.metrics import Economics

MONEY = Economics(contact_cost=2.0, contact_success=0.25)


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    p = rng.beta(2, 3, 4000).round(2)
    return rng.random(4000) < p, p


def test_measures_agree_with_those_of_scikit_learn(sample):
    y, p = sample
    found = metrics.evaluate(y, p, np.ones(len(y)), MONEY)
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(y, p), abs=1e-12)
    assert found["average_precision"] == reference.average_precision_score(y, p)
    assert found["brier"] == pytest.approx(reference.brier_score_loss(y, p))
    assert found["log_loss"] == pytest.approx(
        reference.log_loss(y, np.clip(p, 1e-6, 1 - 1e-6)), abs=1e-9
    )
    assert found["prevalence"] == y.mean()


def test_the_interval_of_the_area_is_that_of_a_bootstrap(sample):
    y, p = sample[0][:600], sample[1][:600]
    auc, error = metrics.auc_and_error(y, p)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(400):
        pick = rng.integers(0, 600, 600)
        draws.append(reference.roc_auc_score(y[pick], p[pick]))
    assert error == pytest.approx(np.std(draws), rel=0.15)
    assert auc == pytest.approx(reference.roc_auc_score(y, p))


def test_rows_of_a_customer_are_not_independent(sample):
    y, p = sample[0][:600], sample[1][:600]
    once = metrics.auc_and_error(y, p)
    copied = metrics.auc_and_error(np.tile(y, 4), np.tile(p, 4), np.tile(np.arange(600), 4))
    assert copied == pytest.approx(once)  # four copies of each customer say nothing new
    naive = metrics.auc_and_error(np.tile(y, 4), np.tile(p, 4))
    assert naive[1] == pytest.approx(once[1] / 2, rel=0.01)


def test_the_calibration_line_is_the_logistic_regression_on_the_log_odds(sample):
    y, p = sample[0], np.clip(sample[1], 0.01, 0.99)
    line = metrics.calibration_line(y, p)
    x = metrics.log_odds(p)
    fitted = LogisticRegression(C=1e9, tol=1e-10).fit(x[:, None], y)
    assert line.slope == pytest.approx(fitted.coef_[0, 0], abs=1e-3)
    assert 0.9 < line.slope < 1.1
    assert abs(line.intercept) < 0.1


@pytest.mark.parametrize(("factor", "slope"), [(2.0, 0.5), (0.5, 2.0)])
def test_predictions_too_extreme_have_a_slope_below_one(sample, factor, slope):
    y, p = sample[0], np.clip(sample[1], 0.01, 0.99)
    spread = metrics.probability_of(factor * metrics.log_odds(p))
    own = metrics.calibration_line(y, p).slope
    assert metrics.calibration_line(y, spread).slope == pytest.approx(own * slope, rel=1e-3)


def test_the_intercept_is_the_level_that_is_missing(sample):
    y, p = sample[0], np.clip(sample[1], 0.01, 0.99)
    low = metrics.probability_of(metrics.log_odds(p) - 0.7)
    own = metrics.calibration_line(y, p).intercept
    assert metrics.calibration_line(y, low).intercept == pytest.approx(own + 0.7, abs=1e-6)


def test_equal_predictions_have_a_level_and_no_slope():
    line = metrics.calibration_line(np.array([True] * 30 + [False] * 10), np.full(40, 0.5))
    assert np.isnan(line.slope)
    assert line.intercept == pytest.approx(np.log(3), abs=1e-6)


def test_the_common_slope_lets_each_window_have_its_level(sample):
    rng = np.random.default_rng(2)
    p = np.clip(rng.beta(2, 2, 6000), 0.02, 0.98)
    window = np.repeat(["a", "b"], 3000)
    level = np.where(window == "a", -1.0, 1.0)
    y = rng.random(6000) < metrics.probability_of(0.6 * metrics.log_odds(p) + level)
    assert metrics.common_slope(y, p, window) == pytest.approx(0.6, abs=0.08)
    assert metrics.common_slope(y, np.where(window == "a", 0.3, 0.6), window) == 1.0
    assert metrics.common_slope(~y, p, window) == 0.0  # worse than nothing is nothing


def test_separable_labels_give_a_finite_line():
    p = np.array([0.1, 0.2, 0.8, 0.9])
    assert np.isfinite(metrics.calibration_line(p > 0.5, p).slope)


def test_calibration_bins_count_every_row_and_ties_share_one():
    bins = metrics.calibration_bins(
        np.array([True, False, True, True]), np.array([0.2, 0.2, 0.2, 0.9]), 4
    )
    assert bins.to_dict("list") == {
        "bin": [1, 2],
        "mean_predicted": [pytest.approx(0.2), 0.9],
        "observed": [pytest.approx(2 / 3), 1.0],
        "n": [3, 1],
    }


def test_lift_of_a_perfect_ranking_and_of_none():
    y = np.arange(100) < 20
    perfect = metrics.lift_by_decile(y, y - np.arange(100) / 1e3)
    assert perfect["lift"].tolist() == [5.0, 5.0] + [0.0] * 8
    assert perfect["captured"].tolist()[:2] == [0.5, 1.0]
    same = metrics.lift_by_decile(y, np.full(100, 0.2))
    np.testing.assert_allclose(same["lift"], 1.0)  # whatever the order of the rows
    assert same["n"].sum() == 100


def test_profit_contacts_those_whose_loss_would_cost_most():
    # One churner worth 100, one worth 4, two who stay.
    y = np.array([True, True, False, False])
    value = np.array([100.0, 4.0, 50.0, np.nan])
    curve = metrics.profit_curve(y, np.full(4, 0.5), value, MONEY)
    assert curve["profit"].tolist() == [0.0, 23.0, 21.0, 20.0, 18.0]
    assert metrics.best_profit(y, np.full(4, 0.5), value, MONEY) == (23.0, 0.25)
    assert metrics.best_profit(y, np.full(4, 0.5), value, Economics(30.0, 0.25)) == (0.0, 0.0)
    unknown = metrics.best_profit(y, np.full(4, 0.5), np.full(4, np.nan), MONEY)
    assert np.isnan(unknown).all()


def test_a_better_model_makes_more_profit(sample):
    y, p = sample
    value = np.full(len(y), 10.0)
    good, _ = metrics.best_profit(y, p, value, MONEY)
    blind, _ = metrics.best_profit(y, np.full(len(y), 0.4), value, MONEY)
    assert good > blind


# The paired bootstrap


def test_a_clear_difference_is_not_noise_and_noise_is_no_difference():
    rng = np.random.default_rng(0)
    best = rng.normal(0.5, 0.3, 2000)
    losses = np.column_stack([best + 0.1, best + rng.normal(0.001, 0.2, 2000), best])
    low, high = metrics.excess_interval(losses, np.arange(2000), seed=1)
    assert low[0] > 0
    assert low[1] < 0 < high[1]
    assert low[2] == high[2] == 0
    assert 0.099 < low[0] <= high[0] < 0.101  # paired: the customers' own spread cancels


def test_the_interval_is_that_of_the_mean_and_wider_where_customers_repeat():
    rng = np.random.default_rng(0)
    difference = rng.normal(0.0, 1.0, 500)
    losses = np.column_stack([difference, np.zeros(500)])
    low, high = metrics.excess_interval(losses, np.arange(500), seed=1, reference=1)
    assert high[0] - low[0] == pytest.approx(2 * 1.96 / np.sqrt(500), rel=0.15)
    four = np.tile(losses, (4, 1))
    customers = np.tile(np.arange(500), 4)
    low4, high4 = metrics.excess_interval(four, customers, seed=1, reference=1)
    assert (low4[0], high4[0]) == pytest.approx((low[0], high[0]))


def test_the_same_seed_draws_the_same_resamples():
    losses = np.random.default_rng(0).random((100, 2))
    names = pd.Series([f"c{n}" for n in range(100)])
    one, two, other = (metrics.excess_interval(losses, names, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
