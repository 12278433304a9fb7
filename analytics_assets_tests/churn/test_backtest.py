"""Splits in time, and predictions that no fit has seen the answers of."""

import itertools

import numpy as np
import pandas as pd
import pytest

from analytics_assets.churn import backtest, candidates
from analytics_assets.churn.candidates import build_candidates
from analytics_assets.churn.data import HistoryError, TrainingError, labelled_rows
from analytics_assets.churn.metrics import calibration_line

from .conftest import FEATURES, HORIZON, make_features


@pytest.fixture(scope="module")
def labelled(features):
    return labelled_rows(features, FEATURES)


def origins(labelled, horizon=HORIZON, dates=2):
    return backtest.rolling_origins(labelled.as_of, labelled.y, horizon, dates)


def test_origins_are_a_label_window_from_each_other_newest_first(labelled):
    # 60 days before August 1st is June 2nd; before June 1st, April 2nd; before April 1st, January.
    splits = origins(labelled, dates=5)
    assert [split.name for split in splits] == ["2024-08-01", "2024-06-01", "2024-04-01"]
    assert [split.reported for split in splits] == [True, True, False]
    assert splits[0].calibration == ("2024-06-01", "2024-04-01")
    assert splits[-1].calibration == ()


def test_no_training_label_is_open_when_the_test_begins(labelled):
    for split in origins(labelled):
        tested = labelled.as_of.iloc[split.test]
        assert tested.nunique() == 1
        ends = labelled.as_of.iloc[split.train] + pd.Timedelta(days=HORIZON)
        assert ends.max() <= tested.min()
        closed = labelled.as_of + pd.Timedelta(days=HORIZON) <= tested.min()
        assert len(split.train) == closed.sum()  # and all that had closed are there


@pytest.mark.parametrize(("horizon", "months"), [(61, 6), (62, 5)])
def test_a_label_window_may_end_exactly_at_the_test(labelled, horizon, months):
    # From June 1st to August 1st there are 61 days.
    assert len(origins(labelled, horizon)[0].train) == months * 300


def test_a_planted_label_that_is_open_for_one_day_of_the_test_is_not_learnt_from(features):
    june = features[features["as_of"] == "2024-06-01"]
    planted = [june.assign(as_of=pd.Timestamp(day)) for day in ("2024-06-02", "2024-06-03")]
    labelled = labelled_rows(pd.concat([features, *planted]), FEATURES)
    newest = origins(labelled)[0]
    learnt = {f"{day:%Y-%m-%d}" for day in labelled.as_of.iloc[newest.train]}
    assert newest.name == "2024-08-01"
    assert "2024-06-02" in learnt and "2024-06-03" not in learnt  # 60 and 59 days before


def test_no_two_tests_share_a_label_window(labelled):
    tested = [pd.Timestamp(split.name) for split in origins(labelled, dates=5)]
    for newer, older in itertools.pairwise(tested):
        assert older + pd.Timedelta(days=HORIZON) <= newer


def test_a_single_test_is_reported_without_calibration():
    labelled = labelled_rows(make_features(months=3), FEATURES)
    (split,) = origins(labelled)
    assert split.reported and not split.calibration


def test_history_too_young_for_both_classes_is_left_out(features):
    young = features.copy()
    young.loc[young["as_of"] <= "2024-04-01", "churned"] = False
    labelled = labelled_rows(young, FEATURES)
    assert [split.name for split in origins(labelled)] == ["2024-08-01"]


def test_one_class_in_the_newest_test_is_refused(features):
    with pytest.raises(TrainingError, match=r"training rows before .* 0 churned and 1,800 ret"):
        origins(labelled_rows(features.assign(churned=False), FEATURES))
    only = features.copy()
    only.loc[only["as_of"] == "2024-08-01", "churned"] = True
    with pytest.raises(TrainingError, match="test rows of 2024-08-01 have 300 churned and 0 ret"):
        origins(labelled_rows(only, FEATURES))


