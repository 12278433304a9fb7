"""The churn model: its hold-out, its choice, its refusals and its artifact."""

import datetime as dt
import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from analytics_assets.churn import training
from analytics_assets.churn.training import (
    ModelError,
    TrainingError,
    calibration_bins,
    dump_model,
    load_model,
    risk_band,
    score,
    train,
)

FEATURES = ("orders", "recency", "net")
HORIZON = 60


def make_features(customers=300, months=6, signal=1.5, seed=0):
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
        }
    )
    logit = signal * (np.log1p(frame["recency"]) - 3.3 - 0.5 * (frame["orders"] - 4))
    frame["churned"] = pd.array(rng.random(n) < 1 / (1 + np.exp(-logit)), dtype="boolean")
    frame.loc[rng.random(n) < 0.1, "net"] = np.nan
    return frame


@pytest.fixture(scope="module")
def features():
    return make_features()


@pytest.fixture(scope="module")
def result(features):
    return train(features, FEATURES, HORIZON, seed=1)


# The hold-out


def test_no_training_label_is_open_when_the_test_begins(result):
    # The test is 2024-06-01; 60 days before it is 2024-04-02, so April 1st is the last one.
    table = result.candidates
    assert table["test_as_of"].unique() == [pd.Timestamp("2024-06-01")]
    assert table["train_as_of_first"].unique() == [pd.Timestamp("2024-01-01")]
    assert table["train_as_of_last"].unique() == [pd.Timestamp("2024-04-01")]
    assert table["train_rows"].unique() == [4 * 300]
    assert table["test_rows"].unique() == [300]


@pytest.mark.parametrize(("horizon", "months_in_training"), [(61, 4), (62, 3)])
def test_a_label_window_may_end_exactly_at_the_test(features, horizon, months_in_training):
    # From 2024-04-01 to 2024-06-01 there are 61 days.
    table = train(features, FEATURES, horizon, seed=1).candidates
    assert table["train_rows"].unique() == [months_in_training * 300]


def test_rows_without_a_closed_label_are_not_used(features, result):
    newer = features[features["as_of"] == "2024-06-01"].assign(
        as_of=pd.Timestamp("2024-07-01"), churned=pd.array([pd.NA] * 300, dtype="boolean")
    )
    with_open = train(pd.concat([features, newer]), FEATURES, HORIZON, seed=1)
    assert with_open.model_version == result.model_version
    pd.testing.assert_frame_equal(with_open.candidates, result.candidates)


def test_metrics_are_of_the_hold_out_and_not_of_the_training_rows(features):
    noisy = features.copy()
    last = noisy["as_of"] == "2024-06-01"
    rng = np.random.default_rng(3)
    noisy.loc[last, "churned"] = rng.permutation(noisy.loc[last, "churned"])
    table = train(noisy, FEATURES, HORIZON, seed=1).candidates
    assert table["roc_auc"].between(0.4, 0.6).all()


def test_metrics_agree_with_an_independent_computation(features, result):
    x, y = features[list(FEATURES)], features["churned"].to_numpy(bool)
    before, last = features["as_of"] <= "2024-04-01", features["as_of"] == "2024-06-01"
    for row in result.candidates.itertuples():
        model = training._candidates(1)[row.candidate].fit(x[before], y[before])
        p = model.predict_proba(x[last])[:, 1]
        assert row.log_loss == pytest.approx(metrics.log_loss(y[last], p))
        assert row.brier == pytest.approx(np.mean((p - y[last]) ** 2))
        assert row.roc_auc == pytest.approx(metrics.roc_auc_score(y[last], p))
        assert row.average_precision == pytest.approx(metrics.average_precision_score(y[last], p))
        assert row.prevalence == pytest.approx(y[last].mean())


def test_the_chosen_candidate_is_fitted_again_on_every_closed_row():
    features = make_features(signal=0.0)
    last = features["as_of"] == "2024-06-01"
    features.loc[last, "churned"] = np.arange(last.sum()) % 4 > 0
    result = train(features, FEATURES, HORIZON, seed=1)
    assert result.chosen == "prevalence"
    probability = score(result.model, features, FEATURES)
    np.testing.assert_allclose(probability, features["churned"].mean(), rtol=1e-12)


# The choice


def test_prevalence_is_chosen_on_noise():
    result = train(make_features(signal=0.0), FEATURES, HORIZON, seed=1)
    assert result.chosen == "prevalence"
    assert len(result.reliability) == 1  # one prediction, one bin


def test_a_real_model_is_chosen_on_a_real_signal(result):
    assert result.chosen == "logistic_regression"  # the data are logistic in the features
    table = result.candidates.set_index("candidate")
    assert list(table.index) == ["prevalence", "logistic_regression", "gradient_boosting"]
    assert list(table.index[table["is_chosen"]]) == ["logistic_regression"]
    assert table.loc["logistic_regression", "roc_auc"] > 0.8
    assert table.loc["prevalence", "roc_auc"] == 0.5
    assert table.loc["prevalence", "excess_log_loss_low"] > 0
    assert table["prevalence"].nunique() == 1


