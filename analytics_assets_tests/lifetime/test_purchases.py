"""BG/NBD and Gamma-Gamma on features."""

import numpy as np
import pandas as pd
import pytest

from analytics_assets.churn.data import labelled_rows
from analytics_assets.churn.model import score
from analytics_assets.churn.training import train
from analytics_assets.lifetime import bgnbd
from analytics_assets.lifetime.history import Purchases
from analytics_assets.lifetime.likelihood import FitError
from analytics_assets.lifetime.purchases import (
    NOBODY_LEAVES,
    BgNbdClassifier,
    expected,
    fit_buying,
    fit_purchases,
)
from analytics_assets_tests.churn.conftest import FEATURES, PLAN

ROLES = Purchases(days="days", tenure="tenure", silence="silence", repeat_amount="amount")


def histories(n: int = 3000, leaving: bool = True, seed: int = 0) -> pd.DataFrame:
    """Customers who buy at their own rates and leave after a purchase with their own chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        age = int(rng.integers(30, 500))
        rate = rng.gamma(0.9, 1 / 40)
        leave = rng.beta(0.8, 2.5) if leaving else 0.0
        days, last = {0}, 0.0
        while rng.random() > leave:
            last += rng.exponential(1 / rate)
            if last >= age - 1:
                break
            days.add(int(last))
        rows.append((len(days), age, age - max(days), (len(days) - 1) * rng.gamma(4, 8)))
    return pd.DataFrame(rows, columns=list(ROLES.columns), dtype=float)


def test_the_classifier_is_the_models_probability_of_no_purchase():
    x = histories()
    classifier = BgNbdClassifier(("days", "tenure", "silence"), 60).fit(x)
    model = bgnbd.fit(x["days"] - 1, x["tenure"] - x["silence"], x["tenure"])
    p = model.probability_of_no_purchase(60, x["days"] - 1, x["tenure"] - x["silence"], x["tenure"])
    both = classifier.predict_proba(x)
    np.testing.assert_allclose(both[:, 1], p, atol=1e-12)
    np.testing.assert_allclose(both.sum(axis=1), 1.0)
    assert classifier.parameters_["a"] > 1e-3


def test_a_value_that_a_reason_asks_about_makes_no_history_impossible():
    x = histories(300)
    classifier = BgNbdClassifier(("days", "tenure", "silence"), 60).fit(x)
    own = classifier.predict_proba(x)
    for name, typical in (("days", 2.5), ("silence", 90.0), ("tenure", 40.0)):
        both = classifier.predict_proba(x.assign(**{name: typical}))
        assert ((both >= 0) & (both <= 1)).all()
        assert np.abs(both - own).max() > 0.05
    longer = classifier.predict_proba(x.assign(silence=x["silence"] * 2))
    assert longer[:, 1].mean() > own[:, 1].mean()


def test_where_nobody_leaves_the_limit_of_the_model_is_used():
    x = histories(leaving=False)
    history = [v.to_numpy() for v in (x["days"] - 1, x["tenure"] - x["silence"], x["tenure"])]
    with pytest.raises(FitError):
        bgnbd.fit(*history)
    model = fit_buying(*history)
    assert model.a == NOBODY_LEAVES
    assert model.r == pytest.approx(0.9, rel=0.15)
    assert model.alpha == pytest.approx(40, rel=0.15)
    assert (model.probability_alive(*history) == 1).all()
    purchases = model.expected_purchases(60, *history)
    np.testing.assert_allclose(
        purchases, (model.r + history[0]) * 60 / (model.alpha + history[2]), rtol=1e-9
    )
    nothing = [np.zeros(10), np.zeros(10), np.full(10, 9.0)]
    with pytest.raises(FitError, match="repeat purchase"):
        fit_buying(*nothing)


def test_expected_purchases_and_money_add_up_to_what_is_seen():
    x = histories()
    fitted = fit_purchases(x, ROLES)
    predicted = expected(fitted, x, 60)
    # A customer of no repeat purchase spends the population's mean.
    mean = (
        fitted["gamma_gamma"]["p"] * fitted["gamma_gamma"]["v"] / (fitted["gamma_gamma"]["q"] - 1)
    )
    once = x["days"] == 1
    ratio = predicted["expected_value"][once] / predicted["expected_purchases"][once]
    np.testing.assert_allclose(ratio, mean, rtol=1e-9)
    repeat = x[~once]
    assert mean == pytest.approx((repeat["amount"] / (repeat["days"] - 1)).mean(), rel=0.1)
    assert (predicted["lifetime_value"] > predicted["expected_value"]).all()
    assert (predicted["lifetime_value_low"] <= predicted["lifetime_value_high"]).all()
    assert abs(fitted["independence"]["correlation"]) < 0.1


def test_who_sent_everything_back_is_worth_the_least():
    x = histories()
    x.loc[0, ["days", "tenure", "silence", "amount"]] = [5.0, 200.0, 10.0, 0.0]
    x.loc[1, ["days", "tenure", "silence", "amount"]] = [5.0, 200.0, 10.0, 400.0]
    fitted = fit_purchases(x, ROLES)
    # There is no likelihood of a mean of 0: the others are learnt from.
    assert fitted["gamma_gamma"] == fit_purchases(x.drop(0), ROLES)["gamma_gamma"]
    found = expected(fitted, x.head(2), 60)
    assert found["expected_purchases"].nunique() == 1
    assert 0 < found["lifetime_value"][0] < found["lifetime_value"][1] / 5


def test_the_history_of_a_label_window_is_predicted_by_its_candidate():
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=6, freq="MS")
    frame = pd.concat(
        [histories(400, seed=seed).assign(as_of=date) for seed, date in enumerate(dates)]
    )
    frame["customer_id"] = [f"c{n}" for n in range(400)] * 6
    logit = frame["silence"] / 40 - 2 - 0.3 * frame["days"]
    frame["churned"] = rng.random(len(frame)) < 1 / (1 + np.exp(-logit))
    features = type(FEATURES)(
        ("days", "silence", "tenure", "amount"), recency="silence", purchases=ROLES
    )
    result = train(frame, features, PLAN)
    table = result.candidates.set_index("candidate")
    assert list(table.index[:3]) == ["prevalence", "recency", "bg_nbd"]
    assert table.loc["bg_nbd", "roc_auc"] > 0.7
    assert result.failed == {}
    assert set(result.model.purchases) == {"history", "bgnbd", "gamma_gamma", "independence"}


def test_without_an_estimate_the_candidate_is_left_out_and_named(features):
    # Nobody has bought twice.
    once = features.assign(days=1.0, tenure=features["recency"], amount=5.0)
    roles = Purchases("days", "tenure", "recency", "amount")
    result = train(once, type(FEATURES)(FEATURES.columns, purchases=roles), PLAN)
    assert "bg_nbd" not in set(result.candidates["candidate"])
    assert "repeat purchase" in result.failed["bg_nbd"]
    assert "repeat purchase" in result.failed["purchases and value"]
    assert result.model.purchases == {}
    assert np.isfinite(score(result.model, once)).all()


def test_the_reference_of_drift_is_the_newest_date(features, result):
    known = result.model.drift_reference
    assert set(known) == {*FEATURES.inputs, "churn_probability"}
    rows = labelled_rows(features, FEATURES)
    assert sum(known["net"]["counts"]) == len(rows.newest) == 300
    assert known["net"]["counts"][-1] == rows.newest["net"].isna().sum()
