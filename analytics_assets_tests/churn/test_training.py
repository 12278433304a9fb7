"""A whole training: the choice, the model it ends with, and that it can be repeated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analytics_assets.churn import metrics
from analytics_assets.churn.artifact import dump_model
from analytics_assets.churn.backtest import fitted_on, rolling_origins
from analytics_assets.churn.candidates import Candidate, build_candidates
from analytics_assets.churn.data import FeatureSet, TrainingError, labelled_rows
from analytics_assets.churn.model import score
from analytics_assets.churn.training import train

from .conftest import COLUMNS, FEATURES, PLAN, make_features


def test_a_real_model_is_chosen_on_a_real_signal(result):
    assert result.chosen == "logistic_regression"  # the data are logistic in the features
    table = result.candidates.set_index("candidate")
    assert list(table.index) == [c.name for c in build_candidates(FEATURES, PLAN.iterations, 1)]
    assert list(table.index[table["is_chosen"]]) == ["logistic_regression"]
    assert table.loc["logistic_regression", "roc_auc"] > 0.8
    assert table.loc["recency", "roc_auc"] > 0.6
    assert table.loc["prevalence", "excess_log_loss_low"] > 0
    assert table["prevalence"].nunique() == 1
    low, high = table.loc["logistic_regression", ["roc_auc_low", "roc_auc_high"]]
    assert low < table.loc["logistic_regression", "roc_auc"] < high


def test_prevalence_is_chosen_on_noise():
    result = train(make_features(signal=0.0), FEATURES, PLAN)
    assert result.chosen == "prevalence"
    assert len(result.reliability) == 1  # one prediction, one bin
    assert result.model.explained == ()


def test_trees_are_chosen_where_the_signal_is_not_monotonic():
    features = make_features(customers=600, signal=0.0)
    rng = np.random.default_rng(5)
    risk = np.where(features["recency"].between(20, 60), 0.85, 0.15)
    features["churned"] = rng.random(len(features)) < risk
    assert train(features, FEATURES, PLAN).chosen in ("random_forest", "gradient_boosting")


def test_measures_are_of_the_tests_and_not_of_the_training_rows(features):
    noisy = features.copy()
    rng = np.random.default_rng(3)
    for day in ("2024-06-01", "2024-08-01"):
        last = noisy["as_of"] == day
        noisy.loc[last, "churned"] = rng.permutation(noisy.loc[last, "churned"])
    table = train(noisy, FEATURES, PLAN).candidates
    assert table["roc_auc"].between(0.4, 0.6).all()


def test_each_test_date_is_reported_and_together_they_are_the_table(result):
    table = result.backtest
    assert list(dict.fromkeys(table["test"])) == ["2024-08-01", "2024-06-01"]
    assert set(table.groupby("test")["candidate"].nunique()) == {len(result.candidates)}
    assert table["calibrated"].all()
    for candidate, rows in table.groupby("candidate"):
        pooled = result.candidates.set_index("candidate").loc[candidate, "log_loss"]
        assert np.average(rows["log_loss"], weights=rows["test_rows"]) == pytest.approx(pooled)


def test_the_stored_predictions_are_those_that_were_measured(result):
    kept = result.predictions
    assert not kept.duplicated(["test", "customer_id"]).any()
    assert set(kept["test"]) == {"2024-08-01", "2024-06-01"}
    losses = metrics.log_losses(kept["observed"].to_numpy(), kept["churn_probability"].to_numpy())
    row = result.candidates[result.candidates["is_chosen"]].iloc[0]
    assert losses.mean() == pytest.approx(row["log_loss"])


def test_curves_are_of_the_newest_test(result):
    assert result.newest_test == "2024-08-01"
    assert result.reliability["n"].sum() == result.lift["n"].sum() == 300
    assert result.reliability["mean_predicted"].is_monotonic_increasing
    newest = result.backtest.iloc[2]
    assert newest["candidate"] == result.chosen
    assert result.lift["lift"].iloc[0] == newest["top_decile_lift"]
    assert result.profit["share"].iloc[[0, -1]].tolist() == [0.0, 1.0]
    assert result.profit["profit"].max() <= newest["profit"]


def test_the_model_is_fitted_on_every_closed_row():
    features = make_features(signal=0.0)
    last = features["as_of"] == "2024-08-01"
    features.loc[last, "churned"] = np.arange(last.sum()) % 4 > 0
    result = train(features, FEATURES, PLAN)
    assert result.chosen == "prevalence"
    probability = score(result.model, features)
    np.testing.assert_allclose(probability, features["churned"].mean(), rtol=1e-12)
    assert result.trained_on == ("2024-01-01", "2024-08-01")
    assert result.model.trained_to == "2024-09-30"  # 60 days later


def test_a_table_without_dates_is_cross_validated(features):
    snapshot = features[features["as_of"] == "2024-08-01"].drop(columns="as_of")
    result = train(snapshot, FeatureSet(COLUMNS), replace(PLAN, dates=4))
    assert result.backtest["test"].nunique() == 4
    assert len(result.predictions) == 300
    assert result.candidates.set_index("candidate").loc["logistic_regression", "roc_auc"] > 0.75
    assert result.model.trained_to == ""
    assert np.isfinite(score(result.model, snapshot)).all()


# Reproducibility


def test_same_data_and_seed_give_the_same_model_and_scores_to_the_byte(features, result):
    other = features.sample(frac=1, random_state=2)
    other["as_of"] = other["as_of"].dt.date
    again = train(other, FEATURES, PLAN)
    assert again.model.version == result.model.version
    assert len(again.model.version) == 12 and int(again.model.version, 16) >= 0
    assert dump_model(again.model) == dump_model(result.model)
    assert score(again.model, features).tobytes() == score(result.model, features).tobytes()
    pd.testing.assert_frame_equal(again.candidates, result.candidates)
    pd.testing.assert_frame_equal(again.backtest, result.backtest)


def _one_feature_changed(frame):
    frame.loc[0, "net"] = 1234.5


def _one_label_changed(frame):
    frame.loc[0, "churned"] = not frame.loc[0, "churned"]


@pytest.mark.parametrize("change", [_one_feature_changed, _one_label_changed])
def test_other_data_give_another_version(features, result, change):
    other = features.copy()
    change(other)
    assert train(other, FEATURES, PLAN).model.version != result.model.version


@pytest.mark.parametrize(
    ("features_", "plan"),
    [
        (FEATURES, replace(PLAN, seed=2)),
        (FEATURES, replace(PLAN, horizon_days=61)),
        (replace(FEATURES, columns=COLUMNS[:2]), PLAN),
    ],
)
def test_other_settings_give_another_version(features, result, features_, plan):
    assert train(features, features_, plan).model.version != result.model.version


def test_a_leak_stops_the_training(features):
    leaked = features.assign(gave_it_away=features["churned"].astype(float))
    with pytest.raises(TrainingError, match=r"^gave_it_away alone separates .* leaked"):
        train(leaked, replace(FEATURES, columns=(*COLUMNS, "gave_it_away")), PLAN)


def test_train_rows_are_those_of_the_fit(features, result):
    """Of histories a test's fit reads the customers of its date, and no labelled rows."""
    labelled = labelled_rows(features, FEATURES)
    assert set(result.candidates["train_rows"]) == {len(labelled.y)}
    history = Candidate("history", None, (), from_history=True)
    split = rolling_origins(labelled.as_of, labelled.y, PLAN.horizon_days, PLAN.dates)[0]
    assert fitted_on(split, history) is split.test
    rows = result.backtest.set_index(["candidate", "test"])["train_rows"]
    assert rows[result.chosen, split.name] == len(split.train) < len(labelled.y)