def test_trees_are_chosen_where_the_signal_is_not_monotonic():
    features = make_features(customers=600, signal=0.0)
    rng = np.random.default_rng(5)
    risk = np.where(features["recency"].between(20, 60), 0.85, 0.15)
    features["churned"] = rng.random(len(features)) < risk
    assert train(features, FEATURES, HORIZON, seed=1).chosen == "gradient_boosting"


def test_the_simplest_of_equals_is_chosen_and_a_clear_difference_is_not_noise():
    rng = np.random.default_rng(0)
    best = rng.normal(0.5, 0.3, 2000)
    losses = np.column_stack([best + 0.1, best + rng.normal(0.001, 0.2, 2000), best])
    low, high = training._excess_loss_interval(losses, seed=1)
    assert low[0] > 0
    assert low[1] < 0 < high[1]
    assert low[2] == high[2] == 0
    assert 0.099 < low[0] <= high[0] < 0.101  # paired: the customers' own spread cancels


def test_reliability_counts_every_hold_out_row(result):
    bins = result.reliability
    assert list(bins.columns) == ["bin", "mean_predicted", "observed", "n"]
    assert list(bins["bin"]) == list(range(1, 11))
    assert bins["n"].tolist() == [30] * 10
    assert bins["mean_predicted"].is_monotonic_increasing


def test_equal_predictions_share_a_calibration_bin():
    bins = calibration_bins(np.array([True, False, True, True]), np.array([0.2, 0.2, 0.2, 0.9]), 4)
    assert bins.to_dict("list") == {
        "bin": [1, 2],
        "mean_predicted": [pytest.approx(0.2), 0.9],
        "observed": [pytest.approx(2 / 3), 1.0],
        "n": [3, 1],
    }


# Reproducibility


def test_same_data_and_seed_give_the_same_version_and_scores(features, result):
    again = train(features.copy(), FEATURES, HORIZON, seed=1)
    assert again.model_version == result.model_version
    assert len(again.model_version) == 12
    assert int(again.model_version, 16) >= 0
    np.testing.assert_array_equal(
        score(again.model, features, FEATURES), score(result.model, features, FEATURES)
    )


def test_neither_row_order_nor_the_index_nor_equal_types_matter(features, result):
    other = features.sample(frac=1, random_state=2)
    other["as_of"] = other["as_of"].dt.date
    other["orders"] = other["orders"].astype("Int64")
    other["churned"] = other["churned"].astype(object)
    again = train(other, FEATURES, HORIZON, seed=1)
    assert again.model_version == result.model_version
    pd.testing.assert_frame_equal(again.candidates, result.candidates)


@pytest.mark.parametrize("name", ["prevalence", "logistic_regression", "gradient_boosting"])
def test_the_number_of_threads_does_not_change_the_scores(features, name):
    x, y = features[list(FEATURES)], features["churned"].to_numpy(bool)
    candidate = training._candidates(1)[name]
    with threadpool_limits(4):
        many = training._probabilities(training._fit(candidate, x, y), x)
    with threadpool_limits(1):
        one = training._probabilities(training._fit(candidate, x, y), x)
    np.testing.assert_array_equal(many, one)


def _one_feature_changed(frame):
    frame.loc[0, "net"] = 1234.5


def _one_label_changed(frame):
    frame.loc[0, "churned"] = not frame.loc[0, "churned"]


@pytest.mark.parametrize("change", [_one_feature_changed, _one_label_changed])
def test_other_data_give_another_version(features, result, change):
    other = features.copy()
    change(other)
    assert train(other, FEATURES, HORIZON, seed=1).model_version != result.model_version


@pytest.mark.parametrize(
    "arguments", [(FEATURES, HORIZON, 2), (FEATURES, 61, 1), (FEATURES[:2], HORIZON, 1)]
)
def test_other_settings_give_another_version(features, result, arguments):
    assert train(features, *arguments).model_version != result.model_version


def test_other_model_parameters_give_another_version(features, result, monkeypatch):
    candidates = training._candidates(1)
    candidates["logistic_regression"].set_params(classifier__C=0.5)
    monkeypatch.setattr(training, "_candidates", lambda seed: candidates)
    assert train(features, FEATURES, HORIZON, seed=1).model_version != result.model_version


# Refusals


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_copy_of_the_label_is_refused_by_name(features, direction):
    leaked = features.assign(gave_it_away=direction * features["churned"].astype(float))
    with pytest.raises(TrainingError, match=r"^gave_it_away alone tells .* leaked"):
        train(leaked, [*FEATURES, "gave_it_away"], HORIZON, seed=1)