def test_no_split_in_time_says_what_there_is_and_what_to_do(labelled):
    sentence = (
        r"closed labels exist on 8 as-of dates, 2024-01-01 to 2024-08-01, and none lies 300 days "
        r"\(the horizon\) or more before the last\. Load a longer history or shorten the horizon\."
    )
    with pytest.raises(HistoryError, match=sentence):
        origins(labelled, 300)


@pytest.mark.parametrize(("horizon", "dates"), [(0, 2), (60, 0)])
def test_a_plan_without_days_or_tests_is_refused(labelled, horizon, dates):
    with pytest.raises(TrainingError, match="must be at least 1"):
        origins(labelled, horizon, dates)


def test_folds_test_every_row_once_and_never_train_on_it(labelled):
    splits = backtest.folds(labelled.y, 4, seed=0)
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(labelled.y)))
    for split in splits:
        assert not set(split.test) & set(split.train)
        assert split.name not in split.calibration and len(split.calibration) == 3
        assert labelled.y[split.test].mean() == pytest.approx(labelled.y.mean(), abs=0.01)


# Predictions


def only(name):
    return [c for c in build_candidates(FEATURES, 30, 1) if c.name == name]


def test_predictions_are_those_of_a_fit_on_the_training_rows_alone(labelled):
    (candidate,) = only("logistic_regression")
    splits = origins(labelled)
    predictions = backtest.run(labelled, splits, [candidate])
    for split in splits:
        fitted = candidates.fit(candidate, labelled.x.iloc[split.train], labelled.y[split.train])
        expected = fitted.predict_proba(labelled.x.iloc[split.test][list(candidate.columns)])[:, 1]
        mask = predictions.split == split.name
        np.testing.assert_array_equal(predictions.rows[mask], split.test)
        np.testing.assert_allclose(predictions.raw[candidate.name][mask], expected, atol=1e-12)


def test_labels_of_a_test_change_none_of_its_predictions_nor_of_older_ones(labelled):
    splits = origins(labelled)
    some = build_candidates(FEATURES, 30, 1)
    before = backtest.run(labelled, splits, some)
    y = labelled.y.copy()
    y[splits[0].test] = ~y[splits[0].test]
    after = backtest.run(type(labelled)(**{**vars(labelled), "y": y}), splits, some)
    for candidate in some:
        np.testing.assert_array_equal(
            before.calibrated[candidate.name], after.calibrated[candidate.name]
        )
    # The next model's calibration does learn from it.
    assert before.slopes["logistic_regression"] != after.slopes["logistic_regression"]


def test_older_tests_make_an_overconfident_candidate_less_extreme():
    # Many columns of noise and few customers: the fit overfits.
    rng = np.random.default_rng(0)
    frame = make_features(customers=60, months=10)
    names = [f"noise_{n}" for n in range(40)]
    frame[names] = rng.normal(size=(len(frame), 40))
    features = type(FEATURES)(columns=("recency", *names))
    labelled = labelled_rows(frame, features)
    splits = origins(labelled, dates=3)
    (candidate,) = [c for c in build_candidates(features, 100, 1) if c.name == "gradient_boosting"]
    predictions = backtest.run(labelled, splits, [candidate])
    mask = predictions.split == splits[0].name
    y = labelled.y[splits[0].test]
    raw = calibration_line(y, predictions.raw[candidate.name][mask]).slope
    calibrated = calibration_line(y, predictions.calibrated[candidate.name][mask]).slope
    assert predictions.slopes[candidate.name] < 0.8
    assert raw < 0.7
    assert abs(np.log(calibrated)) < abs(np.log(raw))


def test_recalibration_keeps_the_order_and_the_centre():
    p = np.array([0.1, 0.4, 0.9])
    centre = float(np.log(0.4 / 0.6))
    less_extreme = backtest.recalibrated(p, 0.5, centre)
    assert less_extreme[1] == pytest.approx(0.4)
    assert 0.1 < less_extreme[0] < 0.4 < less_extreme[2] < 0.9
    np.testing.assert_array_equal(backtest.recalibrated(p, 1.0, centre), p)
