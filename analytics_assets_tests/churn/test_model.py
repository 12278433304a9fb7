"""Scores, bands and reasons of a model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analytics_assets.churn.candidates import build_candidates
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.metrics import log_odds
from analytics_assets.churn.model import ChurnModel, reasons, risk_band, score

from .conftest import COLUMNS, FEATURES


class Additive:
    """Log-odds that are known: 2 x orders - recency."""

    def predict_proba(self, x):
        p = 1 / (1 + np.exp(-(2 * x["orders"] - x["recency"]).to_numpy()))
        return np.column_stack([1 - p, p])


KNOWN = ChurnModel(
    candidate="additive",
    version="0" * 12,
    classifier=Additive(),
    columns=("orders", "recency"),
    inputs=COLUMNS,
    categorical=(),
    slope=1.0,
    centre=0.0,
    typical={"orders": 1.0, "recency": 2.0, "net": 0.0},
    explained=("recency", "orders"),
    horizon_days=60,
    trained_to="2024-09-30",
)


def test_scoring_in_batches_equals_scoring_at_once(features, result):
    at_once = score(result.model, features)
    in_batches = score(result.model, features, batch_rows=101)
    np.testing.assert_allclose(in_batches, at_once, rtol=0, atol=1e-12)
    assert at_once.dtype == np.float64
    assert at_once.shape == (len(features),)
    assert ((at_once >= 0) & (at_once <= 1)).all()


def test_an_empty_frame_scores_to_an_empty_array(features, result):
    assert score(result.model, features.iloc[:0]).shape == (0,)
    assert len(reasons(result.model, result.model.matrix(features.iloc[:0]))) == 0


def test_the_order_of_columns_does_not_matter(features, result):
    turned = features[features.columns[::-1]]
    np.testing.assert_array_equal(score(result.model, turned), score(result.model, features))


def test_missing_features_are_named(features, result):
    with pytest.raises(ModelError, match=r"missing from the features: recency\."):
        score(result.model, features.drop(columns="recency"))


def test_infinite_features_are_refused(features, result):
    with pytest.raises(ModelError, match="net has infinite values"):
        score(result.model, features.assign(net=-np.inf))


def test_the_calibration_slope_is_applied(features, result):
    timid = replace(result.model, slope=result.model.slope / 2)
    own, drawn_in = (log_odds(score(m, features)) - m.centre for m in (result.model, timid))
    np.testing.assert_allclose(drawn_in, own / 2, atol=1e-6)


# Reasons


def test_pushes_of_an_additive_model_are_its_terms():
    matrix = KNOWN.matrix(
        pd.DataFrame({"orders": [3.0, 1.0, 0.0], "recency": [2.0, 7.0, 0.0], "net": 0.0})
    )
    found = reasons(KNOWN, matrix)
    assert found["reason_1"].tolist() == ["orders", "recency", "recency"]
    np.testing.assert_allclose(found["push_1"], [4.0, -5.0, 2.0], atol=1e-6)
    assert found["reason_2"].tolist() == [None, None, "orders"]
    np.testing.assert_allclose(found["push_2"], [0.0, 0.0, -2.0], atol=1e-6)
    assert found["reason_3"].tolist() == [None] * 3
    assert (found["push_3"] == 0).all()


def test_a_feature_that_decides_is_the_first_reason(features, result):
    assert set(result.model.explained[:2]) == {"orders", "recency"}
    matrix = result.model.matrix(features)
    found = reasons(result.model, matrix)
    silent = found[(features["recency"] > 150).to_numpy() & features["orders"].eq(4).to_numpy()]
    assert (silent["reason_1"] == "recency").mean() > 0.9
    assert (silent["push_1"] > 0).mean() > 0.9


def test_a_model_that_knows_nothing_has_no_reasons(features):
    (prevalence,) = [c for c in build_candidates(FEATURES, 30, 1) if c.name == "prevalence"]
    x = features[list(COLUMNS)]
    fitted = prevalence.estimator.fit(x, features["churned"].to_numpy(bool))
    model = replace(KNOWN, classifier=fitted, columns=COLUMNS, explained=())
    found = reasons(model, model.matrix(features))
    assert found[["reason_1", "reason_2", "reason_3"]].isna().all(axis=None)
    assert (found[["push_1", "push_2", "push_3"]] == 0).all(axis=None)


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