def test_a_feature_that_is_missing_exactly_for_one_class_is_refused(features):
    leaked = features.assign(last_seen=features["net"].fillna(0.0).mask(features["churned"]))
    with pytest.raises(TrainingError, match="last_seen"):
        train(leaked, [*FEATURES, "last_seen"], HORIZON, seed=1)


def test_a_strong_but_honest_feature_is_not_refused(features):
    rng = np.random.default_rng(4)
    strong = features.assign(strong=features["churned"].astype(float) + rng.normal(0, 0.3, 1800))
    train(strong, [*FEATURES, "strong"], HORIZON, seed=1)


def test_ranks_give_the_area_under_the_curve_with_ties(features):
    y = features["churned"].to_numpy(bool)
    for name in ("orders", "recency"):
        expected = metrics.roc_auc_score(y, features[name])
        assert training._auc(y, features[name]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["churned", "as_of", "customer_id"])
def test_neither_key_nor_label_is_a_feature(features, name):
    with pytest.raises(TrainingError, match=f"^{name} cannot be a feature"):
        train(features, [*FEATURES, name], HORIZON, seed=1)


def test_no_split_in_time_says_what_there_is_and_what_to_do(features):
    sentence = (
        r"closed labels exist on 6 as-of dates, 2024-01-01 to 2024-06-01, and none lies 200 days "
        r"\(the horizon\) or more before the last\. Load a longer history or shorten the horizon\."
    )
    with pytest.raises(TrainingError, match=sentence):
        train(features, FEATURES, 200, seed=1)


def test_no_closed_label_says_how_many_rows_there_are(features):
    with pytest.raises(TrainingError, match="None of the 1,800 rows, on 6 as-of dates, has a"):
        train(features.assign(churned=pd.NA), FEATURES, HORIZON, seed=1)
    with pytest.raises(TrainingError, match="None of the 0 rows"):
        train(features.iloc[:0], FEATURES, HORIZON, seed=1)


def test_one_class_is_refused_wherever_it_is(features):
    with pytest.raises(TrainingError, match=r"training rows before .* 0 churned and 1,200 ret"):
        train(features.assign(churned=False), FEATURES, HORIZON, seed=1)
    only_in_test = features.copy()
    only_in_test.loc[only_in_test["as_of"] == "2024-06-01", "churned"] = True
    with pytest.raises(TrainingError, match="hold-out of 2024-06-01 have 300 churned and 0 ret"):
        train(only_in_test, FEATURES, HORIZON, seed=1)


def test_missing_columns_are_named(features):
    with pytest.raises(TrainingError, match=r"missing from the features: churned, net\."):
        train(features.drop(columns=["net", "churned"]), FEATURES, HORIZON, seed=1)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [([], "No feature columns"), (["net", "net"], "named twice")],
)
def test_a_list_of_features_that_makes_no_sense_is_refused(features, columns, sentence):
    with pytest.raises(TrainingError, match=sentence):
        train(features, columns, HORIZON, seed=1)


def test_a_customer_standing_twice_on_an_as_of_date_is_refused(features):
    twice = pd.concat([features, features.iloc[[5]]])
    with pytest.raises(TrainingError, match="1 labelled rows repeat a customer"):
        train(twice, FEATURES, HORIZON, seed=1)


@pytest.mark.parametrize("name", ["as_of", "customer_id"])
def test_a_null_key_is_refused(features, name):
    broken = features.astype({name: object})
    broken.loc[7, name] = None
    with pytest.raises(TrainingError, match="1 labelled rows have no as_of or no customer_id"):
        train(broken, FEATURES, HORIZON, seed=1)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("many", "net is not numeric"), (np.inf, "net holds infinite values")],
)
def test_a_feature_that_is_no_finite_number_is_refused(features, value, sentence):
    broken = features.astype({"net": object})
    broken.loc[7, "net"] = value
    with pytest.raises(TrainingError, match=sentence):
        train(broken, FEATURES, HORIZON, seed=1)


def test_a_date_is_not_silently_a_number(features):
    with pytest.raises(TrainingError, match="first_sale is not numeric: its type is datetime64"):
        train(features.assign(first_sale=features["as_of"]), ["first_sale"], HORIZON, seed=1)


def test_a_label_that_is_no_boolean_is_refused(features):
    with pytest.raises(TrainingError, match="churned must be true, false or null"):
        train(features.assign(churned="yes"), FEATURES, HORIZON, seed=1)


# Awkward, but good data


