"""A champion gives way only to what is better on rows that neither had seen."""

from dataclasses import replace

import numpy as np
import pytest

from analytics_assets.churn.data import FeatureSet
from analytics_assets.churn.decision import decide
from analytics_assets.churn.training import train

from .conftest import COLUMNS, FEATURES, PLAN


@pytest.fixture(scope="module")
def poor(features):
    """A training that knew only a column of noise."""
    return train(features, FeatureSet(("net",)), PLAN)


def test_the_first_model_becomes_champion(features, result):
    assert decide(result, None, None, features, seed=1).promote


def test_a_better_model_takes_over_and_a_worse_one_is_refused(features, result, poor):
    better = decide(result, poor.model, poor.predictions, features, seed=1)
    assert better.promote
    assert better.rows == 600
    assert better.difference is not None and better.difference[2] < 0
    assert "common dates 2024-06-01, 2024-08-01" in better.reason
    worse = decide(poor, result.model, result.predictions, features, seed=1)
    assert not worse.promote
    assert "not better" in worse.reason
    assert worse.difference is not None
    assert worse.difference[0] == pytest.approx(-better.difference[0])


def test_better_within_the_noise_is_not_better(features, result):
    frozen = result.predictions.copy()
    rng = np.random.default_rng(0)
    p = frozen["churn_probability"].clip(0.02, 0.98)
    frozen["churn_probability"] = (p + rng.normal(0, 0.01, len(p))).clip(0.01, 0.99)
    decision = decide(result, result.model, frozen, features, seed=1)
    assert not decision.promote
    assert decision.difference is not None
    assert decision.difference[1] < 0 < decision.difference[2]


def test_the_same_predictions_are_no_reason_to_move(features, result):
    decision = decide(result, result.model, result.predictions, features, seed=1)
    assert not decision.promote
    assert "predicts the same as the champion" in decision.reason


def test_only_common_dates_count(features, result, poor):
    older = poor.predictions[poor.predictions["test"] == "2024-06-01"]
    decision = decide(result, poor.model, older, features, seed=1)
    assert decision.rows == 300
    assert "common dates 2024-06-01;" in decision.reason


def test_an_old_champion_is_applied_itself_to_the_newest_test(features, result, poor):
    before = features[features["as_of"] <= "2024-05-01"]
    champion = train(before, FEATURES, PLAN).model
    assert champion.trained_to <= "2024-08-01"
    # Its own backtest is not asked: it need not exist.
    decision = decide(result, champion, None, features, seed=1)
    assert decision.rows == 300
    assert "2024-08-01, later than all that the champion has learnt from" in decision.reason
    worse = replace(champion, slope=0.01)
    assert decide(result, worse, None, features, seed=1).promote


def test_a_champion_that_answers_another_question_or_none_gives_way(features, result):
    other = replace(result.model, horizon_days=30)
    assert "30 days" in decide(result, other, result.predictions, features, seed=1).reason
    lost = replace(result.model, inputs=(*COLUMNS, "lost"))
    decision = decide(result, lost, result.predictions, features, seed=1)
    assert decision.promote
    assert "features that are gone: lost" in decision.reason


def test_without_a_row_in_common_nothing_moves(features, result):
    gone = result.predictions.assign(test=lambda kept: kept["test"].str.replace("2024", "2023"))
    decision = decide(result, result.model, gone, features, seed=1)
    assert not decision.promote
    assert "no row in common" in decision.reason
    assert not decide(result, result.model, None, features, seed=1).promote


# Snapshots


@pytest.fixture(scope="module")
def snapshots(features):
    """The same customers in a table without dates, and trainings on what says much and little."""
    rows = features[features["as_of"] == "2024-08-01"].drop(columns="as_of")
    known = train(rows, FeatureSet(COLUMNS), PLAN)
    return rows, known, train(rows, FeatureSet(("net",)), PLAN)


def test_models_of_snapshots_are_compared_on_folds_left_out(snapshots):
    rows, known, poor = snapshots
    better = decide(known, poor.model, poor.predictions, rows, seed=1)
    assert better.promote and better.rows == len(rows)
    assert "that both backtests know" in better.reason
    assert not decide(poor, known.model, known.predictions, rows, seed=1).promote


def test_a_champion_of_a_snapshot_is_applied_to_outcomes_that_it_has_not_seen(snapshots):
    rows, known, poor = snapshots
    # 100 customers are new, and of 50 the champion had learnt another outcome.
    seen = poor.predictions.sort_values("customer_id").iloc[100:].copy()
    seen.iloc[:50, seen.columns.get_loc("observed")] ^= True
    decision = decide(known, poor.model, seen, rows, seed=1)
    assert decision.rows == 150
    assert "whose outcome the champion has not learnt from" in decision.reason
