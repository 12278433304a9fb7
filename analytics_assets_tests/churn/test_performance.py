"""What was predicted against what happened."""

import numpy as np
import pytest

from analytics_assets.churn.metrics import Economics, log_odds, probability_of
from analytics_assets.churn.performance import measure, shortfalls

MONEY = Economics(1.0, 0.1)


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    p = rng.beta(2, 2, 3000)
    return rng.random(3000) < p, p


def measured(observed, predicted):
    return measure(observed, predicted, np.full(len(observed), 10.0), MONEY)


def test_scores_as_good_as_promised_have_no_shortfall(sample):
    measures = measured(*sample)
    assert measures["customers"] == 3000
    assert measures["mean_predicted"] == pytest.approx(sample[1].mean())
    assert shortfalls(measures, promised_auc_low=measures["roc_auc"]) == []


def test_a_worse_order_is_said(sample):
    rng = np.random.default_rng(1)
    measures = measured(sample[0], rng.permutation(sample[1]))
    (first, *_) = shortfalls(measures, promised_auc_low=0.75)
    assert first.startswith("the order of customers is worse than in the backtest: AUC 0.5")


def test_within_the_noise_is_no_shortfall():
    rng = np.random.default_rng(0)
    p = rng.beta(2, 2, 60)
    measures = measured(rng.random(60) < p, p)
    assert measures["roc_auc"] < measures["roc_auc_high"] - 0.05
    assert shortfalls(measures, promised_auc_low=measures["roc_auc"] + 0.04) == []


@pytest.mark.parametrize(("shift", "said"), [(0.8, "% churned"), (0.2, None)])
def test_a_level_that_is_off_is_said(sample, shift, said):
    measures = measured(sample[0], probability_of(log_odds(sample[1]) + shift))
    reasons = shortfalls(measures, 0.5)
    assert any("the level is off" in word for word in reasons) == (said is not None)


@pytest.mark.parametrize(("factor", "word"), [(3.0, "too extreme"), (0.3, "too timid")])
def test_predictions_spread_wrongly_are_said(sample, factor, word):
    reasons = shortfalls(measured(sample[0], probability_of(factor * log_odds(sample[1]))), 0.5)
    assert [word in said for said in reasons] == [True]


def test_one_class_is_counted_and_not_judged():
    measures = measured(np.ones(40, bool), np.full(40, 0.3))
    assert (measures["customers"], measures["prevalence"]) == (40, 1.0)
    assert "roc_auc" not in measures
    assert shortfalls(measures, 0.9) == []