def test_features_without_any_value_without_spread_and_of_other_types_train(features):
    # An optional source that is absent leaves its features null in every row.
    awkward = features.assign(
        sessions=pd.array([pd.NA] * len(features), dtype="Int64"),
        constant=1,
        is_member=pd.array([True, None] * (len(features) // 2), dtype="boolean"),
        money=[Decimal("1.2345"), None] * (len(features) // 2),
    )
    columns = [*FEATURES, "sessions", "constant", "is_member", "money"]
    result = train(awkward, columns, HORIZON, seed=1)
    assert result.candidates["log_loss"].notna().all()
    # And a value seen for the first time when scoring does no harm.
    later = awkward.assign(sessions=3, constant=np.nan)
    for candidate in training._candidates(1).values():
        x = training._feature_matrix(awkward, columns, ModelError)
        model = training._fit(candidate, x, awkward["churned"].to_numpy(bool))
        assert np.isfinite(score(model, later, columns)).all()


def test_as_of_dates_may_carry_a_time_zone(features, result):
    zoned = features.assign(as_of=features["as_of"].dt.tz_localize(dt.UTC))
    assert train(zoned, FEATURES, HORIZON, seed=1).model_version == result.model_version


def test_the_callers_frame_is_left_alone(features):
    before = features.copy()
    train(features, FEATURES, HORIZON, seed=1)
    pd.testing.assert_frame_equal(features, before)


# The artifact


def models(features):
    x = training._feature_matrix(features, FEATURES, ModelError)
    y = features["churned"].to_numpy(bool)
    return {name: training._fit(c, x, y) for name, c in training._candidates(1).items()}


@pytest.mark.parametrize("name", ["prevalence", "logistic_regression", "gradient_boosting"])
def test_a_loaded_model_gives_equal_scores(features, name):
    model = models(features)[name]
    loaded = load_model(dump_model(model))
    np.testing.assert_array_equal(
        score(loaded, features, FEATURES), score(model, features, FEATURES)
    )


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_artifact_is_refused_with_a_sentence(result, kept):
    data = dump_model(result.model)
    with pytest.raises(ModelError, match=r"damaged or incomplete .* Train it again\."):
        load_model(data[: int(len(data) * kept)])


class NotOurs(TransformerMixin, BaseEstimator):
    """A type that nobody has vouched for."""

    def __setstate__(self, state):
        raise AssertionError("code of an untrusted type ran")

    def fit(self, x, y=None):
        return self

    def transform(self, x):
        check_is_fitted(self)
        return x


@pytest.mark.parametrize(
    ("step", "name"), [(NotOurs(), "NotOurs"), (FunctionTransformer(os.system), "system")]
)
def test_an_artifact_naming_foreign_code_is_refused_and_not_run(step, name):
    data = training.skops.io.dumps(Pipeline([("step", step), ("classifier", DummyClassifier())]))
    with pytest.raises(ModelError, match=rf"types that are not trusted.*{name}"):
        load_model(data)


@pytest.mark.parametrize("other", [{"a": 1}, StandardScaler(), Pipeline([("s", StandardScaler())])])
def test_an_artifact_that_is_no_classifier_is_refused(other):
    with pytest.raises(ModelError, match="no churn model"):
        load_model(training.skops.io.dumps(other))


# Scoring


def test_scoring_in_batches_equals_scoring_at_once(features):
    for model in models(features).values():
        at_once = score(model, features, FEATURES)
        in_batches = score(model, features, FEATURES, batch_rows=101)
        np.testing.assert_allclose(in_batches, at_once, rtol=0, atol=1e-12)
        assert at_once.dtype == np.float64
        assert at_once.shape == (len(features),)
        assert ((at_once >= 0) & (at_once <= 1)).all()


def test_an_empty_frame_scores_to_an_empty_array(features, result):
    assert score(result.model, features.iloc[:0], FEATURES).shape == (0,)


def test_missing_features_are_named_when_scoring(features, result):
    with pytest.raises(ModelError, match=r"missing from the features: recency\."):
        score(result.model, features.drop(columns="recency"), FEATURES)


def test_other_features_or_another_order_are_refused(features):
    for model in models(features).values():
        with pytest.raises(ModelError, match="trained on orders, recency, net, in this order"):
            score(model, features, FEATURES[::-1])


def test_infinite_features_are_refused_when_scoring(features, result):
    with pytest.raises(ModelError, match="net holds infinite values"):
        score(result.model, features.assign(net=-np.inf), FEATURES)


# Bands


def test_band_edges_belong_to_the_higher_band():
    below = np.nextafter([0.3, 0.7], 0)
    assert risk_band([0.0, below[0], 0.3, below[1], 0.7, 1.0]).tolist() == [
        "Low",
        "Low",
        "Medium",
        "Medium",
        "High",
        "High",
    ]
    assert risk_band(pd.Series([], dtype=float)).tolist() == []


@pytest.mark.parametrize("value", [np.nan, -0.01, 1.01])
def test_a_band_is_not_made_up_for_what_is_no_probability(value):
    with pytest.raises(ValueError, match="between 0 and 1"):
        risk_band([0.5, value])
